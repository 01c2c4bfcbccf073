"""The loss over two parameters: as a surface in three dimensions, and as contours with a colour bar."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, LinearSegmentedColormap, Normalize, PowerNorm
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator

from linlight.functional.loss_surface import Landscape, levels
from linlight.runs.style import ERROR, RED

LINES = 18
MAP = "cividis_r"
PALE = LinearSegmentedColormap.from_list("pale", ["white", "#8a93a3"])
"""A pale colour map, on which lines of every colour show."""


def contours(
    figure: Figure,
    axes: Axes,
    land: Landscape,
    labels: Sequence[str],
    lowest: str = "the optimum",
    colors: str | Colormap = MAP,
) -> None:
    """Draws the loss as a smooth image with contours, a colour bar, and a ring around the lowest point.

    Args:
        figure: The figure.
        axes: The axes in it to draw on.
        land: The loss over two parameters.
        labels: The parameters' names.
        lowest: The ring's label.
        colors: The colour map, from the lowest loss to the highest.
    """
    x, y = land.axes
    steps = (x[1] - x[0]) / 2, (y[1] - y[0]) / 2  # a pixel's middle is its point
    extent = (x[0] - steps[0], x[-1] + steps[0], y[0] - steps[1], y[-1] + steps[1])
    drawn = axes.imshow(
        land.losses, origin="lower", extent=extent, aspect="auto", interpolation="bilinear",
        cmap=colors, norm=_shades(land.losses),
    )  # fmt: skip
    axes.contour(
        x, y, land.losses, levels=levels(land.losses, LINES), colors="black", linewidths=0.3, alpha=0.5
    )
    figure.colorbar(drawn, ax=axes, label=ERROR)
    around = [withStroke(linewidth=4.5, foreground="white")]
    # A ring, so that a path that ends there is seen inside it.
    axes.plot(*land.lowest, "o", mec="black", mew=2.5, ms=16, mfc="none", label=lowest, path_effects=around)
    axes.set(xlabel=labels[0], ylabel=labels[1], xlim=(x[0], x[-1]), ylim=(y[0], y[-1]))
    axes.grid(visible=False)


def surface(
    axes: Any,
    land: Landscape,
    labels: Sequence[str],
    path: np.ndarray | None = None,
    title: str = ERROR,
) -> None:
    """Draws the loss in three dimensions, its lowest point, and a path on it, (points, 3)."""
    axes.computed_zorder = False  # ring and path are drawn after the surface that they lie on
    x, y = np.meshgrid(*land.axes)
    step = max(1, max(land.losses.shape) // 60)
    axes.plot_surface(
        x, y, land.losses, cmap=MAP, norm=_shades(land.losses), rstride=step, cstride=step,
        linewidth=0.1, edgecolor="#00000040", zorder=1,
    )  # fmt: skip
    bottom = land.losses.min()
    axes.plot(
        *([value] for value in land.lowest), [bottom], "o", mec="black", mew=2, mfc="none", ms=12, zorder=4
    )
    if path is not None:
        axes.plot(*path.T, "o-", color="black", ms=2.5, lw=1.0, zorder=3)
        axes.plot(*path[-1:].T, "*", color=RED, mec="white", ms=12, zorder=5)
    for axis in (axes.xaxis, axes.yaxis, axes.zaxis):
        axis.set_major_locator(MaxNLocator(5))
        axis.set_pane_color((0.5, 0.5, 0.5, 0.08))
    # Two lines, or a long name would reach the next panel; and clear of the ticks' numbers.
    x_label, y_label = (label.replace("weight of ", "weight of\n") for label in labels)
    axes.set_xlabel(x_label, labelpad=10)
    axes.set_ylabel(y_label, labelpad=10)
    axes.set_title(title)
    axes.view_init(elev=28, azim=-60)


def _shades(losses: np.ndarray) -> Normalize:
    """Shades by the root of the loss: as many near the flat bottom of the bowl as on its steep sides."""
    return PowerNorm(0.5, losses.min(), max(losses.max(), losses.min() + 1e-30))
