"""`--audit true`: is the gradient that a method computes the gradient of its loss?"""

from collections.abc import Callable
from typing import Any

import torch
from lightning.pytorch import Callback, Trainer
from torch import Tensor, nn

from linlight.errors import InputError
from linlight.functional.squared_error import squared_error_sums
from linlight.methods.base import LinearModel
from linlight.methods.base.batch import Batch, as_batch

MOST_DIFFERENCES = 64
"""The most parameters checked by finite differences; each costs two losses."""


class Audit(Callback):
    """Checks the gradients of the first two steps, in float64, three ways, and names what is wrong.

    The formula, autograd and finite differences must agree with each other, and with what the method has
    put into `grad` when its optimizer is about to step. The second step is there for gradients that were
    not zeroed after the first.
    """

    def __init__(self) -> None:
        self._batch: Batch | None = None
        self._previous: Tensor | None = None
        self._steps = 0

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Starts afresh.

        Raises:
            InputError: With several processes, whose gradients are sums over all of them.
        """
        if trainer.world_size > 1:
            raise InputError("audit looks at one process's gradients: use --trainer.devices 1")
        self._previous, self._steps = None, 0

    def on_train_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Reports where there was no gradient."""
        if not self._steps and not trainer.interrupted:
            print(f"audit: {type(pl_module).__name__} computes no gradient: there is nothing to check")

    def on_train_batch_start(self, trainer: Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        """Remembers the batch of the next gradient."""
        self._batch = batch

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: Any, optimizer: Any) -> None:
        """Checks a gradient, before it moves anything.

        Raises:
            InputError: If it is wrong, with what seems to be the mistake.
        """
        model: LinearModel = pl_module
        if self._steps >= 2 or self._batch is None or model.w.grad is None:
            return
        self._steps += 1
        x, y, *weight = (tensor.double() for tensor in as_batch(self._batch))
        if model.b is not None:
            x = torch.cat([x, x.new_ones(len(x), 1)], 1)
        theta = _stacked(model.w, model.b)

        def loss(theta: Tensor) -> Tensor:
            return model.training_loss(x @ theta.T, y, *weight)

        expected = torch.func.grad(loss)(theta)
        residual = (x @ theta.T - y).abs()
        # Of the terms that add up to the gradient, whose rounding it has.
        size = 2 * float((residual.T @ x.abs()).max() + residual.sum(0).max())
        checks = {"finite differences": _differences(loss, theta)}
        if isinstance(model.criterion, nn.MSELoss):
            count = 1 if model.loss_is_total else model.expected_weight((x, y, *weight)) * y.shape[1]
            checks["the formula"] = squared_error_sums(x, y, theta, None, *weight)[1] / count
        for name, gradient in checks.items():
            known = gradient.isfinite()
            if not torch.allclose(gradient[known], expected[known], rtol=1e-5, atol=1e-6 * size):
                raise InputError(f"audit: {name} and autograd disagree on the loss {model.criterion}")
        found = _stacked(model.w.grad, None if model.b is None else model.b.grad)
        tolerance = 1e-9 if model.w.dtype == torch.float64 else 1e-4
        same = found.shape == expected.shape
        error = (found - expected).abs().max().item() if same else float("inf")
        if error > tolerance * (expected.abs().max().item() + 1e-2 * size):
            raise InputError(
                f"audit: the gradient of step {self._steps} is {_some(found)} and should be "
                f"{_some(expected)}: {self._diagnosis(found, expected, y)}"
            )
        self._previous = found
        names = ", ".join(["autograd", *checks])
        print(f"audit: step {self._steps}: {names} and the method's gradient agree (to {error:.1g})")

    def _diagnosis(self, found: Tensor, expected: Tensor, y: Tensor) -> str:
        if found.shape != expected.shape:
            return "the bias has no gradient, set b.grad as well"

        def is_near(other: Tensor) -> bool:
            return torch.allclose(found, other, rtol=1e-3, atol=1e-6 * float(expected.abs().max()))

        if self._previous is not None and is_near(expected + self._previous):
            return "it still holds the last step's, zero it after each step"
        causes = [
            (0.5, "the 2 of the squared error's derivative is missing"),
            (2.0, "there is a factor of 2 too many"),
            (-1.0, "its sign is turned round"),
            (float(y.numel()), "it is the sum over the rows, divide by their number"),
            (float(len(y)), "it is the sum over the rows, divide by their number"),
            (1 / y.numel(), "it is the mean over the rows, and the loss is their sum"),
            (y.numel() / 2, "it is the sum over the rows, and the 2 of the derivative is missing"),
            (float(y.shape[1]), "it is the mean over the rows only, divide by the number of targets too"),
            (0.0, "it is zero, was it zeroed before the step?"),
        ]
        for factor, cause in causes:
            if is_near(factor * expected):
                return cause
        return "compare it with 2*x*(x*w + b - y), averaged over the rows"


def _stacked(w: Tensor, b: Tensor | None) -> Tensor:
    """(w, b), (T, D + 1), in float64."""
    return (w if b is None else torch.cat([w, b[:, None]], 1)).detach().double()


def _differences(loss: Callable[[Tensor], Tensor], theta: Tensor) -> Tensor:
    """Central differences, which for a parabola only round; NaN beyond the first parameters."""
    gradient = torch.full_like(theta, torch.nan)
    for i in range(min(theta.numel(), MOST_DIFFERENCES)):
        step = torch.zeros_like(theta)
        step.view(-1)[i] = size = 1e-4 * max(1.0, abs(theta.view(-1)[i].item()))
        gradient.view(-1)[i] = (loss(theta + step) - loss(theta - step)) / (2 * size)
    return gradient


def _some(gradient: Tensor) -> str:
    numbers = [f"{value:.6g}" for value in gradient.flatten()[:4].tolist()]
    return "[" + ", ".join([*numbers, "..."] if gradient.numel() > 4 else numbers) + "]"
