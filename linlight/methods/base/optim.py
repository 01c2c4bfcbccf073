"""The optimizers of methods that move the weights by hand, and the rule that every learning rate obeys."""

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch

from linlight.errors import InputError


def check_lr(lr: float) -> float:
    """Returns `lr`.

    Raises:
        InputError: If it is not positive and finite.
    """
    if not isinstance(lr, int | float) or not 0 < lr < math.inf:
        raise InputError(f"lr must be a positive finite number, got {lr}: try 0.01")
    return lr


class ManualSGD(torch.optim.Optimizer):
    """Gradient descent as the notes write it: `w.data -= lr * w.grad.data`.

    It is an optimizer only so that Lightning counts its steps: `global_step`, checkpoints and `max_steps`
    all hang on that count (Lightning-AI/pytorch-lightning#16143). The parameter keeps its graph and its
    identity because `w.data`, the bare tensor of numbers inside the parameter `w`, is what changes.

    Args:
        params: Parameters whose `grad` holds the gradient when `step` is called.
        lr: Learning rate, the length of a step in units of the gradient.
    """

    def __init__(self, params: Iterable[torch.nn.Parameter], lr: float) -> None:
        super().__init__(params, {"lr": lr})

    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Moves every parameter that has a gradient.

        Args:
            closure: Run first; Lightning passes one so that its hooks see the gradient.
        """
        result = closure() if closure is not None else None
        self.update()
        return result

    def update(self) -> None:
        """The update alone, without what torch and Lightning do around a `step`."""
        for group in self.param_groups:
            for w in group["params"]:
                if w.grad is not None:
                    w.data -= group["lr"] * w.grad.data


class SetParameters(torch.optim.Optimizer):
    """Sets parameters to given values, counted as one step: `step(lambda: values)`.

    Exhaustive search has no gradient, but its answer too has to count as a step (see `ManualSGD`).

    Args:
        params: The parameters, in the order of the values.
    """

    def __init__(self, params: Iterable[torch.nn.Parameter]) -> None:
        super().__init__(params, {})

    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """Sets every parameter.

        Args:
            closure: Returns a value for each parameter.
        """
        assert closure is not None
        for w, value in zip(self.param_groups[0]["params"], closure(), strict=True):
            w.data.copy_(value)
