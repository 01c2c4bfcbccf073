"""What all pictures share, and the curve of a search."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from linlight.functional.loss_surface import levels

if TYPE_CHECKING:
    from linlight.methods.exhaustive_search import ExhaustiveSearch

# Okabe and Ito's palette, told apart by colour-blind readers too; each method has a marker of its own.
BLUE, ORANGE, GREEN, RED, PURPLE = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7"
COLORS = (RED, BLUE, GREEN, ORANGE, PURPLE, "#56B4E9", "#777777")
DASHES = ((), (5, 2), (7, 2, 1.5, 2), (1.5, 1.5))
"""Lengths of a line's dashes and gaps; as there are seven colours, 28 lines in a row differ."""
# Fonts with Chinese, Japanese and Korean, of which systems have one or the other; matplotlib's has none.
_FALLBACK = (
    *("Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans SC", "Source Han Sans SC", "Source Han Sans CN"),
    *("PingFang SC", "Hiragino Sans GB", "Microsoft YaHei", "SimHei", "WenQuanYi Micro Hei"),
    *("WenQuanYi Zen Hei", "Droid Sans Fallback", "Yu Gothic", "Malgun Gothic", "Arial Unicode MS"),
)


@cache
def _families() -> list[str]:
    there = set(font_manager.get_font_names())
    return [*mpl.rcParams["font.family"], *(name for name in _FALLBACK if name in there)]


@contextmanager
def drawing(settings: Any = None) -> Iterator[None]:
    """While a picture is made or written: names in any script, and no warning where no font has one.

    Args:
        settings: Further settings of matplotlib.
    """
    with mpl.rc_context({"font.family": _families(), **(settings or {})}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        yield


def plain(name: str) -> str:
    """A name as matplotlib shows it unchanged: between two dollar signs it would read mathematics."""
    return name.replace("$", r"\$")


def legend(axes: Axes, **style: Any) -> None:
    """Adds a legend, where there is something to name."""
    if axes.get_legend_handles_labels()[1]:
        axes.legend(fontsize="small", **style)


def line_style(i: int, count: int) -> dict[str, Any]:
    """The look of one line of several, each thinner than the one before, so that none hides another."""
    width = 1.2 + 0.5 * min(count - 1 - i, 5)
    # Dashes are counted in widths of the line.
    dashes = tuple(length / width * 1.5 for length in DASHES[i % len(DASHES)])
    return {"color": COLORS[i % len(COLORS)], "linewidth": width, "linestyle": (0, dashes or None)}


def new_figure() -> Figure:
    """An empty figure that needs no display."""
    return Figure(figsize=(7, 4.5), layout="constrained")


def save_figure(figure: Figure, path: Path) -> None:
    """Writes a figure as `path.png` and `path.svg`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with drawing({"svg.hashsalt": "linlight"}):  # the same picture gives the same file
        figure.savefig(path.with_suffix(".png"), dpi=150)
        figure.savefig(path.with_suffix(".svg"), metadata={"Date": None})


def search_curve(search: "ExhaustiveSearch") -> Figure:
    """The mean squared error of a search's candidates.

    One parameter gives the curve over w, and two their contours; beyond that, the sorted losses.
    """
    figure = new_figure()
    axes = figure.add_subplot()
    candidates = search.candidates.cpu()  # (C, parameters)
    losses = search.losses.cpu()  # (T, C)
    names = [f"w_{i}" for i in range(search.w.shape[1])] if search.w.shape[1] > 1 else ["w"]
    names += ["b"] if search.b is not None else []
    best = losses.argmin(dim=1)
    if len(names) == 1:
        for target, loss in enumerate(losses):
            label = f"target {target}" if len(losses) > 1 else None
            axes.plot(candidates[:, 0], loss, ".-", color=None if label else BLUE, label=label)
            axes.plot(candidates[best[target], 0], loss[best[target]], "*", color=RED, markersize=16)
        w, loss = candidates[best[0], 0].item(), losses[0, best[0]].item()
        axes.set(xlabel="w", ylabel="mean squared error", title=f"lowest at w = {w:.6g}: {loss:.6g}")
        if len(losses) > 1:
            axes.legend()
    elif len(names) == 2:
        shape = [len(candidates[:, i].unique()) for i in range(2)]
        grid = candidates.T.reshape(2, *shape)
        heights = losses[0].double().reshape(shape).numpy()
        drawn = axes.contourf(*grid, heights, levels=levels(heights, 20), cmap="cividis_r")
        figure.colorbar(drawn, label="mean squared error")
        at = candidates[best[0]]
        axes.plot(*at, "*", color=RED, markersize=16)
        place = ", ".join(f"{n} = {v:.6g}" for n, v in zip(names, at.tolist(), strict=True))
        axes.set(xlabel=names[0], ylabel=names[1], title=f"lowest at {place}: {losses[0, best[0]]:.6g}")
    else:
        axes.plot(losses.sort(dim=1).values.T, color=BLUE)
        axes.set(xlabel="candidates, best first", ylabel="mean squared error", yscale="log")
    axes.grid(alpha=0.3)
    return figure
