"""Lanczos' method: what XᵀX does to one vector, from few products with it.

In axes of which the first is the vector's direction XᵀX is tridiagonal, and its leading j rows and columns
come from j products. They give vᵀp(XᵀX)v exactly for polynomials p of degree up to 2j − 1, and closely for
smooth functions of a much higher degree; its largest eigenvalue is soon among theirs. The axes are
orthogonalised in every step, or rounding would repeat eigenvalues. See Golub and Meurant, Matrices, Moments
and Quadrature, 2010, sections 4.1 and 6.2.
"""

from collections.abc import Iterator

import numpy as np
import torch
from scipy.linalg import eigh_tridiagonal
from torch import Tensor

MANY_COLUMNS = 256
"""With more columns, a factorisation takes longer than Lanczos' method."""
FIRST_LOOK = 32
"""Steps before the first result; each further one takes twice as many as that before."""
AGREE = 1e-10
"""The norm is found where it grows by no more than this fraction when the steps are doubled."""


def tridiagonal(x: Tensor, start: Tensor) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Leading parts of the tridiagonal form of XᵀX.

    Args:
        x: X, (n, k).
        start: The direction of the first axis, (k,), not zero.

    Yields:
        The diagonal, (j,), and the subdiagonal, (j − 1,), for j = 32, 64, 128 and so on; the last ones hold
        everything that powers of XᵀX make of the vector.
    """
    axis = start / torch.linalg.vector_norm(start)
    axes = x.new_empty(FIRST_LOOK, len(axis))
    diagonal: list[float] = []
    beside: list[float] = []
    while True:
        j = len(diagonal)
        axes[j] = axis
        product = x.T @ (x @ axis)
        diagonal.append((axis @ product).item())
        for _ in range(2):  # the second time takes what rounding left
            product -= axes[: j + 1].T @ (axes[: j + 1] @ product)
        size = torch.linalg.vector_norm(product).item()
        is_all = j + 1 == len(axis) or not size > torch.finfo(x.dtype).eps * max(diagonal)
        if is_all or j + 1 == len(axes):
            yield np.array(diagonal), np.array(beside)
            if is_all:
                return
            axes = torch.cat([axes, torch.empty_like(axes)])
        beside.append(size)
        axis = product / size


def spectral_norm(x: Tensor) -> float:
    """The largest singular value of a matrix, (n, k)."""
    if min(x.shape) <= MANY_COLUMNS:
        return float(torch.linalg.matrix_norm(x, ord=2))
    unit = float(x.abs().max())  # in which no square leaves float64
    start = torch.randn(x.shape[1], generator=torch.Generator().manual_seed(0), dtype=x.dtype)
    found = 0.0
    for diagonal, beside in tridiagonal(x / unit, start) if unit else ():
        last = len(diagonal) - 1
        before, (found,) = found, eigh_tridiagonal(diagonal, beside, True, "i", (last, last))
        if found - before <= AGREE * found:
            break
    return float(unit * found**0.5)
