"""The order of rows, and how they are gathered."""

from collections.abc import Iterator

import pytest
import torch

from linlight.data.loaders import compiled_gather, gather_rows, permutation
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


@pytest.mark.parametrize("n", [0, 1, 1000, 70_000])
def test_an_order_of_fewer_bits_is_the_same(n: int) -> None:
    state = torch.Generator().manual_seed(7)
    of_64 = torch.randperm(n, generator=state)
    of_32 = torch.randperm(n, generator=state.manual_seed(7), dtype=torch.int32)
    assert torch.equal(of_64, of_32.long())
    assert torch.equal(permutation(n, 1).sort().values.long(), torch.arange(n))
