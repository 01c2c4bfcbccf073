"""The folder of a run: its checkpoint, its picture, and the summary that says it is finished.

The folder is the Trainer's `default_root_dir`.
"""

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from lightning.fabric.utilities.rank_zero import rank_zero_only
from lightning.pytorch import Callback, Trainer
from lightning.pytorch import loggers as lightning_loggers
from lightning.pytorch.callbacks import Checkpoint

from linlight.data.datamodule import XYDataModule
from linlight.errors import InputError
from linlight.methods.base import LinearModel
from linlight.methods.exhaustive_search import ExhaustiveSearch
from linlight.runs.style import save_figure, search_curve
from linlight.training.results_board import show_results

FORMAT = 1
"""Of `summary.json`; raised by a change that an older `linlight.load` would misread."""


def new_folder(parent: Path) -> Path:
    """Makes `parent/version_0`, or the first higher number that is free.

    Two runs that start together get two folders: making the folder is what takes the number.
    """
    parent.mkdir(parents=True, exist_ok=True)
    taken = [int(p.name[8:]) for p in parent.glob("version_*") if p.name[8:].isdigit()]
    version = max(taken, default=-1) + 1
    while True:
        folder = parent / f"version_{version}"
        try:
            folder.mkdir(parents=True)  # a run that fails may take the parent away
        except FileExistsError:
            version += 1
        else:
            return folder


@contextmanager
def removed_on_failure(folder: Path | None, keep: Callable[[], bool] = lambda: False) -> Iterator[None]:
    """Removes a run's folder where the run fails, unless there is something in it worth keeping.

    Args:
        folder: The folder, or None on the processes that write nothing.
        keep: Says, once the run has failed, whether to keep it.
    """
    try:
        yield
    except BaseException:
        if folder is not None and not keep():
            shutil.rmtree(folder)
            if folder.parent.parent.name == "lightning_logs":  # another folder may be the user's own
                with suppress(OSError):  # there are other runs in it
                    folder.parent.rmdir()
        raise


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Writes a JSON file in one move: a reader finds all of it or none."""
    draft = path.with_name(path.name + ".part")
    draft.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    draft.replace(path)


def describe(model: LinearModel, rows: int) -> dict[str, Any]:
    """The model in full precision, and the size of the data it was fitted to or used on."""
    w, b = model.original_units()
    return {
        "method": type(model).__name__,
        "weights": w.tolist(),
        "bias": None if b is None else b.tolist(),
        "rows": rows,
        "features": model.w.shape[1],
        "targets": model.w.shape[0],
    }


class LastCheckpoint(Checkpoint):
    """Keeps `checkpoints/last.ckpt`: written as time passes, and at the end.

    Lightning's ModelCheckpoint writes after every epoch, which on three points costs more than the
    training, and ignores `train_time_interval` when a method optimizes by hand. Add one with `monitor` for
    the best instead of the last.

    Args:
        every_seconds: Least time between two checkpoints while training.
        every_steps: Least number of steps between two checkpoints; then the time does not matter. A method
            that only adds up makes one step in all: there they are its batches.
    """

    def __init__(self, every_seconds: float = 60.0, every_steps: int | None = None) -> None:
        if every_steps is not None and every_steps < 1:
            raise InputError(f"every_steps must be at least 1, got {every_steps}")
        self.every_seconds = every_seconds
        self.every_steps = every_steps
        self._due = 0.0
        self._saved_step = 0
        self._batches = 0  # since then

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Starts the clock."""
        self._due = time.monotonic() + self.every_seconds
        self._saved_step = trainer.global_step

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Saves in the middle of an epoch when it is time to; its end has a hook of its own."""
        # Several processes have to agree on the time, which is not worth its cost in every step.
        self._batches += 1
        agreed = trainer.world_size == 1 or self.every_steps is not None or batch_idx % 64 == 0
        if agreed and not trainer.is_last_batch:
            self._save_if_due(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Saves when it is time to."""
        self._save_if_due(trainer)

    def _save_if_due(self, trainer: Trainer) -> None:
        if self.every_steps is not None:
            due = max(trainer.global_step - self._saved_step, self._batches) >= self.every_steps
        else:
            due = time.monotonic() >= self._due
            if trainer.world_size > 1:  # rank 0's clock decides, since all processes save together
                due = trainer.strategy.broadcast(due)
        if due:
            self._save(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Saves the end of the training."""
        self._save(trainer)

    def on_fit_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Saves a run that was at its end already when it was resumed."""
        if not self._due:
            self._save(trainer)

    def on_exception(self, trainer: Trainer, pl_module: Any, exception: BaseException) -> None:
        """Saves a training that is stopped from the keyboard."""
        if isinstance(exception, KeyboardInterrupt) and trainer.state.fn == "fit":
            self._save(trainer)

    def _save(self, trainer: Trainer) -> None:
        path = Path(trainer.strategy.broadcast(trainer.default_root_dir)) / "checkpoints" / "last.ckpt"
        # In one move: a run that is killed while it saves keeps the checkpoint before.
        draft = path.with_name("last.ckpt.part")
        trainer.save_checkpoint(draft)
        if trainer.is_global_zero:
            draft.replace(path)
        self._saved_step, self._batches = trainer.global_step, 0
        self._due = time.monotonic() + self.every_seconds


class RunSummary(Callback):
    """Writes `summary.json` once training is over, and what TensorBoard is given at the end."""

    def __init__(self) -> None:
        self.summary: dict[str, Any] = {}
        self.first_step = 0
        self._started = time.perf_counter()
        self._validated: dict[str, float] = {}  # in a run that was at its end already when it was resumed

    def state_dict(self) -> dict[str, float]:
        """What only the run itself found out."""
        return {"val_loss": self.summary["val_loss"]} if "val_loss" in self.summary else {}

    def load_state_dict(self, state_dict: dict[str, float]) -> None:
        """Keeps it for a run that has nothing left to do."""
        self._validated = state_dict

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Starts the clock; a resumed run has steps behind it."""
        self.first_step = trainer.global_step
        self._started = time.perf_counter()

    def on_train_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Gathers the summary while all processes are there."""
        seconds = time.perf_counter() - self._started
        model: LinearModel = pl_module
        data: XYDataModule = trainer.datamodule  # type: ignore[attr-defined]
        train_loss = model.train_loss()
        model.check_finite(train_loss)
        metrics: dict[str, Any] = self._validated | {
            "train_loss": train_loss,
            "epochs": trainer.current_epoch,
            "steps": trainer.global_step,
        }
        if "val_loss" in trainer.callback_metrics:
            metrics["val_loss"] = trainer.callback_metrics["val_loss"].item()
        names = {"feature_names": data.feature_names, "target_names": data.target_names}
        described = describe(model, model.rows) | names | metrics | {"seconds": seconds}
        self.summary = {"format": FORMAT} | described | model.summary()

    def on_fit_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Writes what makes the folder look finished, last."""
        if not self.summary:  # at its end already when it was resumed
            self.on_train_end(trainer, pl_module)
        self._write(trainer, pl_module)

    @rank_zero_only
    def _write(self, trainer: Trainer, pl_module: Any) -> None:
        folder = Path(trainer.default_root_dir)
        show_results(trainer, pl_module, trainer.datamodule, self.summary)  # type: ignore[attr-defined]
        if isinstance(pl_module, ExhaustiveSearch):
            figure = search_curve(pl_module)
            save_figure(figure, folder / "loss_curve")
            for logger in trainer.loggers:
                if isinstance(logger, lightning_loggers.TensorBoardLogger):
                    logger.experiment.add_figure("loss_curve", figure, trainer.global_step)
        write_json(folder / "summary.json", self.summary)


def folder_name(path: str | os.PathLike[str]) -> str:
    """A folder as the user would type it: relative to where they are, if it lies below."""
    path = Path(path).absolute()
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
