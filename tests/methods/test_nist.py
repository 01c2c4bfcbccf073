"""NIST's certified linear sets, and the exact rational answer to the same float64 designs."""

import math
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from nist_data import NIST_SETS
from test_least_squares import solved

from linlight.errors import InputError
from linlight.functional.refine import ROWS, ExactProducts
from linlight.functional.solve import optimum
from linlight.functional.statistic import moments


def digits(found: Any, certified: Any) -> float:
    """The fewest correct digits of any value, NIST's log relative error; absolute where certified is 0."""
    found, certified = np.asarray(found), np.asarray(certified)
    error = np.abs(found - certified) / np.where(certified == 0, 1, np.abs(certified))
    return float(np.min(-np.log10(np.maximum(error, 1e-16))))


@cache
def exact(name: str) -> tuple[list[float], list[float]]:
    """Coefficients and standard errors of a set's float64 design, in rational numbers."""
    data = NIST_SETS[name]
    ones = [Fraction(1)] if data.bias else []
    rows = [ones + [Fraction(float(v)) for v in row] for row in data.x]
    y = [Fraction(float(v)) for v in data.y]
    k = len(rows[0])
    work = [
        [sum((r[i] * r[j] for r in rows), Fraction(0)) for j in range(k)]
        + [sum((r[i] * t for r, t in zip(rows, y, strict=True)), Fraction(0))]
        + [Fraction(int(i == j)) for j in range(k)]
        for i in range(k)
    ]
    for i in range(k):
        pivot = work[i][i]
        work[i] = [v / pivot for v in work[i]]
        for j in range(k):
            if j != i:
                factor = work[j][i]
                work[j] = [a - factor * b for a, b in zip(work[j], work[i], strict=True)]
    theta = [work[i][k] for i in range(k)]
    residuals = [t - sum(a * b for a, b in zip(r, theta, strict=True)) for r, t in zip(rows, y, strict=True)]
    variance = sum((e * e for e in residuals), Fraction(0)) / (len(y) - k)
    return [float(v) for v in theta], [math.sqrt(work[i][k + 1 + i] * variance) for i in range(k)]


@pytest.mark.parametrize("name", NIST_SETS)
def test_one_pass_has_the_certified_digits(name: str) -> None:
    data = NIST_SETS[name]
    m = moments(torch.tensor(data.x), torch.tensor(data.y)[:, None])
    found = optimum(m, data.bias)
    theta = found.w if found.b is None else torch.cat([found.b[:, None], found.w], 1)
    errors = (found.basis.square().sum(1) * found.residual_squares / (len(data.x) - found.rank)).sqrt()
    # Wampler5's noise is 10,000 times its signal: there the QR's own rounding leaves six digits.
    assert digits(theta[0], data.estimates) >= {"Wampler5": 5.5, "Filip": 6.9}.get(name, 7.5)
    assert digits(errors, data.std_errors) >= (6.9 if name == "Filip" else 9)


@pytest.mark.parametrize("refine", [None, True])
@pytest.mark.parametrize("name", NIST_SETS)
def test_refined_is_exact_for_the_design(name: str, refine: bool | None, tmp_path: Path) -> None:
    data = NIST_SETS[name]
    model = solved(data.x, data.y, batch_size=7, bias=data.bias, refine=refine)
    found = model.summary()["coefficients"]
    estimates, errors = ([c[key] for c in found] for key in ("estimate", "std_error"))
    assert digits(estimates, exact(name)[0]) >= 15
    assert digits(errors, exact(name)[1]) >= 14
    # Filip's certified values belong to powers in decimals; in float64 powers 7.6 digits remain of them.
    assert digits(estimates, data.estimates) >= (7.5 if name == "Filip" else 13)
    assert digits(errors, data.std_errors) >= (7.5 if name == "Filip" else 13)


def test_exact_products_do_not_depend_on_the_order_of_the_rows() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(ROWS + 100, 3, generator=generator, dtype=torch.float64) * torch.tensor([1e-9, 1, 1e9])
    y = x.sum(1, keepdim=True) + 1e5
    m = moments(x, y)
    found = []
    for order in (torch.arange(len(x)), torch.randperm(len(x), generator=generator)):
        products = ExactProducts(m, bias=True)
        for part in order.split(300):
            products.add(x[part], y[part])
        found.append(products.solve(optimum(m, True)))
    assert torch.equal(found[0].w, found[1].w)
    assert torch.equal(found[0].basis, found[1].basis)


def test_refine_refuses_what_it_cannot_do(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="columns that do not depend on others"):
        solved([[1.0, 2.0], [2.0, 4.0], [3.0, 6.0], [4.0, 8.0]], [1.0, 2.0, 3.0, 5.0], refine=True)
    with pytest.raises(InputError, match="drop refine or l2"):
        solved([1.0, 2.0], [1.0, 2.0], refine=True, l2=1.0)
