"""The linear model itself: its weights, its predictions and its loss, on any number of processes."""

import copy
from typing import Any

import torch
import torchmetrics
from lightning.pytorch import LightningModule
from torch import Tensor, distributed, nn

from linlight.data.datamodule import XYDataModule
from linlight.errors import InputError
from linlight.functional.squared_error import check_same_shape
from linlight.methods.base.batch import Batch, as_batch, beside
from linlight.methods.base.run_rows import our_data
from linlight.text import count


class LinearModule(LightningModule):
    """`x @ w.T + b` and the loss of its predictions; `LinearModel` adds how it is trained and evaluated.

    With N rows, D features and T targets, x is (N, D), y is (N, T), w is (T, D) and b is (T,).
    """

    single_pass = False
    """Whether an epoch only adds up over the rows, in whatever batches they come; then it is the only one."""

    linear: nn.Linear | None
    criterion: nn.Module
    _bias: bool
    _w0: float | None

    def build(self, features: int, targets: int, dtype: torch.dtype | None = None) -> None:
        """Makes w, (targets, features), and b, (targets,), with their starting values.

        Args:
            features: D.
            targets: T.
            dtype: Type of the numbers. Default: torch's, as everywhere in torch. Where nobody calls this, it
                is the data's.
        """
        self.linear = nn.Linear(features, targets, bias=self._bias, dtype=dtype)
        if self._w0 is not None:
            nn.init.constant_(self.linear.weight, self._w0)
            if self._bias:
                nn.init.zeros_(self.linear.bias)

    def _built(self) -> nn.Linear:
        if self.linear is None:
            raise InputError(
                "the model has no weights yet: fit it with an XYDataModule, load a checkpoint, "
                "or call build(features, targets)"
            )
        return self.linear

    @property
    def w(self) -> nn.Parameter:
        """The weights, (T, D)."""
        weight: nn.Parameter = self._built().weight  # type: ignore[assignment]
        return weight

    @property
    def b(self) -> nn.Parameter | None:
        """The bias, (T,), or None."""
        bias: nn.Parameter | None = self._built().bias
        return bias

    def forward(self, x: Tensor) -> Tensor:
        """Predicts.

        Args:
            x: Features, (N, D).

        Returns:
            `x @ w.T + b`, (N, T).
        """
        y_hat: Tensor = self._built()(x)
        return y_hat

    def unpack(self, batch: Any) -> Batch:
        """A batch of any loader as (x, y) or (x, y, weights), of this model's sizes and type.

        Raises:
            InputError: If it is something else.
        """
        x, y, *_ = rows = as_batch(batch)
        self.check_features(x)
        if y.shape[1] != len(self.w):
            raise InputError(
                f"a batch has {count(y.shape[1], 'target')} and the model {len(self.w)}: "
                f"call build({x.shape[1]}, {y.shape[1]}), or leave it out"
            )
        return rows

    def check_features(self, x: Tensor) -> None:
        """Raises where x, (B, D), has other sizes or another type than the weights."""
        targets, features = self.w.shape
        if x.ndim != 2 or x.shape[1] != features:
            raise InputError(
                f"a batch's x has the shape {tuple(x.shape)}: it must be (rows, features), and the model has "
                f"{count(features, 'feature')}"
            )
        trains = self._trainer is not None and self._trainer.training
        if x.dtype != self.w.dtype and not (self.single_pass and trains):
            also = f", or call build({features}, {targets}, {x.dtype})" if x.is_floating_point() else ""
            raise InputError(
                f"a batch's x is {_name(x.dtype)} and the model {_name(self.w.dtype)}: convert x{also}"
            )

    def _data(self) -> XYDataModule | None:
        """The data module, where it is ours."""
        return our_data(self._trainer)

    def _cpu_bias(self) -> Tensor | None:
        return None if self.b is None else self.b.cpu()

    @property
    def loss_is_total(self) -> bool:
        """Whether the loss is a sum over the rows instead of their mean."""
        return getattr(self.criterion, "reduction", "mean") == "sum"

    def loss(self, y_hat: Tensor, y: Tensor, weight: Tensor | None = None) -> Tensor:
        """The loss of predictions (N, T) against targets (N, T), each row counting `weight` (N,) times."""
        check_same_shape(y_hat, y)
        if weight is None:
            loss: Tensor = self.criterion(y_hat, y)
            return loss
        each = copy.copy(self.criterion)
        each.reduction = "none"  # type: ignore[assignment]
        losses = each(y_hat, y)  # (N, T)
        if losses.shape != y.shape:
            raise InputError(
                f"criterion {type(each).__name__} has no reduction 'none', so rows cannot be weighted: leave "
                "out the weights"
            )
        total: Tensor = (losses * weight[:, None]).sum()
        return total if self.loss_is_total else total / (weight.sum() * y.shape[1])

    def check_reducible(self) -> None:
        """Raises where rows of the same mean squared error would not do for all rows."""
        if not isinstance(self.criterion, nn.MSELoss) or self.loss_is_total:
            raise InputError(
                f"reduce keeps the mean squared error of the data and nothing else, not {self.criterion}: "
                "set reduce to false"
            )

    def training_loss(self, y_hat: Tensor, y: Tensor, weight: Tensor | None = None) -> Tensor:
        """The same of a training batch, whose weighted sum is divided by its `expected_weight`."""
        loss = self.loss(y_hat, y, weight)
        if weight is None or self.loss_is_total:
            return loss
        return loss * (weight.sum() / self.expected_weight((y_hat, y, weight)))

    def expected_weight(self, batch: Batch) -> float | Tensor:
        """What the mean over a training batch divides by: its rows, times the mean weight of all rows.

        Divided by its own weights, a batch of one row would forget its weight, and small batches would end
        elsewhere than the whole.
        """
        data = self._data()
        if len(batch) < 3:
            return len(batch[0])
        # Another's loader does not tell the mean weight, and a GPU would be waited for.
        return len(batch[0]) * data.statistics.mean_weight if data is not None else batch[2].sum()

    def loss_metric(self) -> torchmetrics.Metric:
        """Adds losses up over batches and processes, every row weighing the same."""
        return torchmetrics.SumMetric() if self.loss_is_total else torchmetrics.MeanMetric()

    def sum_over_processes(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Adds each tensor up over all processes: the one place where by-hand methods meet.

        Lightning reduces gradients only in `backward` (Lightning-AI/pytorch-lightning#9237).
        """
        if self.trainer.world_size == 1:
            return tensors
        flat = torch.cat([tensor.detach().reshape(-1).to(torch.float64) for tensor in tensors])
        # What the strategy's `reduce` does behind a barrier, which costs as much.
        distributed.all_reduce(flat)
        parts = flat.split([tensor.numel() for tensor in tensors])
        return tuple(part.reshape(t.shape).to(t.dtype) for part, t in zip(parts, tensors, strict=True))

    def differentiable_loss(self, batch: Any) -> Tensor:
        """The loss of a training batch, for `backward`.

        With several processes its value is that of the whole batch, and its gradient that of this process's
        part times the number of processes, because Lightning's strategies average gradients over them.
        """
        x, y, *weight = batch = self.unpack(batch)
        y_hat = self(x)
        # An empty share adds nothing, but takes part in `backward`, where the others wait for it.
        loss = self.training_loss(y_hat, y, *weight) if len(x) else y_hat.sum()
        if self.trainer.world_size == 1:
            return loss
        mass = beside(loss, self.expected_weight(batch))
        total, rows = self.sum_over_processes(loss if self.loss_is_total else loss * mass, mass)
        share = 1.0 if self.loss_is_total else mass.item() / rows.item()  # not in float32
        part = loss * (share * self.trainer.world_size)
        return (total if self.loss_is_total else total / rows) + (part - part.detach())


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
