"""Metrics of predictions: torchmetrics' own, and with row weights those that every evaluation has."""

import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torchmetrics import Metric, MetricCollection, regression

from linlight.errors import InputError
from linlight.functional.squared_error import check_same_shape
from linlight.functional.statistic import Moments, loss
from linlight.methods.base.criterion import is_total, weighted_loss


class LossMetric(Metric):
    """The loss of all rows, each counting as its weight: their mean, or the sum of a criterion that sums.

    torchmetrics' mean squared and absolute errors take no weights, and its `MeanMetric` leaves out NaN.

    Args:
        criterion: The loss of predictions (B, T) against targets (B, T).
        root: Whether to take the square root.
    """

    higher_is_better = False
    total: Tensor
    weight: Tensor

    def __init__(self, criterion: nn.Module, root: bool = False) -> None:
        super().__init__()
        # A function, because a module would be part of the model, and of its checkpoints, a second time.
        self._loss: Callable[..., Tensor] = partial(weighted_loss, criterion)
        self._sums, self._root = is_total(criterion), root
        self.add_state("total", torch.tensor(0.0), dist_reduce_fx="sum")
        self.add_state("weight", torch.tensor(0.0), dist_reduce_fx="sum")

    def update(self, preds: Tensor, target: Tensor, weight: Tensor | None = None) -> None:
        """Adds predictions (B, T) of targets (B, T), each row counting `weight` (B,) times."""
        if not len(target):
            return
        of_batch = self._loss(preds, target, weight)
        counts: float | Tensor = len(target) if weight is None else weight.sum()
        self.total = self.total + (of_batch if self._sums else of_batch * counts)
        self.weight = self.weight + counts

    def compute(self) -> Tensor:
        """The loss; NaN without rows."""
        found = self.total if self._sums else self.total / self.weight
        return found.sqrt() if self._root else found


class R2Score(Metric):
    """R², averaged over the targets, of rows with or without weights; NaN below two rows.

    torchmetrics' own subtracts sums of squares, so that a large mean of the targets takes its digits, and it
    takes residuals below 1e-4 for none, whatever the unit. Here deviations are from each batch's mean, and
    merged as in `statistic.py`. A constant target has R² 1 if it is met exactly, else 0, as in scikit-learn.
    """

    higher_is_better = True
    rows: Tensor
    parts: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("rows", torch.tensor(0), dist_reduce_fx="sum")
        self.add_state("parts", torch.zeros(4, 1), dist_reduce_fx=_merged)

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


def metrics_named(names: Sequence[str] = ()) -> dict[str, Metric]:
    """MSE, RMSE, MAE and R², and further metrics of torchmetrics by the names of their classes.

    Raises:
        InputError: If torchmetrics has no regression metric of that name, or it needs arguments.
    """
    found: dict[str, Metric] = {
        "mse": LossMetric(nn.MSELoss()),
        "rmse": LossMetric(nn.MSELoss(), root=True),
        "mae": LossMetric(nn.L1Loss()),
        "r2": R2Score(),
    }
    for name in names:
        if name not in regression.__all__:
            raise InputError(f"torchmetrics has no regression metric {name!r}: such as PearsonCorrCoef")
        try:
            metric: Metric = getattr(regression, name)()
        except TypeError as error:
            raise InputError(
                f"metric {name} needs arguments: add it in a subclass, in make_metrics"
            ) from error
        found[re.sub(r"(?<!^)(?=[A-Z][a-z])", "_", name).lower()] = metric
    return found


@torch.no_grad()
def add_batch(metrics: MetricCollection, y_hat: Tensor, y: Tensor, weight: Tensor | None = None) -> None:
    """Adds predictions (B, T) of targets (B, T) to metrics, with weights (B,) to those that take them."""
    # Here, because a metric forgets its type when it is moved to a device (torchmetrics 1.9). Apple's MPS has
    # no float64.
    if metrics["loss"].dtype != torch.float64 and y_hat.device.type != "mps":
        metrics.set_dtype(torch.float64)
    given: dict[str, Any] = {} if weight is None else {"weight": weight}
    metrics.update(y_hat, y, **given)


def metrics_of(m: Moments, w: Tensor, b: Tensor | None) -> dict[str, float]:
    """The metrics of training rows that their statistic tells without another pass: all but the MAE.

    Args:
        m: The statistic.
        w: Weights, (T, D).
        b: Bias, (T,), or None.
    """
    errors = loss(m, w.cpu(), None if b is None else b.cpu())  # (T,)
    deviations = m.triangle[:, m.features :].square().sum(0) / m.weight  # (T,)
    mse = errors.mean().item()
    r2 = (1 - errors / deviations).mean().item()
    return {"train_mse": mse, "train_rmse": mse**0.5, "train_r2": r2}
