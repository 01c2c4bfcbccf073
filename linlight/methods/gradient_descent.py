"""Gradient descent (梯度下降) and stochastic gradient descent (随机梯度下降)."""

import torch
from torch import Tensor

from linlight.functional.squared_error import squared_error_sums
from linlight.functional.update_rule import UpdateRule
from linlight.methods.base.batch import Batch, scalar_like
from linlight.methods.base.by_hand import ByHandModel
from linlight.methods.base.compiled import compilable


class GradientDescent(ByHandModel):
    """Gradient by the formula, `w.data` updated by hand.

    With the whole data as the batch this is the notes' gradient descent; with `--data.batch_size 1` it is
    their stochastic gradient descent. The line of code is the same: the batch belongs to the data.
    """

    @compilable
    def update(self, batch: Batch) -> Tensor:
        """Computes the gradient of the mean squared error, and steps against it."""
        x, y, *weight = batch
        w, b = self.w, self.b
        with torch.no_grad():
            error, grad_w, grad_b = squared_error_sums(x, y, w, b, *weight)
            count = scalar_like(error, self.expected_weight(batch) * y.shape[1])
            error, grad_w, grad_b, count = self.sum_over_processes(error, grad_w, grad_b, count)
        w.grad = grad_w / count
        if b is not None:
            b.grad = grad_b / count
        self.step()
        return error / count

    def update_rule(self) -> UpdateRule:
        """Plain steps of length `lr`."""
        return UpdateRule(self.lr)
