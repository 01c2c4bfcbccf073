"""Up to which learning rate a training is stable, as far as that can be known before it begins."""

import math
from collections.abc import Iterator
from itertools import islice

import numpy as np
import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import (
    GradientAccumulationScheduler,
    StochasticWeightAveraging,
    WeightAveraging,
)
from torch import Tensor, nn

from linlight.data.datamodule import XYDataModule
from linlight.data.sources import ProcessInfo
from linlight.functional.cycle import Cycle, cycle
from linlight.functional.descent import Parabola
from linlight.functional.forecast import Forecast, shuffled_step
from linlight.methods.base import LinearModel
from linlight.methods.base.run_rows import batches_again, is_same_every_epoch, our_data, planned_batches

SAMPLE = 10_000
"""Rows of a stream that are sampled to find the steepest."""
MOST_CYCLE = 512
"""The most batches of an epoch that are multiplied out for their exact bound."""


def forecast_of(
    trainer: Trainer, model: LinearModel, shape: Parabola, rows: int, batches: int, passes: int
) -> Forecast:
    """The largest stable step of a training that is about to begin.

    Args:
        trainer: The Trainer.
        model: The method, with the weights it starts from.
        shape: The loss of the rows of the run.
        rows: Their number.
        batches: Batches, and so updates, of an epoch.
        passes: How many times an epoch goes over the rows; each is an update where it equals `batches`.
    """
    data: XYDataModule = trainer.datamodule  # type: ignore[attr-defined]
    rule = model.update_rule()
    whole = batches == passes
    unknowable = _unknowable(trainer)
    if unknowable:
        return Forecast("unknown", name=unknowable)
    if rule is None or not (rule.is_plain or whole):
        return Forecast("unknown", name=_rule_of(trainer))
    if whole:
        bound = shape.largest_stable_step * rule.reach
        if rule.is_plain:
            return Forecast("whole", rule.lr, bound)
        return Forecast("momentum", rule.lr, bound, "the largest stable step with this momentum")
    in_order = not data.shuffle and not data.streamed
    if in_order and batches <= MOST_CYCLE and model.w.shape[1] <= 64:
        of_epoch = _cycle(data, model, batches)
        name = "the largest stable step of batches in this order"
        return Forecast("cycle", rule.lr, of_epoch.largest_stable_step(), name, of_epoch)
    seen, steepest = 0, 0.0
    for x, weight in _looked_at(trainer, data):
        seen += len(x)
        squares = x.double().square().sum(1) + (model.b is not None)
        steepest = max(steepest, (squares * weight).amax().item())
    scale = 2.0 if model.loss_is_total else 2.0 / model.w.shape[0]
    n = rows
    size = min(data.batch_size or n, n)
    curvature = float(shape.curvatures.max()) * (size / n if model.loss_is_total else 1.0)
    steepest *= scale * (size * data.statistics.mean_weight if model.loss_is_total else 1.0)
    order = "shuffled" if data.shuffle else "that many"
    source = f", from a sample of {seen:,} rows," if seen < n else ""
    name = f"an estimate{source} of the largest stable step of {order} batches"
    return Forecast("estimate", rule.lr, shuffled_step(curvature, steepest, size), name)


def _rule_of(trainer: Trainer) -> str:
    """The name of a training's steps: their optimizer's, if Lightning calls that."""
    model = trainer.lightning_module
    name = type(trainer.optimizers[0] if model.automatic_optimization else model).__name__
    return f"{name} on a schedule" if trainer.lr_scheduler_configs else f"{name} with these settings"


def no_optimum(trainer: Trainer, model: LinearModel) -> str | None:
    """The reason why there is no optimum to compare with; empty where nobody would expect one."""
    if model.single_pass or not isinstance(model.criterion, nn.MSELoss):
        return ""
    if our_data(trainer) is None:
        return ", which need an XYDataModule"
    if math.isfinite(planned_batches(trainer)) and not is_same_every_epoch(trainer):
        return ": shuffled and limited, every epoch takes other rows"
    return None


def _unknowable(trainer: Trainer) -> str:
    """The setting that makes the effect of a step unknown beforehand; empty without one."""
    averaging = (WeightAveraging, StochasticWeightAveraging)
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
    if trainer.gradient_clip_val:
        return "clipped gradients"
    if trainer.accumulate_grad_batches != 1 or any(
        isinstance(one, GradientAccumulationScheduler) for one in callbacks
    ):
        return "accumulated gradients"
    if any(isinstance(one, averaging) for one in callbacks):
        return "averaged weights"
    return _rule_of(trainer) if trainer.lr_scheduler_configs else ""


def _looked_at(trainer: Trainer, data: XYDataModule) -> Iterator[tuple[Tensor, Tensor]]:
    """x, (n, D), and weights, (n,), as a step sees them, of all training rows; of a stream, x of some.

    A batch's mean divides by the mean weight, so weights are relative to it.
    """
    planned = planned_batches(trainer)
    if data.streamed and math.isinf(planned):
        x = data.statistics.sample(SAMPLE)[0]
        yield x if data.scaling is None else data.scaling.scale(x), x.new_ones(len(x))
        return
    whole = data.source.in_order("train", ProcessInfo(), data.scaling, SAMPLE)
    for x, _, *weight in whole if math.isinf(planned) else batches_again(trainer, planned):
        yield x, weight[0] / data.statistics.mean_weight if weight else x.new_ones(len(x))


def _cycle(data: XYDataModule, model: LinearModel, most: int) -> Cycle:
    def batches() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        loader = data.source.in_order("train", ProcessInfo(), data.scaling, data.batch_size)
        for x, y, *weight in islice(loader, most):
            ones = x.new_ones(len(x), int(model.b is not None))
            x, y = torch.cat([ones, x], dim=1).double(), y.double()
            if weight:
                unit = 1.0 if model.loss_is_total else data.statistics.mean_weight
                root = (weight[0].double() / unit).sqrt()[:, None]
                x, y = x * root, y * root
            yield x.numpy(), y.numpy()

    return cycle(batches(), model.loss_is_total)
