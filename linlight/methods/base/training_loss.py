"""The training loss of an epoch, from what the steps return."""

import math
from typing import Any

import torch
from lightning.pytorch import Callback, Trainer
from torch import Tensor, nn

from linlight.distributed import check_replicas
from linlight.errors import Diverged, InputError
from linlight.functional.descent import largest_stable_step
from linlight.functional.update_rule import divergence_advice
from linlight.methods.base.batch import in_one_piece, scalar_like
from linlight.methods.base.run_rows import our_data, planned_batches, sizes_of_first_batch

READ_EVERY = 50
"""Updates between two looks at a loss on a GPU, which waits for each; on the CPU every loss is looked at."""


class TrainingLoss(Callback):
    """Averages the losses that the training steps return over the rows of the epoch, as `train_loss`.

    Every model brings it along (`configure_callbacks`). `trainer.callback_metrics["train_loss"]` is the mean
    over the rows so far (the sum, where the loss is a sum) from the first batch on, each batch at the
    weights before its update; `self.log` would do the same at a third of the cost of a whole step on small
    data. A loss that has left the finite numbers ends the training before anything is saved.
    """

    takes_several_batches = True

    def __init__(self) -> None:
        self._mean = torch.zeros((), dtype=torch.float64)
        self._weight: float | Tensor = 0.0
        self._batches = 0
        self._longest = 0  # batches of an epoch so far
        self._reached_end = False  # of an epoch

    def state_dict(self) -> dict[str, Any]:
        """What the epoch has added up so far; Lightning restores it in the middle of an epoch."""
        return {
            "loss": self._mean,
            "rows": self._weight,
            "batches": self._batches,
            "longest": self._longest,
            "reached_end": self._reached_end,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on adding up."""
        self._mean, self._weight = state_dict["loss"], state_dict["rows"]
        self._batches, self._longest = state_dict["batches"], state_dict["longest"]
        self._reached_end = state_dict["reached_end"]

    def setup(self, trainer: Trainer, pl_module: Any, stage: str) -> None:
        """Makes the weights of a model that no data module of ours has told its sizes, by the first batch."""
        # Loaders are there once their data module is set up, which is just before this; and callbacks that
        # average weights copy the model in their own `setup`, which is next. `configure_model`, the hook for
        # making layers, comes after both: WeightAveraging calls it beforehand and warns, and
        # StochasticWeightAveraging would copy a model without weights.
        if pl_module.linear is None and stage == "fit":  # elsewhere a checkpoint has them
            pl_module.build(*sizes_of_first_batch(trainer))

    def on_train_epoch_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Resets the sums; not called where an epoch is resumed in its middle."""
        self._mean, self._weight, self._batches = torch.zeros((), dtype=torch.float64), 0.0, 0

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Adds a step's loss."""
        self._batches += 1
        self._longest = max(self._longest, self._batches)
        self._reached_end |= trainer.is_last_batch
        loss = batch_loss(trainer, outputs)
        if loss is None:
            return
        if pl_module.single_pass:  # whose loss is that of all rows so far
            self._mean, self._weight = loss, 1.0
        elif pl_module.loss_is_total:
            self._mean, self._weight = (self._mean + loss if self._weight else loss), 1.0
        else:
            rows = sum(pl_module.expected_weight(one) for one in in_one_piece(batch))
            self._weight = self._weight + rows
            if isinstance(rows, Tensor):  # of another's loader; 0 of 0 is 0, and a GPU is not asked
                self._mean = self._mean + (loss - self._mean) * (rows / self._weight).nan_to_num()
            elif rows:
                self._mean = self._mean + (loss - self._mean) * (rows / self._weight)
        if loss.device.type == "cpu" or trainer.global_step % READ_EVERY == 0:
            check_finite(trainer, pl_module, loss.item())
        trainer.callback_metrics["train_loss"] = self._mean

    def on_train_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Checks the epoch's loss.

        Raises:
            InputError: If it is not finite, or there was no batch.
        """
        if not self._batches:  # a stream, whose rows are not counted beforehand
            raise InputError("the table has no rows to train on: give at least one")
        if trainer.world_size > 1:
            self._add_up_over_processes(trainer, pl_module)
        if "train_loss" not in trainer.callback_metrics:
            return  # the steps neither return nor log one
        loss = trainer.callback_metrics["train_loss"]
        check_finite(trainer, pl_module, loss.item())

    @property
    def limit(self) -> int | None:
        """Batches of the longest epoch so far, None where one has reached its end, or there was none."""
        return None if self._reached_end else self._longest or None

    def _add_up_over_processes(self, trainer: Trainer, model: Any) -> None:
        check_replicas(trainer, *model.parameters())
        mean = self._mean.double()
        total, weight = model.sum_over_processes(mean * self._weight, scalar_like(mean, self._weight))
        if weight:
            trainer.callback_metrics["train_loss"] = self._mean = total / weight


def run_batches(trainer: Trainer) -> float:
    """How many of its loader's batches a run has seen in an epoch, infinite where it saw all of them."""
    one: TrainingLoss = next(one for one in trainer.callbacks if isinstance(one, TrainingLoss))  # type: ignore[attr-defined]
    return planned_batches(trainer) if one.limit is None else one.limit


def batch_loss(trainer: Trainer, outputs: Any) -> Tensor | None:
    """The loss that a training step returned, at the weights before its update; None where it returned none.

    Args:
        trainer: The Trainer, which divides the losses that it accumulates gradients of.
        outputs: What `on_train_batch_end` is given.
    """
    loss: Tensor | None = outputs.get("loss") if isinstance(outputs, dict) else None
    if loss is None or not trainer.lightning_module.automatic_optimization:
        return loss
    return loss * trainer.accumulate_grad_batches if trainer.accumulate_grad_batches > 1 else loss


def epoch_loss(trainer: Trainer) -> float:
    """The training loss of the epoch so far, NaN where the steps neither return nor log one."""
    loss = trainer.callback_metrics.get("train_loss")
    return math.nan if loss is None else loss.item()


def check_finite(trainer: Trainer, model: Any, loss: float) -> None:
    """Stops a training whose loss has left the finite numbers.

    Raises:
        Diverged: With what to do about it; an InputError at the very first step.
    """
    if math.isfinite(loss):
        return
    if trainer.global_step <= 1:
        raise InputError(
            "the loss is not a finite number at the very first step: the data are too large for "
            f"{str(model.w.dtype).removeprefix('torch.')}, divide them by their size or use dtype float64"
        )
    raise Diverged(
        f"the loss left the finite numbers in epoch {trainer.current_epoch}, step {trainer.global_step}: "
        f"{advice(trainer, model)}"
    )


def advice(trainer: Trainer, model: Any) -> str:
    """What to do about the loss of a training that grew without end."""
    optimizer = model.hparams.get("optimizer")
    option = "--optimizer.lr" if optimizer else "--model.lr"
    rule = model.update_rule()
    if rule is None and optimizer:
        return f"use a smaller {option} with {optimizer['class_path'].rpartition('.')[2]}"
    return divergence_advice(rule, _stable_step(trainer, model), option)


def _stable_step(trainer: Trainer, model: Any) -> float | None:
    """The largest stable learning rate of whole-batch steps; None where the loss has no such bound."""
    data = our_data(trainer)
    if data is None or not isinstance(model.criterion, nn.MSELoss) or math.isfinite(planned_batches(trainer)):
        return None
    m = data.statistics.scaled(data.scaling)
    return largest_stable_step(m, bias=model.b is not None, total=model.loss_is_total)
