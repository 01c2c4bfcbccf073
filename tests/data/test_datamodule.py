"""The door of the data: what it lets in, how it splits, in what batches it hands out."""

import gc
import weakref
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from linlight import InputError, XYDataModule
from linlight.data.loaders import BatchLoader
from linlight.data.sources import ProcessInfo


@pytest.mark.parametrize(
    "x", [[1, 2, 3], [[1], [2], [3]], np.arange(3), torch.arange(3.0), np.arange(3.0)[::-1], (1, 2, 3)]
)
def test_one_dimension_becomes_a_column(x: Any) -> None:
    data = XYDataModule(x, [1, 2, 3])
    assert data.y is not None
    assert data.x.shape == data.y.shape == (3, 1)
    assert data.x.dtype == torch.float64


def test_numbers_of_the_right_type_are_not_copied() -> None:
    x = np.zeros((5, 2))
    data = XYDataModule(x, x)
    assert data.x.data_ptr() == x.ctypes.data


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"x": [], "y": []}, "x is empty: give at least one row"),
        ({"x": [1, 2], "y": [1]}, "x has 2 rows and y has 1: they must have equally many"),
        ({"x": [[1, 2], [3]], "y": [1, 2]}, "x is ragged: row 1 has 1 values and row 0 has 2"),
        ({"x": [1, float("nan")], "y": [1, 2]}, "x has nan at row 1, column 0"),
        ({"x": [1, 2], "y": [[1, 2], [3, float("inf")]]}, "y has inf at row 1, column 1"),
        ({"x": [1, 1e300], "y": [1, 2], "dtype": "float32"}, "overflows float32, use --data.dtype float64"),
        ({"x": ["1", "two"], "y": [1, 2]}, "x must hold numbers only, but 'two' is at row 1"),
        ({"x": "x.csv", "y": [1]}, "x must hold numbers only, but it is 'x.csv'"),
        ({"x": [None, 1], "y": [1, 2]}, "None is at row 0"),
        ({"x": [1j], "y": [1]}, "x must hold real numbers"),
        ({"x": np.zeros((2, 2, 2)), "y": [1, 2]}, "x has 3 dimensions"),
        ({"y": [1, 2]}, "y is given without x"),
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
        ({"val_fraction": 1.0}, "val_fraction must be at least 0 and below 1"),
        ({"val_fraction": 0.5, "test_fraction": 0.5}, "leave no rows to train on"),
        ({"val_fraction": 0.1}, "val_fraction 0.1 of 3 rows comes to no row"),
        ({"val_fraction": 0.5, "test_fraction": 0.49}, "leaves no rows"),
        ({"dtype": "float16"}, "dtype must be float32 or float64"),
    ],
)
def test_what_cannot_be_used_is_said(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        XYDataModule(**arguments)


def test_rows_are_freed_with_their_data_module() -> None:
    data = XYDataModule(np.zeros((5, 2)), np.arange(5.0))
    alive = weakref.ref(data)
    gc.disable()
    try:
        del data
        assert alive() is None
    finally:
        gc.enable()


def test_features_alone_are_for_predict_only() -> None:
    data = XYDataModule([1, 2])
    assert [batch[0].tolist() for batch in data.predict_dataloader()] == [[[1.0], [2.0]]]
    with pytest.raises(InputError, match="only predict can do without y"):
        data.train_dataloader()


def test_split_is_a_partition_that_depends_on_the_seed_alone() -> None:
    def parts(seed: int) -> list[list[float]]:
        data = XYDataModule(range(100), range(100), val_fraction=0.2, test_fraction=0.1, seed=seed)
        loaders = (data.train_dataloader(), data.val_dataloader(), data.test_dataloader())
        return [[x.item() for batch in loader for x in batch[0]] for loader in loaders]

    split = parts(0)
    assert [len(part) for part in split] == [70, 20, 10]
    assert sorted(sum(split, [])) == list(range(100))  # noqa: RUF017
    assert all(part == sorted(part) for part in split)
    assert parts(0) == split != parts(1)


@pytest.mark.parametrize("rows", [1, 2, 3, 10, 17])
@pytest.mark.parametrize("batch_size", [1, 3, 17, 100])
@pytest.mark.parametrize("world_size", [1, 2, 4])
@pytest.mark.parametrize("shuffle", [False, True])
def test_shares_of_a_batch_make_the_batch(rows: int, batch_size: int, world_size: int, shuffle: bool) -> None:
    x = torch.arange(rows)[:, None]

    def batches(rank: int, world_size: int) -> list[list[int]]:
        loader = BatchLoader((x,), batch_size, shuffle=shuffle, place=ProcessInfo(rank, world_size))
        result = [batch[0].flatten().tolist() for batch in loader]
        assert len(result) == len(loader)
        return result

    whole = batches(0, 1)
    assert sorted(row for batch in whole for row in batch) == list(range(rows))
    shares = [batches(rank, world_size) for rank in range(world_size)]
    assert [[row for share in step for row in share] for step in zip(*shares, strict=True)] == whole


def test_shuffling_is_a_function_of_seed_and_epoch() -> None:
    def order(seed: int, epoch: int) -> list[int]:
        loader = BatchLoader((torch.arange(50),), 50, shuffle=True, seed=seed)
        loader.sampler.set_epoch(epoch)
        return [int(row) for row in next(iter(loader))[0]]

    assert order(0, 0) == order(0, 0)
    assert len({tuple(order(seed, epoch)) for seed in range(3) for epoch in range(3)}) == 9


@pytest.mark.parametrize("other", [{"y": [1, 2, 4]}, {"x": [3, 2, 1, 0], "y": [1, 2, 3, 4]}])
def test_processes_that_read_other_data_are_told_so(
    other: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = XYDataModule([1, 2, 3], [1, 2, 3])
    theirs = XYDataModule(**({"x": [1, 2, 3]} | other))
    strategy = SimpleNamespace(root_device=torch.device("cpu"))
    data.trainer = SimpleNamespace(global_rank=0, world_size=2, strategy=strategy, overfit_batches=0.0)  # type: ignore[assignment]

    def of_two(mine: Any) -> list[Any]:
        return [mine, (theirs.feature_names, theirs.target_names, theirs.source.fingerprint())]

    monkeypatch.setattr("linlight.data.base.gather", of_two)
    with pytest.raises(InputError, match="the data differs from process to process"):
        data.setup("fit")
