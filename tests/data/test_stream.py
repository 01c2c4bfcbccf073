"""A stream gives what the same rows in memory give, with no more than a window of them at a time."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from pyarrow import parquet

from linlight import XYDataModule
from linlight.data.chunks import Chunks
from linlight.data.prefetch import prefetch
from linlight.data.sources import Batching, ProcessInfo
from linlight.data.split import uniform
from linlight.data.stream import InOrder, Stream, Windows

ROWS = 1003


@pytest.fixture
def frame() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((ROWS, 3))
    y = x @ [1.0, 2.0, 3.0] + 0.5 + 0.1 * rng.standard_normal(ROWS)
    return pd.DataFrame({"a": x[:, 0], "b": x[:, 1], "c": x[:, 2], "y": y, "id": range(ROWS)})


@pytest.fixture(params=["t.csv", "t.parquet", "parts", "t.npz"])
def path(request: pytest.FixtureRequest, frame: pd.DataFrame, tmp_path: Path) -> str:
    """The same rows in one CSV, in row groups, in files of both kinds, and in an array."""
    table = pa.Table.from_pandas(frame, preserve_index=False)
    frame.to_csv(tmp_path / "t.csv", index=False)
    parquet.write_table(table, tmp_path / "t.parquet", row_group_size=97)
    np.savez(tmp_path / "t.npz", **{name: frame[name].to_numpy() for name in frame})
    (tmp_path / "parts").mkdir()
    parquet.write_table(table.slice(0, 300), tmp_path / "parts" / "0.parquet", row_group_size=7)
    frame[300:800].to_csv(tmp_path / "parts" / "1.csv", index=False)
    parquet.write_table(table.slice(800), tmp_path / "parts" / "2.parquet", row_group_size=1000)
    return str(tmp_path / str(request.param))


def module(path: str, **settings: Any) -> XYDataModule:
    shared = {"features": "a,b,c", "target": "y", "dtype": "float64"}
    return XYDataModule(path=path, **(shared | settings))


def streamed(path: str, **settings: Any) -> tuple[XYDataModule, Chunks]:
    data = module(path, stream=True, **({"window": 64} | settings))
    assert isinstance(data.source, Stream)
    return data, data.source.chunks


def rows_of(loader: Any) -> list[list[float]]:
    items = (batch for item in loader for batch in (item if isinstance(item, list) else [item]))
    return torch.cat([torch.cat(batch[:2], dim=1) for batch in items]).tolist()


def test_passes_and_batches_in_order_are_those_in_memory(path: str) -> None:
    data, chunks = streamed(path, batch_size=10)
    memory = module(path, batch_size=10)
    for part in chunks.parts:
        assert "csv" in part.file or part.rows is not None
    assert rows_of(data.train_pass()) == rows_of(memory.train_pass())
    for mine, theirs in zip(data.train_dataloader(), memory.train_dataloader(), strict=True):
        assert [tensor.tolist() for tensor in mine] == [tensor.tolist() for tensor in theirs]
    assert data.train_size == ROWS
    assert torch.equal(torch.stack(data.statistics.ranges()), torch.stack(memory.statistics.ranges()))
    found, expected = (one.statistics.moments.state_dict() for one in (data, memory))
    for name, tensor in expected.items():  # the triangle's rows have signs of their own
        torch.testing.assert_close(found[name].abs(), tensor.abs(), rtol=1e-11, atol=1e-11)


def test_shuffling_gives_each_row_once_in_an_order_of_seed_and_epoch(path: str) -> None:
    data, chunks = streamed(path, batch_size=10, shuffle=True)
    in_order = sorted(rows_of(data.train_pass()))
    loader = data.train_dataloader()
    epochs = []
    for epoch in (0, 1, 0):
        loader.sampler.set_epoch(epoch)
        epochs.append(rows_of(loader))
        assert sorted(epochs[-1]) == in_order
    assert epochs[0] == epochs[2] != epochs[1]
    assert rows_of(streamed(path, batch_size=10, shuffle=True, seed=1)[0].train_dataloader()) != epochs[0]
    # No more than a window, and the chunk that completes it, is shuffled together.
    assert all(window.rows < 64 + chunks.chunk_rows for window in loader._windows())


@pytest.mark.parametrize("world_size", [1, 2, 3, 5])
@pytest.mark.parametrize("shuffle", [False, True])
def test_every_batch_is_the_same_on_any_number_of_processes(
    path: str, world_size: int, shuffle: bool
) -> None:
    _, chunks = streamed(path)
    counts = chunks.survey(ProcessInfo()).counts

    def shares(rank: int, of: int) -> list[list[list[float]]]:
        loader = Windows(chunks, counts, Batching(10, shuffle=shuffle), ProcessInfo(rank, of))
        return [torch.cat(batch, dim=1).tolist() for batch in loader]

    everyone = [shares(rank, world_size) for rank in range(world_size)]
    for whole, *parts in zip(shares(0, 1), *everyone, strict=True):
        assert sorted(row for part in parts for row in part) == sorted(whole)
    assert all(any(share for share in mine) for mine in everyone) or "npz" in path
    # Passes that only add up have equally many turns, and all the rows.
    order = range(len(chunks.parts))
    turns = [list(chunks.schedule(order, rank, world_size)) for rank in range(world_size)]
    assert len({len(mine) for mine in turns}) == 1
    assert chunks.turns(world_size) in (None, len(turns[0]))
    read = sorted((chunk.first, len(chunk)) for mine in turns for chunk in mine if chunk is not None)
    assert sum(n for _, n in read) == ROWS
    assert all(first + n == after for (first, n), (after, _) in pairwise(read))


def test_a_process_knows_where_parts_begin_that_it_did_not_read(frame: pd.DataFrame, tmp_path: Path) -> None:
    (tmp_path / "f").mkdir()
    table = pa.Table.from_pandas(frame, preserve_index=False)
    frame[:300].to_csv(tmp_path / "f" / "a.csv", index=False)
    for i, name in enumerate("bcd"):
        parquet.write_table(table.slice(300 + 200 * i, 200), tmp_path / "f" / f"{name}.parquet")
    frame[900:].to_csv(tmp_path / "f" / "e.csv", index=False)
    parquet.write_table(table.slice(0, 9), tmp_path / "f" / "f.parquet")
    firsts = []
    for rank in range(3):
        _, chunks = streamed(str(tmp_path / "f"), window=1000)  # of its own, as a process has
        read = chunks.schedule(range(len(chunks.parts)), rank, 3)
        firsts += [chunk.first for chunk in read if chunk is not None]
    assert sorted(firsts) == [0, 300, 500, 700, 900, 1003]


def test_going_on_in_the_middle_of_an_epoch(path: str) -> None:
    for shuffle in (False, True):
        data, _ = streamed(path, batch_size=10, shuffle=shuffle)
        whole = [torch.cat(batch, dim=1).tolist() for batch in data.train_dataloader()]
        for stop in (1, 7, 50, 99):
            loader = data.train_dataloader()
            iterator = iter(loader)
            for _ in range(stop):
                next(iterator)
            state = loader.state_dict()
            again = streamed(path, batch_size=10, shuffle=shuffle)[0].train_dataloader()
            again.load_state_dict(state)
            assert [torch.cat(batch, dim=1).tolist() for batch in again] == whole[stop:]


def test_the_split_depends_on_seed_and_row_number_alone(path: str) -> None:
    split = {"val_fraction": 0.2, "test_fraction": 0.1}
    parts = []
    for window in (64, 1000):
        data, _ = streamed(path, window=window, **split)
        loaders = (data.train_pass(), data.val_dataloader(), data.test_dataloader())
        parts.append([rows_of(loader) for loader in loaders])
        sizes = data.source.chunks.survey(ProcessInfo()).sizes  # type: ignore[attr-defined]
        assert [len(part) for part in parts[-1]] == [sizes[kind] for kind in ("train", "val", "test")]
    assert parts[0] == parts[1]
    assert sorted(row for part in parts[0] for row in part) == sorted(rows_of(streamed(path)[0].train_pass()))
    assert abs(len(parts[0][1]) / ROWS - 0.2) < 0.04
    assert abs(len(parts[0][2]) / ROWS - 0.1) < 0.03
    assert rows_of(streamed(path, seed=1, **split)[0].val_dataloader()) != parts[0][1]


def test_draws_are_uniform() -> None:
    u = uniform(np.arange(100_000), 0)
    assert np.abs(np.histogram(u, 100, (0, 1))[0] - 1000).max() < 200
    assert abs(np.corrcoef(u[:-1], u[1:])[0, 1]) < 0.02
    assert abs(np.corrcoef(u, uniform(np.arange(100_000), 1))[0, 1]) < 0.02


METHODS = {
    "LeastSquares": ["--model=LeastSquares", "--model.robust=HC3"],
    "ExhaustiveSearch": ["--model=ExhaustiveSearch", "--model.step=0.5", "--data.features=a,b"],
    "reduced": ["--model=GradientDescent", "--model.bias=true", "--data.reduce=true"],
    "batches": ["--model=GradientDescent", "--model.bias=true", "--data.batch_size=10"],
    "standardized": [
        *("--model=LinearRegression", "--model.w0=0", "--data.batch_size=10", "--data.standardize=true"),
        "--trainer.max_epochs=3",
    ],
}


@pytest.mark.parametrize("method", METHODS)
def test_training_evaluation_and_prediction(
    method: str, path: str, frame: pd.DataFrame, tmp_path: Path, linlight: Callable[..., Any]
) -> None:
    words = ["--data.path", path, "--data.target=y", "--data.dtype=float64"]
    own = METHODS[method]
    words += [] if any("features" in word for word in own) else ["--data.features=a,b,c"]
    stream = ["--data.stream=true", "--data.window=64"]
    expected = linlight("fit", *words, *own).summary
    run = linlight("fit", *words, *own, *stream)
    found = run.summary
    # Another pass over a stream would be needed for the absolute errors.
    ignored = (
        "train_mae",
        "seconds",
        "steps",
        "largest_stable_step",
        "predicted",
        "optimum",
        "condition_number",
    )
    for key in expected.keys() - set(ignored):
        assert found[key] == approximately(expected[key]), key
    if method == "LeastSquares":
        assert found["coefficients"] == approximately(expected["coefficients"])
    tested = linlight("test", "--ckpt_path", run.checkpoint)
    assert tested.summary["rows"] == ROWS
    assert tested.summary["test_loss"] == pytest.approx(expected["train_loss"], rel=1e-9)
    predicted = linlight("predict", "--ckpt_path", run.checkpoint, "--data.id=id")
    table = pd.read_csv(predicted.folder / "predictions.csv")
    assert table["row"].tolist() == table["id"].tolist() == list(range(ROWS))
    x = frame[found["feature_names"]].to_numpy()
    bias = 0.0 if found["bias"] is None else found["bias"]
    np.testing.assert_allclose(table["prediction"], x @ np.ravel(found["weights"]) + bias, rtol=1e-9)


def approximately(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: approximately(item) for key, item in value.items()}
    if isinstance(value, list):
        return [approximately(item) for item in value]
    return pytest.approx(value, rel=1e-8, abs=1e-10) if isinstance(value, float) else value


def test_rows_dropped_from_row_groups_are_counted_once(
    frame: pd.DataFrame, tmp_path: Path, linlight: Callable[..., Any]
) -> None:
    frame.loc[[5, 300, 900], "b"] = None
    parquet.write_table(pa.Table.from_pandas(frame), tmp_path / "t.parquet", row_group_size=97)
    words = ["--data.path=t.parquet", "--data.missing=drop", "--data.stream=true", "--data.window=64"]
    words += ["--data.features=a,b,c"]
    for own in (["--model=LeastSquares"], ["--model=GradientDescent", "--data.batch_size=64"]):
        run = linlight("fit", *words, *own)
        assert run.out.count("dropped 3 rows of 1,003 that lack a value: b 3") == 1
        assert run.summary["rows"] == ROWS - 3


def test_a_process_that_alone_meets_with_a_bad_row_keeps_its_turns(
    frame: pd.DataFrame, tmp_path: Path
) -> None:
    frame.loc[150, "b"] = None
    parquet.write_table(pa.Table.from_pandas(frame), tmp_path / "t.parquet", row_group_size=97)
    _, chunks = streamed(str(tmp_path / "t.parquet"))
    counts, told = [], {}
    for rank in (0, 1):
        batches = InOrder(chunks, "train", ProcessInfo(rank, 2))
        counts.append(0)
        try:
            for _ in batches:
                counts[-1] += 1
        except ValueError as error:
            told[rank] = str(error)
            counts[-1] += 1  # told with the last
    assert counts == [len(batches)] * 2
    assert list(told) == [1]
    assert "column 'b' has no value in row 150" in told[1]


def test_predictions_as_parquet_without_the_rows_that_lack_a_value(
    tmp_path: Path, linlight: Callable[..., Any]
) -> None:
    (tmp_path / "t.csv").write_text("y,a\n2,1\n4,2\n6,3\n")
    (tmp_path / "new.csv").write_text("a,name\n1,u\n,v\n3,w\n,x\n")
    run = linlight("fit", "--model=LeastSquares", "--data.path=t.csv", "--data.stream=true")
    for stream in ("true", "false"):
        words = ["--data.path=new.csv", f"--data.stream={stream}", "--data.missing=drop", "--data.id=name"]
        out = linlight("predict", "--ckpt_path", run.checkpoint, *words, "--format=parquet")
        assert "dropped 2 rows of 4 that lack a value: a 2" in out.out
        table = parquet.read_table(out.folder / "predictions.parquet").to_pydict()
        assert table["row"] == [0, 2]
        assert table["name"] == ["u", "w"]
        assert table["prediction"] == pytest.approx([2, 6])


def test_predictions_as_csv_beside_ids_of_any_type(tmp_path: Path, linlight: Callable[..., Any]) -> None:
    ids = {"who": ['a"b,c', None], "tags": [["u", "v"], []], "key": [b"\xff", b"k"], "prédit": [True, None]}
    parquet.write_table(pa.table({"y": [2, 4], "a": [1.0, 2.0], **ids}), tmp_path / "t.parquet")
    run = linlight("fit", "--model=ExhaustiveSearch", "--data.path=t.parquet", "--data.features=a")
    for stream in ("true", "false"):
        words = [f"--data.id={','.join(ids)}", f"--data.stream={stream}"]
        out = linlight("predict", "--ckpt_path", run.checkpoint, *words)
        text = (out.folder / "predictions.csv").read_text(encoding="utf-8")
        assert text.splitlines()[0] == "row,who,tags,key,prédit,prediction"
        found = pd.read_csv(out.folder / "predictions.csv").astype(object)
        assert found["prediction"].tolist() == [2, 4]
        assert found.where(found.notna(), None)[list(ids)].to_dict("list") == {
            "who": ['a"b,c', None],
            "tags": ["['u', 'v']", "[]"],
            "key": ["b'\\xff'", "b'k'"],
            "prédit": [True, None],
        }


@pytest.mark.parametrize(
    ("content", "words", "message"),
    [
        ("y,a\n1,2\n2,3\n", ["--model=GradientDescent"], "--data.reduce true"),
        ("y,a\n", ["--model=LeastSquares"], "no rows to train on"),
        ("y,a\n", ["--model=GradientDescent", "--data.batch_size=1"], "t.csv has no rows that can be used"),
        ("y,a\n1,\n", ["--model=LeastSquares", "--data.missing=drop"], "no rows to train on"),
        ("y,a\n1,2\n1,3\n", ["--model=LeastSquares"], "the target 'y' is 1 in every row"),
        ("y,a\n1,2\n1,3\n", ["--model=GradientDescent", "--data.batch_size=1"], "'y' is 1 in every row"),
        ("y,a\n1,2\n2,\n", ["--model=LeastSquares"], "column 'a' has no value in row 1"),
        ("y,a\n1,2\n2,x\n", ["--model=LeastSquares", "--data.features=a"], "holds 'x' in row 1"),
        ("y,a\n1,2\n2,3\n", ["--model=LeastSquares", "--data.window=0"], "window must be at least 1"),
        (
            "y,a\n1,2\n2,3\n",
            ["--model=GradientDescent", "--data.batch_size=3", "--data.window=2"],
            "batch_size 3 does not fit into the window",
        ),
        (
            "y,a\n1,2\n2,3\n",
            ["--model=GradientDescent", "--data.batch_size=1", "--data.val_fraction=1e-9"],
            "val_fraction 1e-09 of 2 rows comes to no row",
        ),
    ],
)
def test_bad_input(
    content: str, words: list[str], message: str, tmp_path: Path, refused: Callable[..., str]
) -> None:
    (tmp_path / "t.csv").write_text(content)
    assert message in refused("fit", "--data.path=t.csv", "--data.stream=true", *words)


def test_what_needs_all_rows_refuses_a_stream(tmp_path: Path, refused: Callable[..., str]) -> None:
    (tmp_path / "t.csv").write_text("y,a\n1,2\n2,3\n")
    for command in ("compare", "sweep"):
        assert "leave out stream" in refused(command, "--data.path=t.csv", "--data.stream=true")
    assert "give one as path" in refused("fit", "--model=LeastSquares", "--data.stream=true")


def test_a_file_that_changes_between_two_passes(frame: pd.DataFrame, tmp_path: Path) -> None:
    frame.to_csv(tmp_path / "t.csv", index=False)
    data, _ = streamed(str(tmp_path / "t.csv"), batch_size=10)
    loader = data.train_dataloader()
    frame[:500].to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(ValueError, match=r"t\.csv changed while it was read"):
        list(loader)


def test_reading_ahead_raises_where_the_item_would_have_been() -> None:
    def items() -> Any:
        yield 1
        raise ValueError("here")

    found = prefetch(items())
    assert next(found) == 1
    with pytest.raises(ValueError, match="here"):
        next(found)
