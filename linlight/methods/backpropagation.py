"""Back-propagation (反向传播): autograd finds the gradient, the update stays by hand."""

from torch import Tensor

from linlight.functional.update_rule import UpdateRule
from linlight.methods.base.batch import Batch
from linlight.methods.base.by_hand import ByHandModel


class Backpropagation(ByHandModel):
    """`loss.backward()`, then `w.data -= lr * w.grad.data`, then the gradient zeroed by hand."""

    def update(self, batch: Batch) -> Tensor:
        """Forward, backward, update, zero: the four steps of the notes."""
        loss = self.differentiable_loss(batch)
        self.manual_backward(loss)
        self.step()
        for w in self.parameters():
            if w.grad is not None:
                w.grad.data.zero_()
        return loss

    def update_rule(self) -> UpdateRule:
        """Plain steps of length `lr`."""
        return UpdateRule(self.lr)
