"""The picture and the page of a comparison: each method's path on one loss surface, and its loss by epoch."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from linlight.data.datamodule import XYDataModule
from linlight.experiments.results import Result
from linlight.functional.loss_surface import LossSurface, make_surface
from linlight.runs.page import SHADES, kept_points, write_page
from linlight.runs.style import COLORS, DASHES, ERROR, drawing, legend, line_style, plain
from linlight.runs.surface import PALE, contours
from linlight.text import count, number, shortened
from linlight.training.fit_result import equation

MARKERS = "o^sDvP<>X"
TEXTBOOK = (0.0, 4.0)
"""The weights over which the notes draw their curve."""
GRID = 121
CLIMB = 8
"""A path that diverges is on the surface up to this multiple of its first loss."""


# The surface ---------------------------------------------------------------------------------------------


def surface_of(results: Sequence[Result], data: XYDataModule) -> LossSurface | None:
    """The loss surface that holds the paths of all methods; of one that diverges only the part in the valley.

    It has a bias if all methods have one or, with several features, if any has. None for several targets.
    """
    if data.targets != 1:
        return None
    seen = [point for r in results for point in r.path if r.error is None or _is_near(point, r)]
    having = [point["bias"] is not None for point in seen]
    bias = bool(having) and (all if data.features == 1 else any)(having)
    path = np.array([_theta(point, bias) for point in seen]).reshape(-1, data.features + bias)
    held = TEXTBOOK if data.hparams.get("x", 0) is None and data.hparams.get("path", 0) is None else None
    return make_surface(data.statistics.moments, data.feature_names, bias, path, GRID, held)


def _is_near(point: dict[str, Any], result: Result) -> bool:
    return bool(point["loss"] <= CLIMB * result.path[0]["loss"])


def _theta(point: dict[str, Any], bias: bool) -> list[float]:
    """θ = (b, w) of a path's point, for its only target."""
    own = point["bias"][0] if point["bias"] is not None else 0.0
    return [*([own] if bias else []), *point["weights"][0]]


def place(ground: LossSurface, point: dict[str, Any]) -> list[float]:
    """The coordinates (x, y) of a path's point on the surface."""
    at = [_theta(point, ground.bias)[i] for i in ground.chosen]
    return [*at, point["loss"]] if ground.is_curve else at


def _title(ground: LossSurface, data: XYDataModule) -> str:
    if ground.is_curve:
        return "the loss curve and each method's path"
    of = f" for {shortened(data.target_names, 24)[0]}" if data.hparams.get("path") is not None else ""
    return f"each method's path{of}{ground.rest}"


# The picture ---------------------------------------------------------------------------------------------


class _Line(NamedTuple):
    """One method in the picture."""

    name: str
    descends: bool
    path: list[dict[str, Any]]


@drawing()
def comparison(results: Sequence[Result], data: XYDataModule, ground: LossSurface | None) -> Figure:
    """Draws the loss surface with each method's path on it, and the loss by epoch beside it.

    With several targets there is no surface, and the loss by epoch stands alone.
    """
    figure = Figure(figsize=(7 if ground is None else 11, 4.8))
    panels = figure.subplots(1, 1 if ground is None else 2, squeeze=False)[0]
    # A method that diverges is drawn only until it would flatten all others.
    top = 1e3 * max((result.path[0]["loss"] for result in results if result.path), default=1.0)
    lines = [
        _Line(
            plain(name) + ("" if result.error is None else " (gave up)"),
            result.descends,
            [point for point in result.path if point["loss"] <= top],
        )
        for name, result in zip(shortened([r.name for r in results], 34), results, strict=True)
    ]
    if ground is not None:
        _paths(figure, panels[0], lines, ground)
        panels[0].set_title(plain(_title(ground, data)))
    by_epoch = panels[-1]
    for i, (name, descends, path) in enumerate(lines):
        epochs, losses = [point["epoch"] for point in path], [point["loss"] for point in path]
        look = line_style(i, len(lines))
        if descends and losses:
            by_epoch.plot(epochs, losses, label=name, marker="" if len(losses) > 1 else "o", **look)
        elif losses and losses[-1] > 0:  # a log axis has no 0
            by_epoch.axhline(losses[-1], **look | {"linestyle": ":", "linewidth": 1.5}, label=name)
    by_epoch.set(xlabel="epochs", ylabel=ERROR, yscale="log", title="loss by epoch")
    by_epoch.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    legend(by_epoch)
    return figure


def _paths(figure: Figure, axes: Axes, lines: Sequence[_Line], ground: LossSurface) -> None:
    labels = [plain(label) for label in ground.labels]
    if ground.is_curve:
        axes.plot(ground.land.axes[0], ground.land.losses, color="0.55", label=ERROR + ground.held)
        axes.plot(ground.land.lowest, [ground.shape.lowest], "k+", markersize=12, label="the optimum")
    else:
        contours(figure, axes, ground.land, labels, colors=PALE)
    moving = 0
    for i, (name, descends, path) in enumerate(lines):
        places = np.array([place(ground, point) for point in path]).reshape(-1, 2)
        axes.plot(
            *places.T,
            MARKERS[moving % len(MARKERS)] + "-" if descends else "*",
            color=COLORS[i % len(COLORS)],
            markersize=max(10 - 1.7 * i, 3) if descends else 15,
            markerfacecolor="none",
            zorder=2 if descends else 3,
            label=name,
            linewidth=0.8,
        )
        moving += descends
    x, y = ground.limits()
    axes.set(xlabel=labels[0], ylabel=(*labels, ERROR)[1], xlim=x, ylim=y)
    legend(axes)


# The page ------------------------------------------------------------------------------------------------


def write_compare_page(
    results: Sequence[Result], data: XYDataModule, ground: LossSurface | None, path: Path
) -> None:
    """Writes the comparison as a page of its own, with a slider over the epochs.

    Args:
        results: The results.
        data: The data.
        ground: The surface that the paths are drawn on, if there is one.
        path: The file.
    """
    content = {
        "about": f"{count(data.train_size, 'row')}, {count(data.features, 'feature')}, "
        f"{count(data.targets or 0, 'target')}. Drag the slider, or use its arrow keys.",
        "ground": None if ground is None else {"title": _title(ground, data), **_on_page(ground)},
        "methods": [_method(i, result, data, ground) for i, result in enumerate(results)],
    }
    write_page(path, "linlight.experiments", "compare.html", content)


def _method(i: int, result: Result, data: XYDataModule, ground: LossSurface | None) -> dict[str, Any]:
    # A search has one point, that after its only epoch; it stands for every other epoch.
    points = [
        {
            "epoch": point["epoch"],
            "loss": point["loss"],
            "at": None if ground is None else place(ground, point),
            "text": _weights(point, data.feature_names),
        }
        for point in (result.path[kept] for kept in kept_points(len(result.path)))
    ]
    found = {"weights": result.weights, "bias": result.bias, "target_names": data.target_names}
    return {
        "name": result.name,
        "color": COLORS[i % len(COLORS)],
        "dashes": " ".join(map(str, DASHES[i % len(DASHES)])),
        "descends": result.descends,
        "settings": result.settings,
        "error": result.error,
        "equation": "" if result.weights is None else equation(found, data.feature_names),
        "path": points,
    }


def _weights(point: dict[str, Any], names: list[str]) -> str:
    weights, bias = point["weights"], point["bias"]
    if len(weights) > 1 or len(names) > 4:
        return ""
    called, of_bias = (["w"], "b") if len(names) == 1 else (shortened(names, 24), "bias")
    terms = [f"{name} {number(w, 4)}" for name, w in zip(called, weights[0], strict=True)]
    return ", ".join(terms + ([] if bias is None else [f"{of_bias} {number(bias[0], 4)}"]))


def _on_page(ground: LossSurface) -> dict[str, Any]:
    (x, *_), losses = ground.land.axes, ground.land.losses
    along, up = ground.limits()
    found: dict[str, Any] = {
        "labels": (*ground.labels, ERROR + ground.held)[:2],
        "x": [float(end) for end in along],
        "y": [float(end) for end in up],
        "lowest": [*ground.land.lowest, *([ground.shape.lowest] if ground.is_curve else [])],
    }
    if ground.is_curve:
        return found | {"curve": np.column_stack([x, losses]).tolist()}
    # Shades that lie as close near the bottom as the bowl there is flat, as in the picture.
    depth = np.sqrt((losses - losses.min()) / max(np.ptp(losses), 1e-30))
    shades = (depth[::-1] * (len(SHADES) - 1)).round().astype(int)  # rows from the top
    scale = [losses.min() + np.ptp(losses) * part**2 for part in (0, 0.5, 1)]
    return found | {"shades": shades.tolist(), "colors": SHADES, "scale": scale}
