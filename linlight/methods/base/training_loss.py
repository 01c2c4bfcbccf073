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

KEPT = ("loss", "rows", "batches", "longest", "reached_end")
"""What checkpoints keep of it."""


class TrainingLoss(Callback):
    """Averages the losses that the training steps return over the rows of the epoch, as `train_loss`.

    Every model brings it along (`configure_callbacks`). `trainer.callback_metrics["train_loss"]` is the mean
    over the rows so far (the sum, where the loss is a sum) from the first batch on, each batch at the
    weights before its update; `self.log` would do the same at a third of the cost of a whole step on small
    data. A loss that has left the finite numbers ends the training before anything is saved.
    """

    takes_several_batches = True

    def __init__(self) -> None:
        self.loss = torch.zeros((), dtype=torch.float64)  # of the epoch so far
        self.rows: float | Tensor = 0.0  # what it is the mean over
        self.batches = 0  # of the epoch so far
        self.longest = 0  # batches of any epoch so far
        self.reached_end = False  # whether an epoch came to its loader's last batch

    def state_dict(self) -> dict[str, Any]:
        """Returns what the epoch has added up so far; Lightning restores it in the middle of an epoch."""
        return {name: getattr(self, name) for name in KEPT}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on adding up."""
        for name in KEPT:
            setattr(self, name, state_dict[name])

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
        self.loss, self.rows, self.batches = torch.zeros((), dtype=torch.float64), 0.0, 0

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Adds a step's loss."""
        self.batches += 1
        self.longest = max(self.longest, self.batches)
        self.reached_end |= trainer.is_last_batch
        loss = batch_loss(trainer, outputs)
        if loss is None:
            return
        if pl_module.single_pass:  # whose loss is that of all rows so far
            self.loss, self.rows = loss, 1.0
        elif pl_module.loss_is_total:
            self.loss, self.rows = (self.loss + loss if self.rows else loss), 1.0
        else:
            rows = sum(pl_module.expected_weight(one) for one in in_one_piece(batch))
            self.rows = self.rows + rows
            if isinstance(rows, Tensor):  # of another's loader; 0 of 0 is 0, and a GPU is not asked
                self.loss = self.loss + (loss - self.loss) * (rows / self.rows).nan_to_num()
            elif rows:
                self.loss = self.loss + (loss - self.loss) * (rows / self.rows)
        if loss.device.type == "cpu" or trainer.global_step % READ_EVERY == 0:
            check_finite(trainer, pl_module, loss.item())
        trainer.callback_metrics["train_loss"] = self.loss

    def on_train_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Adds up over the processes, and checks the epoch's loss.

        Raises:
            InputError: If it is not finite, or there was no batch.
        """
        if not self.batches:  # a stream, whose rows are not counted beforehand
            raise InputError("the table has no rows to train on: give at least one")
        if trainer.world_size > 1:
            check_replicas(trainer, *pl_module.parameters())
            mean = self.loss.double()
            total, rows = pl_module.sum_over_processes(mean * self.rows, scalar_like(mean, self.rows))
            if rows:
                trainer.callback_metrics["train_loss"] = self.loss = total / rows
        if "train_loss" in trainer.callback_metrics:  # else the steps neither return nor log one
            check_finite(trainer, pl_module, epoch_loss(trainer))


def run_batches(trainer: Trainer) -> float:
    """How many of its loader's batches a run has seen in an epoch, infinite where it saw all of them."""
    one: TrainingLoss = next(one for one in trainer.callbacks if isinstance(one, TrainingLoss))  # type: ignore[attr-defined]
    return one.longest if one.longest and not one.reached_end else planned_batches(trainer)


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
