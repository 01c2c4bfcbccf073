"""`summary.json`: the results of a run, written last, so that a folder that has one is finished."""

import math
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import torch
from lightning.fabric.utilities.rank_zero import rank_zero_only
from lightning.pytorch import Callback, Trainer

from linlight.errors import Diverged, InputError
from linlight.methods.base import LinearModel
from linlight.methods.base.run_rows import column_names, our_data
from linlight.methods.base.training_loss import check_finite
from linlight.training.diagnostics import Diagnostics
from linlight.training.fit_result import FitResult
from linlight.training.folder import run_folder, write_json
from linlight.training.results_board import show_results

FORMAT = 1
"""Version of `summary.json`, raised by a change that an older `linlight.load` would misread."""


def describe(model: LinearModel, rows: int) -> dict[str, Any]:
    """The model in full precision, and the size of the data it was trained or used on."""
    w, b = model.original_units()
    return {
        "method": type(model).__name__,
        "weights": w.tolist(),
        "bias": None if b is None else b.tolist(),
        "rows": rows,
        "features": model.w.shape[1],
        "targets": model.w.shape[0],
    }


def figures(metrics: Mapping[str, Any], prefix: str = "") -> dict[str, float | None]:
    """Losses and metrics as numbers, None where one has no value, such as R² of one row.

    Args:
        metrics: Numbers or tensors of one, by their names.
        prefix: The beginning of the names to take, such as `val_`.
    """
    found = {name: float(value) for name, value in metrics.items() if name.startswith(prefix)}
    return {name: value if math.isfinite(value) else None for name, value in found.items()}


class RunSummary(Callback):
    """Writes `summary.json` once training is over, prints it, and shows the results in TensorBoard.

    Args:
        diagnostics: The source of the gaps and the optimum; it has to come before this callback.
    """

    def __init__(self, diagnostics: Diagnostics | None = None) -> None:
        self._diagnostics = diagnostics or Diagnostics()
        self.summary: dict[str, Any] = {}
        self.first_step = 0
        self._started = time.perf_counter()
        self._validated: dict[str, float] = {}  # before a run was resumed at its end

    def state_dict(self) -> dict[str, float]:
        """Returns the validation metrics."""
        return {name: value for name, value in self.summary.items() if name.startswith("val_")}

    def load_state_dict(self, state_dict: dict[str, float]) -> None:
        """Restores them, for a run that is resumed at its end."""
        self._validated = state_dict

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Starts the clock; a resumed run has steps behind it."""
        self.first_step = trainer.global_step
        self._started = time.perf_counter()

    def on_train_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Gathers the summary while all processes are there."""
        seconds = time.perf_counter() - self._started
        model: LinearModel = pl_module
        trained = model.train_metrics()
        check_finite(trainer, model, trained["train_loss"])
        # `train_loss` there is that of the last epoch's steps.
        trainer.callback_metrics.update(
            {name: torch.tensor(value) for name, value in trained.items() if name != "train_loss"}
        )
        metrics: dict[str, Any] = {
            "epochs": trainer.current_epoch,
            "steps": trainer.global_step,
            **figures(trained),
            **(figures(trainer.callback_metrics, "val_") or self._validated),
        }
        features, targets = column_names(trainer, model.w.shape[1], model.w.shape[0])
        names = {"feature_names": features, "target_names": targets}
        described = describe(model, model.rows) | names | metrics | {"seconds": seconds}
        self.summary = {"format": FORMAT} | described | self._diagnostics.findings | model.summary()

    def on_fit_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Writes the summary."""
        # The exact answer of a pass that was stopped in its middle is no step.
        if not trainer.global_step and trainer.fit_loop.total_batch_idx < 0:
            raise InputError(
                "nothing was trained: max_epochs, max_steps, limit_train_batches and max_time must be above 0"
            )
        if not self.summary:  # resumed at its end
            self.on_train_end(trainer, pl_module)
        self._write(trainer, pl_module)

    def teardown(self, trainer: Trainer, pl_module: Any, stage: str) -> None:
        """Prints the results; a training that diverges has failed by now."""
        if stage == "fit" and self.summary and trainer.is_global_zero and not self._diagnostics.quiet:
            found = FitResult(self.summary)
            report = found.to_text() or pl_module.report()
            print(*([report] if report else []), found.line, sep="\n")

    def on_exception(self, trainer: Trainer, pl_module: Any, exception: BaseException) -> None:
        """Writes the summary of a training whose numbers have ended; several processes may end apart."""
        if not isinstance(exception, Diverged) or self.summary or trainer.world_size > 1:
            return
        self._diagnostics.findings = {"diverged": str(exception)}
        with suppress(Diverged):  # the last numbers are too large for a loss
            self.on_train_end(trainer, pl_module)
            self._write(trainer, pl_module)

    @rank_zero_only
    def _write(self, trainer: Trainer, pl_module: Any) -> None:
        data = our_data(trainer)
        if data is not None:
            show_results(trainer, pl_module, data, self.summary)
        write_json(run_folder(trainer) / "summary.json", self.summary)
