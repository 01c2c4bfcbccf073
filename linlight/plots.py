"""What all pictures share, and the curve of a search."""

from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib as mpl
import torch
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from linlight.exhaustive_search import ExhaustiveSearch

# Okabe and Ito's palette, told apart by colour-blind readers too; each method has a marker of its own.
BLUE, ORANGE, GREEN, RED, PURPLE = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7"
COLORS = (RED, BLUE, GREEN, ORANGE, PURPLE, "#56B4E9")


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
