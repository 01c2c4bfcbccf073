"""Pictures of losses and of the paths that methods take down them."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from linlight.functional import candidate_squared_errors

if TYPE_CHECKING:
    from linlight.comparison import Result
    from linlight.data import XYDataModule
    from linlight.exhaustive_search import ExhaustiveSearch

# Okabe and Ito's palette, told apart by colour-blind readers too; each method has a marker of its own.
BLUE, ORANGE, GREEN, RED, PURPLE = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7"


def new_figure() -> Figure:
    """An empty figure that needs no display."""
    return Figure(figsize=(7, 4.5), layout="constrained")


def save_figure(figure: Figure, path: Path) -> None:
    """Writes a figure as `path.png` and `path.svg`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path.with_suffix(".png"), dpi=150)
    with mpl.rc_context({"svg.hashsalt": "linlight"}):  # the same picture gives the same file
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
        # Levels that lie as close near the bottom as the curve there is flat.
        depth = torch.linspace(0, 1, 20).square() * (losses[0].max() - losses[0].min()).clamp(min=1e-30)
        levels = (losses[0].min() + depth).unique().tolist()
        drawn = axes.contourf(*grid, losses[0].reshape(shape), levels=levels, cmap="cividis_r")
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


def comparison(results: "list[Result]", data: "XYDataModule") -> Figure:
    """The loss curve with each method's path on it, and the loss by epoch beside it.

    With more than one weight there is no curve to draw, and the loss by epoch stands alone.
    """
    one_weight = data.features == 1 and data.targets == 1
    figure = Figure(figsize=(11 if one_weight else 7, 4.8), layout="constrained")
    panels = figure.subplots(1, 2 if one_weight else 1, squeeze=False)[0]
    colors = [RED, BLUE, GREEN, ORANGE, PURPLE]
    # A method that diverges is drawn only until it would flatten all others.
    top = 1e3 * max(result.path[0]["loss"] for result in results if result.path)
    paths = [[point for point in result.path if point["loss"] <= top] for result in results]
    if one_weight:
        _paths(panels[0], results, paths, data, colors)
    by_epoch = panels[-1]
    for result, path, color in zip(results, paths, colors, strict=True):
        losses = [point["loss"] for point in path]
        if result.method == "ExhaustiveSearch":
            # Not a path: all candidates are tried in one epoch. Its error may be 0, which a log axis lacks.
            if losses and losses[-1] > 0:
                by_epoch.axhline(losses[-1], color=color, linestyle=":", label=result.name)
        else:
            by_epoch.plot(losses, color=color, label=result.name)
    by_epoch.set(xlabel="epochs", ylabel="mean squared error", yscale="log", title="loss by epoch")
    by_epoch.grid(alpha=0.3)
    by_epoch.legend(fontsize="small")
    return figure


def _paths(
    axes: Axes,
    results: "list[Result]",
    paths: list[list[dict[str, Any]]],
    data: "XYDataModule",
    colors: list[str],
) -> None:
    """Mean squared error over w (without bias), and where each method stood after each epoch."""
    w_of = [[point["weights"][0][0] for point in path] for path in paths]
    arrived = [w for path, result in zip(w_of, results, strict=True) for w in path if result.error is None]
    low, high = min([0.0, *arrived]), max([4.0, *arrived])
    grid = torch.linspace(low, high, 401, dtype=torch.float64)[:, None]  # (C, 1)
    x, y = (part.double() for part in data.train_data())
    losses = candidate_squared_errors(x, y, grid, torch.zeros(len(grid), dtype=torch.float64))[0] / len(y)
    axes.plot(grid[:, 0], losses, color="0.55", label="mean squared error of w")
    for i, (result, color) in enumerate(zip(results, colors, strict=True)):
        search = result.method == "ExhaustiveSearch"
        axes.plot(
            w_of[i],
            [point["loss"] for point in paths[i]],
            "*" if search else "o^sD"[i - 1] + "-",
            color=color,
            markersize=15 if search else 10 - 1.7 * i,
            markerfacecolor="none",
            zorder=3 if search else 2,
            label=result.name,
            linewidth=0.8,
        )
    axes.set(xlabel="w", ylabel="mean squared error", title="the loss curve and each method's path")
    margin = 0.05 * (high - low)
    axes.set_xlim(low - margin, high + margin)
    highest = losses.max().item() or 1.0
    axes.set_ylim(-0.05 * highest, 1.1 * highest)
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")
