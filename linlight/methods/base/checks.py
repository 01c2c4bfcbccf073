"""Checks that a method, its data and the Trainer go together; what does not is refused."""

import textwrap

import torch
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
from torch import Tensor, nn

from linlight.data.datamodule import XYDataModule
from linlight.distributed import say
from linlight.errors import InputError
from linlight.functional.standardize import Standardizer
from linlight.functional.statistic import Moments, column_norms
from linlight.methods.base.criterion import is_total
from linlight.text import count

NO_RATE = (LearningRateMonitor, LearningRateFinder)
ONLY_AUTOMATIC: dict[type, str] = {
    GradientAccumulationScheduler: "use a larger batch_size",
    ModelPruning: "use LinearRegression",
}
"""What works inside Lightning's automatic optimization only, and what does instead."""
SHARDED = (DeepSpeedStrategy, FSDPStrategy, ModelParallelStrategy)
NOTICED = 1e-3
"""Warn when rounding shifts predictions by more than this fraction of the target's standard deviation."""


def check_trainer(model: LightningModule, trainer: Trainer) -> None:
    """Raises where a method does not go with the Trainer's settings and callbacks."""
    if trainer.precision not in ("32-true", "64-true"):
        raise InputError(
            f"precision {trainer.precision} is not used here: --data.dtype float32 or float64, which is "
            "--trainer.precision 32-true or 64-true, is the type of all numbers"
        )
    if trainer.state.fn != "fit":
        return
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
    """Why a callback is not for a method; empty where it is."""
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


def check_data(
    data: XYDataModule, stage: str, linear: nn.Linear, criterion: nn.Module, *, single_pass: bool
) -> None:
    """Raises where a method cannot do with data what a stage asks for."""
    if stage != "predict":
        data.check_targets()
        if data.reduce and (not isinstance(criterion, nn.MSELoss) or is_total(criterion)):
            raise InputError(
                f"reduce keeps the mean squared error of the data and nothing else, not {criterion}: "
                "set reduce to false"
            )
    if stage == "fit":
        if data.streamed and not (data.reduce or data.batch_size or single_pass):
            raise InputError(
                "a stream's rows are never in memory all at once, as an update from all of them needs: add "
                "--data.reduce true for the same path without them, or --data.batch_size, such as 1024"
            )
        if data.standardize and linear.bias is None:
            raise InputError("standardize centres the features, so the model needs a bias: --model.bias true")
    check_sizes("model", linear.in_features, linear.out_features, data.features, data.targets)


def check_sizes(owner: str, features: int, targets: int, found: int, found_targets: int | None) -> None:
    """Raises where data have other features, or other targets if any, than a model or a checkpoint."""
    for what, learned, there in (
        ("features", features, found),
        ("targets", targets, targets if found_targets is None else found_targets),
    ):
        if learned != there:
            raise InputError(
                f"the {owner} has {learned} {what} and the data have {there}: "
                f"give the {what} it was trained on, in the same order"
            )


def check_features(linear: nn.Linear, x: Tensor, *, any_type: bool = False) -> None:
    """Raises where a batch's x, (B, D), is of other sizes than the weights, or of another type."""
    features, targets, dtype = linear.in_features, linear.out_features, linear.weight.dtype
    if x.ndim != 2 or x.shape[1] != features:
        raise InputError(
            f"a batch's x has the shape {tuple(x.shape)}: it must be (rows, features), and the model has "
            f"{count(features, 'feature')}"
        )
    if x.dtype != dtype and not any_type:
        also = f", or call build({features}, {targets}, {x.dtype})" if x.is_floating_point() else ""
        raise InputError(f"a batch's x is {_name(x.dtype)} and the model {_name(dtype)}: convert x{also}")


def check_batch(linear: nn.Linear, x: Tensor, y: Tensor, *, any_type: bool = False) -> None:
    """Raises as `check_features`, or where y, (B, T), has other targets than the weights."""
    check_features(linear, x, any_type=any_type)
    if y.shape[1] != linear.out_features:
        raise InputError(
            f"a batch has {count(y.shape[1], 'target')} and the model {linear.out_features}: "
            f"call build({x.shape[1]}, {y.shape[1]}), or leave it out"
        )


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def warn_of_rounding(w: Tensor, dtype: torch.dtype, scaling: Standardizer, m: Moments) -> None:
    """Warns where features far from zero cost predictions the precision of standardised training.

    Args:
        w: Weights in the data's own units, (T, D).
        dtype: The type that they are rounded to.
        scaling: How the features were standardised.
        m: The statistic of the rows trained on.
    """
    if dtype == torch.float64:
        return
    spread = column_norms(m.triangle[:, m.features :]) / m.weight.sqrt()  # of each target, (T,)
    off = (w.abs() @ scaling.mean.abs().to(w)) * torch.finfo(dtype).eps  # (T,)
    if bool((off > NOTICED * spread.to(off)).any()):
        line = (
            f"predictions are off by up to {off.max():.2g}: features so far from zero lose their last "
            "digits in float32, use --data.dtype float64"
        )
        say(textwrap.fill(line, 80, subsequent_indent="  "))
