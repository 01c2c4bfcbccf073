"""The course of gradient descent on the squared error, known before its first step.

With θ = (b, w) and x̃ = (1, x), the loss is a parabola: loss(θ) = loss(θ*) + |x̃(θ − θ*)|²/(N·T), with the
Hessian H = 2/(N·T) X̃ᵀX̃. A step of length lr multiplies the error θ − θ* by 1 − lr·λ along every eigenvector
of H, λ being its eigenvalue. See Nocedal and Wright, Numerical Optimization, section 3.3.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.linalg import eigh_tridiagonal
from scipy.linalg.lapack import dsytrd
from torch import Tensor

from linlight.functional.solve import RANK_TOLERANCE, Optimum
from linlight.functional.statistic import Moments, design

BEYOND_FLOATS = np.errstate(divide="ignore", over="ignore", invalid="ignore")
"""A gap that grows, or begins, beyond the largest number is infinite, which needs no warning."""
MOST_EPOCHS = 10**12
MANY_COLUMNS = 256
LEAST_SQUARE = 1e-6
"""Least share of the greatest eigenvalue of XᵀX that keeps ten digits in it."""


@dataclass(frozen=True)
class Parabola:
    """The squared error of a data set as a function of θ, about its lowest point.

    Attributes:
        theta: θ*, (T, K): the bias first where there is one, then the weights.
        lowest: The loss there.
        directions: V, (K, k), the eigenvectors of H as columns, but for some that nothing depends on where
            there are fewer rows than coefficients.
        roots: √λ, (k,), of their eigenvalues, which themselves may leave float64.
        design: (r, K), whose product with itself is H/2: what features of very different sizes add to a gap
            is lost in eigenvectors, and not in it.
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
        """Of the design; `Optimum.condition_number` takes another factorisation."""
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
        """How far each target's part of the loss is above its lowest, (T,); no digits cancel."""
        above: np.ndarray = (((theta - self.theta) @ self.design.T) ** 2).sum(1)
        return above

    def gap_after(self, theta: np.ndarray, lr: float, epochs: int) -> float:
        """The gap after a number of whole-batch steps of length `lr` from θ."""
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
        """The first epoch after which whole-batch steps of length `lr` have come down to a gap.

        None, if they never do. The gap falls without a break where the step is stable, so it is found by
        halving.
        """
        if lr >= self.largest_stable_step or self.gap_after(theta, lr, MOST_EPOCHS) > gap:
            return 0 if self.gap_after(theta, lr, 0) <= gap else None
        low, high = -1, MOST_EPOCHS
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if self.gap_after(theta, lr, middle) <= gap else (middle, high)
        return high


def parabola(m: Moments, fit: Optimum, total: bool = False) -> Parabola:
    """The squared error's shape, from the statistic and its optimum.

    Args:
        m: The statistic.
        fit: Its optimum, with or without bias.
        total: Whether the loss is the sum of the squared errors instead of their mean.
    """
    m = m.cpu()
    x, y = design(m, bias=fit.b is not None)
    squares = fit.residual_squares
    exact = squares <= (RANK_TOLERANCE**2) * y.square().sum(0)  # what is left is rounding
    sizes, directions = _principal(x)
    count = 1.0 if total else m.weight.item() * m.targets
    return Parabola(
        theta=stack(fit.w, fit.b),
        lowest=torch.where(exact, 0.0, squares).sum().item() / count,
        directions=directions.numpy(),
        roots=sizes.numpy() * math.sqrt(2 / count),
        design=x.numpy() / math.sqrt(count),
    )


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


@dataclass(frozen=True)
class Cycle:
    """Steps over the same batches in the same order: an epoch is one affine map of θ.

    Attributes:
        designs: x̃ of every batch, (B, K), or fewer rows with the same sums of products; see `cycle`.
        answers: y of every batch, (B, T), likewise.
        factors: By what the gradient of half the sum of a batch's squared errors is multiplied.
    """

    designs: Sequence[np.ndarray]
    answers: Sequence[np.ndarray]
    factors: Sequence[float]

    def epoch(self, theta: np.ndarray, lr: float) -> np.ndarray:
        """θ, (T, K), after an epoch."""
        for x, y, factor in zip(self.designs, self.answers, self.factors, strict=True):
            theta = theta - lr * factor * (theta @ x.T - y.T) @ x
        return theta

    def radius(self, steps: np.ndarray) -> np.ndarray:
        """The spectral radius of an epoch's linear part, for each of some steps: it converges below 1."""
        k = self.designs[0].shape[1]
        product = np.broadcast_to(np.eye(k), (len(steps), k, k))
        for x, factor in zip(self.designs, self.factors, strict=True):
            product = product - (steps * factor)[:, None, None] * (x.T @ (x @ product))
        # Directions in which no row has any extent stay as they are, at a radius of exactly 1.
        return np.asarray(np.abs(np.linalg.eigvals(product)).max(axis=1))

    @BEYOND_FLOATS
    def largest_stable_step(self) -> float:
        """The step at which an epoch first fails to shrink the error, going up from 0."""
        steepest = max(
            np.linalg.norm(x, 2) ** 2 * factor for x, factor in zip(self.designs, self.factors, strict=True)
        )
        low = float(np.divide(2, steepest))  # no step below it can stretch anything
        if low in (0, math.inf):
            return low
        high = low
        for _ in range(4):
            steps = np.linspace(low, 1.5 * high, 65)[1:]
            unstable = ~(self.radius(steps) <= 1 + 1e-12)
            if unstable.any():
                break
            low, high = steps[-1], 1.5 * high
        for _ in range(5):
            first = int(np.argmax(unstable))
            low, high = (steps[first - 1] if first else low), steps[first]
            steps = np.linspace(low, high, 33)[1:]
            unstable = ~(self.radius(steps) <= 1 + 1e-12)
        return float(high)


def cycle(batches: Iterable[tuple[np.ndarray, np.ndarray]], total: bool = False) -> Cycle:
    """Steps over some batches in this order; what is kept of each does not grow with its rows.

    Of more than K + T rows the triangle of their QR factorisation is kept, which has the same gradient.

    Args:
        batches: x̃, (B, K), and y, (B, T), of each, in float64.
        total: Whether the loss is the sum of the squared errors instead of their mean.
    """
    designs, answers, factors = [], [], []
    for x, y in batches:
        factors.append(2.0 if total else 2.0 / y.size)
        k = x.shape[1]
        if len(x) > k + y.shape[1]:
            triangle: np.ndarray = np.linalg.qr(np.hstack([x, y]), mode="r")  # type: ignore[assignment]
            x, y = triangle[:, :k], triangle[:, k:]
        designs.append(x)
        answers.append(y)
    return Cycle(designs, answers, factors)


def momentum_bound(momentum: float, dampening: float = 0.0, nesterov: bool = False) -> float:
    """How many times the largest stable step of plain steps that of SGD with momentum is, in whole batches.

    With momentum β the error along an eigenvector follows θₖ₊₁ = (1 + β − a)θₖ − βθₖ₋₁, where
    a = lr·λ·(1 − dampening), which converges for a < 2(1 + β); Nesterov's follows
    θₖ₊₁ = (1 − a)((1 + β)θₖ − βθₖ₋₁), for a < 2(1 + β)/(1 + 2β). See Lessard, Recht and Packard,
    "Analysis and design of optimization algorithms via integral quadratic constraints", 2016.

    Examples:
        >>> momentum_bound(0.9)
        1.9
    """
    if nesterov:
        return (1 + momentum) / (1 + 2 * momentum)
    return (1 + momentum) / (1 - dampening) if dampening < 1 else float("inf")


def shuffled_step(curvature: float, steepest_row: float, batch_size: int) -> float:
    """An estimate of the largest step of shuffled batches.

    2/(λ_row/B + (1 − 1/B)·λ_max): between a single row's bound and the whole batch's. See Ma, Bassily and
    Belkin, "The power of interpolation", 2018, theorem 1.

    Args:
        curvature: λ_max of the whole data.
        steepest_row: The largest curvature of a single row.
        batch_size: B.
    """
    steepness = steepest_row / batch_size + (1 - 1 / batch_size) * curvature
    return 2 / steepness if steepness > 0 else float("inf")
