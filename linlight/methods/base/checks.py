"""Whether a method, its data, a checkpoint and the Trainer go together: one line, no wrong run."""

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

from linlight.data.datamodule import XYDataModule
from linlight.errors import InputError
from linlight.methods.base.linear import LinearModule

NO_RATE = (LearningRateMonitor, LearningRateFinder)
ONLY_AUTOMATIC: dict[type, str] = {
    GradientAccumulationScheduler: "use a larger batch_size",
    ModelPruning: "use LinearRegression",
}
"""What works inside Lightning's automatic optimization only, and what does instead."""
SHARDED = (DeepSpeedStrategy, FSDPStrategy, ModelParallelStrategy)


def check_trainer(model: Any, trainer: Trainer) -> None:
    """Raises where a method does not go with the Trainer's settings and callbacks."""
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


def check_data(model: LinearModule, data: XYDataModule, stage: str) -> None:
    """Raises where a method cannot do with data what a stage asks for."""
    if stage != "predict":
        data.check_targets()
        if data.reduce:
            model.check_reducible()
    if stage != "fit":
        return
    if data.streamed and not (data.reduce or data.batch_size or model.single_pass):
        raise InputError(
            "a stream's rows are never in memory all at once, as an update from all of them needs: add "
            "--data.reduce true for the same path without them, or --data.batch_size, such as 1024"
        )
    if data.standardize and model.b is None:
        raise InputError("standardize centres the features, so the model needs a bias: --model.bias true")


def check_sizes(model: LinearModule, data: XYDataModule) -> None:
    """Raises where the data have other features or targets than a model's weights."""
    if model.w.shape[1] != data.features:
        raise InputError(
            f"the model has {model.w.shape[1]} features and the data have {data.features}: "
            "give the features it was trained on, in the same order"
        )
    check_targets(data, model.w.shape[0])


def check_targets(data: XYDataModule, targets: int) -> None:
    """Raises where the data have targets, but more or fewer than a model."""
    if data.targets not in (None, targets):
        raise InputError(
            f"the model has {targets} targets and the data have {data.targets}: "
            "give the targets it was trained on, in the same order"
        )


def check_columns(checkpoint: dict[str, Any], data: XYDataModule) -> None:
    """Raises where a table's columns are not those that a checkpoint's weights belong to."""
    learned = checkpoint.get("columns")
    if learned is None or not data.is_table:
        return
    present = {"feature": data.feature_names, "target": data.target_names if data.targets else []}
    for kind, names in present.items():
        for i, (was, now) in enumerate(zip(learned[kind], names, strict=False)):
            if was != now:
                raise InputError(
                    f"{kind} {i} (counted from 0) is {was!r} in the checkpoint and {now!r} in the data: "
                    "leave out --data.features, --data.categorical and --data.target, which it remembers"
                )


def check_units(checkpoint: dict[str, Any], data: XYDataModule) -> None:
    """Raises where features were standardised and no longer are, or the other way round."""
    standardized = "standardized" in checkpoint
    if data.standardize != standardized:
        raise InputError(
            f"the checkpoint was trained {'with' if standardized else 'without'} standardize, which makes "
            f"its steps others: set standardize to {str(standardized).lower()}"
        )
