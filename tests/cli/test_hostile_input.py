"""Input that is damaged, absurd or meant to harm gets one line from every command, and leaves nothing."""

import errno
import gzip
import io
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fuzz
import numpy as np
import pyarrow as pa
import pytest
import torch
from conftest import Run
from pyarrow import parquet

from linlight import load
from linlight.cli.main import main
from linlight.methods import METHODS

Linlight = Callable[..., Run]
CSV = b"x,y\n1,2\n2,4.1\n3,6\n4,8.2\n"


def npy() -> bytes:
    file = io.BytesIO()
    np.save(file, np.arange(12.0).reshape(6, 2))
    return file.getvalue()


def npz() -> bytes:
    file = io.BytesIO()
    np.savez(file, x=np.arange(6.0), y=np.arange(6.0))
    return file.getvalue()


def zipped() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("t.csv", CSV)
    return file.getvalue()


def table(**columns: object) -> bytes:
    file = io.BytesIO()
    parquet.write_table(pa.table(columns), file)
    return file.getvalue()


def in_headers(archive: bytes, local: int, central: int, change: Callable[[int], int]) -> bytes:
    """A zip archive with a byte of each member's two headers changed."""
    found = bytearray(archive)
    for mark, offset in ((b"PK\x03\x04", local), (b"PK\x01\x02", central)):
        at = found.find(mark)
        while at >= 0:
            found[at + offset] = change(found[at + offset])
            at = found.find(mark, at + 1)
    return bytes(found)


def flipped(content: bytes, at: int) -> bytes:
    return content[:at] + bytes([content[at] ^ 255]) + content[at + 1 :]


Y = [2.0, 4.0, 6.0]
HOSTILE: dict[str, bytes] = {
    "empty.csv": b"",
    "header.csv": b"x,y\n",
    "ragged.csv": b"x,y\n1,2\n1,2,3\n",
    "twice.csv": b"x,x\n1,2\n",
    "quote.csv": b'x,y\n1,"2\n3,4\n',
    "infinite.csv": b"x,y\n1,inf\n2,3\n",
    "latin.csv": b"x,y\n\xff,2\n",
    "nul.csv": b"x,y\n1,\x002\n3,4\n",
    "huge_cell.csv": b"x,y\n" + b"a" * 200_000 + b",1\n2,3\n",
    "calendar.csv": b"x,y\n99999-01-01 00:00:00,1\n2020-01-01,2\n",
    "cut.csv.gz": gzip.compress(CSV)[:-12],
    "no.csv.bz2": b"BZhxxxx",
    "no.csv.zst": b"zzzz",
    "encrypted.csv.zip": in_headers(zipped(), 6, 8, lambda flags: flags | 1),
    "method.csv.zip": in_headers(zipped(), 8, 10, lambda _: 77),
    "cut.csv.zip": zipped()[:40],
    "flipped.csv.zip": flipped(zipped(), 40),
    "cut.npy": npy()[:-20],
    "magic.npy": b"\x93NUMPY" + b"\xff" * 80,
    "open_header.npy": npy().replace(b"(6, 2)", b"(((((("),
    "negative.npy": npy().replace(b"(6, 2)", b"(6,-2)"),
    "enormous.npy": npy().replace(b"(6, 2), }         ", b"(6000000000000, 2)")[:-90],
    "objects.npy": npy().replace(b"'<f8'", b"'|O8'"),
    "encrypted.npz": in_headers(npz(), 6, 8, lambda flags: flags | 1),
    "method.npz": in_headers(npz(), 8, 10, lambda _: 77),
    "cut.npz": npz()[:-30],
    "flipped.npz": flipped(npz(), 190),
    "marks.parquet": b"PAR1xxxxPAR1",
    "cut.parquet": table(x=Y, y=Y)[:-30],
    "flipped.parquet": table(x=Y, y=Y)[:20] + b"\xff" * 30 + table(x=Y, y=Y)[50:],
    "seconds.parquet": table(x=pa.array([2**53, 1, 5], pa.timestamp("s")), y=Y),
    "microseconds.parquet": table(x=pa.array([2**62, 1, 5], pa.timestamp("us")), y=Y),
    "days.parquet": table(x=pa.array([2**30, 1, 5], pa.date32()), y=Y),
    "nested.parquet": table(x=[[1.0], [2.0], [3.0]], y=Y),
}


def said(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The one line of a command that must be refused."""
    with pytest.raises(SystemExit, match="2"):
        main(words)
    line = capsys.readouterr().err
    assert line.startswith("linlight: error: ")
    assert line.count("\n") == 1, words
    assert len(line) < 2100
    return line


def folders() -> list[Path]:
    return [path for path in Path("lightning_logs").glob("*/*") if path.is_dir()]


def test_tables(linlight: Linlight, capsys: pytest.CaptureFixture[str]) -> None:
    Path("t.csv").write_bytes(CSV)
    done = linlight("fit", "--model=LeastSquares", "--data.path=t.csv", "--quiet=true")
    for name, content in HOSTILE.items():
        Path(name).write_bytes(content)
        path = f"--data.path={name}"
        for words in (
            ["inspect", path],
            ["fit", "--model=LeastSquares", "--quiet=true", path],
            ["fit", "--model=LeastSquares", "--quiet=true", "--data.stream=true", path],
        ):
            said(words, capsys)
        try:  # of some only the targets are damaged, which a prediction does not need
            main(["predict", "--ckpt_path", str(done.checkpoint), "--quiet=true", path])
        except SystemExit:
            assert capsys.readouterr().err.count("\n") == 1
        if name.endswith(".csv"):  # the run's own table, spoilt since
            Path("t.csv").write_bytes(content)
            said(["plot", str(done.folder)], capsys)
            Path("t.csv").write_bytes(CSV)
    assert {path.parent.name for path in folders()} == {"LeastSquares"}


LONG = "a" * 200_000
NESTED = "[" * 2000 + "]" * 2000
LETTERS = zip("abcdefgh", "bcdefghi", strict=True)
ANCHORS = "\n".join(f"{b}: &{b} [{', '.join(['*' + a] * 9)}]" for a, b in LETTERS)
CONFIGS = {
    "anchors": ("a: &a [x, x]\n" + ANCHORS, "repeats its anchors until it has"),
    "itself": ("data: &a\n  x: *a\n", "contains itself"),
    "deep": (f"data: {{x: {NESTED}}}\n", "nests more than 64 levels deep"),
    "tag": ("model: !!python/object/apply:os.system ['touch pwned']\n", "is not valid YAML"),
    "torn": ("trainer: [1\n", "is not valid YAML (line 2"),
    "empty": ("", "holds no settings"),
    "null": ("trainer: null\n", "holds nothing below trainer"),
    "digits": (f"seed_everything: {'9' * 5000}\n", "is not valid YAML"),
    "another": ("config: anchors.yaml\n", "repeats its anchors until it has"),
    "of_data": ("data: anchors.yaml\n", "repeats its anchors until it has"),
    "another_deep": ("config: deep.yaml\n", "nests more than 64 levels deep"),
}
GRADIENT = ("fit", "--model=GradientDescent", "--trainer.max_epochs=2")
LINEAR = ("fit", "--model=LinearRegression", "--trainer.max_epochs=2")
WORDS = [
    (*GRADIENT, "--data.x", NESTED),
    (*GRADIENT, "--data.x", "&a [*a]"),
    (*GRADIENT, "--data.x", LONG),
    (*GRADIENT, "--model.lr", LONG),
    (*GRADIENT, "--data.path", LONG),
    (*GRADIENT, f"--{LONG}", "1"),
    (*GRADIENT, "--trainer.logger", LONG),
    (*LINEAR, "--optimizer", LONG),
    (*LINEAR, "--model.criterion", LONG),
    ("fit", "--model", LONG),
    ("fit", "--config", LONG),
    ("predict", "--ckpt_path", LONG),
    ("plot", LONG),
    ("inspect", "--data.x", LONG),
    ("compare", "--methods", LONG),
    (LONG,),
    (*LINEAR, "--trainer.val_check_interval", "0"),
    (*LINEAR, "--trainer.check_val_every_n_epoch", "0"),
    (*LINEAR, "--trainer.callbacks=EarlyStopping", "--trainer.callbacks.monitor=nothing"),
    (*LINEAR, "--model.criterion=BCELoss"),
    (*LINEAR, "--model.criterion=NLLLoss"),
    (*LINEAR, "--model.criterion=KLDivLoss"),
    (*LINEAR, "--optimizer=SparseAdam"),
    (*LINEAR, "--optimizer=Adam", "--optimizer.lr=-1"),
    (*LINEAR, "--lr_scheduler=LambdaLR"),
    (*GRADIENT, "--data.batch_size", "9" * 20),
    (*GRADIENT, "--stop_at_se=-1"),
    (*GRADIENT, "--trainer.devices=0"),
    (*GRADIENT, "--trainer.num_nodes=3"),
    (*GRADIENT, "--trainer.callbacks=BatchSizeFinder"),
    (*GRADIENT, "--trainer.precision=16-mixed"),
    (*GRADIENT, "--model.lr=1e308"),
    (*GRADIENT, "--model.w0=1e308"),
    ("board", "--port=-1"),
    (*GRADIENT, "--trainer.accelerator=cpu", "--trainer.devices=999"),
    (*GRADIENT, "--trainer.profiler=nope"),
    ("fit", "--model=ExhaustiveSearch", "--model.step=1e-300"),
    ("fit", "--model=ExhaustiveSearch", "--model.low=1e160", "--model.high=2e160", "--model.step=1"),
]


@pytest.mark.parametrize("words", WORDS, ids=lambda words: " ".join(words)[-40:])
def test_words(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    said(list(words), capsys)
    assert not folders()


@pytest.mark.parametrize("name", CONFIGS)
def test_configs(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    for other, (content, _) in CONFIGS.items():
        Path(f"{other}.yaml").write_text(content)
    message = CONFIGS[name][1]
    assert message in said([*GRADIENT, f"--config={name}.yaml"], capsys)
    said(["compare", f"--config={name}.yaml"], capsys)
    assert not Path("pwned").exists()
    assert not folders()


@pytest.mark.parametrize("kind", ["pipe", "loop", "folder", "zero"])
def test_what_is_no_file(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A pipe that nobody writes to, a link to itself, a folder, a device that never ends."""
    for ending in ("yaml", "ckpt", "csv", "npy", "parquet"):
        path = Path(f"p.{ending}")
        if kind == "pipe":
            os.mkfifo(path)
        elif kind == "folder":
            path.mkdir()
        else:
            path.symlink_to(path if kind == "loop" else "/dev/zero")
    for words in (
        [*GRADIENT, "--config=p.yaml"],
        ["compare", "--config=p.yaml"],
        *([command, "--ckpt_path=p.ckpt"] for command in ("fit", "validate", "test", "predict")),
        ["plot", "p.ckpt"],
        *([*GRADIENT, f"--data.path=p.{ending}"] for ending in ("csv", "npy", "parquet")),
        *(["inspect", f"--data.path=p.{ending}"] for ending in ("csv", "npy", "parquet")),
    ):
        said(words, capsys)
    assert not folders()


@pytest.mark.parametrize(
    "place", ["ftp://127.0.0.1:9/x.csv", "zip://x.csv", "hdfs://x/y.csv", "gs2://a/b.csv"]
)
def test_places_that_cannot_be_reached(place: str, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (GRADIENT, ["inspect"]):
        assert f"{place} cannot be opened" in said([*words, f"--data.path={place}"], capsys)


def test_what_is_large_or_close_is_no_error(linlight: Linlight) -> None:
    Path("name.csv").write_text(LONG + ",y\n1,2\n2,3\n3,5\n")
    assert linlight("fit", "--model=LeastSquares", "--data.path=name.csv").summary["rows"] == 3
    Path("close.csv").write_text("x,y\n" + "".join(f"{i},{1 + i}\n" for i in range(20)))
    assert linlight("fit", "--model=LeastSquares", "--data.path=close.csv", "--pictures=true").summary


def test_some_of_the_fuzz(capsys: pytest.CaptureFixture[str]) -> None:
    assert fuzz.main(["--cases=80", "--seed=7000"]) == 0, capsys.readouterr().out


def _no_memory_for_arrays(*_: Any) -> None:
    raise MemoryError  # as NumPy's and pyarrow's, whose large arrays Linux grants and takes back later


def _no_memory_for_tensors(*_: Any) -> None:
    torch.empty(2**50)


def _no_memory_on_the_gpu(*_: Any) -> None:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.\nGPU 0 has …")


@pytest.mark.parametrize("where", ["at the door", "in a step"])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "fails", [_no_memory_for_arrays, _no_memory_for_tensors, _no_memory_on_the_gpu], ids=lambda f: f.__name__
)
def test_out_of_memory_is_said_with_the_remedy(
    refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch, method: str, where: str, fails: Any
) -> None:
    if where == "at the door":
        monkeypatch.setattr("linlight.data.opened.as_matrix", fails)
    else:
        monkeypatch.setattr(METHODS[method], "training_step", fails)
    assert "out of memory: --data.stream true" in refused("fit", "--model", method)


def test_a_full_disk_names_the_runs_folder(
    refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("linlight.training.run_summary.write_json", full)
    for method in METHODS:
        message = refused("fit", "--model", method)
        assert f"no space left for the run's folder lightning_logs/{method}/version_0: free some" in message


@pytest.mark.parametrize("size", [1e-300, 1e-160, 1e160, 1e300])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("batch_size", ["null", "2"])
def test_features_whose_squares_leave_float64(
    method: str, size: float, batch_size: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The exact answer is right, standardised features train, and the others are right or refused."""
    Path("t.csv").write_text("x,y\n" + "".join(f"{x * size!r},{y}\n" for x, y in ((1.0, 2), (2, 4), (3, 7))))
    words = ["fit", f"--model={method}", "--data.path=t.csv", f"--data.batch_size={batch_size}"]
    try:
        main(words)
    except SystemExit:
        assert capsys.readouterr().err.count("\n") == 1
        assert size > 1
        assert method != "LeastSquares"
    if method not in ("LeastSquares", "LinearRegression") or (method, batch_size) == (
        "LinearRegression",
        "2",
    ):
        return
    if method == "LinearRegression":
        main([*words, "--data.standardize=true", "--model.lr=0.2"])
    (*_, summary) = sorted(Path().rglob("summary.json"))
    assert load(summary.parent).model.w.item() * size == pytest.approx(2.5, rel=1e-9)


@pytest.mark.parametrize("method", METHODS)
def test_names_cannot_break_or_colour_lines(method: str, linlight: Linlight) -> None:
    Path("t.csv").write_text('"a\nb\x1b[31m",y\n1,2\n2,4\n3,7\n4,8.5\n')
    out = linlight("fit", f"--model={method}", "--trainer.max_epochs=2", "--data.path=t.csv").out
    assert "\x1b" not in out
    assert r" a\nb\x1b[31m" in out.splitlines()[-2]
