"""The picture of an exhaustive search: the loss of every candidate."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from lightning.fabric.utilities.rank_zero import rank_zero_only
from lightning.pytorch import Callback, Trainer
from matplotlib.figure import Figure

from linlight.functional.loss_surface import Landscape
from linlight.methods.base.run_rows import column_names
from linlight.methods.exhaustive_search import ExhaustiveSearch
from linlight.runs.style import ERROR, RED, drawing, legend, plain, save_figure, show_figures
from linlight.runs.surface import contours, surface
from linlight.text import number, shortened
from linlight.training.folder import run_folder


class SearchCurve(Callback):
    """Draws the losses of a search's candidates: `loss_curve.png` and `.svg`, and in TensorBoard."""

    @rank_zero_only
    def on_fit_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Draws, if the method is a search."""
        if not isinstance(pl_module, ExhaustiveSearch) or not trainer.global_step:
            return
        targets, features = pl_module.w.shape
        figure = search_curve(pl_module, column_names(trainer, features, targets)[1])
        save_figure(figure, run_folder(trainer) / "loss_curve")
        show_figures(trainer, {"loss_curve": figure})


@drawing()
def search_curve(search: ExhaustiveSearch, targets: Sequence[str]) -> Figure:
    """Draws the mean squared error of a search's candidates.

    One parameter gives the curve over w; two, a surface and its contours, of the first target; more, the
    sorted losses.

    Args:
        search: A finished search.
        targets: The targets' names.
    """
    candidates = search.candidates.double().cpu().numpy()  # (C, parameters)
    losses = search.losses.double().cpu().numpy()  # (T, C)
    names = [f"w_{i}" for i in range(search.w.shape[1])] if search.w.shape[1] > 1 else ["w"]
    names += ["b"] if search.b is not None else []
    best = candidates[losses.argmin(axis=1)]  # (T, parameters)
    places = [", ".join(f"{name} = {number(v)}" for name, v in zip(names, at, strict=True)) for at in best]
    lowest = [f"{number(loss.min())} at {place}" for loss, place in zip(losses, places, strict=True)]
    called = [plain(name) for name in shortened(targets, 32)]
    of = f" of {called[0]}" if len(targets) > 1 else ""
    title = f"the lowest {ERROR}{of} is {lowest[0]}"
    if len(names) == 2:
        x, y = (np.unique(column) for column in candidates.T)
        # The candidates go through b for each w, the contours' rows through w for each b.
        land = Landscape((x, y), losses[0].reshape(len(x), len(y)).T, (float(best[0, 0]), float(best[0, 1])))
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
    axes.set_title(f"the {ERROR} of every candidate" if of else title)
    for name, loss, found in zip(called, losses, lowest, strict=True):
        label = f"{name}: lowest {found}" if of else None
        if len(names) == 1:
            axes.plot(candidates[:, 0], loss, ".-", label=label)
            axes.plot(candidates[loss.argmin(), 0], loss.min(), "*", color=RED, markersize=16)
            axes.set(xlabel="w", ylabel=ERROR)
        else:
            axes.plot(np.sort(loss), label=label)
            axes.set(xlabel="candidates, best first", ylabel=ERROR, yscale="log")
    legend(axes)
    return figure
