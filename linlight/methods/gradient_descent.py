"""Gradient descent (梯度下降) and stochastic gradient descent (随机梯度下降)."""

import torch

from linlight.functional.squared_error import squared_error_sums
from linlight.methods.base import Batch
from linlight.methods.by_hand import ByHandModel


class GradientDescent(ByHandModel):
    """Gradient by the formula, `w.data` updated by hand.

    With the whole data as the batch this is the notes' gradient descent; with `--data.batch_size 1` it is
    their stochastic gradient descent. The line of code is the same: the batch belongs to the data.
    """

    def training_step(self, batch: Batch | list[Batch], batch_idx: int) -> None:
        """Computes the gradient of the mean squared error, and steps against it."""
        w, b = self.w, self.b
        for one in self.updates(batch):
            x, y, *weight = one
            with torch.no_grad():
                error, grad_w, grad_b = squared_error_sums(x, y, w, b, *weight)
                count = self.total_weight(one) * y.shape[1]
                error, grad_w, grad_b, count = self.sum_over_processes(error, grad_w, grad_b, count)
            self.record(error / count, count.item() / y.shape[1])
            w.grad = grad_w / count
            if b is not None:
                b.grad = grad_b / count
            self.step()
