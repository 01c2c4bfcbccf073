"""Data of any size as a handful of rows with the same mean squared error, for every affine model."""

import torch
from torch import Tensor

from linlight.functional.statistic import Moments


def reduced(m: Moments) -> tuple[Tensor, Tensor]:
    """Makes r + 1 rows of (x, y) with the mean and the covariance of all rows.

    The mean squared error of an affine model, and so its gradient, depends on nothing else. The rows are
    1 μᵀ + √((r + 1)/W) H R, where H, (r + 1, r), has orthonormal columns that add up to zero. Related:
    Maalouf, Jubran and Feldman, "Fast and accurate least-mean-squares solvers", NeurIPS 2019.

    Args:
        m: The statistic of the rows, whose triangle R has r rows, as many as columns or as were read.

    Returns:
        x, (r + 1, D), and y, (r + 1, T), in float64.
    """
    m = m.cpu()
    count = len(m.triangle) + 1
    # The reflection that takes the first unit vector to a constant one; its other columns are H.
    mirror = torch.full((count,), -(count**-0.5), dtype=torch.float64)
    mirror[0] += 1
    h = torch.eye(count, dtype=torch.float64) - 2 * torch.outer(mirror, mirror) / mirror.square().sum()
    rows = m.mean + (count / m.weight).sqrt() * h[:, 1:] @ m.triangle
    return rows[:, : m.features], rows[:, m.features :]
