"""Descent on the same batches in the same order: an epoch is one affine map of the weights.

θ = (b, w) and x̃ = (1, x), as in `descent`.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from linlight.functional.descent import BEYOND_FLOATS


@dataclass(frozen=True)
class Cycle:
    """The batches of an epoch, in order, each in few rows.

    Attributes:
        designs: x̃ of every batch, (B, K), or fewer rows with the same sums of products; see `cycle`.
        answers: y of every batch, (B, T), likewise.
        factors: For every batch, its loss over half the sum of its squared errors.
    """

    designs: Sequence[np.ndarray]
    answers: Sequence[np.ndarray]
    factors: Sequence[float]

    def epoch(self, theta: np.ndarray, lr: float) -> np.ndarray:
        """Takes θ, (T, K), through an epoch of steps of length `lr`."""
        for x, y, factor in zip(self.designs, self.answers, self.factors, strict=True):
            theta = theta - lr * factor * (theta @ x.T - y.T) @ x
        return theta

    def radius(self, steps: np.ndarray) -> np.ndarray:
        """The spectral radius of an epoch's linear part, for each step length, (n,): below 1 it converges."""
        k = self.designs[0].shape[1]
        product = np.broadcast_to(np.eye(k), (len(steps), k, k))
        for x, factor in zip(self.designs, self.factors, strict=True):
            product = product - (steps * factor)[:, None, None] * (x.T @ (x @ product))
        # Directions in which no row has any extent stay as they are, at a radius of exactly 1.
        return np.asarray(np.abs(np.linalg.eigvals(product)).max(axis=1))

    @BEYOND_FLOATS
    def largest_stable_step(self) -> float:
        """The least step length at which an epoch no longer shrinks the error."""
        steepest = max(
            np.linalg.norm(x, 2) ** 2 * factor for x, factor in zip(self.designs, self.factors, strict=True)
        )
        low = float(np.divide(2, steepest))  # below it no batch's step can stretch anything
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
    """Reads the batches of an epoch; what is kept of each does not grow with its rows.

    Of more than K + T rows it is the triangle of their QR factorisation, which has the same gradient.

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
