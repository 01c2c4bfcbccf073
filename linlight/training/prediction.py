"""What a training is held against: the exact answer over its rows, and the course that its rule predicts."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import LambdaCallback, ModelPruning

from linlight.data.datamodule import XYDataModule
from linlight.functional.descent import BEYOND_FLOATS, Parabola, parabola
from linlight.functional.forecast import Forecast
from linlight.functional.solve import Optimum, optimum
from linlight.functional.statistic import Moments
from linlight.functional.update_rule import UpdateRule
from linlight.methods.base import LinearModel

TOLERANCE = 1e-6
"""Epochs are predicted and counted until the gap is this fraction of the first."""
DEPARTURE = 0.01
"""An epoch departs from the rule where it ends this share of its way from where the rule takes it."""
MANY_COEFFICIENTS, FIRST_EPOCHS = 256, 8
"""With more coefficients, only the first epochs are compared: it can cost half an epoch over reduced rows."""


@dataclass(frozen=True)
class ExactAnswer:
    """The least squares over some rows, and how far from it a model is.

    Attributes:
        moments: The statistic of the rows.
        observations: How many observations they are; see `Statistics.observations`.
        fit: The optimum.
        shape: The loss around it.
        total: Whether the loss is a sum over the rows instead of their mean.
    """

    moments: Moments
    observations: int
    fit: Optimum
    shape: Parabola
    total: bool

    @classmethod
    def of(cls, m: Moments, model: LinearModel, data: XYDataModule) -> "ExactAnswer":
        """Solves for the optimum of a model's loss over the rows of a statistic."""
        m, bias = m.cpu(), model.b is not None
        fit = optimum(m, bias, coded=data.coded(bias))
        shape = parabola(m, fit, model.loss_is_total)
        return cls(m, data.statistics.observations(m), fit, shape, model.loss_is_total)

    def standard_errors(self, gaps: np.ndarray) -> float:
        """The largest distance to the optimum of any combination of coefficients, in its standard errors.

        For every c, (cᵀ(θ − θ*))² is at most |x̃(θ − θ*)|² cᵀ(X̃ᵀX̃)⁻¹c, by Cauchy and Schwarz.

        Args:
            gaps: Of each target, (T,).
        """
        degrees = self.observations - self.fit.rank
        if degrees <= 0 or self.shape.lowest == 0:
            return math.inf
        count = 1.0 if self.total else self.moments.weight.item() * self.moments.targets
        variances = self.fit.residual_squares.numpy() / degrees
        with np.errstate(divide="ignore", invalid="ignore"):
            return float(np.sqrt(gaps * count / variances).max())

    def findings(self, gaps: np.ndarray, data: XYDataModule) -> dict[str, Any]:
        """For `summary.json`: the optimum in the data's own units, and how far it is; gaps are (T,)."""
        w, b = self.fit.w, self.fit.b
        if data.scaling is not None and b is not None:
            w, b = data.scaling.original_units(w, b)
        bias = None if b is None else b.tolist()
        distance, condition = self.standard_errors(gaps), self.fit.condition_number
        return {
            "optimum": {"weights": w.tolist(), "bias": bias, "loss": self.shape.lowest},
            "gap": sum(gaps.tolist()),
            "gap_in_standard_errors": distance if math.isfinite(distance) else None,
            "condition_number": condition if math.isfinite(condition) else None,
        }


class Prediction:
    """The gaps that an update rule predicts for a training, from its start.

    Args:
        shape: The loss of the rows of the run.
        forecast: What is known of the training: only of `whole` and `cycle` are there such gaps.
        updates: Updates in an epoch.
        start: θ where the training begins, (T, K).
        position: θ after the epochs predicted so far; where that is not the start, of `cycle` alone.
        epochs: Their number.

    Attributes:
        forecast: What is known of the training; may become less.
        start, position, epochs: As given; the last two move on.
    """

    @BEYOND_FLOATS
    def __init__(
        self,
        shape: Parabola,
        forecast: Forecast,
        updates: int,
        start: np.ndarray,
        position: np.ndarray,
        epochs: int,
    ) -> None:
        self._shape, self.forecast, self._updates = shape, forecast, updates
        self._lr = math.nan if forecast.lr is None else forecast.lr
        self.start, self.position, self.epochs = start, position, epochs
        self._parts = (shape.coordinates(start) ** 2).sum(0)  # of the first gap, along each axis

    @BEYOND_FLOATS
    def gap_after(self, epochs: int) -> float:
        """The gap after a number of epochs of `whole`."""
        shrinking = (1 - self._lr * self._shape.curvatures) ** (2.0 * self._updates * epochs)
        return float(np.sum(self._parts * shrinking, where=self._parts > 0))

    @BEYOND_FLOATS
    def epochs_to_tolerance(self) -> int | None:
        """Epochs until the gap is `TOLERANCE` of the first; None where that is unknown, or never."""
        if self.forecast.kind != "whole":
            return None
        updates = self._shape.epochs_to(self.start, self._lr, TOLERANCE * float(self._parts.sum()))
        return None if updates is None else -(-updates // self._updates)

    @BEYOND_FLOATS
    def next_gap(self) -> float | None:
        """The gap after one epoch more than so far, None where it is unknown."""
        self.epochs += 1
        if self.forecast.cycle is not None:
            self.position = self.forecast.cycle.epoch(self.position, self._lr)
            return float(self._shape.gaps(self.position).sum())
        return self.gap_after(self.epochs) if self.forecast.kind == "whole" else None


class RuleCheck:
    """Compares the end of each epoch with where the update rule takes the weights from its start.

    They differ where anything else has a part in it, within a step or between two: a callback or a method's
    hook that moves weights, or changes gradients or the learning rate; a method whose steps are others.

    Args:
        shape: The loss of the rows of the run.
        forecast: What is known of the training: `whole`, `cycle` or `momentum`, which tell an epoch exactly.
        rule: The update rule.
        updates: Updates in an epoch.
        precision: The relative error of a gradient, see `gradient_precision`.
    """

    @BEYOND_FLOATS
    def __init__(
        self, shape: Parabola, forecast: Forecast, rule: UpdateRule, updates: int, precision: float
    ) -> None:
        self._shape, self._cycle, self._rule, self._updates = shape, forecast.cycle, rule, updates
        self._sizes = np.linalg.norm(shape.design, axis=0)
        self._shrinking = (1 - rule.lr * shape.curvatures) ** updates  # by an epoch of plain steps
        # What rounds are the weights, and every update of them.
        self._rounding = precision * updates * (1 + rule.lr * shape.curvatures.sum())

    @BEYOND_FLOATS
    def begin(self, epoch: int, theta: np.ndarray, *, is_first: bool) -> None:
        """Starts comparing.

        Args:
            epoch: The number of the next epoch that is seen from its start.
            theta: θ there, (T, K).
            is_first: Whether the training begins there; else the velocity of momentum is unknown.
        """
        self._epoch, self._theta, self._at = epoch, theta, self._shape.coordinates(theta)
        # Along the axes, as `_at`. torch's momentum begins with the gradient itself.
        self._velocity: np.ndarray | float | None = None if is_first else math.nan

    def is_untouched(self, theta: np.ndarray) -> bool:
        """Whether the weights are where the last epoch left them."""
        return np.array_equal(theta, self._theta, equal_nan=True)

    @BEYOND_FLOATS
    def follows(self, epoch: int | None, theta: np.ndarray) -> bool:
        """Whether an epoch went where the rule takes it, as far as is known.

        Args:
            epoch: Its number, None of one that is cut short.
            theta: θ at its end, (T, K).
        """
        is_whole = epoch == self._epoch  # else it was resumed inside
        before, self._theta = self._theta, theta
        if epoch is None or (theta.shape[1] > MANY_COEFFICIENTS and epoch >= FIRST_EPOCHS):
            return True
        start, self._at = self._at, self._shape.coordinates(theta)
        self._epoch = epoch + 1
        if not is_whole:
            self._velocity = math.nan
            return True
        expected = self._after_an_epoch(before, start)
        off, way = np.linalg.norm(self._at - expected), np.linalg.norm(expected - start)
        if off <= DEPARTURE * way:
            return True
        terms = (np.abs(before) + np.abs(theta) + np.abs(self._shape.theta)) @ self._sizes
        size = terms.sum() + math.sqrt(self._shape.lowest)
        return not off > DEPARTURE * way + self._rounding * size  # nor where numbers have ended

    def _after_an_epoch(self, theta: np.ndarray, at: np.ndarray) -> np.ndarray:
        """The coordinates, (T, k), to which the rule takes θ in an epoch, from those of θ."""
        rule, shape, velocity = self._rule, self._shape, self._velocity
        if self._cycle is not None:
            return shape.coordinates(self._cycle.epoch(theta, rule.lr))
        if rule.is_plain:
            plain: np.ndarray = at * self._shrinking
            return plain
        for _ in range(self._updates):
            gradient = shape.curvatures * at
            fresh = (1 - rule.dampening) * gradient
            velocity = gradient if velocity is None else rule.momentum * velocity + fresh
            at = at - rule.lr * (gradient + rule.momentum * velocity if rule.nesterov else velocity)
        self._velocity = velocity
        return at


def gradient_precision(model: LinearModel, data: XYDataModule, rows: int) -> float:
    """The relative error of a gradient, that rounding in the type of a model's numbers leaves."""
    precision = torch.finfo(model.w.dtype).eps
    if model.w.dtype == torch.float32 and model.device.type != "cpu":
        precision = 2.0**-10  # TF32, where it is allowed
    if data.scaling is not None:  # where features are standardised, their means cancel
        precision *= 1 + float((data.scaling.mean / data.scaling.deviation).abs().max())
    return precision * (64 + math.sqrt(rows))  # a sum rounds once a row, up and down


def foreign_code(trainer: Trainer) -> list[str]:
    """The classes among a training's callbacks and its method that may do what no rule says."""
    parts: list[Any] = [*trainer.callbacks, trainer.lightning_module]  # type: ignore[attr-defined]
    return [type(one).__name__ for one in parts if not _is_harmless(one)]


def _is_harmless(one: Callback | LightningModule) -> bool:
    parts = vars(one).values() if isinstance(one, LambdaCallback) else [type(one)]
    known = all(part.__module__.partition(".")[0] in ("linlight", "lightning") for part in parts)
    return known and not isinstance(one, ModelPruning)
