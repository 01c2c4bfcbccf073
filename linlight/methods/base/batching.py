"""How many batches a step takes at once: several only where nothing counts or looks at single ones."""

from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import (
    BatchSizeFinder,
    LearningRateFinder,
    ModelCheckpoint,
    ProgressBar,
    Timer,
)
from lightning.pytorch.utilities.model_helpers import is_overridden

from linlight.data.datamodule import XYDataModule
from linlight.distributed import say

HOOKS = (
    "on_train_batch_start",
    "on_before_zero_grad",
    "on_before_backward",
    "on_after_backward",
    "on_before_optimizer_step",
    "on_train_batch_end",
)
"""Those that are called for every batch."""


def batches_per_step(trainer: Trainer, model: Any, data: XYDataModule) -> int:
    """How many batches to hand to a training step at once, so that Lightning's cost per step matters less.

    One, where the Trainer counts batches, or a callback or the model overrides a hook that is called for each
    of them. A callback that sees as much in several at once says so: `takes_several_batches = True`.
    """
    asked = data.updates_per_step
    watcher = _watcher(trainer, model)
    if watcher:
        if (asked or 1) > 1 and not data.reduce:
            say(f"updates_per_step {asked} is not used: {watcher} looks at single batches")
        return 1
    if asked is not None:
        return asked
    batch_size = min(data.batch_size or data.train_size, data.train_size)
    several: int = model.updates_at_once(data.batches, batch_size)
    return several


def _watcher(trainer: Trainer, model: LightningModule) -> str:
    """What would not be the same with several batches at once, or an empty text."""
    counts = {
        "max_steps": trainer.max_steps != -1,
        "limit_train_batches": trainer.limit_train_batches != 1.0,
        "val_check_interval": trainer.val_check_interval != 1.0,
    }
    for name, is_set in counts.items():
        if is_set:
            return name
    callbacks: list[Any] = trainer.callbacks  # type: ignore[attr-defined]
    watching = (one for one in [*callbacks, model] if _watches(one))
    return next((type(one).__name__ for one in watching), "")


def _watches(hooked: Callback | LightningModule) -> bool:
    if getattr(hooked, "takes_several_batches", False) or type(hooked) is Timer:
        return False
    if type(hooked) is ModelCheckpoint:
        return not hooked.every_n_epochs  # otherwise it counts steps, or looks at the time
    if isinstance(hooked, BatchSizeFinder | LearningRateFinder):  # which count steps without a hook
        return True
    if isinstance(hooked, ProgressBar) and type(hooked).__module__.startswith("lightning."):
        return False
    return any(is_overridden(hook, hooked) for hook in HOOKS)
