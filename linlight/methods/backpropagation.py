"""Back-propagation (反向传播): autograd finds the gradient, the update stays by hand."""

from typing import Any

from torch import Tensor

from linlight.methods.base.batch import mean_over
from linlight.methods.base.by_hand import ByHandModel


class Backpropagation(ByHandModel):
    """`loss.backward()`, then `w.data -= lr * w.grad.data`, then the gradient zeroed by hand."""

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Forward, backward, update, zero: the four steps of the notes."""
        batches, losses = self.batches(batch), []
        for one in self.updates(batches):
            loss = self.differentiable_loss(one)
            self.manual_backward(loss)
            losses.append(loss.detach())
            self.step()
            for w in self.parameters():
                if w.grad is not None:
                    w.grad.data.zero_()
        return mean_over(losses, [self.expected_weight(one) for one in batches])
