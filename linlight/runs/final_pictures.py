"""The callback that draws the pictures of a run at its end."""

import copy
from contextlib import suppress
from typing import Any

from lightning.fabric.utilities.rank_zero import rank_zero_only
from lightning.pytorch import Callback, Trainer

from linlight.errors import Diverged, InputError
from linlight.methods.base.run_rows import our_data
from linlight.runs.pictures import draw_all
from linlight.runs.run import Run
from linlight.runs.style import show_figures
from linlight.training.folder import run_folder
from linlight.training.run_summary import RunSummary
from linlight.training.tensorboard import tensorboards

DRAWING, A_TENTH = 2.0, 0.1
"""Seconds that pictures take; if that is less than this part of the run, TensorBoard gets them unasked."""


class Pictures(Callback):
    """Draws the run at its end: into `pictures/` of its folder, and into TensorBoard's images.

    Args:
        summary: The run's summary; it and `History` must come before this callback.
        wanted: Whether to draw in any case, and into files; else only into TensorBoard, and only if drawing
            takes little of the run's time.
    """

    def __init__(self, summary: RunSummary, wanted: bool = False) -> None:
        self._summary = summary
        self._wanted = wanted
        self._is_drawn = False

    def on_fit_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Begins another run."""
        self._is_drawn = False

    @rank_zero_only
    def on_fit_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Draws a finished run."""
        data = our_data(trainer)
        seconds = self._summary.summary.get("seconds", 0.0)
        is_cheap = data is not None and not data.streamed and seconds > DRAWING / A_TENTH
        if self._wanted or is_cheap:
            with suppress(*([] if self._wanted else [InputError])):  # of data that cannot be drawn
                self._draw(trainer, pl_module)

    @rank_zero_only
    def on_exception(self, trainer: Trainer, pl_module: Any, exception: BaseException) -> None:
        """Draws a run whose loss has left the finite numbers; one that diverged before has been drawn."""
        is_due = self._wanted and not self._is_drawn
        if is_due and self._summary.summary and isinstance(exception, Diverged):
            self._draw(trainer, pl_module)

    def _draw(self, trainer: Trainer, pl_module: Any) -> None:
        self._is_drawn = True
        data = copy.copy(our_data(trainer))
        if data is None:
            print("no pictures, which need an XYDataModule")
            return
        data.trainer = None  # the training is over
        data.setup("predict")  # in the data's own units
        model = copy.deepcopy(pl_module)
        w, b = pl_module.original_units()
        model.w.data.copy_(w)
        if b is not None:
            model.b.data.copy_(b)
        run = Run(run_folder(trainer), self._summary.summary, model, data)
        if self._wanted:
            run.save_pictures()
        if tensorboards(trainer):
            show_figures(trainer, {f"pictures/{name}": figure for name, figure in draw_all(run).items()})
