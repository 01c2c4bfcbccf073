"""The squared error over one parameter or two, the others at their best: from the statistic, at any size."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from linlight.forecast import Parabola


@dataclass(frozen=True)
class Landscape:
    """The mean squared error of one target over one or two of its parameters.

    Attributes:
        axes: The values of each chosen parameter, one or two arrays.
        losses: (len(axes[0]),), or (len(axes[1]), len(axes[0])) as contours are drawn.
        lowest: Where the loss is lowest, one number for each chosen parameter.
    """

    axes: tuple[np.ndarray, ...]
    losses: np.ndarray
    lowest: tuple[float, ...]


def landscape(
    parabola: Parabola, chosen: Sequence[int], axes: Sequence[np.ndarray], target: int = 0
) -> Landscape:
    """Evaluates the loss, every parameter that is not chosen being where it is lowest.

    With H the Hessian, S the chosen parameters and R the rest, the lowest loss over R is a parabola in S with
    the Schur complement H_SS − H_SR H_RR⁺ H_RS; see Boyd and Vandenberghe, Convex Optimization, A.5.5.

    Args:
        parabola: The shape of the loss.
        chosen: One or two parameters, numbered as in θ = (b, w).
        axes: The values of each.
        target: Which target; the others are at their best.
    """
    v, curvatures = parabola.directions, parabola.curvatures
    hessian = (v * curvatures) @ v.T
    rest = [i for i in range(len(hessian)) if i not in chosen]
    s = hessian[np.ix_(chosen, chosen)]
    if rest:
        across = hessian[np.ix_(chosen, rest)]
        s = s - across @ np.linalg.pinv(hessian[np.ix_(rest, rest)], hermitian=True) @ across.T
    lowest = parabola.theta[target, list(chosen)]
    grids = np.meshgrid(*(axis - at for axis, at in zip(axes, lowest, strict=True)))
    away = np.stack(grids, axis=-1)  # (..., chosen)
    losses = parabola.lowest + 0.5 * np.einsum("...i,ij,...j->...", away, s, away).clip(min=0)
    return Landscape(tuple(axes), losses, tuple(lowest.tolist()))


def span(values: np.ndarray, lowest: float, width: float, points: int = 201) -> np.ndarray:
    """Values of a parameter that show a path and the lowest point, with a margin.

    Args:
        values: The path's, (epochs,).
        lowest: Where the loss is lowest.
        width: Half of what to show where the path does not move.
        points: How many values.
    """
    reach = np.abs(values - lowest).max(initial=0.0)
    reach = max(reach, width) if np.isfinite(reach) and reach > 0 else width
    low, high = min(values.min(initial=lowest), lowest), max(values.max(initial=lowest), lowest)
    return np.linspace(
        min(low, lowest - 0.3 * reach) - 0.1 * reach, max(high, lowest + 0.3 * reach) + 0.1 * reach, points
    )
