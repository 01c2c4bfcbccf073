"""The statistic: any split of the rows gives the same, and it knows what the rows know."""

import itertools
import math
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from linlight.errors import InputError
from linlight.functional.squared_error import squared_error_sums
from linlight.functional.statistic import BLOCK, Moments, empty, loss, merge, moments


def _data(seed: int, rows: int, features: int = 3, targets: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(rows, features, generator=generator, dtype=torch.float64)
    # Scales and offsets that would cost XᵀX its digits.
    x = x * torch.logspace(-6, 6, features, dtype=torch.float64) + torch.linspace(0, 1000, features)
    return x, x[:, :targets] + torch.randn(rows, targets, generator=generator, dtype=torch.float64)


def _assert_same(a: Moments, b: Moments) -> None:
    assert a.rows == b.rows
    torch.testing.assert_close(a.weight, b.weight, rtol=1e-12, atol=0)
    scale = b.triangle.norm(dim=0).clamp(min=1e-300)
    # A mean is rounded at the size of its numbers, which may cancel; their mean square is mean² + variance.
    size = (b.mean**2 + scale**2 / b.weight).sqrt()
    torch.testing.assert_close(a.mean / size, b.mean / size, rtol=0, atol=1e-14)
    # R is unique up to the signs of its rows; RᵀR of unit columns is unique.
    gram = [(m.triangle / scale).T @ (m.triangle / scale) for m in (a, b)]
    torch.testing.assert_close(*gram, rtol=0, atol=1e-13)


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 10**6),
    rows=st.integers(1, 60),
    cuts=st.lists(st.integers(0, 60), max_size=6),
    order=st.randoms(use_true_random=False),
    weighted=st.booleans(),
)
def test_any_split_in_any_order_gives_the_same(
    seed: int, rows: int, cuts: list[int], order: random.Random, weighted: bool
) -> None:
    x, y = _data(seed, rows)
    weights = torch.rand(rows, generator=torch.Generator().manual_seed(seed)) if weighted else None
    edges = [0, *sorted(min(c, rows) for c in cuts), rows]
    parts = []
    for start, stop in itertools.pairwise(edges):
        part = weights[start:stop] if weights is not None else None
        parts.append(moments(x[start:stop], y[start:stop], part))
    order.shuffle(parts)
    half = len(parts) // 2
    shards = merge([merge([empty(3, 2), *parts[:half]]), merge([*parts[half:], empty(3, 2)])])
    _assert_same(shards, moments(x, y, weights))


def test_more_rows_than_a_task_and_rows_in_another_order() -> None:
    x, y = _data(0, 140_000)
    perm = torch.randperm(len(x), generator=torch.Generator().manual_seed(1))
    _assert_same(moments(x, y), moments(x[perm], y[perm]))
    z = np.column_stack([x.numpy(), y.numpy()])
    covariance = np.cov(z, rowvar=False, bias=True)
    m = moments(x, y)
    np.testing.assert_allclose((m.triangle.T @ m.triangle / m.weight).numpy(), covariance, rtol=1e-8)


@pytest.mark.parametrize("offset", [0.0, 1e3, 1e9])
def test_an_offset_common_to_all_rows_costs_no_digits(offset: float) -> None:
    x, y = (torch.randint(0, 1000, (20_000, k)).double() for k in (3, 1))
    triangle = moments(x, y).triangle
    moved = moments(x + offset, y).triangle
    torch.testing.assert_close(moved.T @ moved, triangle.T @ triangle, rtol=1e-12, atol=0)


def test_whole_weights_are_repeated_rows_and_zero_weights_no_rows() -> None:
    x, y = _data(3, 12)
    weights = torch.arange(12) % 4
    repeated = moments(x.repeat_interleave(weights, 0), y.repeat_interleave(weights, 0))
    weighted = moments(x, y, weights)
    assert weighted.rows == 9
    assert weighted.weight == repeated.weight == 18
    torch.testing.assert_close(
        weighted.triangle.T @ weighted.triangle,
        repeated.triangle.T @ repeated.triangle,
        rtol=1e-10,
        atol=1e-20,
    )
    assert moments(x, y, torch.zeros(12)).rows == 0


@pytest.mark.parametrize(
    ("weights", "message"),
    [([1.0, -2.0, 1.0], "weight of row 1 is -2"), ([1.0, 1.0, float("nan")], "weight of row 2 is nan")],
)
def test_refuses_weights_that_are_none(weights: list[float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        moments(torch.ones(3, 1), torch.ones(3, 1), torch.tensor(weights))
    with pytest.raises(InputError, match="one weight a row"):
        moments(torch.ones(3, 1), torch.ones(3, 1), torch.ones(2))


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 10**6), rows=st.integers(1, 30), bias=st.booleans())
def test_the_loss_is_that_of_the_rows(seed: int, rows: int, bias: bool) -> None:
    generator = torch.Generator().manual_seed(seed)
    x, y = (torch.randn(rows, k, generator=generator, dtype=torch.float64) + 3 for k in (4, 2))
    w = torch.randn(2, 4, generator=generator, dtype=torch.float64)
    b = torch.randn(2, generator=generator, dtype=torch.float64) if bias else None
    m = moments(x, y)
    squares = squared_error_sums(x, y, w, b)[0]
    torch.testing.assert_close(loss(m, w, b).sum(), squares / rows, rtol=1e-11, atol=1e-13)


def test_saves_and_loads(tmp_path: Path) -> None:
    m = moments(*_data(5, 40))
    torch.save(m.state_dict(), tmp_path / "moments.pt")
    again = Moments.load(torch.load(tmp_path / "moments.pt", weights_only=True))
    _assert_same(merge([again, again]), merge([m, m]))
    assert again.features == 3
    assert again.targets == 2


@pytest.mark.parametrize("collinear", [1e-1, 1e-4, 1e-8, 0.0])
@pytest.mark.parametrize(("offset", "scale"), [(0.0, 1.0), (1e6, 1.0), (0.0, 1e-200), (0.0, 1e200)])
def test_products_take_the_place_of_qr_only_where_no_digit_is_lost(
    collinear: float, offset: float, scale: float
) -> None:
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(2 * BLOCK + 17, 4, generator=generator, dtype=torch.float64)
    z[:, 3] = z[:, 0] + collinear * z[:, 3]
    y = z.sum(1, keepdim=True) + torch.randn(len(z), 1, generator=generator, dtype=torch.float64)
    x = offset + scale * z
    r = moments(x, scale * y).triangle
    rows = torch.cat([x - x[0], scale * (y - y[0])], dim=1)
    expected = torch.linalg.qr(rows - rows.mean(0), mode="r").R
    r, expected = r / scale, expected / scale  # squares of the smallest numbers are 0
    r, expected = (t * torch.where(t.diagonal() < 0, -1.0, 1.0)[:, None] for t in (r, expected))
    # The smallest of the diagonal is what collinearity leaves: it is right to the rounding of the columns.
    size = expected.norm(dim=0)
    assert float(((r - expected).abs() / size)[:3].max()) < 1e-13
    assert float((r[3, 3] - expected[3, 3]).abs() / size[3]) < 1e-13


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("count", [3, 2 * BLOCK + 17, 17 * BLOCK])
def test_nothing_is_read_back_from_a_device(count: int, weighted: bool) -> None:
    # A tensor on `meta` has no numbers, so that whatever asks for one fails.
    x, y, weights = (torch.empty(*shape, device="meta") for shape in ((count, 4), (count, 1), (count,)))
    m = moments(x, y, *([weights] if weighted else []))
    assert merge([empty(4, 1), m, m]).triangle.device.type == "meta"


@pytest.mark.parametrize("first", [0, BLOCK - 1, BLOCK + 5])
def test_rows_of_weight_0_count_for_nothing_whatever_they_hold(first: int) -> None:
    x, y = _data(3, 2 * BLOCK + 17)
    weights = torch.randint(0, 3, (len(x),), generator=torch.Generator().manual_seed(4)).double()
    weights[:first] = 0
    used = weights != 0
    expected = moments(x[used], y[used], weights[used])
    x[~used] = torch.tensor([math.nan, math.inf, 1e300], dtype=torch.float64)
    _assert_same(moments(x, y, weights), expected)
