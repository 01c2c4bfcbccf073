"""The picture of a sweep: where each method came to, and the border that theory draws."""

import math
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from linlight.experiments.results import Cell
from linlight.runs.style import drawing
from linlight.text import count


def _square(i: int, j: int, **style: Any) -> Rectangle:
    return Rectangle((i - 0.5, j - 0.5), 1, 1, **style)


def _border(axes: Axes, cells: Sequence[Cell], sizes: Sequence[int], rates: Sequence[float]) -> None:
    """Draws where theory puts the border, and says of which batch sizes that is outside of the map."""
    outside = []
    for j, size in enumerate(sizes):
        (bound,) = {cell.largest_stable_step for cell in cells if cell.batch_size == size}
        if bound is None or not rates[0] <= bound <= rates[-1]:
            outside.append(str(size))
            continue
        at = np.interp(math.log(bound), np.log(rates), range(len(rates)))
        axes.plot([at, at], [j - 0.5, j + 0.5], color="black", lw=2.5)
    note = "" if not outside else f"; outside these rates for batches of {', '.join(outside)}"
    bar = Line2D([], [], color="black", lw=2.5, label=f"the largest stable step{note}")
    axes.legend(handles=[bar], fontsize="small", loc="lower right", bbox_to_anchor=(1, 1), frameon=False)


@drawing()
def heat_map(cells: Sequence[Cell], epochs: int) -> Figure:
    """For each method: how far it came at each learning rate and batch size, and theory's border."""
    names = list(dict.fromkeys(cell.method for cell in cells))
    sizes, rates = (sorted({getattr(cell, key) for cell in cells}) for key in ("batch_size", "lr"))
    width = max(7.0, 2.5 + 0.75 * len(rates))
    height = max(3.2, 1.2 + len(names) * (1.0 + 0.5 * len(sizes)))  # the colour bar has a label
    figure = Figure(figsize=(width, height), layout="constrained")
    norm = Normalize(-8, 0)
    colors = mpl.colormaps["cividis_r"]
    for axes, name in zip(figure.subplots(len(names), 1, squeeze=False)[:, 0], names, strict=True):
        for cell in (cell for cell in cells if cell.method == name):
            i, j = rates.index(cell.lr), sizes.index(cell.batch_size)
            if cell.diverged:
                axes.add_patch(
                    _square(i, j, facecolor="#f2f2f2", hatch="xx", edgecolor="#D55E00", linewidth=0)
                )
                continue
            depth = max(math.log10(cell.gap), -8) if cell.gap else -8
            axes.add_patch(_square(i, j, facecolor=colors(norm(depth)), linewidth=0))
            if cell.epochs_to_tolerance is not None:
                axes.text(i, j, str(cell.epochs_to_tolerance), ha="center", va="center", fontsize=8)
        _border(axes, [cell for cell in cells if cell.method == name], sizes, rates)
        axes.set(xlim=(-0.5, len(rates) - 0.5), ylim=(-0.5, len(sizes) - 0.5), ylabel="batch size")
        axes.set_title(name, loc="left", fontsize="medium")
        axes.set_xticks(range(len(rates)), [f"{rate:.3g}" for rate in rates], fontsize=8)
        axes.set_yticks(range(len(sizes)), [str(size) for size in sizes])
    axes.set_xlabel("learning rate; numbers: epochs to a millionth of the first gap; crosses: diverged")
    label = f"log10 of the gap left\nafter {count(epochs, 'epoch')}"
    figure.colorbar(ScalarMappable(norm, colors), ax=figure.axes, label=label)
    return figure
