"""The compiled descent against the readable one, `squared_error_sums` and `w -= lr * grad`."""

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor

from linlight.functional.kernels import descend
from linlight.functional.squared_error import squared_error_sums

ROWS, LR, MEAN_WEIGHT = 103, 0.01, 0.8


def rows(dtype: torch.dtype, targets: int, weighted: bool) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(targets)
    x = torch.randn(ROWS, 5, generator=generator, dtype=torch.float64)
    y = x @ torch.randn(5, targets, generator=generator, dtype=torch.float64) + 3
    weight = torch.rand(ROWS, generator=generator, dtype=torch.float64) * 2
    return tuple(tensor.to(dtype) for tensor in ((x, y, weight) if weighted else (x, y)))


def plain(batch: tuple[Tensor, ...], size: int, w: Tensor, b: Tensor | None) -> float:
    error_of_all = 0.0
    for x, y, *weight in zip(*(tensor.split(size) for tensor in batch), strict=True):
        error, grad_w, grad_b = squared_error_sums(x, y, w, b, *weight)
        count = len(x) * MEAN_WEIGHT * y.shape[1]
        error_of_all += float(error)
        w -= LR * (grad_w / count)
        if b is not None:
            b -= LR * (grad_b / count)
    return error_of_all


def compiled(batch: tuple[Tensor, ...], size: int, w: Tensor, b: Tensor | None) -> float:
    x, y, *weight = (tensor.numpy() for tensor in batch)
    none = np.empty(0, x.dtype)
    grad_w, grad_b = torch.empty_like(w), w.new_empty(len(w))
    error: float = descend(
        x,
        y,
        weight[0] if weight else none,
        w.numpy(),
        none if b is None else b.numpy(),
        grad_w.numpy(),
        grad_b.numpy(),
        size,
        MEAN_WEIGHT,
        x.dtype.type(LR),
    )
    w -= LR * grad_w
    if b is not None:
        b -= LR * grad_b
    return error


def start(dtype: torch.dtype, targets: int, bias: bool) -> tuple[Tensor, Tensor | None]:
    return torch.ones(targets, 5, dtype=dtype), torch.zeros(targets, dtype=dtype) if bias else None


@pytest.mark.parametrize("size", [1, 2, 7, ROWS - 1, ROWS, ROWS + 1])
@pytest.mark.parametrize(("bias", "weighted"), [*itertools.product([False, True], repeat=2)])
@pytest.mark.parametrize("targets", [1, 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_it_walks_the_path_of_the_plain_loop(
    dtype: torch.dtype, targets: int, bias: bool, weighted: bool, size: int
) -> None:
    batch = rows(dtype, targets, weighted)
    (w, b), (expected_w, expected_b) = start(dtype, targets, bias), start(dtype, targets, bias)
    error, expected = compiled(batch, size, w, b), plain(batch, size, expected_w, expected_b)
    close = 2e-5 if dtype == torch.float32 else 1e-13
    torch.testing.assert_close(w, expected_w, rtol=close, atol=close)
    torch.testing.assert_close(b, expected_b, rtol=close, atol=close)
    assert error == pytest.approx(expected, rel=close)
    assert not torch.equal(w, start(dtype, targets, bias)[0])


@pytest.mark.parametrize("size", [1, 4])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_where_a_block_ends_leaves_no_trace(dtype: torch.dtype, size: int) -> None:
    batch = rows(dtype, 2, weighted=True)
    w, b = start(dtype, 2, bias=True)
    compiled(batch, size, w, b)
    for cut in range(size, ROWS, 5 * size):
        other_w, other_b = start(dtype, 2, bias=True)
        compiled(tuple(tensor[:cut] for tensor in batch), size, other_w, other_b)
        compiled(tuple(tensor[cut:] for tensor in batch), size, other_w, other_b)
        assert torch.equal(w, other_w)
        assert torch.equal(b, other_b)  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [1, 10])
def test_what_is_not_finite_stays_so(size: int) -> None:
    x, y = rows(torch.float32, 1, weighted=False)
    for value in (torch.inf, torch.nan):
        spoilt = x.clone()
        spoilt[50, 2] = value
        w, b = start(torch.float32, 1, bias=True)
        assert not np.isfinite(compiled((spoilt, y), size, w, b))
        assert w.isnan().all()
