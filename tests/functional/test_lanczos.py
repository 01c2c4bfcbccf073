"""Lanczos' method against NumPy's decompositions."""

import numpy as np
import pytest
import torch

from linlight.functional.lanczos import spectral_norm, tridiagonal


@pytest.mark.parametrize("unit", [1.0, 1e-200, 1e200])
@pytest.mark.parametrize("shape", [(400, 300), (300, 400), (5, 400)])
def test_the_norm_is_the_largest_singular_value(shape: tuple[int, int], unit: float) -> None:
    x = torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert spectral_norm(unit * x) == pytest.approx(unit * np.linalg.norm(x.numpy(), 2), rel=1e-9)
    assert spectral_norm(0 * x) == 0


def test_it_ends_where_there_is_no_more_to_find() -> None:
    sizes = torch.arange(1.0, 301.0, dtype=torch.float64)
    start = torch.zeros(300, dtype=torch.float64)
    start[[2, 6, 40]] = 1.0
    (diagonal, beside), *more = tridiagonal(sizes.diag(), start)
    assert not more
    found = np.linalg.eigvalsh(np.diag(diagonal) + np.diag(beside, 1) + np.diag(beside, -1))
    np.testing.assert_allclose(found, [9, 49, 41**2], rtol=1e-12)
