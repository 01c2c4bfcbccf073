"""The statistic: all that the squared error of affine models depends on, read in one pass over the rows.

For z = (x, y), with p = D + T columns, it is the total weight W of the rows, their mean μ, and the upper
triangle R, (p, p), with RᵀR = Σ w(z − μ)(z − μ)ᵀ, in float64. The loss at any weights, the optimum, standard
errors and the loss curve of gradient descent follow from it, without the rows.

R comes from QR factorisations, and from products only of centred columns that are nearly uncorrelated, since
XᵀX squares the condition number. Householder's QR is backward stable column by column (Higham, Accuracy and
Stability of Numerical Algorithms, theorem 19.4), so columns of very different sizes do no harm. Means and
scatter of parts combine as in Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for
computing sample variances", 1979.
"""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from linlight.errors import InputError
from linlight.functional.squared_error import check_same_shape

BLOCK = 4096
"""Rows in a factorisation: enough to keep LAPACK busy, few enough to stay in the cache."""
TASK = 16 * BLOCK
"""Rows in a task of one thread, whatever the number of cores, so that rounding does not depend on it."""

LEAST_NORM = 1e-140
"""Columns of a smaller norm lose digits in their products."""
INFLATION = 10.0
"""The mean variance inflation factor up to which a block's products keep all digits that matter."""


@dataclass(frozen=True)
class Moments:
    """Row count, mean and centred triangle of z = (x, y), with p = D + T columns, in float64.

    Attributes:
        features: D, the number of columns that are x.
        rows: Rows with a weight above 0, ().
        weight: W, the sum of the weights, (); the number of rows where they have none.
        origin: One of the rows, (p,). Means are kept relative to it, so that a large offset common to
            all rows costs no digits where parts are merged.
        offset: μ − origin, (p,).
        triangle: R, (r, p); of fewer rows than columns it is the r centred rows themselves.
    """

    features: int
    rows: Tensor
    weight: Tensor
    origin: Tensor
    offset: Tensor
    triangle: Tensor

    @property
    def mean(self) -> Tensor:
        """The mean μ of (x, y), (p,)."""
        return self.origin + self.offset

    @property
    def deviation(self) -> Tensor:
        """The standard deviation of each feature, (D,)."""
        return column_norms(self.triangle[:, : self.features]) / self.weight.sqrt()

    @property
    def targets(self) -> int:
        """T, the number of targets."""
        return len(self.origin) - self.features

    def triangle_of(self, bias: bool) -> Tensor:
        """The triangle about the mean, (r, p), or about zero for a model without bias."""
        if bias:
            return self.triangle
        return _triangle(torch.cat([self.triangle, (self.weight.sqrt() * self.mean)[None]]))

    def to(self, device: torch.device | str) -> "Moments":
        """The same on another device."""
        names = (field.name for field in fields(self) if field.name != "features")
        return replace(self, **{name: getattr(self, name).to(device) for name in names})

    def cpu(self) -> "Moments":
        """The same on the CPU, where the small problems are solved."""
        return self.to("cpu")

    def state_dict(self) -> dict[str, Tensor]:
        """Its tensors, to be saved; `Moments.load` restores it."""
        state = {field.name: getattr(self, field.name) for field in fields(self)}
        return state | {"features": torch.tensor(self.features)}

    @classmethod
    def load(cls, state: dict[str, Tensor]) -> "Moments":
        """Restores the statistic whose `state_dict` was saved."""
        return cls(**(state | {"features": int(state["features"])}))  # type: ignore[arg-type]


def column_norms(columns: Tensor) -> Tensor:
    """The norm of each column, (p,), of (k, p); the squares of its numbers may leave float64."""
    if not len(columns):
        return columns.sum(0)
    unit = columns.abs().amax(0).log2().floor().exp2()  # by a power of two nothing is rounded
    norms: Tensor = torch.linalg.vector_norm(columns / unit.where(unit > 0, 1), dim=0)
    return unit * norms


def empty(features: int, targets: int) -> Moments:
    """The statistic of no rows."""
    p = features + targets
    zero = torch.zeros((), dtype=torch.float64)
    return Moments(features, zero, zero, zero.expand(p), zero.expand(p), zero.expand(0, p))


def moments(x: Tensor, y: Tensor, weights: Tensor | None = None, *, rows: Tensor | None = None) -> Moments:
    """Reads rows once.

    Args:
        x: Features, (N, D).
        y: Targets, (N, T).
        weights: A weight for each row, (N,). Rows of weight 0 are ignored. Default: 1 each.
        rows: The numbers of the rows to read, (n,). Default: all.

    Returns:
        Their statistic, on the device of `x` (on the CPU if that has no float64, as Apple's MPS).

    Raises:
        InputError: If a weight is negative or not finite.

    Examples:
        >>> m = moments(torch.tensor([[1.0], [2.0], [3.0]]), torch.tensor([[2.0], [4.0], [6.0]]))
        >>> m.mean
        tensor([2., 4.], dtype=torch.float64)
    """
    if x.ndim != 2 or y.ndim != 2 or len(x) != len(y):
        raise InputError(
            f"x of shape {tuple(x.shape)} and y of shape {tuple(y.shape)} do not fit: "
            "they must be (rows, features) and (rows, targets)"
        )
    if x.device.type == "mps":
        x, y, rows = x.cpu(), y.cpu(), None if rows is None else rows.cpu()
    if weights is not None:
        weights = _checked(weights.to(device=x.device, dtype=torch.float64), len(x))
    tensors = (x, y) if weights is None else (x, y, weights)
    count = len(x) if rows is None else len(rows)
    starts = range(0, max(count, 1), TASK)

    def read(first: int) -> Moments:
        part = slice(first, first + TASK)
        return _task(*(tensor[part if rows is None else rows[part]] for tensor in tensors))

    if x.device.type != "cpu" or count < BLOCK:
        return merge(map(read, starts))
    used_threads = torch.get_num_threads()
    # Tasks run side by side, each in one thread: LAPACK's own threads wait for each other many times a block,
    # which made a pass 20 times slower on a machine that did other work as well.
    torch.set_num_threads(1)
    try:
        if len(starts) == 1:
            return read(0)
        with ThreadPoolExecutor(used_threads) as pool:
            return merge(pool.map(read, starts))
    finally:
        torch.set_num_threads(used_threads)


def _task(x: Tensor, y: Tensor, weights: Tensor | None = None) -> Moments:
    blocks = [empty(x.shape[1], y.shape[1])]
    for first in range(0, len(x), BLOCK):
        part = slice(first, first + BLOCK)
        z = torch.cat([x[part].double(), y[part].double()], dim=1)  # (B, p)
        blocks.append(_block(x.shape[1], z, None if weights is None else weights[part]))
    return merge(blocks)


def merge(parts: Iterable[Moments]) -> Moments:
    """Merges the statistics of parts of the rows into that of all of them, however they were split.

    The rows' scatter about the common mean is that about each part's own mean, plus W_i (μ_i − μ)(μ_i − μ)ᵀ.

    Args:
        parts: Statistics of the same columns, at least one; those of no rows add nothing.
    """
    parts = list(parts)
    filled = [part for part in parts if len(part.triangle)]  # to look at weights, a GPU would have to wait
    if len(filled) < 2:
        return filled[0] if filled else parts[0]
    weights = torch.stack([part.weight for part in filled])  # (k,)
    origins = torch.stack([part.origin for part in filled])  # (k, p)
    origin = origins.index_select(0, weights.argmax()[None])[0]
    offsets = torch.stack([part.offset for part in filled]) + (origins - origin)
    offset = weights @ offsets / _or_one(weights.sum())
    between = weights.sqrt()[:, None] * (offsets - offset)  # (k, p)
    return Moments(
        features=filled[0].features,
        rows=torch.stack([part.rows for part in filled]).sum(),
        weight=weights.sum(),
        origin=origin,
        offset=offset,
        triangle=_triangle(torch.cat([*(part.triangle for part in filled), between])),
    )


def design(m: Moments, bias: bool) -> tuple[Tensor, Tensor]:
    """Few rows that stand for all: they have the same sums of products of x̃ and y.

    They are (√W, √W μ) above (0, R).

    Returns:
        x̃, (r + 1, K), with its column of ones first where there is a bias, and y, (r + 1, T).
    """
    top = m.weight.sqrt() * torch.cat([m.mean.new_ones(1), m.mean])
    rows = torch.cat([top[None], torch.nn.functional.pad(m.triangle, (1, 0))])  # (r + 1, p + 1)
    first_target = m.features + 1
    return rows[:, 0 if bias else 1 : first_target], rows[:, first_target:]


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


def loss(m: Moments, w: Tensor, b: Tensor | None = None) -> Tensor:
    """The mean squared error of each target, (T,), at weights w, (T, D), and bias b, (T,)."""
    x, y = design(m, bias=b is not None)
    theta = w if b is None else torch.cat([b[:, None], w], dim=1)
    y_hat = x @ theta.detach().to(x).T  # (r + 1, T)
    check_same_shape(y_hat, y)
    return (y - y_hat).square().sum(0) / m.weight


def _checked(weights: Tensor, rows: int) -> Tensor:
    """Checks weights and returns them; on a GPU, which would have to wait, a wrong one makes R nan."""
    if weights.shape != (rows,):
        raise InputError(f"weights have shape {tuple(weights.shape)}: give one weight a row, ({rows},)")
    if weights.device.type != "cpu":
        return weights
    if not weights.isfinite().all() or (weights < 0).any():
        row = int((~(weights >= 0) | weights.isinf()).nonzero()[0])
        raise InputError(f"the weight of row {row} is {weights[row]:g}: weights must be finite, 0 or more")
    return weights


def _block(features: int, z: Tensor, weights: Tensor | None) -> Moments:
    if weights is None:
        origin = z[0].clone()
        z -= origin
        count = weight = z.new_full((), len(z))
        offset = z.mean(0)
        z -= offset
    else:
        # Rows of weight 0 are zeroed, as they may hold nan: to drop them, a GPU would have to count them.
        used = weights != 0
        z = z.where(used[:, None], 0)
        origin = z.index_select(0, used.byte().argmax()[None])[0]
        z -= origin
        count, weight = used.sum(dtype=z.dtype), weights.sum()
        offset = weights @ z / _or_one(weight)
        z -= offset
        z *= weights.sqrt()[:, None]
    return Moments(features, count, weight, origin, offset, _triangle_of_many(z))


def _or_one(total: Tensor) -> Tensor:
    """The total weight, or 1 in place of 0, to divide by."""
    return total.where(total != 0, 1)


def _triangle_of_many(rows: Tensor) -> Tensor:
    """R of a block of rows, (k, p), by a Cholesky factorisation of RᵀR where that costs no digit, or by QR.

    Rounding in RᵀR is magnified by the condition number of the columns' correlations, in a QR factorisation
    only by its square root, so columns must be far from collinear: the inverse of their correlations has the
    variance inflation factors on its diagonal. A GPU would have to wait for the answer, and takes QR.
    """
    if len(rows) < BLOCK or rows.device.type != "cpu":
        return _triangle(rows)
    products = rows.T @ rows
    norms = products.diagonal().sqrt()
    # nan where a column is constant, overflows, or is so small that its products lose digits; with nan no
    # comparison below holds.
    norms = norms.where(norms > LEAST_NORM, torch.nan)
    r: Tensor
    r, failed = torch.linalg.cholesky_ex(products / norms / norms[:, None], upper=True)
    inverse = torch.linalg.solve_triangular(r, torch.eye(len(r), dtype=r.dtype), upper=True)
    if failed or not inverse.square().sum() <= INFLATION * len(r):
        return _triangle(rows)
    r *= norms
    return r


def _triangle(rows: Tensor) -> Tensor:
    """R, (p, p), of a QR factorisation of rows, (k, p); p rows or fewer are returned as they are."""
    if len(rows) <= rows.shape[1]:
        return rows
    r: Tensor = torch.linalg.qr(rows, mode="r").R
    return r
