"""The picture of an exhaustive search: the loss of every candidate."""

from typing import Any

import numpy as np
from lightning.fabric.utilities.rank_zero import rank_zero_only
from lightning.pytorch import Callback, Trainer
from matplotlib.figure import Figure

from linlight.functional.loss_surface import Landscape
from linlight.methods.exhaustive_search import ExhaustiveSearch
from linlight.runs.style import BLUE, ERROR, RED, drawing, save_figure, show_figures
from linlight.runs.surface import contours, surface
from linlight.training.folder import run_folder


class SearchCurve(Callback):
    """Draws the losses of a search's candidates: `loss_curve.png` and `.svg`, and in TensorBoard."""

    @rank_zero_only
    def on_fit_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Draws, if the method is a search."""
        if not isinstance(pl_module, ExhaustiveSearch) or not trainer.global_step:
            return
        figure = search_curve(pl_module)
        save_figure(figure, run_folder(trainer) / "loss_curve")
        show_figures(trainer, {"loss_curve": figure})


@drawing()
def search_curve(search: ExhaustiveSearch) -> Figure:
    """Draws the mean squared error of a search's candidates.

    One parameter gives the curve over w; two, a surface and its contours; more, the sorted losses.
    """
    candidates = search.candidates.double().cpu().numpy()  # (C, parameters)
    losses = search.losses.double().cpu().numpy()  # (T, C)
    names = [f"w_{i}" for i in range(search.w.shape[1])] if search.w.shape[1] > 1 else ["w"]
    names += ["b"] if search.b is not None else []
    at = candidates[losses[0].argmin()]
    place = ", ".join(f"{name} = {value:.6g}" for name, value in zip(names, at, strict=True))
    title = f"lowest at {place}: {losses[0].min():.6g}"
    if len(names) == 2:
        x, y = (np.unique(column) for column in candidates.T)
        # The candidates go through b for each w, the contours' rows through w for each b.
        land = Landscape((x, y), losses[0].reshape(len(x), len(y)).T, (float(at[0]), float(at[1])))
        figure = Figure(figsize=(11, 4.8))
        solid = figure.add_subplot(1, 2, 1, projection="3d")
        flat = figure.add_subplot(1, 2, 2)
        surface(solid, land, names)
        contours(figure, flat, land, names, "the lowest")
        flat.legend()
        figure.suptitle(title)
        return figure
    figure = Figure(figsize=(7, 4.5))
    axes = figure.add_subplot()
    if len(names) == 1:
        for target, loss in enumerate(losses):
            label = f"target {target}" if len(losses) > 1 else "no bias"
            color = None if len(losses) > 1 else BLUE
            axes.plot(candidates[:, 0], loss, ".-", color=color, label=label)
            axes.plot(candidates[loss.argmin(), 0], loss.min(), "*", color=RED, markersize=16)
        axes.set(xlabel="w", ylabel=ERROR, title=title)
        axes.legend()
    else:
        axes.plot(np.sort(losses, axis=1).T, color=BLUE)
        axes.set(xlabel="candidates, best first", ylabel=ERROR, yscale="log", title=title)
    return figure
