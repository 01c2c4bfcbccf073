"""What all pictures share: colours, dashes, letters in any script, and how they are written."""

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from lightning.pytorch import Trainer
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from linlight.training.folder import fresh
from linlight.training.tensorboard import tensorboards

# Okabe and Ito's palette, told apart by colour-blind readers too; each method has a marker of its own.
BLUE, ORANGE, GREEN, RED, PURPLE = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7"
COLORS = (RED, BLUE, GREEN, ORANGE, PURPLE, "#56B4E9", "#777777")
DASHES = ((), (5, 2), (7, 2, 1.5, 2), (1.5, 1.5))
"""Lengths of a line's dashes and gaps; as there are seven colours, 28 lines in a row differ."""
ERROR = "mean squared error"
# Fonts with Chinese, Japanese and Korean, of which systems have one or the other; matplotlib's has none.
FALLBACK = (
    *("Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans SC", "Source Han Sans SC", "Source Han Sans CN"),
    *("PingFang SC", "Hiragino Sans GB", "Microsoft YaHei", "SimHei", "WenQuanYi Micro Hei"),
    *("WenQuanYi Zen Hei", "Droid Sans Fallback", "Yu Gothic", "Malgun Gothic", "Arial Unicode MS"),
)


@cache
def _families() -> list[str]:
    there = set(font_manager.get_font_names())
    return [*mpl.rcParams["font.family"], *(name for name in FALLBACK if name in there)]


@contextmanager
def drawing(settings: Any = None) -> Iterator[None]:
    """Settings for drawing and saving: names in any script, and no warnings of missing glyphs."""
    with mpl.rc_context({"font.family": _families(), **(settings or {})}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        # A surface's faces are padded with NaN, which matplotlib multiplies with the rest.
        with np.errstate(over="ignore", invalid="ignore"):
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


def save_figure(figure: Figure, path: Path) -> None:
    """Writes a figure as `path.png` and `path.svg`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with drawing({"svg.hashsalt": "linlight"}):  # the same picture gives the same file
        figure.savefig(fresh(path.with_suffix(".png")), dpi=150)
        figure.savefig(fresh(path.with_suffix(".svg")), metadata={"Date": None})


def show_figures(trainer: Trainer, figures: Mapping[str, Figure]) -> None:
    """Adds figures by their names to TensorBoard's images, where a run logs to it."""
    with drawing():
        for logger in tensorboards(trainer):
            for name, figure in figures.items():
                logger.experiment.add_figure(name, figure, trainer.global_step)
