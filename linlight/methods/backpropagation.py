"""Back-propagation (反向传播): autograd finds the gradient, the update stays by hand."""

from linlight.methods.base import Batch
from linlight.methods.by_hand import ByHandModel


class Backpropagation(ByHandModel):
    """`loss.backward()`, then `w.data -= lr * w.grad.data`, then the gradient zeroed by hand."""

    def training_step(self, batch: Batch | list[Batch], batch_idx: int) -> None:
        """Forward, backward, update, zero: the four steps of the notes."""
        for one in self.updates(batch):
            loss = self.differentiable_loss(one)
            self.manual_backward(loss)
            self.step()
            for w in self.parameters():
                if w.grad is not None:
                    w.grad.data.zero_()
