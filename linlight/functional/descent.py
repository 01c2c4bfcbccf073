"""The course of whole-batch gradient descent on the squared error, known before its first step.

With θ = (b, w) and x̃ = (1, x), the loss is a parabola: loss(θ) = loss(θ*) + |X̃(θ − θ*)|²/(N·T), with the
Hessian H = 2/(N·T) X̃ᵀX̃. A step of length lr multiplies the error θ − θ* by 1 − lr·λ along the eigenvector of
every eigenvalue λ of H. See Nocedal and Wright, Numerical Optimization, section 3.3.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from scipy.linalg import eigh_tridiagonal
from scipy.linalg.lapack import dsytrd
from torch import Tensor

from linlight.functional.solve import RANK_TOLERANCE, Optimum
from linlight.functional.statistic import Moments, design

BEYOND_FLOATS = np.errstate(divide="ignore", over="ignore", invalid="ignore")
"""A gap beyond the largest number is infinite, which needs no warning."""
MOST_EPOCHS = 10**12
"""The most epochs that are predicted."""
MANY_COLUMNS = 256
"""More columns than this are worth forming XᵀX for, which is faster and loses digits."""
LEAST_SQUARE = 1e-6
"""The least eigenvalue of XᵀX, over the greatest, that keeps ten digits."""


@dataclass(frozen=True)
class Parabola:
    """The squared error of a data set as a function of θ, about its lowest point.

    Attributes:
        theta: θ*, (T, K): the bias first where there is one, then the weights.
        lowest: The loss at θ*.
        directions: V, (K, k), the eigenvectors of H as columns; with fewer rows than coefficients, only those
            that the loss depends on.
        roots: √λ, (k,), of their eigenvalues, which themselves may leave float64.
        design: A, (r, K), with AᵀA = H/2. Features of very different sizes add their part to a gap in it,
            which would be lost in the eigenvectors.
    """

    theta: np.ndarray
    lowest: float
    directions: np.ndarray
    roots: np.ndarray
    design: np.ndarray

    @property
    @BEYOND_FLOATS
    def curvatures(self) -> np.ndarray:
        """λ, (k,), the eigenvalues."""
        squares: np.ndarray = self.roots**2
        return squares

    @property
    @BEYOND_FLOATS
    def largest_stable_step(self) -> float:
        """2/λ_max: whole-batch steps converge exactly below it."""
        return float(2 / self.curvatures.max(initial=0.0))

    def condition_number(self, fit: Optimum) -> float:
        """What `Optimum.condition_number` is, without another factorisation."""
        last = fit.design.shape[1] - fit.coded - 1
        if len(fit.dependent) or last >= len(self.roots):
            return math.inf
        return float(self.roots[0] / self.roots[last]) if self.roots[last] > 0 else math.inf

    @BEYOND_FLOATS
    def coordinates(self, theta: np.ndarray) -> np.ndarray:
        """θ − θ* along the eigenvectors, (T, k)."""
        along: np.ndarray = (theta - self.theta) @ self.directions
        return along

    @BEYOND_FLOATS
    def gaps(self, theta: np.ndarray) -> np.ndarray:
        """How far each target's part of the loss at θ is above its lowest, (T,); no digits cancel."""
        above: np.ndarray = (((theta - self.theta) @ self.design.T) ** 2).sum(1)
        return above

    def gap_after(self, theta: np.ndarray, lr: float, epochs: int) -> float:
        """The gap, over all targets, after a number of whole-batch steps of length `lr` from θ."""
        return self.gaps_after(theta, lr, range(epochs, epochs + 1))[0]

    @BEYOND_FLOATS
    def gaps_after(self, theta: np.ndarray, lr: float, epochs: range) -> list[float]:
        """The gaps after each of these numbers of whole-batch steps of length `lr` from θ."""
        shrinking = (1 - lr * self.curvatures) ** 2  # (k,)
        parts = 0.5 * ((self.coordinates(theta) * self.roots) ** 2).sum(0)  # (k,)
        powers = shrinking ** np.array(epochs, dtype=float)[:, None]  # (epochs, k)
        gaps: list[float] = np.sum(parts * powers, axis=1, where=parts > 0).tolist()
        return gaps

    def epochs_to(self, theta: np.ndarray, lr: float, gap: float) -> int | None:
        """The number of whole-batch steps of length `lr` from θ after which the gap is at most `gap`.

        None, if it never is. With a stable step the gap never grows, so the number is found by bisection.
        """
        if lr >= self.largest_stable_step or self.gap_after(theta, lr, MOST_EPOCHS) > gap:
            return 0 if self.gap_after(theta, lr, 0) <= gap else None
        low, high = -1, MOST_EPOCHS
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if self.gap_after(theta, lr, middle) <= gap else (middle, high)
        return high


def parabola(m: Moments, fit: Optimum, total: bool = False) -> Parabola:
    """Makes the parabola from the statistic and its optimum.

    Args:
        m: The statistic.
        fit: Its optimum, with or without bias.
        total: Whether the loss is the sum of the squared errors instead of their mean.
    """
    m = m.cpu()
    x, y = design(m, bias=fit.b is not None)
    squares = fit.residual_squares
    exact = squares <= (RANK_TOLERANCE**2) * y.square().sum(0)  # the residuals are rounding
    sizes, directions = _principal(x)
    count = 1.0 if total else m.weight.item() * m.targets
    return Parabola(
        theta=stack(fit.w, fit.b),
        lowest=torch.where(exact, 0.0, squares).sum().item() / count,
        directions=directions.numpy(),
        roots=sizes.numpy() * math.sqrt(2 / count),
        design=x.numpy() / math.sqrt(count),
    )


def largest_stable_step(m: Moments, bias: bool, total: bool = False) -> float:
    """2/λ_max, the learning rate below which whole-batch descent converges; infinite where λ_max is 0.

    Args:
        m: The statistic.
        bias: Whether the model has a bias.
        total: Whether the loss is the sum of the squared errors instead of their mean.

    Examples:
        >>> from linlight.functional.statistic import moments
        >>> x = torch.tensor([[1.0], [2.0], [3.0]])
        >>> round(largest_stable_step(moments(x, 2 * x), bias=False), 12)  # 3/14
        0.214285714286
    """
    count = 1.0 if total else m.weight.item() * m.targets
    # The largest singular value of X̃, squared, is the largest eigenvalue of X̃ᵀX̃.
    curvature = 2 * torch.linalg.matrix_norm(design(m.cpu(), bias)[0], ord=2).item() ** 2 / count
    return 2 / curvature if curvature > 0 else math.inf


def turned(m: Moments, fit: Optimum, start: np.ndarray) -> tuple[Parabola, np.ndarray]:
    """The squared error's shape in axes of which the first goes from the lowest point to a start.

    The gap along a descent from there is the same in any axes. In these a tridiagonal form of XᵀX, which
    leaves the first axis as it is, has all of it, in a third of the time that its eigenvectors take. See
    Golub and Meurant, Matrices, Moments and Quadrature, section 5.

    Args:
        m: The statistic.
        fit: Its optimum.
        start: θ where a descent begins, (T, K).

    Returns:
        The parabola about zero, and where the start lies in it. Of several targets, of few columns and where
        XᵀX would lose digits, they are the parabola and the start as they are.
    """
    x = design(m.cpu(), bias=fit.b is not None)[0].numpy()
    if m.targets == 1 and len(x) > x.shape[1] > MANY_COLUMNS:
        away = (start - stack(fit.w, fit.b))[0]
        distance = float(np.linalg.norm(away))
        mirror = away.copy()
        mirror[0] += math.copysign(distance, away[0])
        mirror /= np.linalg.norm(mirror) or 1.0
        x = x - np.outer(x @ mirror, 2 * mirror)
        _, diagonal, beside, *_ = dsytrd(x.T @ x, lower=1, lwork=32 * len(away), overwrite_a=1)
        values, vectors = eigh_tridiagonal(diagonal, beside)
        if values[0] > LEAST_SQUARE * values[-1]:
            roots = np.sqrt(2 * values[::-1] / m.weight.item())
            directions = vectors[:, ::-1]
            half = (directions * (roots / math.sqrt(2))).T
            shape = Parabola(np.zeros_like(start), 0.0, directions, roots, half)
            return shape, np.eye(1, len(away)) * distance
    return parabola(m, fit), start


def _principal(x: Tensor) -> tuple[Tensor, Tensor]:
    """The singular values of x, (r, K), the greatest first, (k,), and their right vectors, (K, k)."""
    if len(x) > x.shape[1] > MANY_COLUMNS:  # by XᵀX in a fifth of the time, where squaring leaves digits
        values, vectors = torch.linalg.eigh(x.T @ x)
        if values[0] > LEAST_SQUARE * values[-1]:
            return values.flip(0).sqrt(), vectors.flip(1)
    _, s, vt = torch.linalg.svd(x, full_matrices=False)
    return s, vt.T


def stack(w: Tensor, b: Tensor | None) -> np.ndarray:
    """θ = (b, w), (T, K), in float64."""
    theta = w.detach() if b is None else torch.cat([b.detach()[:, None], w.detach()], 1)
    copy: np.ndarray = theta.to("cpu", torch.float64, copy=True).numpy()  # the parameters move on
    return copy
