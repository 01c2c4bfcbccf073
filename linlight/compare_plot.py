"""The picture of a comparison: every method's path on one ground, and its loss by epoch."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from linlight.forecast import parabola
from linlight.functional import candidate_squared_errors
from linlight.landscape import landscape, span
from linlight.optimum import optimum
from linlight.plots import COLORS

if TYPE_CHECKING:
    from linlight.comparison import Result
    from linlight.data import XYDataModule

MARKERS = "o^sDvP<>X"


@dataclass(frozen=True)
class Ground:
    """What paths are drawn on: the loss curve of the one weight, or contours over two weights.

    Attributes:
        title: What it shows.
        labels: Of its two axes.
        axes: The values along each.
        chosen: The weights that are drawn, one or two.
        curve: The mean squared error over the one weight.
        losses: (len(axes[1]), len(axes[0])), over two weights, all other parameters at their best.
        lowest: Where these are lowest.
    """

    title: str
    labels: tuple[str, str]
    axes: tuple[np.ndarray, np.ndarray]
    chosen: tuple[int, ...]
    curve: np.ndarray | None = None
    losses: np.ndarray | None = None
    lowest: tuple[float, ...] = ()

    def place(self, point: dict[str, Any]) -> list[float]:
        """Where a point of a path is on it."""
        weights = [point["weights"][0][i] for i in self.chosen]
        return weights if len(weights) == 2 else [*weights, point["loss"]]


def make_ground(results: "list[Result]", data: "XYDataModule") -> Ground | None:
    """The ground that holds the paths of all methods that arrived; None for several targets."""
    if data.targets != 1:
        return None
    arrived = [point["weights"][0] for r in results if r.error is None for point in r.path]
    weights = np.array(arrived) if arrived else np.zeros((1, data.features))  # (points, D)
    if data.features == 1:
        low, high = min(0.0, weights.min()), max(4.0, weights.max())
        w = torch.linspace(low, high, 401, dtype=torch.float64)[:, None]  # (C, 1)
        x, y = (part.double() for part in data.train_data())
        curve = (
            candidate_squared_errors(x, y, w, torch.zeros(len(w), dtype=torch.float64))[0] / len(y)
        ).numpy()
        height = curve.max() or 1.0
        return Ground(
            "the loss curve and each method's path",
            ("w", "mean squared error"),
            (w[:, 0].numpy(), np.array([-0.05, 1.1]) * height),
            (0,),
            curve=curve,
        )
    m = data.train_moments
    best = optimum(m, True)
    effect = np.abs(best.w[0].numpy()) * m.triangle[:, : m.features].norm(dim=0).numpy()
    first, second = np.sort(np.argsort(-effect, kind="stable")[:2]).tolist()
    shape = parabola(m, best)
    width = [max(abs(float(best.w[0, i])), 1e-12) for i in (first, second)]
    axes = [
        span(weights[:, i], float(best.w[0, i]), half, 61)
        for i, half in zip((first, second), width, strict=True)
    ]
    found = landscape(shape, (first + 1, second + 1), axes)  # the bias is the first parameter
    names = data.feature_names
    of = f" for {data.target_names[0]}" if len(data.target_names) > 1 else ""
    return Ground(
        f"each method's path{of}, the other parameters at their best",
        (f"weight of {names[first]}", f"weight of {names[second]}"),
        (axes[0], axes[1]),
        (first, second),
        losses=found.losses,
        lowest=found.lowest,
    )


def comparison(results: "list[Result]", ground: Ground | None) -> Figure:
    """The ground with each method's path on it, and the loss by epoch beside it.

    With several targets there is no ground, and the loss by epoch stands alone.
    """
    figure = Figure(figsize=(7 if ground is None else 11, 4.8), layout="constrained")
    panels = figure.subplots(1, 1 if ground is None else 2, squeeze=False)[0]
    # A method that diverges is drawn only until it would flatten all others.
    top = 1e3 * max((result.path[0]["loss"] for result in results if result.path), default=1.0)
    paths = [[point for point in result.path if point["loss"] <= top] for result in results]
    if ground is not None:
        _paths(panels[0], results, paths, ground)
    by_epoch = panels[-1]
    for i, (result, path) in enumerate(zip(results, paths, strict=True)):
        losses, color = [point["loss"] for point in path], COLORS[i % len(COLORS)]
        if result.is_path:
            by_epoch.plot(losses, color=color, label=result.name)
        elif losses and losses[-1] > 0:  # a log axis has no 0
            by_epoch.axhline(losses[-1], color=color, linestyle=":", label=result.name)
    by_epoch.set(xlabel="epochs", ylabel="mean squared error", yscale="log", title="loss by epoch")
    by_epoch.grid(alpha=0.3)
    by_epoch.legend(fontsize="small")
    return figure


def _paths(axes: Axes, results: "list[Result]", paths: list[list[dict[str, Any]]], ground: Ground) -> None:
    x, y = ground.axes
    if ground.curve is not None:
        axes.plot(x, ground.curve, color="0.55", label="mean squared error of w")
    elif ground.losses is not None:
        rise = np.linspace(0, 1, 18) ** 2 * max(np.ptp(ground.losses), 1e-30)
        axes.contour(
            x, y, ground.losses, levels=np.unique(ground.losses.min() + rise), colors="0.75", linewidths=0.8
        )
        axes.plot(*ground.lowest, "k+", markersize=12, label="the optimum")
    for i, (result, path) in enumerate(zip(results, paths, strict=True)):
        places = np.array([ground.place(point) for point in path]).reshape(-1, 2)
        marker = MARKERS[(i - 1) % len(MARKERS)] + "-" if result.is_path else "*"
        axes.plot(
            *places.T,
            marker,
            color=COLORS[i % len(COLORS)],
            markersize=max(10 - 1.7 * i, 3) if result.is_path else 15,
            markerfacecolor="none",
            zorder=2 if result.is_path else 3,
            label=result.name,
            linewidth=0.8,
        )
    axes.set(xlabel=ground.labels[0], ylabel=ground.labels[1], title=ground.title)
    margin = 0.05 * (x[-1] - x[0]) if ground.curve is not None else 0.0
    axes.set_xlim(x[0] - margin, x[-1] + margin)
    axes.set_ylim(y[0], y[-1])
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")
