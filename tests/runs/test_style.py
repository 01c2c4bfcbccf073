"""What all pictures share: a theme, colours that differ, and a legend that hides nothing."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure

from linlight import load
from linlight.runs.style import COLORS, DASHES, MOST_INSIDE, THEMES, drawing, legend, line_style


def contrast(one: str, other: str) -> float:
    """The contrast of two colours, from 1 to 21, as WCAG 2 defines it."""
    linear = [np.array(to_rgb(color)) for color in (one, other)]
    light = [np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4) for c in linear]
    high, low = sorted((float(c @ [0.2126, 0.7152, 0.0722]) for c in light), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", THEMES)
def test_every_colour_is_seen_on_its_ground(theme: str) -> None:
    look = THEMES[theme]
    assert len(set(look.colors)) == len(look.colors) == len(COLORS)
    assert min(contrast(color, look.paper) for color in look.colors) > 2
    assert contrast(look.ink, look.paper) > 12


def test_no_two_of_36_lines_share_colour_and_dashes() -> None:
    assert len({(i % len(COLORS), i % len(DASHES)) for i in range(36)}) == 36
    assert len({line_style(i, 9)["color"] for i in range(9)}) == 9


@pytest.mark.parametrize("theme", THEMES)
def test_eight_targets_have_colours_of_their_own(theme: str, linlight: Callable[..., Any]) -> None:
    y = [[i * t + (i * i) % (t + 2) for t in range(8)] for i in range(9)]
    run = load(linlight("fit", "--model=LeastSquares", f"--data.x={[*range(9)]}", f"--data.y={y}").folder)
    axes: Any = run.plot("fit", theme).axes[0]  # type: ignore[union-attr]
    points = [to_hex(dots.get_facecolor()[0]) for dots in axes.collections]
    assert len(set(points)) == 8
    # Looked at outside of the theme, as when the user saves it.
    assert [to_hex(line.get_color()) for line in axes.lines] == points
    assert len(axes.get_legend().get_texts()) == 8


def test_a_long_legend_stands_beside_the_axes() -> None:
    for count in (MOST_INSIDE, MOST_INSIDE + 1):
        with drawing():
            figure = Figure(figsize=(7, 4))
            axes = figure.add_subplot()
            for i in range(count):
                axes.plot([0, 1], [i, i + 1], label=f"line {i}")
            legend(axes)
            figure.draw_without_rendering()
        made: Any = axes.get_legend()
        beside = made.get_window_extent().x0 >= axes.get_window_extent().x1
        assert beside == (count > MOST_INSIDE)
        assert made.get_window_extent().x1 <= figure.bbox.x1


@pytest.mark.parametrize("theme", THEMES)
def test_a_picture_saved_later_has_its_themes_ticks(theme: str, linlight: Callable[..., Any]) -> None:
    run = load(linlight("fit", "--model=GradientDescent", "--trainer.max_epochs=3").folder)
    figure: Any = run.plot("loss", theme)
    figure.draw_without_rendering()
    axes = figure.axes[0]
    colors = {
        to_hex(label.get_color()) for axis in (axes.xaxis, axes.yaxis) for label in axis.get_ticklabels()
    }
    assert colors == {THEMES[theme].ink}
