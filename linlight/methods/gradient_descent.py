"""Gradient descent (梯度下降) and stochastic gradient descent (随机梯度下降)."""

from typing import Any

import torch
from torch import Tensor

from linlight.data.datamodule import XYDataModule
from linlight.functional.squared_error import squared_error_sums
from linlight.methods.base.batch import beside, mean_over
from linlight.methods.base.by_hand import ByHandModel
from linlight.methods.base.compiled import (
    MANY_AN_EPOCH,
    Kernel,
    compiled_step,
    kernel_for,
    rows_at_once,
)


class GradientDescent(ByHandModel):
    """Gradient by the formula, `w.data` updated by hand.

    With the whole data as the batch this is the notes' gradient descent; with `--data.batch_size 1` it is
    their stochastic gradient descent. The line of code is the same: the batch belongs to the data.
    """

    _kernel: Kernel | None = None
    _taken: bool | None = None  # by the run that is gone on with

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Computes the gradient of the mean squared error, and steps against it."""
        if self._kernel is not None:  # the same where rows are many
            return compiled_step(self, self._kernel, batch)
        w, b = self.w, self.b
        batches, losses = self.batches(batch), []
        for one in self.updates(batches):
            x, y, *weight = one
            with torch.no_grad():
                error, grad_w, grad_b = squared_error_sums(x, y, w, b, *weight)
                count = beside(error, self.expected_weight(one) * y.shape[1])
                error, grad_w, grad_b, count = self.sum_over_processes(error, grad_w, grad_b, count)
            losses.append(error / count)
            w.grad = grad_w / count
            if b is not None:
                b.grad = grad_b / count
            self.step()
        return mean_over(losses, [self.expected_weight(one) for one in batches])

    def setup(self, stage: str) -> None:
        """Takes the lines above, unless `batches_per_step` finds their compiled form."""
        self._kernel, self._taken = None, None
        super().setup(stage)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Adds which form the updates take: a training that goes on takes the same."""
        super().on_save_checkpoint(checkpoint)
        checkpoint["compiled"] = self._kernel is not None

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Goes on in the same form, whatever the number of epochs now is."""
        super().on_load_checkpoint(checkpoint)
        data = self._data()
        if data is not None and self.trainer.state.fn == "fit":
            self._taken = checkpoint.get("compiled", data.batches >= MANY_AN_EPOCH)
            self.ask_for_rows(data, "fit")

    def batches_per_step(self, data: XYDataModule) -> int:
        """Chooses the compiled form first, which takes more at once."""
        self._kernel = kernel_for(self, self._taken)
        return super().batches_per_step(data)

    def updates_at_once(self, batches: int, batch_size: int) -> int:
        """How many batches a training step takes, where nothing looks at single ones."""
        if self._kernel is None:
            return super().updates_at_once(batches, batch_size)
        return max(1, min(rows_at_once(self) // batch_size, batches // 4))
