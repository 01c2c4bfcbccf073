"""The pictures of a finished run: its loss, its fit, its residuals, its epochs, its coefficients."""

from base64 import b64encode
from collections.abc import Callable
from functools import cached_property
from io import BytesIO
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from scipy.special import ndtri

from linlight.errors import InputError
from linlight.functional.loss_surface import LossSurface, make_surface
from linlight.runs.graph import draw_graph
from linlight.runs.record import RunRecord, SeenRows
from linlight.runs.style import ERROR, RED, THEMES, drawing, legend, plain, save_figure
from linlight.runs.surface import contours, surface
from linlight.text import language, number, shortened

MOST_POINTS = 2000
"""The most rows that are drawn; of more, evenly spaced ones."""
MOST_BARS = 30
"""The most coefficients that are drawn: the largest."""
LETTERS = 32
"""The most letters of a name that are written."""
DECADES = 3
"""Decades below the smallest gap at which the picture of a forecast ends."""

Points = tuple[np.ndarray, np.ndarray]
"""Epochs and values, (n,) each."""


class _View:
    """The numbers behind a run's pictures, computed when they are needed."""

    def __init__(self, run: RunRecord, theme: str) -> None:
        self.run, self.model, self.data = run, run.model.cpu(), run.data
        self.ink, self.colors = THEMES[theme].ink, THEMES[theme].colors
        self.first, self.second, *_ = self.colors
        self.features, self.targets = (
            [plain(name) for name in shortened(names, LETTERS)]
            for names in (run.data.feature_names, run.data.target_names)
        )
        several = len(self.targets) > 1
        self.target = "target" if several else self.targets[0]
        self.of_first = f" of {self.targets[0]}" if several else ""

    @cached_property
    def seen(self) -> SeenRows:
        return self.run.seen(MOST_POINTS)

    @cached_property
    def path(self) -> np.ndarray:
        """θ = (b, w) of the first target after the epochs, (points, K)."""
        return self.run.path[1]

    @cached_property
    def ground(self) -> LossSurface:
        bias = self.model.b is not None
        return make_surface(self.seen.moments, self.data.feature_names, bias, self.path)

    @property
    def since(self) -> str:
        """A remark on a run that went on from a checkpoint without a history."""
        course = self.run.history
        return f", from epoch {course.epoch[0]}" if course is not None and course.epoch[0] > 1 else ""

    @cached_property
    def rows(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """x, y and predictions of some of its rows."""
        x, y = self.seen.x.double(), self.seen.y.double()
        with torch.no_grad():
            y_hat = self.model(x.to(self.model.w.dtype)).double()
        return x.numpy(), y.numpy(), y_hat.numpy()

    @property
    def series(self) -> list[tuple[str, str]]:
        """Name and colour of each target."""
        return list(zip(self.targets, cycle(self.colors), strict=False))

    @property
    def size(self) -> int:
        """The size of the rows' points."""
        return 5 if len(self.seen.x) > 200 else 20


def _loss(view: _View) -> Figure:
    """The loss over the one parameter there is, or over two, in space and as contours, with the path."""
    ground = view.ground
    labels = [plain(label) for label in ground.labels]
    if ground.is_curve:
        figure = Figure(figsize=(7, 4.8))
        axes = figure.add_subplot()
        _curve(axes, view)
        axes.set(xlabel=labels[0], ylabel=ERROR)
        return figure
    figure = Figure(figsize=(12, 5))
    path = np.column_stack([view.path[:, list(ground.chosen)], ground.heights(view.path)])
    title = f"{ERROR}{view.of_first}{ground.rest}{view.since}{view.seen.remark}"
    surface(figure.add_subplot(1, 2, 1, projection="3d"), ground.land, labels, path, title)
    _contours(figure, figure.add_subplot(1, 2, 2), view, path)
    return figure


def _curve(axes: Axes, view: _View) -> None:
    ground, path = view.ground, view.path[:, 0]
    heights = ground.heights(view.path)
    axes.plot(ground.land.axes[0], ground.land.losses, color=view.ink, alpha=0.6, label=ERROR + ground.held)
    if len(path) > 1:
        axes.plot(path, heights, "o-", color=view.first, ms=5, lw=0.8, mfc="none", label="after each epoch")
    axes.plot(path[-1], heights[-1], "*", color=view.second, ms=15, label=f"the end, {number(path[-1])}")
    lowest = f"{number(ground.shape.lowest)} at w = {number(ground.land.lowest[0])}"
    axes.set_title(f"the lowest {ERROR}{view.of_first} is {lowest}{view.since}{view.seen.remark}")
    axes.legend()


def _contours(figure: Figure, axes: Axes, view: _View, path: np.ndarray) -> None:
    contours(figure, axes, view.ground.land, [plain(label) for label in view.ground.labels])
    if len(path) > 1:
        axes.plot(path[:, 0], path[:, 1], "o-", color="black", lw=1.0, ms=3, label="after each epoch")
    axes.plot(*path[-1, :2], "*", color=RED, ms=12, mec="white", label="the end")
    axes.legend(facecolor="#dddddd", labelcolor="black", markerscale=0.8)


def _fit(view: _View) -> Figure:
    """The line among the points, or predicted against actual."""
    figure = Figure(figsize=(7, 4.8))
    axes = figure.add_subplot()
    x, y, y_hat = view.rows
    is_line = x.shape[1] == 1
    for t, (name, color) in enumerate(view.series):
        at, height = (x[:, 0], y[:, t]) if is_line else (y[:, t], y_hat[:, t])
        axes.scatter(at, height, view.size, color=color, alpha=0.7, label=f"{name}{view.seen.note}")
        if is_line:
            ends = [at.argmin(), at.argmax()]
            if len(view.targets) > 1:  # the legend names the points alone
                axes.plot(at[ends], y_hat[ends, t], color=color)
            else:
                axes.plot(at[ends], y_hat[ends, t], color=view.second, label=f"the fit of {name}")
    if is_line:
        axes.set(xlabel=view.features[0], ylabel=view.target, title="the fit")
    else:
        diagonal = [min(y.min(), y_hat.min()), max(y.max(), y_hat.max())]
        axes.plot(diagonal, diagonal, color=view.ink, lw=1, ls="--", label="where both are equal")
        axes.set(xlabel=f"actual {view.target}", ylabel="predicted", title="predicted against actual")
    legend(axes)
    return figure


def _residuals(view: _View) -> Figure:
    """Residuals against what was fitted, and their quantiles against a normal distribution's."""
    figure = Figure(figsize=(10, 4.4))
    left, right = figure.subplots(1, 2)
    _, y, y_hat = view.rows
    residuals = y - y_hat
    normal = ndtri((np.arange(len(y)) + 0.5) / len(y))
    for t, (name, color) in enumerate(view.series):
        left.scatter(y_hat[:, t], residuals[:, t], view.size, color=color, alpha=0.7, label=name)
        # Those of a model that is not at its optimum have a mean.
        centred = np.sort(residuals[:, t] - residuals[:, t].mean()) / (residuals[:, t].std() or 1.0)
        right.scatter(normal, centred, view.size, color=color, alpha=0.7)
    left.axhline(0, color=view.ink, lw=1, ls="--")
    ends = np.array([-1, 1]) * max(normal[-1], 1)
    right.plot(ends, ends, color=view.ink, lw=1, ls="--")
    left.set(
        xlabel=f"predicted {view.target}", ylabel="actual − predicted", title=f"residuals{view.seen.note}"
    )
    right.set(
        xlabel="quantiles of a normal distribution",
        ylabel="standardized residuals",
        title="on the line if the errors are normal",
    )
    if len(view.targets) > 1:
        legend(left)
    return figure


def _epochs(view: _View) -> Figure:
    """The losses by epoch, and the gap to the optimum beside the one that was predicted."""
    series = _series(view.run)
    losses: dict[str, Points] = {name: series[name] for name in ("train_loss", "val_loss") if name in series}
    count = bool(losses) + ("gap" in series)
    figure = Figure(figsize=(10 if count == 2 else 7, 4.4))
    panels = figure.subplots(1, count, squeeze=False)[0]
    if losses:
        _losses(panels[0], losses, view)
    if "gap" in series:
        _gap(panels[-1], series["gap"], series.get("predicted_gap"), view)
    for axes in panels:
        axes.legend()
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    return figure


def _series(run: RunRecord) -> dict[str, Points]:
    """Each column of losses in the history, as far as it has numbers."""
    course = run.history
    if course is None:
        return {}
    known = ((name, np.isfinite(values), values) for name, values in course.losses.items())
    return {name: (course.epoch[there], values[there]) for name, there, values in known if there.any()}


def _losses(axes: Axes, losses: dict[str, Points], view: _View) -> None:
    for name, points in losses.items():
        axes.plot(*points, label={"train_loss": "training", "val_loss": "validation"}[name])
    lowest = view.run.summary.get("optimum", {}).get("loss")
    is_log = all(values.min() > 0 for _, values in losses.values())
    if lowest is not None and (lowest > 0 or not is_log):  # a log axis has no 0
        axes.axhline(lowest, color=view.ink, lw=1, ls="--", label="the optimum's")
    axes.set(xlabel="epochs", ylabel="loss", title=f"loss by epoch{view.since}")
    if is_log:
        axes.set_yscale("log")


def _gap(axes: Axes, gap: Points, predicted: Points | None, view: _View) -> None:
    axes.plot(*gap, color=view.first, lw=4, alpha=0.5, label="actual")
    if predicted is not None:
        axes.plot(*predicted, color=view.second, ls="--", label="predicted")
        actual = gap[1][gap[1] > 0]
        if len(actual) and predicted[1].min() < actual.min() / 10**DECADES:
            # Rounding ends what theory goes on with, which would leave the axis to numbers like 1e-47.
            axes.set_ylim(bottom=actual.min() / 10**DECADES)
    axes.set(xlabel="epochs", ylabel="loss above the optimum's", yscale="log", title="gap to the optimum")


def _coefficients(view: _View) -> Figure:
    """The effect of one standard deviation of each feature, with its 95 % interval."""
    spread = view.seen.moments.deviation.tolist()
    scaled = [
        (name, *(row[key] * s for key in ("estimate", "ci_low", "ci_high")))
        for name, row, s in zip(view.features, _inferred(view.run), spread, strict=True)
        if row["ci_low"] is not None
    ]
    shown = sorted(scaled, key=lambda one: -abs(one[1]))[:MOST_BARS][::-1]
    figure = Figure(figsize=(7, 1.6 + 0.28 * len(shown)))
    axes = figure.add_subplot()
    estimates = np.array([one[1] for one in shown])
    reach = np.array([[one[1] - one[2], one[3] - one[1]] for one in shown]).T
    axes.errorbar(estimates, range(len(shown)), xerr=reach, fmt="o", color=view.first, capsize=3)
    axes.axvline(0, color=view.ink, lw=1, ls="--")
    axes.set_yticks(range(len(shown)), [one[0] for one in shown])
    axes.set(xlabel=f"change of {view.targets[0]}\nby one standard deviation of the feature")
    axes.set_ylim(-0.6, len(shown) - 0.4)
    more = f" (the {len(shown)} largest of {len(scaled)})" if len(scaled) > len(shown) else ""
    axes.set_title(f"coefficients with 95 % intervals{more}")
    return figure


def _inferred(run: RunRecord) -> list[dict[str, Any]]:
    """The coefficients of the first target's features, without the intercept; none without inference."""
    rows = run.summary.get("coefficients") or [[]]
    return (rows[0] if isinstance(rows[0], list) else rows)[run.model.b is not None :]


def _has_intervals(run: RunRecord) -> bool:
    return any(row["ci_low"] is not None for row in _inferred(run))


def _graph(view: _View) -> Figure:
    """The computational graph of the first row, where the run began."""
    x, y = (tensor.double() for tensor in view.data.statistics.sample(1))
    colors = (view.ink, view.first, view.second)
    start = torch.from_numpy(view.path[0].copy())
    return draw_graph(
        view.model, x[:1], y[:1, :1], start, at_start=len(view.path) > 1, colors=colors, lang=language()
    )


PICTURES: dict[str, tuple[Callable[[_View], Figure], Callable[[RunRecord], bool]]] = {
    "loss": (_loss, lambda run: True),
    "fit": (_fit, lambda run: True),
    "residuals": (_residuals, lambda run: True),
    "epochs": (_epochs, lambda run: any(len(epochs) > 1 for epochs, _ in _series(run).values())),
    "coefficients": (_coefficients, _has_intervals),
    "graph": (_graph, lambda run: True),
}
"""For each picture the function that draws it, and whether a run has one."""


def draw(run: RunRecord, name: str, theme: str = "light") -> Figure:
    """Draws one picture of a run; see `Run.plot`."""
    there = [key for key, (_, exists) in PICTURES.items() if exists(run)]
    if name not in there:
        raise InputError(f"there is no picture {name!r} of this run: there are {', '.join(there)}")
    with drawing(theme):
        return PICTURES[name][0](_View(run, theme))


def draw_all(run: RunRecord, theme: str = "light") -> dict[str, Figure]:
    """Draws all pictures that there are of a run, by their names."""
    with drawing(theme):
        view = _View(run, theme)
        return {name: picture(view) for name, (picture, exists) in PICTURES.items() if exists(run)}


def as_html(run: RunRecord) -> str:
    """What a run found, and its pictures, as a part of a page."""
    parts = [run.result.to_html()]
    for name, figure in draw_all(run).items():
        file = BytesIO()
        with drawing():
            figure.savefig(file, format="png", dpi=100)
        image = b64encode(file.getvalue()).decode()
        parts.append(f'<img alt="{name}" style="max-width: 100%" src="data:image/png;base64,{image}">')
    return "\n".join(parts)


def save(run: RunRecord, folder: Path) -> list[Path]:
    """Writes all pictures of a run in both themes; see `Run.save_pictures`."""
    files = []
    for theme in THEMES:
        for name, figure in draw_all(run, theme).items():
            path = folder / (name if theme == "light" else f"{name}-{theme}")
            save_figure(figure, path, theme)
            files += [path.with_suffix(ending) for ending in (".png", ".svg")]
    return files
