"""Back-propagation (反向传播): autograd finds the gradient, the update stays by hand."""

from linlight.base import Batch, LinearModel
from linlight.lr import check_lr
from linlight.optim import ByHand


class Backpropagation(LinearModel):
    """`loss.backward()`, then `w.data -= lr * w.grad.data`, then the gradient zeroed by hand.

    Args:
        lr: Learning rate, the length of a step in units of the gradient.
        bias: Whether the model has a bias; the notes have none.
        w0: Starting value of every weight; the bias starts at 0.

    Raises:
        InputError: If `lr` is not positive and finite.
    """

    takes_several = True
    explanation = """\
The forward pass builds a graph from w to the loss; loss.backward() walks it back and adds the
gradient to w.grad, a tensor beside w.data, None until then. The update changes w.data, so that
it is not itself recorded in the graph; and because backward() adds, w.grad is zeroed by hand."""

    def __init__(self, lr: float = 0.01, bias: bool = False, w0: float = 1.0) -> None:
        super().__init__(bias, w0)
        self.lr = check_lr(lr)
        self.automatic_optimization = False

    def configure_optimizers(self) -> ByHand:
        """The update `w.data -= lr * w.grad.data`."""
        return ByHand(self.parameters(), self.lr)

    def training_step(self, batch: Batch | list[Batch], batch_idx: int) -> None:
        """Forward, backward, update, zero: the four steps of the notes."""
        for one in self.updates(batch):
            loss = self.differentiable_loss(one)
            self.manual_backward(loss)
            self.step()
            for w in self.parameters():
                if w.grad is not None:
                    w.grad.data.zero_()
