"""Settings of Lightning's that cannot do for a method what they are there for: one line, no wrong run."""

from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import (
    BackboneFinetuning,
    BatchSizeFinder,
    GradientAccumulationScheduler,
    LearningRateFinder,
    LearningRateMonitor,
    ModelPruning,
    StochasticWeightAveraging,
)
from lightning.pytorch.callbacks.spike import SpikeDetection
from lightning.pytorch.strategies import DeepSpeedStrategy, FSDPStrategy, ModelParallelStrategy
from lightning.pytorch.utilities.parsing import lightning_getattr, lightning_hasattr

from linlight.errors import InputError

NO_RATE = (LearningRateMonitor, LearningRateFinder)
ONLY_AUTOMATIC: dict[type, str] = {
    GradientAccumulationScheduler: "use a larger batch_size",
    ModelPruning: "use LinearRegression",
}
"""What works inside Lightning's automatic optimization only, and what does instead."""
SHARDED = (DeepSpeedStrategy, FSDPStrategy, ModelParallelStrategy)


def check_trainer(model: Any, trainer: Trainer) -> None:
    """Makes sure that a method and the Trainer's settings and callbacks go together.

    Raises:
        InputError: If they do not, with what to leave out or use instead.
    """
    if trainer.val_check_interval == 0:
        raise InputError("val_check_interval 0 never comes: give at least 1, or limit_val_batches 0")
    name = type(model).__name__
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        reason = _reason(model, callback)
        if reason:
            raise InputError(f"{type(callback).__name__} is not for {name}, which {reason}")
    if isinstance(trainer.strategy, SHARDED) and not model.automatic_optimization:
        raise InputError(
            f"{name} moves its weights by hand, and {type(trainer.strategy).__name__} leaves each process "
            "only a part of them: use strategy ddp"
        )


def _reason(model: LightningModule, callback: object) -> str:
    if isinstance(callback, BatchSizeFinder):
        argument = callback._batch_arg_name
        if lightning_hasattr(model, argument) and lightning_getattr(model, argument) is None:
            return f"takes all rows as one batch: give a {argument} to begin with"
    single_pass = getattr(model, "single_pass", False)
    if single_pass and isinstance(callback, NO_RATE):
        return "has no learning rate: leave it out"
    if single_pass and isinstance(callback, SpikeDetection | StochasticWeightAveraging):
        return "takes no steps down a loss: leave it out"
    if isinstance(callback, BackboneFinetuning) and not hasattr(model, "backbone"):
        return "has no backbone to freeze: leave it out"
    if not model.automatic_optimization:
        for kind, instead in ONLY_AUTOMATIC.items():
            if isinstance(callback, kind):
                return f"moves its weights by hand: {instead}"
    return ""
