"""What the methods that move `w.data` by hand share."""

from collections.abc import Iterator
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
from linlight.data.loaders import Batches
from linlight.distributed import say
from linlight.functional.update_rule import UpdateRule
from linlight.methods.base.batch import Batch, as_batches
from linlight.methods.base.model import LinearModel
from linlight.methods.base.optim import ManualSGD, check_lr

HOOKS = (
    "on_train_batch_start",
    "on_before_zero_grad",
    "on_before_backward",
    "on_after_backward",
    "on_before_optimizer_step",
    "on_train_batch_end",
)
"""Those that are called for every batch."""


class ByHandModel(LinearModel):
    """A method without automatic optimization, whose update is `w.data -= lr * w.grad.data`.

    Its `training_step` loops over `updates`, puts the gradient into `grad`, and calls `step`; so it takes
    many small batches at once, and Lightning's cost per step does not decide the speed.

    Args:
        lr: Learning rate, the length of a step in units of the gradient.
        bias: Whether the model has a bias; the notes have none.
        w0: Starting value of every weight; the bias starts at 0.
        metrics: Further regression metrics of torchmetrics, by the names of their classes.

    Raises:
        InputError: If `lr` is not positive and finite.
    """

    def __init__(
        self,
        lr: float = 0.01,
        bias: bool = False,
        w0: float = 1.0,
        metrics: list[str] | None = None,
    ) -> None:
        super().__init__(bias, w0, metrics=metrics)
        self.lr = check_lr(lr)
        self.automatic_optimization = False
        self._is_seen = True

    def batches_per_step(self, data: XYDataModule) -> int:
        """How many batches a training step is handed, so that Lightning's cost per step matters less.

        One, where the Trainer counts batches, or a callback or the model overrides a hook that is called for
        each of them. A callback that sees as much in several at once says so: `takes_several_batches = True`.
        """
        asked = data.updates_per_step
        watcher = _watcher(self.trainer, self)
        if watcher:
            if (asked or 1) > 1 and not data.reduce:
                say(f"updates_per_step {asked} is not used: {watcher} looks at single batches")
            return 1
        if asked is not None:
            return asked
        batch_size = min(data.batch_size or data.train_size, data.train_size)
        return self.updates_at_once(data.batches, batch_size)

    def configure_optimizers(self) -> ManualSGD:
        """The update `w.data -= lr * w.grad.data`."""
        return ManualSGD(self.parameters(), self.lr)

    def update_rule(self) -> UpdateRule | None:
        """Plain steps of length `lr`."""
        return UpdateRule(self.lr)

    def batches(self, item: Any) -> list[Batch]:
        """The batches of a training step, one update each."""
        return as_batches(item) if isinstance(item, Batches) else [self.unpack(item)]

    def updates(self, batches: list[Batch]) -> Iterator[Batch]:
        """Goes over the batches of a training step; see `step`."""
        for i, one in enumerate(batches):
            every: int = self.trainer.log_every_n_steps  # type: ignore[attr-defined]
            logged = every and self.trainer.global_step % every == 0
            self._is_seen = bool(logged) or i == len(batches) - 1
            yield one

    def step(self) -> None:
        """Updates the weights by hand.

        Lightning's way around an update costs ten times the update. Of several in one `training_step`, only
        those that are logged and the last take it; the others are counted all the same.
        """
        optimizer = self.optimizers()
        if self._is_seen:
            optimizer.step()  # type: ignore[union-attr]
            for config in self.trainer.lr_scheduler_configs:
                # Lightning steps them, its LearningRateFinder's too, in automatic optimization only.
                if config.interval == "step" and not config.reduce_on_plateau:
                    config.scheduler.step()  # type: ignore[call-arg]
            return
        optimizer.optimizer.update()  # type: ignore[union-attr]
        self.count_updates(1)

    def count_updates(self, updates: int) -> None:
        """Counts updates that did not take Lightning's way, as `global_step` does."""
        steps = self.trainer.fit_loop.epoch_loop.manual_optimization.optim_step_progress
        for counted in (steps.total, steps.current):
            counted.ready += updates
            counted.completed += updates

    def updates_at_once(self, batches: int, batch_size: int) -> int:
        """How many batches a training step takes, where nothing looks at single ones."""
        together = min(64, 2**14 // batch_size)  # rows that stay in the cache
        return together if together > 1 and batches >= 4 * together else 1


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
