"""The least-squares optimum, from the statistic alone."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from scipy.linalg import qr
from torch import Tensor

from linlight.errors import InputError
from linlight.functional.lanczos import MANY_COLUMNS, spectral_norm
from linlight.functional.statistic import Moments, column_norms, design, loss
from linlight.text import visible

RANK_TOLERANCE = 64 * torch.finfo(torch.float64).eps
"""A column depends on others when, at unit norm, less than this of it is independent of them.

Of an exact relation, rounding in the QR factorisation leaves some 1e-16; NIST's Filip, the hardest certified
design, keeps 2e-13 of its last direction.
"""
FAR_FROM_COLLINEAR = 1e6
"""The inverse's norm up to which a triangle of columns of unit norm needs no pivoting."""
LARGEST = 1e140
"""The largest size of a target whose squares, and their inverses, are finite."""
LEAST = 1e-305
"""Features smaller than this have lost digits."""
BEYOND = (
    f"features beyond 1e+308 or below {LEAST:g}, and targets beyond {LARGEST:g} or below {1 / LARGEST:g}, "
    "leave float64 in the sums: multiply such columns by a power of ten"
)
MOST_RELATIONS = 10
MOST_TERMS = 8
"""The most terms of a relation that is named."""


@dataclass(frozen=True)
class Optimum:
    """The weights of least squared error, with what their standard errors are computed from.

    Coefficients are numbered from the bias, where there is one, then the features: K = D + 1 or D.

    Attributes:
        w: Weights, (T, D).
        b: Bias, (T,), or None.
        basis: L, (K, rank): x̃ L has orthonormal columns over the rows, x̃ being x with its column of ones,
            so the coefficients' covariance is σ² L Lᵀ and a row's leverage is |x̃ L|².
        residual_squares: Sum of the squared residuals of each target, (T,).
        design: Few rows that stand for those of x̃, (r + 1, K); see `statistic.design`.
        coded: How many columns depend on others only because of how categories are coded.
        dependent: Numbers of the other features that depend on others on every row, (k,).
        relations: How the first of those depend on others, where few terms say it, (up to `MOST_RELATIONS`,
            D + 1): the feature equals its row times (1, x), in which it does not occur itself.
        penalised: Whether there is a penalty, whose rows then count in the basis.
    """

    w: Tensor
    b: Tensor | None
    basis: Tensor
    residual_squares: Tensor
    design: Tensor
    coded: int
    dependent: Tensor
    relations: Tensor
    penalised: bool = False

    @cached_property
    def condition_number(self) -> float:
        """That of x̃ in the data's own units; infinite where columns are collinear.

        As many of the least singular values are left out as columns are redundant by their coding.
        """
        last = self.design.shape[1] - self.coded - 1
        if len(self.dependent) or last >= len(self.design):
            return math.inf
        if self.design.shape[1] > MANY_COLUMNS and not self.coded and not self.penalised:
            return self.largest_singular_value * spectral_norm(self.basis)  # L Lᵀ is the inverse of X̃ᵀX̃
        values = torch.linalg.svdvals(self.design)
        return float(values[0] / values[last])

    @cached_property
    def largest_singular_value(self) -> float:
        """That of x̃ over the rows."""
        return spectral_norm(self.design)

    @property
    def rank(self) -> int:
        """Number of coefficients that the data determine."""
        return self.basis.shape[1]


@dataclass(frozen=True)
class _Factors:
    """A QR factorisation of independent columns, z[:, basis] = q r, and the others in terms of them.

    Attributes:
        q: (n, rank), with orthonormal columns.
        inverse: The inverse of the upper triangle r, (rank, rank).
        basis: Numbers of the independent columns, (rank,).
        dependent: Numbers of the columns found to depend on them, (k,).
        others: Those of `dependent` and of the coded columns together, (D - rank,).
        shares: (rank, D - rank), with z[:, others] = z[:, basis] @ shares.
    """

    q: Tensor
    inverse: Tensor
    basis: Tensor
    dependent: Tensor
    others: Tensor
    shares: Tensor


def _factors_of_triangle(z: Tensor, rounding: Tensor) -> _Factors | None:
    """The factors of a z that is an upper triangle already; None where columns may be collinear.

    The squares in its inverse add up to the columns' variance inflation factors; no singular value is below
    one over the root of their sum.
    """
    d = z.shape[1]
    if len(z) < d or z.tril(-1).any() or not z.diagonal().all():
        return None
    inverse = _inverse(z[:d])
    inflation = torch.linalg.matrix_norm(inverse)
    if not inflation * (1 + inflation) * rounding.sum() < 1 or not inflation < FAR_FROM_COLLINEAR:
        return None
    none = torch.zeros(0, dtype=torch.long)
    identity = torch.eye(len(z), d, dtype=z.dtype)
    return _Factors(identity, inverse, torch.arange(d), none, none, z.new_zeros(d, 0))


def _inverse(triangle: Tensor) -> Tensor:
    one = torch.eye(len(triangle), dtype=triangle.dtype)
    inverse: Tensor = torch.linalg.solve_triangular(triangle, one, upper=True)
    return inverse


def _factorise(z: Tensor, coded: Sequence[int], rounding: Tensor) -> _Factors:
    """Picks independent columns of z, (n, D), by a QR factorisation with column pivoting.

    Args:
        z: Columns of about unit norm, or zero.
        coded: Columns that are known to depend on the others.
        rounding: The largest error in z, (D,), from rounding the data's numbers to float64.
    """
    if not coded and (factors := _factors_of_triangle(z, rounding)):
        return factors
    free = torch.ones(z.shape[1], dtype=torch.bool)
    free[list(coded)] = False
    columns = free.nonzero()[:, 0]
    # Of columns that depend on each other, the later ones are to be the dependent ones.
    preference = torch.linspace(2.0, 1.0, z.shape[1], dtype=z.dtype)[columns]
    q, r, order = (
        torch.as_tensor(part)
        for part in qr(
            np.asfortranarray((z[:, columns] * preference).numpy()),
            mode="economic",
            pivoting=True,
            overwrite_a=True,
            check_finite=False,
        )
    )
    order = order.long()
    r = r / preference[order]
    size = r.diagonal().abs()
    rank = int((size > RANK_TOLERANCE * size.amax()).sum()) if len(size) else 0
    rounding = rounding[columns[order]]
    # A column that differs from the others by no more than the rounding of its numbers and theirs depends on
    # them too, as 1e6 - a does on a, both written in decimals.
    while rank > 1:
        i = rank - 1
        last = torch.linalg.solve_triangular(r[:i, :i], r[:i, i:rank], upper=True)[:, 0]
        if size[i] > rounding[i] + last.abs() @ rounding[:i]:
            break
        rank = i
    basis, dependent = columns[order[:rank]], columns[order[rank:]]
    q, triangle = q[:, :rank], r[:rank, :rank]
    right = torch.cat([r[:rank, rank:], q.T @ z[:, list(coded)]], dim=1)
    # Columns that nearly depend on others would magnify the rounding.
    right = torch.where(right.abs() > RANK_TOLERANCE, right, 0.0)
    shares = torch.linalg.solve_triangular(triangle, right, upper=True)
    shares = torch.where(shares.abs() > RANK_TOLERANCE, shares, 0.0)
    # Those with the fewest terms first, and among equals in the order of the columns.
    k = len(dependent)
    key = _terms(shares[:, :k]).sum(dim=0) * z.shape[1] + dependent
    dependent, shares[:, :k] = dependent[key.argsort()], shares[:, key.argsort()]
    return _Factors(
        q=q,
        inverse=_inverse(triangle),
        basis=basis,
        dependent=dependent,
        others=torch.cat([dependent, torch.as_tensor(list(coded), dtype=torch.long)]),
        shares=shares,
    )


def _terms(shares: Tensor) -> Tensor:
    """Which shares, (rank, k), are terms of a relation: not those that are rounding beside the largest."""
    return shares.abs() > 1e-9 * shares.abs().amax(dim=0) if len(shares) else shares.bool()


def _least_norm(slopes: Tensor, shares: Tensor) -> tuple[Tensor, Tensor]:
    """The weights of least norm, in the original units, among all that predict the same.

    With C the shares, weights w of the independent columns and v of the others predict what `slopes` do where
    w + C v = slopes. The least are (w, v) = Mᵀ(M Mᵀ)⁻¹ slopes with M = (1, C), by a QR factorisation of Mᵀ.

    Args:
        slopes: Weights of the independent columns alone, (rank, n).
        shares: The other columns in terms of the independent ones, (rank, k).

    Returns:
        The weights of the independent columns, (rank, n), and of the others, (k, n).
    """
    involved = shares.any(dim=1)
    if not involved.any():
        return slopes, slopes.new_zeros(shares.shape[1], slopes.shape[1])
    c = shares if involved.all() else shares[involved]
    r = torch.linalg.qr(torch.cat([torch.eye(len(c), dtype=c.dtype), c.T]), mode="r").R
    # As accurate as with Q: Paige, "An error analysis of a method for solving matrix equations", 1973.
    least = torch.cholesky_solve(slopes[involved], r, upper=True)
    slopes = slopes.clone()
    slopes[involved] = least
    return slopes, c.T @ least


def optimum(m: Moments, bias: bool, l2: float = 0.0, coded: Sequence[int] = ()) -> Optimum:
    """Solves for the least-squares weights by a QR factorisation of the statistic's triangle.

    Its columns are scaled to unit norm, which tells columns of very different sizes from columns that depend
    on others. Where some depend on others, the optimal weights are those of least norm in the data's own
    units, the bias not counted; a constant feature beside a bias then has weight 0. The cost is O(m²n), with
    m the lesser and n the greater of rows and columns.

    Args:
        m: The statistic of at least one row.
        bias: Whether the model has a bias; it is not penalised.
        l2: Penalty on the sum of the squared weights, added to the *sum* of the squared errors: `alpha` of
            scikit-learn's Ridge.
        coded: Numbers of features that depend on others by their coding alone, as the last level of a
            category does where every level has a column.

    Raises:
        InputError: If a column's squares, or their inverses, are beyond float64, or a weight is wrong.
    """
    m = m.cpu()
    d = m.features
    triangle = m.triangle_of(bias)
    sizes = triangle.abs().amax(0)
    usual = (sizes > LEAST) & (sizes < math.inf)
    usual[d:] &= (sizes[d:] > 1 / LARGEST) & (sizes[d:] < LARGEST)
    if not (usual | (sizes == 0)).all():
        # On a GPU weights are not checked when they are read, which it would have to wait for.
        wrong = "a weight is negative or not finite, or " * bool(
            m.weight != m.rows and triangle.isnan().any()
        )
        raise InputError(f"{wrong}{BEYOND}")
    if l2 > 0:  # with a penalty no column depends on others
        penalty = l2**0.5 * torch.eye(d, d + m.targets, dtype=triangle.dtype)
        triangle = torch.linalg.qr(torch.cat([triangle, penalty]), mode="r").R
        coded = ()
    x, y = triangle[:, :d], triangle[:, d:]  # (r, D), (r, T)
    norms = column_norms(x)
    scale = torch.where(norms > 0, norms, 1.0)
    means = m.weight.sqrt() * m.mean[:d]
    f = _factorise(x / scale, coded, torch.hypot(means, norms) / scale * torch.finfo(x.dtype).eps)
    rank = len(f.basis)
    # In the data's own units.
    alone = f.inverse / scale[f.basis][:, None]
    shares = f.shares * (scale[f.others] / scale[f.basis][:, None])
    slopes = x.new_zeros(d, rank)
    slopes[f.basis], slopes[f.others] = _least_norm(alone, shares)
    fitted = f.q.T @ y  # (rank, T)
    w = (slopes @ fitted).T
    b = m.mean[d:] - w @ m.mean[:d] if bias else None
    if not (w.isfinite().all() and slopes.isfinite().all()):
        raise InputError(f"the weights leave float64: {BEYOND}")
    return Optimum(
        w=w,
        b=b,
        basis=_with_bias(slopes, m) if bias else slopes,
        # With a penalty the triangle holds its rows too; the loss is of the data alone.
        residual_squares=m.weight * loss(m, w, b) if l2 > 0 else (y - f.q @ fitted).square().sum(0),
        design=design(m, bias)[0],
        coded=len(coded),
        dependent=f.dependent,
        relations=_relations(m, bias, f.basis, f.dependent[:MOST_RELATIONS], shares),
        penalised=l2 > 0,
    )


def _relations(m: Moments, bias: bool, basis: Tensor, dependent: Tensor, shares: Tensor) -> Tensor:
    """`Optimum.relations`, the constants in their first column, from shares in the data's own units."""
    shares = shares[:, : len(dependent)]
    norms = column_norms(m.triangle_of(bias)[:, : m.features])
    terms = _terms(shares * norms[basis][:, None])
    short = terms.sum(dim=0) <= MOST_TERMS
    dependent, shares = dependent[short], torch.where(terms, shares, 0.0)[:, short]
    mean = m.mean[: m.features]
    relations = mean.new_zeros(len(dependent), m.features + 1)
    relations[:, 1 + basis] = shares.T
    if bias:
        parts = torch.cat([mean[dependent][:, None], -relations[:, 1:] * mean], dim=1)
        constant = parts.sum(dim=1)
        relations[:, 0] = torch.where(constant.abs() > 1e-12 * parts.abs().amax(1), constant, 0.0)
    return relations


def _with_bias(slopes: Tensor, m: Moments) -> Tensor:
    """The basis with a bias, (D + 1, rank + 1), from that of the slopes about the mean, (D, rank)."""
    basis = torch.nn.functional.pad(slopes, (1, 0, 1, 0))
    basis[0, 0] = 1 / m.weight.sqrt()
    basis[0, 1:] = -(m.mean[: m.features] @ slopes)
    return basis


def equations(fit: Optimum, names: Sequence[str]) -> list[str]:
    """Lines on the columns that depend on others: `a = 1 - 2 b + c`, `a is constant`."""
    names = [visible(name) for name in names]
    lines = []
    for feature, (constant, *shares) in zip(fit.dependent.tolist(), fit.relations.tolist(), strict=False):
        terms = [_term(share, name) for share, name in zip(shares, names, strict=True) if share]
        if not terms:
            lines.append(f"{names[feature]} is {'zero' if fit.b is None else 'constant'}")
            continue
        terms = [f"{constant:.6g}"] * (constant != 0) + terms
        lines.append(f"{names[feature]} = " + " + ".join(terms).replace("+ -", "- "))
    rest = fit.dependent[len(lines) :]
    if len(rest):
        others = f" and {len(rest) - 1:,} more" * (len(rest) > 1)
        lines.append(f"{names[int(rest[0])]}{others} {'follow' if others else 'follows'} from other columns")
    return lines


def _term(share: float, name: str) -> str:
    number = f"{share:.6g}"
    return {"1": name, "-1": f"-{name}"}.get(number, f"{number} {name}")
