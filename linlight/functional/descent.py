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
from torch import Tensor

from linlight.functional.lanczos import MANY_COLUMNS, spectral_norm, tridiagonal
from linlight.functional.solve import RANK_TOLERANCE, Optimum
from linlight.functional.statistic import Moments, design

BEYOND_FLOATS = np.errstate(divide="ignore", over="ignore", invalid="ignore")
"""A gap beyond the largest number is infinite, which needs no warning."""
MOST_EPOCHS = 10**12
"""The most epochs that are predicted."""
LEAST_SQUARE = 1e-6
"""The least eigenvalue of XᵀX, over the greatest, that keeps ten digits."""


@dataclass(frozen=True)
class Parabola:
    """The squared error of a data set as a function of θ, about its lowest point.

    Attributes:
        theta: θ*, (T, K): the bias first where there is one, then the weights.
        lowest: The loss at θ*.
        design: A, (r, K), with AᵀA = H/2, so that the loss at θ is |A(θ − θ*)|² above its lowest.
        axes: (r, k), A's left singular vectors as columns: a step shrinks A(θ − θ*) along each by 1 − lr·λ.
            The eigenvectors of H, A's right singular vectors, would lose what features of very different
            sizes add to a gap.
        roots: √λ, (k,), of the eigenvalues of H, which themselves may leave float64.
    """

    theta: np.ndarray
    lowest: float
    design: np.ndarray
    axes: np.ndarray
    roots: np.ndarray

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

    @BEYOND_FLOATS
    def coordinates(self, theta: np.ndarray) -> np.ndarray:
        """A(θ − θ*) along the axes, (T, k): the gap is the sum of their squares."""
        along: np.ndarray = (theta - self.theta) @ self.design.T @ self.axes
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
        parts = (self.coordinates(theta) ** 2).sum(0)  # (k,)
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
    x = x[(x != 0).any(1)]  # the others are of the targets
    squares = fit.residual_squares
    exact = squares <= (RANK_TOLERANCE**2) * y.square().sum(0)  # the residuals are rounding
    axes, sizes = _principal(x)
    count = 1.0 if total else m.weight.item() * m.targets
    return Parabola(
        theta=stack(fit.w, fit.b),
        lowest=torch.where(exact, 0.0, squares).sum().item() / count,
        design=x.numpy() / math.sqrt(count),
        axes=axes.numpy(),
        roots=sizes.numpy() * math.sqrt(2 / count),
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
    norm = spectral_norm(design(m.cpu(), bias)[0])
    return count / (norm * norm) if norm * norm > 0 else math.inf


def epochs_from(m: Moments, fit: Optimum, start: np.ndarray, lr: float, gap: float) -> int | None:
    """What `Parabola.epochs_to` is, without the eigenvectors where columns are many.

    The gap after k steps is a polynomial of degree 2k + 1 in H, applied to the error at the start. Of many
    columns it is known from few steps of Lanczos' method; see `tridiagonal`.

    Args:
        m: The statistic.
        fit: Its optimum.
        start: θ where the descent begins, (T, K).
        lr: The length of its steps, which is stable.
        gap: The gap to come down to.
    """
    away = start - stack(fit.w, fit.b)
    if m.targets > 1 or fit.design.shape[1] <= MANY_COLUMNS or not away.any():
        return parabola(m, fit).epochs_to(start, lr, gap)
    distance = float(np.linalg.norm(away))
    found: list[int | None] = []
    for diagonal, beside in tridiagonal(fit.design, torch.from_numpy(away[0])):
        values, vectors = eigh_tridiagonal(diagonal, beside)
        roots = np.sqrt(2 * values.clip(min=0) / m.weight.item())
        size = len(diagonal)
        shape = Parabola(np.zeros((1, size)), 0.0, (vectors * roots).T / math.sqrt(2), np.eye(size), roots)
        found.append(shape.epochs_to(np.eye(1, size) * distance, lr, gap))
        if len(found) > 1 and found[-1] == found[-2]:
            break
    return found[-1]


def _principal(x: Tensor) -> tuple[Tensor, Tensor]:
    """The left singular vectors of x, (r, K), as columns, (r, k), and its singular values, (k,)."""
    columns = x.shape[1]
    if len(x) >= columns > MANY_COLUMNS:  # by XXᵀ in a fifth of the time, where squaring leaves digits
        values, vectors = (found.flip(-1)[..., :columns] for found in torch.linalg.eigh(x @ x.T))
        if values[-1] > LEAST_SQUARE * values[0]:
            return vectors, values.sqrt()
    u, s, _ = torch.linalg.svd(x, full_matrices=False)
    return u, s


def stack(w: Tensor, b: Tensor | None) -> np.ndarray:
    """θ = (b, w), (T, K), in float64."""
    theta = w.detach() if b is None else torch.cat([b.detach()[:, None], w.detach()], 1)
    copy: np.ndarray = theta.to("cpu", torch.float64, copy=True).numpy()  # the parameters move on
    return copy
