"""What all pictures share: colours, dashes and themes, letters in any script, and how they are written."""

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from cycler import cycler
from lightning.pytorch import Trainer
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from linlight.errors import InputError
from linlight.text import display_width
from linlight.training.folder import fresh
from linlight.training.tensorboard import tensorboards

# Okabe and Ito's palette, which colour-blind readers tell apart too, and three more for longer lists.
BLUE, ORANGE, GREEN, RED, PURPLE, SKY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9"
GREY, VIOLET, BROWN = "#777777", "#8A63D2", "#A0643C"
COLORS = (RED, BLUE, GREEN, ORANGE, PURPLE, SKY, GREY, VIOLET, BROWN)
DASHES = ((), (5, 2), (7, 2, 1.5, 2), (1.5, 1.5))
"""Lengths of a line's dashes and gaps; as there are nine colours, 36 lines in a row differ."""
MOST_INSIDE = 7
"""The most names of a legend that stands on its axes; a longer one stands beside them."""
ERROR = "mean squared error"
# Fonts with Chinese, Japanese and Korean, of which systems have one or the other; matplotlib's has none.
FALLBACK = (
    *("Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans SC", "Source Han Sans SC", "Source Han Sans CN"),
    *("PingFang SC", "Hiragino Sans GB", "Microsoft YaHei", "SimHei", "WenQuanYi Micro Hei"),
    *("WenQuanYi Zen Hei", "Droid Sans Fallback", "Yu Gothic", "Malgun Gothic", "Arial Unicode MS"),
)


@dataclass(frozen=True)
class Theme:
    """The colours of a picture: of its ground, of text and axes, and of its series in turn."""

    paper: str
    ink: str
    colors: tuple[str, ...]


THEMES = {
    "light": Theme("white", "#1a1a1a", (BLUE, RED, GREEN, ORANGE, PURPLE, SKY, GREY, VIOLET, BROWN)),
    # Blue, red, grey, violet and brown are too dark for a dark ground.
    "dark": Theme(
        "#16181d",
        "#e8e8e8",
        (SKY, "#FF8A4C", GREEN, ORANGE, PURPLE, "#F0E442", "#A0A0A0", "#A98BE8", "#C49A6C"),
    ),
}


@cache
def _families() -> list[str]:
    there = set(font_manager.get_font_names())
    return [*mpl.rcParams["font.family"], *(name for name in FALLBACK if name in there)]


@contextmanager
def drawing(theme: str = "light") -> Iterator[None]:
    """Matplotlib's settings for drawing and saving: a theme, names in any script, no warnings of glyphs.

    Raises:
        InputError: If there is no such theme.
    """
    if theme not in THEMES:
        raise InputError(f"there is no theme {theme!r}: it is {' or '.join(THEMES)}")
    look = THEMES[theme]
    inked = ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color")
    settings: Any = {
        **dict.fromkeys(inked, look.ink),
        "figure.facecolor": look.paper,
        "axes.facecolor": look.paper,
        "savefig.facecolor": "auto",
        "axes.prop_cycle": cycler(color=look.colors),
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": look.ink + "26",  # 15 %, in three dimensions too, where grid.alpha has no effect
        "axes.titlesize": "medium",
        "legend.fontsize": "small",
        "figure.constrained_layout.use": True,
        "font.family": _families(),
        "svg.hashsalt": "linlight",  # the same picture gives the same file
    }
    with mpl.rc_context(settings), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        # A surface's faces are padded with NaN, which matplotlib multiplies with the rest.
        with np.errstate(over="ignore", invalid="ignore"):
            yield


def plain(name: str) -> str:
    """A name as matplotlib shows it unchanged: between two dollar signs it would read mathematics."""
    return name.replace("$", r"\$")


def legend(axes: Axes) -> None:
    """Adds a legend if there is something to name: on the axes; a long one beside them, on a wider figure."""
    names, figure = axes.get_legend_handles_labels()[1], axes.figure
    if len(names) > MOST_INSIDE and isinstance(figure, Figure):
        figure.set_figwidth(figure.get_figwidth() + 0.6 + 0.08 * max(map(display_width, names)))
        axes.legend(loc="upper left", bbox_to_anchor=(1, 1))
    elif names:
        axes.legend()


def line_style(i: int, count: int) -> dict[str, Any]:
    """The look of one line of several, each thinner than the one before, so that none hides another."""
    width = 1.2 + 0.5 * min(count - 1 - i, 5)
    # Dashes are counted in widths of the line.
    dashes = tuple(length / width * 1.5 for length in DASHES[i % len(DASHES)])
    return {"color": COLORS[i % len(COLORS)], "linewidth": width, "linestyle": (0, dashes or None)}


def save_figure(figure: Figure, path: Path, theme: str = "light") -> None:
    """Writes a figure, drawn in a theme, as `path.png` and `path.svg`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with drawing(theme):  # ticks are made only now
        figure.savefig(fresh(path.with_suffix(".png")), dpi=150)
        figure.savefig(fresh(path.with_suffix(".svg")), metadata={"Date": None})


def show_figures(trainer: Trainer, figures: Mapping[str, Figure]) -> None:
    """Adds figures by their names to TensorBoard's images, where a run logs to it."""
    with drawing():
        for logger in tensorboards(trainer):
            for name, figure in figures.items():
                logger.experiment.add_figure(name, figure, trainer.global_step)
