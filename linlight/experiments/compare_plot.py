"""The picture of a comparison: every method's path on one ground, and its loss by epoch."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from linlight.data.datamodule import XYDataModule
from linlight.experiments.results import Result
from linlight.functional.loss_surface import LossSurface, make_surface
from linlight.runs.style import COLORS, drawing, legend, line_style, plain
from linlight.runs.surface import PALE, contours
from linlight.text import shortened

MARKERS = "o^sDvP<>X"
TEXTBOOK = (0.0, 4.0)
"""The weights over which the notes draw their curve."""
GRID = 121
CLIMB = 8
"""A path that diverges is on the ground up to this multiple of its first loss."""


def surface_of(results: list[Result], data: XYDataModule) -> LossSurface | None:
    """The ground that holds the paths of all methods, as far as one that diverges does not leave the valley.

    A bias is on it where all methods have one; of several features, where one has. None for several targets.
    """
    if data.targets != 1:
        return None
    seen = [point for r in results for point in r.path if r.error is None or _is_near(point, r)]
    having = [point["bias"] is not None for point in seen]
    bias = bool(having) and (all if data.features == 1 else any)(having)
    parameters = data.features + bias
    path = np.array([theta(point, bias) for point in seen]).reshape(-1, parameters)
    held = TEXTBOOK if data.hparams.get("x", 0) is None and data.hparams.get("path", 0) is None else None
    return make_surface(data.statistics.moments, data.feature_names, bias, path, GRID, held)


def _is_near(point: dict[str, Any], result: Result) -> bool:
    return bool(point["loss"] <= CLIMB * result.path[0]["loss"])


def theta(point: dict[str, Any], bias: bool) -> list[float]:
    """θ = (b, w) of a path's point, for the one target."""
    own = point["bias"][0] if point["bias"] is not None else 0.0
    return [*([own] if bias else []), *point["weights"][0]]


def place(ground: LossSurface, point: dict[str, Any]) -> list[float]:
    """The coordinates (x, y) of a path's point on the ground."""
    at = [theta(point, ground.bias)[i] for i in ground.chosen]
    return [*at, point["loss"]] if ground.is_curve else at


def title(ground: LossSurface, data: XYDataModule) -> str:
    """The title of the ground."""
    if ground.is_curve:
        return "the loss curve and each method's path"
    of = f" for {shortened(data.target_names, 24)[0]}" if data.hparams.get("path") is not None else ""
    return f"each method's path{of}{ground.rest}"


@drawing()
def comparison(results: list[Result], data: XYDataModule, ground: LossSurface | None) -> Figure:
    """The ground with each method's path on it, and the loss by epoch beside it.

    With several targets there is no ground, and the loss by epoch stands alone.
    """
    figure = Figure(figsize=(7 if ground is None else 11, 4.8), layout="constrained")
    panels = figure.subplots(1, 1 if ground is None else 2, squeeze=False)[0]
    names = [
        plain(name) + ("" if result.error is None else " (gave up)")
        for name, result in zip(shortened([r.name for r in results], 34), results, strict=True)
    ]
    # A method that diverges is drawn only until it would flatten all others.
    top = 1e3 * max((result.path[0]["loss"] for result in results if result.path), default=1.0)
    paths = [[point for point in result.path if point["loss"] <= top] for result in results]
    if ground is not None:
        _paths(figure, panels[0], results, names, paths, ground)
        panels[0].set_title(plain(title(ground, data)), fontsize="medium")
    by_epoch = panels[-1]
    for i, (result, name, path) in enumerate(zip(results, names, paths, strict=True)):
        losses, look = [point["loss"] for point in path], line_style(i, len(results))
        if result.descends and losses:
            by_epoch.plot(
                [point["epoch"] for point in path],
                losses,
                label=name,
                marker="" if len(losses) > 1 else "o",
                **look,
            )
        elif losses and losses[-1] > 0:  # a log axis has no 0
            by_epoch.axhline(losses[-1], **look | {"linestyle": ":", "linewidth": 1.5}, label=name)
    by_epoch.set(xlabel="epochs", ylabel="mean squared error", yscale="log")
    by_epoch.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    by_epoch.set_title("loss by epoch", fontsize="medium")
    by_epoch.grid(alpha=0.3)
    legend(by_epoch)
    return figure


def _paths(
    figure: Figure,
    axes: Axes,
    results: list[Result],
    names: list[str],
    paths: list[list[dict[str, Any]]],
    ground: LossSurface,
) -> None:
    land = ground.land
    if ground.is_curve:
        axes.plot(land.axes[0], land.losses, color="0.55", label=f"mean squared error{ground.held}")
        axes.plot(land.lowest, [ground.shape.lowest], "k+", markersize=12, label="the optimum")
    else:
        contours(figure, axes, land, [plain(label) for label in ground.labels], colors=PALE)
    moving = 0
    for i, (result, name, path) in enumerate(zip(results, names, paths, strict=True)):
        places = np.array([place(ground, point) for point in path]).reshape(-1, 2)
        axes.plot(
            *places.T,
            MARKERS[moving % len(MARKERS)] + "-" if result.descends else "*",
            color=COLORS[i % len(COLORS)],
            markersize=max(10 - 1.7 * i, 3) if result.descends else 15,
            markerfacecolor="none",
            zorder=2 if result.descends else 3,
            label=name,
            linewidth=0.8,
        )
        moving += result.descends
    x, y = ground.limits()
    labels = [plain(label) for label in ground.labels]
    axes.set(xlabel=labels[0], ylabel=(*labels, "mean squared error")[1], xlim=x, ylim=y)
    if ground.is_curve:
        axes.grid(alpha=0.3)
    legend(axes)
