"""The order of rows, and how they are gathered."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch

from linlight.data.loaders import BatchLoader, Buffers, compiled_gather, gather_rows, permutation, to_device
from linlight.data.sources import ProcessInfo
from linlight.data.stream import _delivered
from linlight.methods.base import compiled


@pytest.fixture(params=["PyTorch", "numba"])
def way(request: pytest.FixtureRequest) -> Iterator[str]:
    compiled_gather.clear()
    compiled._load.cache_clear()
    if request.param == "numba":
        assert compiled._load(torch.float32) is not None
        assert compiled._load(torch.float64) is not None
        assert set(compiled_gather) == {torch.float32, torch.float64}
    yield request.param
    compiled_gather.clear()
    compiled._load.cache_clear()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16])
@pytest.mark.parametrize("columns", [1, 2, 33])
@pytest.mark.parametrize("strided", [False, True])
def test_rows_are_gathered_by_their_numbers(
    way: str, dtype: torch.dtype, columns: int, strided: bool
) -> None:
    rows = torch.randn(500, columns + strided).to(dtype)[:, strided:]
    for numbers in (permutation(500, 1), permutation(500, 2).long()[:77], torch.zeros(0, dtype=torch.int32)):
        assert torch.equal(gather_rows(rows, numbers), rows[numbers.long()])
    flat = rows[:, 0]
    assert torch.equal(gather_rows(flat, permutation(500, 3)), flat[permutation(500, 3).long()])


def test_gathered_rows_keep_their_numbers_as_long_as_they_are_held(way: str) -> None:
    x, y = torch.randn(1003, 4), torch.randn(1003, 2)
    loader = BatchLoader((x, y), 10, shuffle=True, batches_per_step=8)
    for epoch in range(2):
        loader.sampler.set_epoch(epoch)
        order = permutation(1003, 0, epoch).long()
        held = list(loader)
        passing: Any = loader.from_the_beginning()
        of_one_pass = [rows.clone() for block in passing for rows, _ in block]
        assert torch.equal(torch.cat(of_one_pass), x[order])
        for i, tensor in enumerate((x, y)):
            assert torch.equal(torch.cat([batch[i] for block in held for batch in block]), tensor[order])


def test_memory_of_gathered_rows_is_used_again() -> None:
    buffers, like = Buffers(), torch.zeros(1, 3, dtype=torch.float64)
    first = buffers.lend(7, like)
    row, place = first[6], first.data_ptr()
    del first
    assert buffers.lend(5, like).data_ptr() != place  # a row of it is still in use
    del row
    again = buffers.lend(5, like)
    assert again.shape == (5, 3)
    assert again.data_ptr() == place
    assert buffers.lend(5, like.float()).dtype == torch.float32


@pytest.mark.parametrize("n", [0, 1, 1000, 70_000])
def test_an_order_of_fewer_bits_is_the_same(n: int) -> None:
    state = torch.Generator().manual_seed(7)
    of_64 = torch.randperm(n, generator=state)
    of_32 = torch.randperm(n, generator=state.manual_seed(7), dtype=torch.int32)
    assert torch.equal(of_64, of_32.long())
    assert torch.equal(permutation(n, 1).sort().values.long(), torch.arange(n))


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What is asked of a GPU that is not there: `pinned`, and the options of each copy, which stays here."""
    asked: list[Any] = []
    to = torch.Tensor.to

    def copy(tensor: torch.Tensor, *args: Any, **options: Any) -> torch.Tensor:
        if args and isinstance(args[0], torch.device) and args[0].type == "cuda":
            asked.append(options)
            args = args[1:] if args[1:] != (None,) else ()
            return to(tensor, *args) if args else tensor
        return to(tensor, *args, **options)

    def pin(tensor: torch.Tensor) -> torch.Tensor:
        asked.append("pinned")
        return tensor

    monkeypatch.setattr(torch.Tensor, "to", copy)
    monkeypatch.setattr(torch.Tensor, "pin_memory", pin)
    return asked


OVERLAPPED = ["pinned", {"non_blocking": True}]


def test_the_host_does_not_wait_for_what_a_gpu_copies(gpu: list[Any]) -> None:
    x, y = torch.ones(3, 2, dtype=torch.float64), torch.ones(3, 1, dtype=torch.float64)
    place = ProcessInfo(device=torch.device("cuda"), dtype=torch.float32)
    assert [tensor.dtype for tensor in _delivered((x, y), None, place)] == [torch.float32] * 2
    assert gpu == 2 * OVERLAPPED


def test_on_the_cpu_nothing_is_pinned(gpu: list[Any]) -> None:
    x = torch.ones(3, 2)
    assert to_device(x, torch.device("cpu")) is x
    assert to_device(x, torch.device("meta")).device.type == "meta"
    assert len(list(BatchLoader((x,), 1, shuffle=True))) == 3
    assert gpu == []
