"""The squared error over one or two parameters, the others at their best: from the statistic alone."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from linlight.errors import InputError
from linlight.functional.descent import Parabola, parabola
from linlight.functional.solve import LARGEST, Optimum, optimum
from linlight.functional.statistic import Moments
from linlight.text import shortened

LABEL = 32
"""The most letters of a name on an axis."""


@dataclass(frozen=True)
class Landscape:
    """The mean squared error of one target over one or two of its parameters.

    Attributes:
        axes: The values of each parameter, one or two arrays.
        losses: (len(axes[0]),), or (len(axes[1]), len(axes[0])), as matplotlib's `contour` takes it.
        lowest: The parameters at the lowest loss, one or two numbers.
    """

    axes: tuple[np.ndarray, ...]
    losses: np.ndarray
    lowest: tuple[float, ...]


def of_target(m: Moments, target: int = 0) -> Moments:
    """The statistic of the features and one target alone."""
    kept = [*range(m.features), m.features + target]
    return replace(m, origin=m.origin[kept], offset=m.offset[kept], triangle=m.triangle[:, kept])


def profile(shape: Parabola, chosen: Sequence[int], theta: np.ndarray) -> np.ndarray:
    """The loss at given values of the chosen parameters, minimised over the others.

    With the Hessian H, chosen parameters S and the rest R, the least loss over R is a parabola in S whose
    Hessian is the Schur complement H_SS − H_SR H_RR⁺ H_RS; see Boyd and Vandenberghe, Convex Optimization,
    A.5.5.

    Args:
        shape: The shape of the loss of one target.
        chosen: One or two parameters, numbered as in θ = (b, w).
        theta: Their values, (..., 1 or 2).

    Returns:
        The losses, (...).
    """
    hessian = 2 * shape.design.T @ shape.design
    rest = [i for i in range(len(hessian)) if i not in chosen]
    s = hessian[np.ix_(chosen, chosen)]
    if rest:
        across = hessian[np.ix_(chosen, rest)]
        s = s - across @ np.linalg.pinv(hessian[np.ix_(rest, rest)], hermitian=True) @ across.T
    away = theta - shape.theta[0, list(chosen)]
    losses: np.ndarray = shape.lowest + 0.5 * np.einsum("...i,ij,...j->...", away, s, away).clip(min=0)
    return losses


def landscape(shape: Parabola, chosen: Sequence[int], axes: Sequence[np.ndarray]) -> Landscape:
    """The loss over a grid of one or two parameters, the others at their best; see `profile`."""
    grid = np.stack(np.meshgrid(*axes), axis=-1)  # (..., 1 or 2)
    lowest = tuple(shape.theta[0, list(chosen)].tolist())
    return Landscape(tuple(axes), profile(shape, chosen, grid), lowest)


def span(values: np.ndarray, lowest: float, width: float, points: int = 201) -> np.ndarray:
    """An axis that shows a path and the lowest point, with a margin, (points,).

    Args:
        values: The path's values, (epochs,).
        lowest: The value at the lowest loss.
        width: Half the axis's length where the path does not move.
        points: The number of values on the axis.
    """
    reach = np.abs(values - lowest).max(initial=0.0)
    reach = max(reach, width) if np.isfinite(reach) and reach > 0 else width
    low, high = min(values.min(initial=lowest), lowest), max(values.max(initial=lowest), lowest)
    return np.linspace(
        min(low, lowest - 0.3 * reach) - 0.1 * reach, max(high, lowest + 0.3 * reach) + 0.1 * reach, points
    )


def levels(losses: np.ndarray, count: int) -> np.ndarray:
    """Levels of contours, closer together near the bottom, where the bowl is flat."""
    rise = np.linspace(0, 1, count) ** 2 * max(np.ptp(losses), 1e-30)
    return np.unique(losses.min() + rise)


@dataclass(frozen=True)
class LossSurface:
    """The ground that paths are drawn on: the loss over the only parameter, or over the two that matter most.

    Attributes:
        shape: The loss of all parameters.
        bias: Whether the first parameter is a bias.
        chosen: The parameters that are drawn, numbered as in θ = (b, w).
        labels: Their names, on one axis or two.
        land: The loss over them.
    """

    shape: Parabola
    bias: bool
    chosen: tuple[int, ...]
    labels: tuple[str, ...]
    land: Landscape

    @property
    def is_curve(self) -> bool:
        """Whether there is one parameter, so that the loss is drawn as a curve."""
        return len(self.chosen) == 1

    @property
    def held(self) -> str:
        """The remark on the bias, where a weight is drawn alone."""
        return "" if self.bias or not self.is_curve else " at b = 0"

    @property
    def rest(self) -> str:
        """The remark on the parameters that are not drawn."""
        more = len(self.chosen) < self.shape.theta.shape[1]
        return ", the other parameters at their best" if more else ""

    def heights(self, theta: np.ndarray) -> np.ndarray:
        """The loss on the ground, (points,), under each θ of (points, K)."""
        return profile(self.shape, self.chosen, theta[:, list(self.chosen)])

    def limits(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """The lowest and highest values shown along x and along y."""
        x, *more = self.land.axes
        if more:
            return (x[0], x[-1]), (more[0][0], more[0][-1])
        margin, height = 0.05 * (x[-1] - x[0]), self.land.losses.max() or 1.0
        return (x[0] - margin, x[-1] + margin), (-0.05 * height, 1.1 * height)


def make_surface(
    m: Moments,
    names: Sequence[str],
    bias: bool,
    path: np.ndarray,
    points: int = 201,
    held: tuple[float, float] | None = None,
) -> LossSurface:
    """Makes the ground for a path of the first target's parameters.

    Args:
        m: The statistic of the data.
        names: Names of the features.
        bias: Whether there is a bias; with one feature, it is drawn as well.
        path: θ = (b, w) of every point to be shown, (points, K).
        points: Values along an axis.
        held: For one parameter, the range to show, extended as far as the path goes. Default: about the path.

    Raises:
        InputError: If features are so large or small that the loss would leave float64.
    """
    m = of_target(m.cpu())
    best = optimum(m, bias)
    numbers = torch.cat([m.deviation, m.mean[: m.features], best.w[0]]).abs()
    if ((numbers > LARGEST) | (numbers > 0) & (numbers < 1 / LARGEST)).any():
        raise InputError(
            f"there is no picture of features or weights beyond {LARGEST:g} or below {1 / LARGEST:g}: "
            "multiply such columns by a power of ten"
        )
    shape = parabola(m, best)
    called = ["w"] if len(names) == 1 else [f"weight of {name}" for name in shortened(names, LABEL)]
    called = ["b" if len(names) == 1 else "bias", *called] if bias else called
    if len(called) == 1:
        chosen: tuple[int, ...] = (0,)
    else:
        chosen = (1, 0) if bias and len(called) == 2 else _two(m, best)
    axes = [
        span(
            path[:, i], float(shape.theta[0, i]), _width(shape, best, i), points if len(chosen) == 2 else 401
        )
        for i in chosen
    ]
    if held is not None and len(chosen) == 1:
        axes = [np.linspace(path.min(initial=held[0]), path.max(initial=held[1]), 401)]
    land = landscape(shape, chosen, axes)
    return LossSurface(shape, bias, chosen, tuple(called[i] for i in chosen), land)


def _two(m: Moments, best: Optimum) -> tuple[int, ...]:
    """The two weights whose features move the prediction most, numbered as in θ."""
    effect = np.abs(best.w[0].numpy()) * m.deviation.numpy()
    found = np.sort(np.argsort(-effect, kind="stable")[:2]) + (best.b is not None)
    return tuple(found.tolist())


def _width(shape: Parabola, best: Optimum, i: int) -> float:
    """Half the length of a parameter's axis where the path does not move: about ten standard errors."""
    error = float(np.linalg.norm(best.basis[i].numpy())) * shape.lowest**0.5
    at = abs(float(shape.theta[0, i]))
    return 10 * error or (at if at > 1e-9 * np.abs(shape.theta[0]).max() else 1.0)
