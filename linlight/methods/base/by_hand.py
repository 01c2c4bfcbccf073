"""What the methods that move `w.data` by hand share."""

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
from torch import Tensor

from linlight.data.datamodule import XYDataModule
from linlight.data.loaders import Batches
from linlight.distributed import say
from linlight.errors import InputError
from linlight.methods.base.batch import Batch, as_batches, mean_over
from linlight.methods.base.compiled import Kernel, compiled_updates, kernel_for, rows_at_once
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
    """A method without automatic optimization, whose step is `w.data -= lr * w.grad.data`.

    A subclass writes `update`. A training step may take many small batches at once, with an update after
    each, so that Lightning's cost per step does not decide the speed.

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
        self._kernel: Kernel | None = None  # takes the updates, where they are many
        self._is_seen = True  # whether the next update takes Lightning's way

    def update(self, batch: Batch) -> Tensor:
        """Updates the weights by a batch: puts the gradient into `grad`, and calls `step`.

        Args:
            batch: (x, y) or (x, y, weights), as `unpack` makes it.

        Returns:
            The loss before the update, ().
        """
        raise NotImplementedError(f"{type(self).__name__} has no update(batch), which returns the loss")

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Takes an update after each of the batches that are handed out at once."""
        if self._kernel is not None:
            loss, updates = compiled_updates(self, self._kernel, batch)
            self._count(updates - 1)
            self.step()
            return loss
        batches = as_batches(batch) if isinstance(batch, Batches) else [self.unpack(batch)]
        losses = []
        for i, one in enumerate(batches):
            every: int = self.trainer.log_every_n_steps  # type: ignore[attr-defined]
            is_logged = bool(every) and self.trainer.global_step % every == 0
            self._is_seen = is_logged or i == len(batches) - 1
            loss = self.update(one)
            if loss is None:
                raise InputError(f"{type(self).__name__}.update returns nothing: return the batch's loss")
            losses.append(loss.detach())
        return mean_over(losses, [self.expected_weight(one) for one in batches])

    def step(self) -> None:
        """Moves the weights against the gradient.

        Lightning's way around a step costs ten times the step. Of several in one `training_step`, only
        those that are logged and the last take it; the others are counted all the same.
        """
        optimizer: Any = self.optimizers()
        bare = optimizer.optimizer
        if self._is_seen:
            optimizer.step()
        else:
            bare.update() if isinstance(bare, ManualSGD) else bare.step()
            self._count(1)
        for config in self.trainer.lr_scheduler_configs:
            # Lightning steps them, its LearningRateFinder's too, in automatic optimization only.
            if config.interval == "step" and not config.reduce_on_plateau:
                config.scheduler.step()  # type: ignore[call-arg]

    def _count(self, updates: int) -> None:
        """Counts updates that did not take Lightning's way, as `global_step` does."""
        steps = self.trainer.fit_loop.epoch_loop.manual_optimization.optim_step_progress
        for counted in (steps.total, steps.current):
            counted.ready += updates
            counted.completed += updates

    def configure_optimizers(self) -> ManualSGD:
        """The step `w.data -= lr * w.grad.data`."""
        return ManualSGD(self.parameters(), self.lr)

    # How many batches a training step takes --------------------------------------------------------------

    def setup(self, stage: str) -> None:
        """Chooses the form of the updates, and how many a training step takes."""
        super().setup(stage)
        self._kernel = None
        if stage == "fit" and self._data is not None:
            self._plan_steps(self._data)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Adds which form the updates take: a training that goes on takes the same."""
        super().on_save_checkpoint(checkpoint)
        checkpoint["compiled"] = self._kernel is not None

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Goes on in the same form, whatever the number of epochs is by now."""
        super().on_load_checkpoint(checkpoint)
        if self._data is not None and self.trainer.state.fn == "fit":
            self._plan_steps(self._data, checkpoint)

    def _plan_steps(self, data: XYDataModule, checkpoint: dict[str, Any] | None = None) -> None:
        """Chooses the kernel, where steps are `ManualSGD`'s, and how many batches a training step takes."""
        plain = type(self).configure_optimizers is ByHandModel.configure_optimizers
        self._kernel = kernel_for(self, checkpoint) if plain else None
        kept = None if checkpoint is None else _kept_batches_per_step(checkpoint)
        data.configure_batches(batches_per_step=self._batches_per_step(data, kept))

    def _batches_per_step(self, data: XYDataModule, kept: int | None) -> int:
        """How many batches a training step is handed at once: what was asked for, or as many as save time.

        In an epoch that goes on, `kept`: as many as before, whatever another version would choose.

        One, where the Trainer counts batches, or a callback or the model overrides a hook that is called for
        each of them. A callback to which several at once are as good says `takes_several_batches = True`.
        """
        asked = data.updates_per_step
        watcher = _watcher(self.trainer, self)
        if watcher:
            if (asked or 1) > 1 and not data.reduce:
                say(f"updates_per_step {asked} is not used: {watcher} looks at single batches")
            return 1
        if asked is not None or kept is not None:
            return asked or kept or 1
        batch_size = min(data.batch_size or data.train_size, data.train_size)
        if self._kernel is not None:
            return max(1, min(rows_at_once(self) // batch_size, data.batches // 4))
        together = min(64, 2**14 // batch_size)  # rows that stay in the cache
        return together if together > 1 and data.batches >= 4 * together else 1


def _kept_batches_per_step(checkpoint: dict[str, Any]) -> int | None:
    """How many batches a training step took, of a checkpoint inside an epoch; None of any other."""
    loop = checkpoint.get("loops", {}).get("fit_loop", {})
    loaders = loop.get("state_dict", {}).get("combined_loader")
    position = loaders[0] if isinstance(loaders, list) and loaders else None
    if not isinstance(position, dict) or not position.get("batch"):
        return None
    kept = position.get("updates_per_step")
    return kept if isinstance(kept, int) and kept > 0 else None


def _watcher(trainer: Trainer, model: LightningModule) -> str:
    """The name of what has to see single batches; empty where nothing has."""
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
    if isinstance(hooked, ByHandModel) and type(hooked).training_step is not ByHandModel.training_step:
        return True
    return any(is_overridden(hook, hooked) for hook in HOOKS)
