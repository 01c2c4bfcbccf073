"""The exact answer: the least-squares optimum from the statistic alone."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from scipy.linalg import qr
from torch import Tensor

from linlight.errors import InputError
from linlight.functional.statistic import Moments, design, loss

RANK_TOLERANCE = 64 * torch.finfo(torch.float64).eps
"""A direction counts as none when unit columns vary along it by less than this, relative to the largest.

Rounding in the QR leaves some 1e-16 of an exact relation; NIST's Filip, the hardest certified design, keeps
2e-13 of its last direction.
"""
LARGEST = 1e140


@dataclass(frozen=True)
class Optimum:
    """The weights of least squared error, with what their standard errors are made of.

    Coefficients are numbered with the bias, where there is one, before the features: K = D + 1 or D.

    Attributes:
        w: Weights, (T, D).
        b: Bias, (T,), or None.
        basis: L, (K, rank): x̃ L has orthonormal columns over the rows, x̃ being x with its column of ones,
            so the coefficients' covariance is σ² L Lᵀ and a row's leverage is |x̃ L|².
        residual_squares: Sum of the squared residuals of each target, (T,).
        condition_number: Of x̃ as given, in the data's own units; infinite where columns are collinear.
        null: (k, D), which spans the relations among the features: the features times a row's numbers add
            up to a constant on every row of the data (to zero, without bias).
    """

    w: Tensor
    b: Tensor | None
    basis: Tensor
    residual_squares: Tensor
    condition_number: float
    null: Tensor

    @property
    def rank(self) -> int:
        """Number of coefficients that the data determine."""
        return self.basis.shape[1]

    @property
    def relations(self) -> Tensor:
        """Relations that span `null` with few features each, (k, D); in each, one number is -1.

        k features are picked that together span it, and each relation holds only one of them.
        """
        if not len(self.null):
            return self.null
        unit = self.null / self.null.norm(dim=1, keepdim=True)
        _, _, pivots = qr(unit.numpy(), mode="economic", pivoting=True)
        picked = torch.as_tensor(pivots[: len(unit)].astype("int64"))
        relations: Tensor = -torch.linalg.solve(unit[:, picked], unit)
        return relations


def optimum(m: Moments, bias: bool, l2: float = 0.0) -> Optimum:
    """Solves the small triangle by its SVD, after scaling its columns to unit norm.

    Scaling tells columns of very different sizes from columns that depend on others. Where some depend
    on others, it takes of all optimal weights those of least norm in the data's own units, the bias not
    counted; a constant feature beside a bias then has weight 0.

    Args:
        m: The statistic of at least one row.
        bias: Whether the model has a bias; it is not penalised.
        l2: Penalty on the sum of the squared weights, added to the *sum* of the squared errors: `alpha` of
            scikit-learn's Ridge.

    Raises:
        InputError: If a column's squares, or their inverses, are beyond float64.
    """
    m = m.cpu()
    d = m.features
    triangle = m.triangle_of(bias)
    sizes = triangle.abs().amax(0)
    if not (((sizes > 1 / LARGEST) & (sizes < LARGEST)) | (sizes == 0)).all():
        raise InputError(
            f"the squares of columns beyond {LARGEST:g} or below {1 / LARGEST:g} leave float64: "
            "multiply such columns by a power of ten"
        )
    if l2 > 0:
        penalty = l2**0.5 * torch.eye(d, d + m.targets, dtype=triangle.dtype)
        triangle = torch.linalg.qr(torch.cat([triangle, penalty]), mode="r").R
    x, y = triangle[:, :d], triangle[:, d:]  # (r, D), (r, T)

    norms = torch.linalg.vector_norm(x, dim=0)
    scale = torch.where(norms > 0, norms, 1.0)
    u, s, vt = torch.linalg.svd(x / scale, full_matrices=len(x) < d)  # all D directions
    rank = int((s > RANK_TOLERANCE * s[0]).sum())
    u, s, vt, null = (
        u[:, :rank],
        s[:rank],
        vt[:rank],
        vt[rank:],
    )  # (r, rank), (rank,), (rank, D), (D - rank, D)
    # A feature outside a relation has a part of rounding in it, which its own units could make large.
    null = torch.where(null.abs() > RANK_TOLERANCE, null, 0.0) / scale
    slopes = vt.T / s / scale[:, None]  # (D, rank)
    if len(null):
        q = torch.linalg.qr(null.T).Q
        slopes = slopes - q @ (q.T @ slopes)
        slopes[norms == 0] = 0.0  # not what rounding leaves
    fitted = u.T @ y  # (rank, T)
    w = (slopes @ fitted).T
    b = m.mean[d:] - w @ m.mean[:d] if bias else None
    condition_number = float("inf")
    if not len(null):
        singular_values = torch.linalg.svdvals(design(m, bias)[0])
        condition_number = (singular_values[0] / singular_values[-1]).item()
    return Optimum(
        w=w,
        b=b,
        basis=_with_bias(slopes, m) if bias else slopes,
        # The penalty's rows count as data in the triangle; on the data alone the loss says it.
        residual_squares=m.weight * loss(m, w, b) if l2 > 0 else (y - u @ fitted).square().sum(0),
        condition_number=condition_number,
        null=null,
    )


def _with_bias(slopes: Tensor, m: Moments) -> Tensor:
    """The basis of the slopes about the mean, (D, rank), and of the bias before them: (D + 1, rank + 1)."""
    basis = torch.nn.functional.pad(slopes, (1, 0, 1, 0))
    basis[0, 0] = 1 / m.weight.sqrt()
    basis[0, 1:] = -(m.mean[: m.features] @ slopes)
    return basis


def equations(relations: Tensor, scales: Tensor, names: Sequence[str], bias: bool = True) -> list[str]:
    """The relations in words: `a = 2 b + 1 c`, or `a is constant`, or without a bias `a is zero`.

    Args:
        relations: (k, D), as in `Optimum`.
        scales: The size of each feature, (D,): what is below rounding beside the others is left out.
        names: The features' names.
        bias: Whether the model has a bias.
    """
    lines = []
    scales = torch.where(scales > 0, scales, 1.0)  # a feature without scatter is a relation by itself
    for relation in relations:
        size = (relation * scales).abs()
        involved = size > 1e-9 * size.max()
        pivot = int((relation + 1).abs().argmin())
        terms = [f"{relation[i]:.6g} {names[i]}" for i in involved.nonzero().flatten() if i != pivot]
        right = " + ".join(terms).replace("+ -", "- ")
        lines.append(
            f"{names[pivot]} = {right}" if terms else f"{names[pivot]} is {'constant' if bias else 'zero'}"
        )
    return lines
