"""The checkpoint from which a run is resumed: `checkpoints/last.ckpt` in its folder."""

import time
from typing import Any

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Checkpoint, ModelCheckpoint

from linlight.errors import Diverged, InputError
from linlight.training.folder import run_folder
from linlight.training.stopping import EXIT_CODE, StopRequest, hear_again

LATENCY = 0.2
"""Seconds between two moments at which several processes agree on whether to save and to stop."""


class LastCheckpoint(Checkpoint):
    """Keeps `checkpoints/last.ckpt`: written as time passes, at the end, and where the run is asked to stop.

    Lightning's ModelCheckpoint writes after every epoch, which on three points costs more than the
    training, and ignores `train_time_interval` when a method optimizes by hand; on a signal it saves nothing,
    or with `save_on_exception` between an update and what counts it. Add one with `monitor` for the best
    instead of the last.

    The first SIGINT or SIGTERM ends the training after the present `training_step` and saves, on all
    processes alike; then `SystemExit` is raised. A second one raises `KeyboardInterrupt` and saves nothing.

    Args:
        every_seconds: The least time between two checkpoints while training.
        every_steps: The least number of steps between two checkpoints, instead of a time; batches where a
            method makes a single pass, which is one step in all.
    """

    takes_several_batches = True

    def __init__(self, every_seconds: float = 60.0, every_steps: int | None = None) -> None:
        if every_steps is not None and every_steps < 1:
            raise InputError(f"every_steps must be at least 1, got {every_steps}")
        self.every_seconds = every_seconds
        self.every_steps = every_steps
        self._due = 0.0
        self._saved_step = 0
        self._batches = 0  # since then
        self._stop = StopRequest()
        # When the processes last agreed, batches since then, and after how many they do again.
        self._agreed, self._since, self._agree_in = 0.0, 0, 1

    def setup(self, trainer: Trainer, pl_module: Any, stage: str) -> None:
        """Moves behind a ModelCheckpoint: Lightning asks the first checkpoint callback for the `best`."""
        if any(isinstance(one, ModelCheckpoint) for one in trainer.checkpoint_callbacks):
            others = [one for one in trainer.callbacks if one is not self]  # type: ignore[attr-defined]
            trainer.callbacks = [*others, self]  # type: ignore[attr-defined]

    def on_load_checkpoint(self, trainer: Trainer, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        """Makes a run go on exactly where it was."""
        loop = checkpoint.get("loops", {}).get("fit_loop")
        if loop is not None and trainer.state.fn == "fit":
            _correct(loop, trainer.max_steps != -1)

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Starts the clock, and begins to handle signals: until now there was nothing to save."""
        self._agreed = time.monotonic()
        self._due = self._agreed + self.every_seconds
        self._saved_step = trainer.global_step
        self._batches, self._since, self._agree_in = 0, 0, 1
        self._stop.listen()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Saves inside an epoch when a checkpoint is due."""
        self._batches += 1
        self._since += 1
        # Several processes have to agree, which is not worth its cost in every step.
        if not trainer.is_last_batch and (trainer.world_size == 1 or self._since >= self._agree_in):
            self._save_if_due(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Saves when a checkpoint is due."""
        self._save_if_due(trainer)

    def _save_if_due(self, trainer: Trainer) -> None:
        asked = self._stop.asked
        if self.every_steps is not None:
            due = max(trainer.global_step - self._saved_step, self._batches) >= self.every_steps
        else:
            due = time.monotonic() >= self._due
        if trainer.world_size > 1:
            asked, due = self._agree(trainer, asked, due)
        # A training that ends here anyway ends as it would.
        stop = asked and not trainer.fit_loop.done
        if due or stop:
            self._save(trainer)
        if stop:
            raise SystemExit(EXIT_CODE)

    def _agree(self, trainer: Trainer, asked: bool, due: bool) -> tuple[bool, bool]:
        """Agrees over all processes, and on the batch when they next do: what one asks for, all do."""
        now = time.monotonic()
        pause = int(LATENCY * self._since / max(now - self._agreed, 1e-9)) if self.every_steps is None else 1
        votes = torch.tensor([asked, due, pause], device=trainer.strategy.root_device)
        asked, due, self._agree_in = trainer.strategy.reduce(votes, reduce_op="max").tolist()
        self._agreed, self._since = now, 0
        return bool(asked), bool(due)

    def on_train_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Saves the end of the training."""
        self._save(trainer)
        self._stop.close()

    def on_fit_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Saves a run that was resumed at its end."""
        if not self._due:
            self._save(trainer)

    def on_exception(self, trainer: Trainer, pl_module: Any, exception: BaseException) -> None:
        """Stops handling signals; keeps a training whose numbers have ended, on one process."""
        self._stop.close()
        ended_apart = trainer.world_size > 1 or self._saved_step == trainer.global_step
        if isinstance(exception, Diverged) and not ended_apart:
            self._save(trainer)
        if isinstance(exception, KeyboardInterrupt):
            hear_again()

    def _save(self, trainer: Trainer) -> None:
        if trainer.fast_dev_run:  # type: ignore[attr-defined]  # a trial, which nobody resumes
            return
        path = run_folder(trainer) / "checkpoints" / "last.ckpt"
        # In one move: a run that is killed while it saves keeps the checkpoint before. Lightning writes to a
        # temporary folder, from which the move may be a copy.
        draft = path.with_name("last.ckpt.part")
        try:
            trainer.save_checkpoint(draft, weights_only=False)  # else Lightning tells of its default
            if trainer.is_global_zero:
                draft.replace(path)
        except BaseException:
            draft.unlink(missing_ok=True)
            raise
        self._saved_step, self._batches = trainer.global_step, 0
        self._due = time.monotonic() + self.every_seconds


def _correct(loop: dict[str, Any], counts_steps: bool) -> None:
    """Corrects the state of Lightning's loop in a checkpoint that was saved when an epoch had ended.

    Lightning takes an epoch that ended before its last batch, as by `max_steps`, for a whole one, and loses
    its other batches; and where `max_steps` is set, it adds an epoch without a batch after a whole one.
    """
    epochs, batches = loop["epoch_progress"], loop["epoch_loop.batch_progress"]
    if epochs["total"]["processed"] != epochs["total"]["ready"]:  # it was saved inside an epoch
        return
    if batches["current"]["ready"] and not batches["is_last_batch"]:
        for counts in epochs.values():
            counts["processed"] = counts["completed"] = counts["ready"] - 1
    elif counts_steps:
        for counts in epochs.values():
            counts["completed"] = counts["processed"]
        batches["current"] = dict.fromkeys(batches["current"], 0)
        batches["is_last_batch"] = False
