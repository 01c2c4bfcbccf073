"""The optimum of wide, collinear and coded columns, against NumPy and exact relations."""

import time
from typing import Any

import numpy as np
import pytest
import torch
from conftest import fit
from sklearn.linear_model import LinearRegression

from linlight import LeastSquares, XYDataModule
from linlight.errors import InputError
from linlight.functional.inference import infer, robust_meat
from linlight.functional.refine import ExactProducts
from linlight.functional.solve import equations, optimum
from linlight.functional.standardize import Standardizer
from linlight.functional.statistic import moments


def solve(x: np.ndarray, y: np.ndarray, bias: bool = True, **options: Any) -> Any:
    return optimum(moments(torch.from_numpy(x), torch.from_numpy(y[:, None])), bias, **options)


@pytest.mark.parametrize(("rows", "columns"), [(5, 40), (20, 21), (30, 30), (40, 1000), (60, 7)])
@pytest.mark.parametrize("bias", [True, False])
def test_of_least_norm_whatever_the_shape(rows: int, columns: int, bias: bool) -> None:
    generator = np.random.default_rng(rows)
    x, y = generator.normal(size=(rows, columns)) + 3, generator.normal(size=rows)
    x[:, -1] = x[:, 0] - 2 * x[:, 2]  # collinear in any shape
    found = solve(x, y, bias)
    shift = (x.mean(0), y.mean()) if bias else (0.0, 0.0)
    expected, _, rank, _ = np.linalg.lstsq(x - shift[0], y - shift[1], rcond=1e-12)
    np.testing.assert_allclose(found.w[0], expected, rtol=1e-8, atol=1e-10)
    assert found.rank == rank + bias
    assert len(found.dependent) == columns - rank
    assert np.isinf(found.condition_number)


def test_a_wide_table_takes_a_few_times_what_scikit_learn_does() -> None:
    generator = np.random.default_rng(0)
    x, y = generator.normal(size=(200, 5000)), generator.normal(size=200)

    def seconds(call: Any) -> float:
        times = []
        for _ in range(3):
            start = time.perf_counter()
            call()
            times.append(time.perf_counter() - start)
        return min(times)

    assert seconds(lambda: solve(x, y)) < 10 * seconds(lambda: LinearRegression().fit(x, y)) + 0.1


def test_relations_are_true_equations_of_few_terms() -> None:
    generator = np.random.default_rng(1)
    a, b, c = generator.normal(size=(3, 50))
    many = generator.normal(size=(50, 12))
    x = np.column_stack(
        [a, b, 1 - b, 3 * a - 0.5 * b + 1e6, np.full(50, 7.0), c, np.zeros(50), many, many.sum(1)]
    )
    names = [*"abcdefg", *(f"m{i}" for i in range(13))]
    found = solve(x, a + c)
    assert equations(found, names) == [
        "e is constant",
        "g is constant",
        "c = 1 - b",
        "d = 1e+06 + 3 a - 0.5 b",
        "m12 follows from other columns",
    ]
    assert found.w[0, [4, 6]].tolist() == [0, 0]


@pytest.mark.parametrize("offset", [1.0, 1e3, 1e6, -1e9])
@pytest.mark.parametrize("decimals", [3, 17])
@pytest.mark.parametrize("swapped", [False, True])
def test_what_tells_columns_apart_is_no_rounding(offset: float, decimals: int, swapped: bool) -> None:
    a, noise = np.random.default_rng(4).normal(size=(2, 40)).round(decimals)
    b = offset - a
    x = np.column_stack([b, a] if swapped else [a, b])
    found = solve(x, 3 * a + noise)
    assert equations(found, ["p", "q"]) == [f"q = {offset:.6g} - p"]
    slope, _ = np.polyfit(a, 3 * a + noise, 1)
    w = found.w[0] @ torch.tensor([-1.0, 1] if swapped else [1.0, -1], dtype=torch.float64)
    assert float(w) == pytest.approx(slope, rel=1e-6)  # of a, whose digits end with the offset's
    with pytest.raises(InputError, match="set refine to false"):
        fit(LeastSquares(refine=True), XYDataModule(x, a + noise), max_epochs=1)
    # Many roundings are a difference.
    b[::2] += 4096 * np.spacing(abs(offset))
    assert not equations(solve(np.column_stack([a, b]), a + noise), ["p", "q"])


def test_without_a_bias_relations_have_no_constant() -> None:
    a, b = np.random.default_rng(2).normal(size=(2, 30))
    x = np.column_stack([a, b, 2 * a + b, 1 - b, np.zeros(30), np.ones(30)])
    assert equations(solve(x, a, bias=False), list("abcdef")) == ["e is zero", "c = 2 a + b", "f = b + d"]


@pytest.mark.parametrize("bias", [True, False])
def test_coding_alone_makes_no_column_collinear(bias: bool) -> None:
    generator = np.random.default_rng(3)
    first, second = np.eye(3)[generator.integers(0, 3, 90)], np.eye(4)[generator.integers(0, 4, 90)]
    z, y = generator.normal(size=(90, 1)), generator.normal(size=90)
    x = np.column_stack([z, first, second])
    coded = [3, 7] if bias else [7]
    found, plain = solve(x, y, bias, coded=coded), solve(x, y, bias)
    assert len(found.dependent) == 0
    assert len(plain.dependent) == len(coded)
    torch.testing.assert_close(found.w, plain.w, rtol=1e-10, atol=1e-12)
    full = np.column_stack([np.ones(90), x]) if bias else x
    values = np.linalg.svd(full, compute_uv=False)
    assert found.condition_number == pytest.approx(values[0] / values[-1 - len(coded)], rel=1e-10)
    # A relation that coding does not make is found all the same.
    more = solve(np.column_stack([x, 2 * z[:, 0] - first[:, 0]]), y, bias, coded=coded)
    names = ["z", "f0", "f1", "f2", "s0", "s1", "s2", "s3", "more"]
    assert equations(more, names) == ["more = 2 z - f0"]


@pytest.mark.parametrize("exponents", [(-1000, 0), (1000, -1000), (520, -530), (-532, -532)])
@pytest.mark.parametrize("rows", [20, 5000])
@pytest.mark.parametrize("bias", [True, False])
def test_the_unit_of_a_feature_costs_no_digit(exponents: tuple[int, int], rows: int, bias: bool) -> None:
    """Numbers whose squares, or whose weights' squares, leave float64."""
    chance = torch.Generator().manual_seed(rows)
    x = torch.randn(rows, 2, generator=chance, dtype=torch.float64) + 0.5
    y = x @ torch.tensor([[2.0], [-1.0]], dtype=torch.float64) + 3
    y += torch.randn(rows, 1, generator=chance, dtype=torch.float64)
    units = torch.tensor([2.0**exponent for exponent in exponents], dtype=torch.float64)
    found = []
    for unit in (torch.ones_like(units), units):
        m = moments(x * unit, y)
        plain = optimum(m, bias)
        products = ExactProducts(m, bias)
        products.add(x * unit, y)
        scaling = Standardizer.fit(m)
        numbers = [scaling.deviation / unit, scaling.mean / unit]
        for best in (plain, products.solve(plain)):
            numbers += [best.w * unit, best.residual_squares] + ([] if best.b is None else [best.b])
            for hc in ("", "HC1", "HC3"):
                meat = robust_meat(x * unit, y, best, hc) if hc else None
                said = infer(m, best, meat=meat, hc=hc)
                numbers += [said.t, said.p, torch.tensor([said.r_squared, said.f])]
        found.append(numbers)
    for now, usual in zip(*found[::-1], strict=True):
        torch.testing.assert_close(now, usual, rtol=1e-11, atol=0)


def test_weights_beyond_floats_are_refused() -> None:
    y = torch.tensor([[1e20], [3e20], [4e20]], dtype=torch.float64)
    x = torch.tensor([[1e-300], [2e-300], [3e-300]], dtype=torch.float64)
    with pytest.raises(InputError, match="the weights leave float64"):
        optimum(moments(x, y), bias=True)
