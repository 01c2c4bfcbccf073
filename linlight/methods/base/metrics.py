"""Metrics of predictions: torchmetrics' own, with row weights where torchmetrics has none."""

import inspect
import re
from collections.abc import Sequence
from functools import cache
from typing import Any

import torch
import torchmetrics
from torch import Tensor
from torchmetrics import Metric, regression

from linlight.errors import InputError
from linlight.functional.squared_error import check_same_shape
from linlight.functional.statistic import Moments, loss


class MeanSquaredError(regression.MeanSquaredError):
    """torchmetrics' mean squared error over all residuals, or its root, of rows with or without weights."""

    def update(self, preds: Tensor, target: Tensor, weight: Tensor | None = None) -> None:
        """Adds predictions (B, T) of targets (B, T), each row counting `weight` (B,) times."""
        if weight is None:
            super().update(preds, target)
            return
        check_same_shape(preds, target)
        self.sum_squared_error = self.sum_squared_error + (weight[:, None] * (preds - target).square()).sum()
        self.total = self.total + weight.sum() * target.shape[1]


class MeanAbsoluteError(regression.MeanAbsoluteError):
    """torchmetrics' mean absolute error over all residuals, of rows with or without weights."""

    def update(self, preds: Tensor, target: Tensor, weight: Tensor | None = None) -> None:
        """Adds predictions (B, T) of targets (B, T), each row counting `weight` (B,) times."""
        if weight is None:
            super().update(preds, target)
            return
        check_same_shape(preds, target)
        self.sum_abs_error = self.sum_abs_error + (weight[:, None] * (preds - target).abs()).sum()
        self.total = self.total + weight.sum() * target.shape[1]


class R2Score(regression.R2Score):
    """R², averaged over the targets, of rows with or without weights; NaN below two rows.

    torchmetrics' own subtracts sums of squares, so a large mean common to all targets takes its digits, and
    takes residuals for none below 1e-4, whatever the unit. Here deviations are from each batch's mean, and
    merged as in `statistic.py`. A constant target has R² 1 if it is met exactly, else 0, as in scikit-learn.
    """

    rows: Tensor
    parts: Tensor

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.add_state("rows", default=torch.tensor(0), dist_reduce_fx="sum")
        self.add_state("parts", default=torch.zeros(4, 1), dist_reduce_fx=_merged)

    def update(self, preds: Tensor, target: Tensor, weight: Tensor | None = None) -> None:
        """Adds predictions (B, T) of targets (B, T), each row counting `weight` (B,) times."""
        check_same_shape(preds, target)
        self.rows = self.rows + len(target)
        preds, target = preds.to(self.parts.dtype), target.to(self.parts.dtype)
        counts = torch.ones_like(target) if weight is None else weight[:, None].expand_as(target)
        rows = torch.stack([counts, target, torch.zeros_like(target), counts * (preds - target).square()], 1)
        before = self.parts.expand(4, target.shape[1])[None]
        self.parts = _merged(torch.cat([before, rows]))

    def compute(self) -> Tensor:
        """1 less the residual's share of the targets' squared deviations from their mean."""
        if self.rows < 2:
            return torch.full((), torch.nan, device=self.parts.device)
        _, _, deviations, residual = self.parts
        constant = (residual == 0).to(residual.dtype)
        return torch.where(deviations > 0, 1 - residual / deviations, constant).mean()


def _merged(parts: Tensor) -> Tensor:
    """Weight, mean, squared deviations and squared residuals of several lots of rows, (k, 4, T), as one's."""
    weight, mean, deviations, residual = parts.unbind(1)
    origin = mean[weight[:, 0].argmax()]
    total = weight.sum(0)
    centre = origin + (weight * (mean - origin)).sum(0) / torch.where(total > 0, total, 1.0)
    deviations = deviations + weight * (mean - centre).square()
    return torch.stack([total, centre, deviations.sum(0), residual.sum(0)])


def collection(names: Sequence[str] = ()) -> dict[str, Metric]:
    """MSE, RMSE, MAE and R², and further metrics of torchmetrics by the names of their classes.

    Raises:
        InputError: If torchmetrics has no regression metric of that name, or it needs arguments.
    """
    found: dict[str, Metric] = {
        "mse": MeanSquaredError(),
        "rmse": MeanSquaredError(squared=False),
        "mae": MeanAbsoluteError(),
        "r2": R2Score(),
    }
    for name in names:
        if name not in regression.__all__:
            raise InputError(f"torchmetrics has no regression metric {name!r}: such as PearsonCorrCoef")
        try:
            metric: Metric = getattr(torchmetrics.regression, name)()
        except TypeError as error:
            raise InputError(
                f"metric {name} needs arguments: add it in a subclass, in make_metrics"
            ) from error
        found[re.sub(r"(?<!^)(?=[A-Z][a-z])", "_", name).lower()] = metric
    return found


@cache
def takes_weight(metric: type[Metric]) -> bool:
    """Whether a metric's `update` takes the rows' weights, as `weight`."""
    return "weight" in inspect.signature(metric.update).parameters


def metrics_of(m: Moments, w: Tensor, b: Tensor | None) -> dict[str, float]:
    """What the statistic of the training rows tells of the metrics without reading them: not the MAE.

    Args:
        m: The statistic.
        w: Weights, (T, D).
        b: Bias, (T,), or None.
    """
    errors = loss(m, w, b)  # (T,)
    deviations = m.triangle[:, m.features :].square().sum(0) / m.weight  # (T,)
    mse = errors.mean().item()
    r2 = (1 - errors / deviations).mean().item()
    return {"train_mse": mse, "train_rmse": mse**0.5, "train_r2": r2}
