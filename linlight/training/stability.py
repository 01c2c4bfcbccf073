"""Up to which learning rate a training is stable, as far as is known, and when it has diverged."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
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
"""Rows of a stream among which the steepest is looked for."""
MOST_CYCLE = 512
"""The most batches of an epoch that are multiplied out for their exact bound."""
WATCHED = 10
"""Epochs that a training goes on for once it is sure to diverge, so that its growth is seen."""
SEEN = 1e6
"""The growth of the loss after which enough has been seen."""
OUT_OF_HAND = 1e3
"""The growth of the loss at which a training above its bound is stopped inside an epoch."""
SIGNS = {"cycle": 10.0, "momentum": 10.0, "estimate": OUT_OF_HAND, "unknown": 1e12}
"""The growth of the loss by which a training diverges for good, by the kind of its forecast."""


def forecast_of(
    trainer: Trainer, model: LinearModel, shape: Parabola, rows: int, batches: int, passes: int
) -> Forecast:
    """The largest stable step of a training that is about to begin.

    Args:
        trainer: The Trainer.
        model: The method.
        shape: The loss of the rows of the run.
        rows: Their number.
        batches: Batches, and so updates, in an epoch.
        passes: How many times an epoch goes over the rows; as many as `batches` where these are the whole.
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
    for x, weight in _rows_of_steps(trainer, data):
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
    """The name of a training's steps: the optimizer's, where optimization is automatic."""
    model = trainer.lightning_module
    name = type(trainer.optimizers[0] if model.automatic_optimization else model).__name__
    return f"{name} on a schedule" if trainer.lr_scheduler_configs else f"{name} with these settings"


def no_optimum(trainer: Trainer, model: LinearModel) -> str | None:
    """Why there is no optimum to compare with, empty where none is expected; None where there is one."""
    if model.single_pass or not isinstance(model.criterion, nn.MSELoss):
        return ""
    if our_data(trainer) is None:
        return ", which need an XYDataModule"
    if math.isfinite(planned_batches(trainer)) and not is_same_every_epoch(trainer):
        return ": shuffled and limited, every epoch takes other rows"
    return None


def _unknowable(trainer: Trainer) -> str:
    """The setting that makes the effect of a step unpredictable; empty without one."""
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


def _rows_of_steps(trainer: Trainer, data: XYDataModule) -> Iterator[tuple[Tensor, Tensor]]:
    """x, (n, D), and weights, (n,), of the training rows as a step sees them; of a stream, a sample's.

    Weights are relative to their mean, by which the mean over a batch divides.
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


@dataclass(frozen=True)
class Growth:
    """The loss of a training against that of its start.

    Attributes:
        lowest: The optimum's loss.
        start: The loss at the start, or without any features where that is larger.
    """

    lowest: float
    start: float

    def exceeds(self, gap: float, factor: float) -> bool:
        """Whether the loss is more than `factor` times that of the start, or no number."""
        return not gap + self.lowest <= factor * self.start

    def is_for_good(self, kind: str, gap: float, before: float) -> bool:
        """Whether the gap after an epoch, where the step is too large, shows that it will not come back.

        In whole batches the gap is a sum of exponentials of the epoch, which is convex: once it has risen it
        rises for ever. Elsewhere it may rise for a while and fall again.

        Args:
            kind: The forecast's.
            gap: After the epoch.
            before: An epoch earlier.
        """
        if kind == "whole" and math.isfinite(gap):
            return gap > before * (1 + 1e-6) and gap > 1e-6 * self.lowest
        return not math.isfinite(gap) or self.exceeds(gap, SIGNS[kind])


def overflows(gap: float, dtype: torch.dtype) -> bool:
    """Whether the numbers of a type are about to end."""
    return not gap < math.sqrt(torch.finfo(dtype).max)
