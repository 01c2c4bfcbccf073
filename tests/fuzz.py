"""Damages tables and checkpoints at random, and counts what is neither read nor refused in one line.

Usage: `python tests/fuzz.py [--cases 2000] [--seed 0]`. Each case is made from its own number alone, so that
one which is found is made again by `--only NUMBER`.
"""

import argparse
import contextlib
import copy
import gzip
import io
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from pyarrow import parquet

from linlight import InputError, XYDataModule
from linlight.training import checkpointing as checkpoints

SECONDS = 20
"""A case that takes longer hangs."""
TEXTS = (
    *("", "nan", "inf", "1e400", "-0", "0x10", "1_000", "1,5", '"', "\x00", "é", "人口", "NULL", "\n"),
    "a" * 5000,
)
CALL = {"class_path": "os.system", "init_args": {"command": "touch pwned"}}
VALUES: tuple[Any, ...] = (
    *(None, True, -1, 0, 10**30, float("nan"), float("inf"), "", "x", "os.system", "../../x"),
    *([], [[]], {}, [1, "a"], CALL, {"a": CALL}, b"bytes", 1j),
    *(torch.ones(3), torch.zeros(0), torch.full((1, 1), float("nan")), torch.ones(1, 1).half()),
)


def csv(chance: random.Random) -> bytes:
    """A CSV of a few rows, some of whose fields are odd."""
    rows = [["x", "z", "y"], *([f"{chance.uniform(-9, 9):.3f}" for _ in range(3)] for _ in range(30))]
    for _ in range(chance.randrange(3)):
        row = chance.choice(rows)
        row[chance.randrange(3)] = chance.choice(TEXTS)
    if chance.random() < 0.2:
        chance.choice(rows).append("9")
    separator, end = chance.choice([",", ",", ",", ";"]), chance.choice(["\n", "\r\n"])
    return end.join(separator.join(row) for row in rows).encode()


def table(chance: random.Random) -> bytes:
    """A Parquet file of columns of several types."""
    kinds: list[pa.DataType] = [
        *(pa.float64(), pa.float32(), pa.int64(), pa.int8(), pa.uint64(), pa.bool_(), pa.string()),
        *(pa.timestamp("us"), pa.date32(), pa.decimal128(12, 3), pa.list_(pa.float64()), pa.null()),
        pa.dictionary(pa.int8(), pa.string()),
    ]
    columns = {}
    for name in ("x", "z", "y"):
        some = [chance.randrange(100) for _ in range(20)]
        numbers = pa.array([None if chance.random() < 0.02 else value for value in some])
        kind = chance.choice(kinds) if chance.random() < 0.4 else pa.float64()
        try:
            columns[name] = numbers.cast(kind)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            columns[name] = pa.nulls(20, kind)
    file = io.BytesIO()
    parquet.write_table(pa.table(columns), file, row_group_size=chance.choice([5, 20]))
    return file.getvalue()


def array(chance: random.Random, columns: int) -> np.ndarray:
    """An array, most often of numbers in rows and columns."""
    if chance.random() < 0.6:
        return np.array([[chance.uniform(-9, 9) for _ in range(columns)] for _ in range(9)])
    kind = chance.choice(["f8", "f4", "i8", "u1", ">f8", "f2", "c16", "U3", "M8[s]", "?"])
    shape = chance.choice([(12,), (6, 2), (6, 3), (2, 3, 2), (0, 2), (6, 0), ()])
    return np.zeros(shape, kind)


def npy(chance: random.Random) -> bytes:
    """An array as NumPy writes it."""
    file = io.BytesIO()
    np.save(file, array(chance, 2))
    return file.getvalue()


def npz(chance: random.Random) -> bytes:
    """Several arrays as NumPy writes them."""
    file = io.BytesIO()
    save = chance.choice([np.savez, np.savez_compressed])
    save(file, x=array(chance, 2), y=array(chance, 1))
    return file.getvalue()


def zipped(chance: random.Random) -> bytes:
    """A CSV in an archive."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", chance.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])) as archive:
        for i in range(chance.choice([1, 1, 1, 0, 2])):
            archive.writestr(f"{i}.csv", csv(chance))
    return file.getvalue()


def damaged(content: bytes, chance: random.Random) -> bytes:
    """Some bytes of a file changed, left out, repeated or added."""
    found = bytearray(content)
    for _ in range(chance.choice([0, 0, 1, 1, 2, 5])):
        if not found:
            break
        at, size = chance.randrange(len(found)), chance.choice([1, 1, 4, 40])
        match chance.randrange(5):
            case 0:
                found[at] ^= 1 << chance.randrange(8)
            case 1:
                found[at : at + size] = chance.randbytes(size)
            case 2:
                del found[at : at + size]
            case 3:
                del found[at:]
            case _:
                found[at:at] = found[at : at + size] * chance.choice([1, 20])
    return bytes(found)


def read_table(path: Path, chance: random.Random) -> None:
    """What every command does with a table."""
    stream = chance.random() < 0.3 and not path.suffix.startswith(".np")
    target = {".npy": "1", ".npz": "y_0"}.get(path.suffix, "y")
    missing: Any = chance.choice(["error", "drop"])
    data = XYDataModule(path=str(path), target=target, stream=stream, missing=missing)
    if data.targets is not None:
        _ = data.statistics.moments
        data.statistics.ranges()


def odd_csv(chance: random.Random) -> tuple[bytes, list[str]]:
    """A CSV that is odd and valid, in some dialect, with the options that read it and a rate that fits it."""
    rows = chance.choice([3, 9, 60])
    size = chance.choice([1.0, 1.0, 1.0, 1e-300, 1e-160, 1e160, 1e9])
    offset = chance.choice([0.0, 0.0, 1e6, -1e12])
    quote = chance.choice(["", '"'])
    names = [
        chance.choice([name, f"{name} {name}", f"{name}\n2", f"é{name}", f"{name}.{name}"]) for name in "xz"
    ]
    columns: dict[str, list[str]] = {}
    for name in names:
        columns[name] = [
            repr(chance.choice([1.0, -2.0, 3.5, chance.gauss(0, 1)]) * size + offset) for _ in range(rows)
        ]
    if chance.random() < 0.3:
        columns["level"] = [chance.choice(["a", "b", "人", "a b", "-"]) for _ in range(rows)]
    columns["y"] = [f"{chance.gauss(0, 1):.17g}" for _ in range(rows)]
    options = []
    if chance.random() < 0.3:
        columns["weight"] = [chance.choice(["0", "1", "2", "3"]) for _ in range(rows)]
        options += ["--data.weight=weight", f"--data.weight_kind={chance.choice(['precision', 'frequency'])}"]
    separator, end = chance.choice([",", ",", "\t", ";"]), chance.choice(["\n", "\r\n"])
    if separator != ",":
        options += [f"--data.delimiter={separator}"]
    lr = 0.1 / (1 + (5 * size + abs(offset)) ** 2) if size < 1e100 else 1e-308
    head = separator.join(f'"{name}"' for name in columns)
    body = [
        separator.join(f"{quote}{value}{quote}" for value in row)
        for row in zip(*columns.values(), strict=True)
    ]
    text = end.join([head, *body]) + chance.choice(["", end])
    return (b"\xef\xbb\xbf" * (chance.random() < 0.2)) + text.encode(), [*options, f"{lr}"]


def train(path: Path, chance: random.Random) -> None:
    """Trains by the command line on a table that is odd and valid, and predicts from what is left."""
    from linlight.cli.main import main

    content, (*options, lr) = odd_csv(chance)
    path.write_bytes(content)
    method = chance.choice(["GradientDescent", "Backpropagation", "LinearRegression", "LeastSquares"])
    words = ["fit", f"--model={method}", f"--data.path={path}", "--data.target=y", *options]
    for option, part in (
        (f"--model.lr={lr}", method != "LeastSquares"),
        ("--data.standardize=true", 0.4 * (method == "LinearRegression")),
        ("--data.batch_size=4", 0.5),
        ("--data.val_fraction=0.3", 0.2),
        ("--data.dtype=float32", 0.1),
        ("--model.robust=HC3", 0.3 * (method == "LeastSquares")),
    ):
        words += [option] * (chance.random() < part)
    if "--data.batch_size=4" in words and chance.random() < 0.4:
        words.append("--data.stream=true")
    words += [
        "--trainer.logger=false",
        "--trainer.max_epochs=2",
        "--quiet=true",
        "--trainer.default_root_dir=fit",
    ]
    shutil.rmtree("fit", ignore_errors=True)
    error = io.StringIO()
    try:
        with contextlib.redirect_stderr(error):
            main(words)
            (checkpoint,) = Path("fit").rglob("last.ckpt")
            main(["predict", f"--ckpt_path={checkpoint}", "--quiet=true", "--trainer.logger=false"])
    except SystemExit as end:
        if end.code != 2 or error.getvalue().count("\n") != 1:
            raise AssertionError(f"exit code {end.code}: {error.getvalue()[-300:]}") from end
        raise InputError(error.getvalue()) from end


def spoilt(checkpoint: Any, chance: random.Random) -> Any:
    """A checkpoint in which some values are others, or are gone."""
    found = copy.deepcopy(checkpoint)
    for _ in range(chance.choice([1, 1, 2, 4])):
        place, path = found, chance.randrange(1, 4)
        for _ in range(path):
            inner = [key for key, value in place.items() if isinstance(value, dict) and value]
            if inner and chance.random() < 0.6:
                place = place[chance.choice(inner)]
        if place:
            key = chance.choice(list(place))
            if chance.random() < 0.2:
                del place[key]
            else:
                place[key] = copy.deepcopy(chance.choice(VALUES))
    return found


def read_checkpoint(path: Path, chance: random.Random) -> None:
    """What every command does with a checkpoint."""
    checkpoint = checkpoints.load(path)
    checkpoints.model_of(path, checkpoint)
    settings = checkpoints.data_of(path, checkpoint)
    if {"x", "y", "path"} <= settings.keys():
        XYDataModule(**settings)


TRAINED = "trained.csv"
FILES: dict[str, Callable[[random.Random], bytes]] = {
    "t.csv": csv,
    "t.csv.gz": lambda chance: gzip.compress(csv(chance), mtime=0),
    "t.csv.zip": zipped,
    "t.parquet": table,
    "t.npy": npy,
    "t.npz": npz,
}


class Hang(BaseException):
    """A case that takes too long."""


def _stop(*_: object) -> None:
    raise Hang


def a_checkpoint(folder: Path) -> Any:
    """The checkpoint of a short training."""
    from linlight.cli.main import main

    words = ["fit", "--model=LinearRegression", "--optimizer=Adam", "--trainer.max_epochs=2", "--quiet=true"]
    with contextlib.redirect_stdout(io.StringIO()):
        main([*words, "--trainer.logger=false", f"--trainer.default_root_dir={folder}"])
    (path,) = folder.rglob("last.ckpt")
    return torch.load(path, weights_only=True)


def run(number: int, checkpoint: Any) -> tuple[str, str]:
    """Makes a case and reads it: its kind, and what came of it."""
    chance = random.Random(number)
    kind = chance.choice([*FILES, "t.ckpt", TRAINED, TRAINED, TRAINED])
    path, read = Path(kind), read_table
    if kind == TRAINED:
        read = train
    elif kind == "t.ckpt":
        file = io.BytesIO()
        torch.save(spoilt(checkpoint, chance), file)
        path.write_bytes(damaged(file.getvalue(), chance) if chance.random() < 0.2 else file.getvalue())
        read = read_checkpoint
    else:
        path.write_bytes(damaged(FILES[kind](chance), chance))
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            read(path, chance)
        outcome = "read"
    except InputError as error:
        outcome = "refused" if str(error).strip() else "FOUND: it is refused without a word"
    except (Exception, Hang, SystemExit) as error:
        outcome = f"FOUND: {type(error).__name__}: {' '.join(str(error).split())[:150]}"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    if Path("pwned").exists():
        outcome = "FOUND: a command was run"
        Path("pwned").unlink()
    return kind, outcome


def main(args: list[str] | None = None) -> int:
    """Runs the cases; the exit code is 1 where something was found."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--cases", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0, help="of the first case; the others count on")
    parser.add_argument("--only", type=int, help="one case")
    given = parser.parse_args(args)
    warnings.simplefilter("ignore")
    signal.signal(signal.SIGALRM, _stop)
    numbers = range(given.seed, given.seed + given.cases) if given.only is None else [given.only]
    start, counts, here = time.perf_counter(), Counter[tuple[str, str]](), Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            checkpoint = a_checkpoint(Path("run"))
            for number in numbers:
                kind, outcome = run(number, checkpoint)
                if outcome.startswith("FOUND"):
                    print(f"case {number}, {kind}: {outcome}", flush=True)
                counts[kind, outcome.partition(":")[0]] += 1
        finally:
            os.chdir(here)
    for kind in [*FILES, "t.ckpt", TRAINED]:
        outcomes = [f"{counts[kind, what]} {what}" for what in ("read", "refused", "FOUND")]
        print(f"{kind:<12}" + ", ".join(outcomes))
    print(f"{sum(counts.values())} cases in {time.perf_counter() - start:.0f} s")
    return int(any(what == "FOUND" for _, what in counts))


if __name__ == "__main__":
    sys.exit(main())
