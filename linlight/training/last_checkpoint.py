"""The checkpoint with which a run goes on: `checkpoints/last.ckpt` in its folder."""

import time
from pathlib import Path
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Checkpoint

from linlight.errors import InputError


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
