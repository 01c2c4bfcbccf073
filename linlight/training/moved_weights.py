"""Weights that a callback moves beside the steps, of which no forecast holds."""

from typing import Any

import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import LambdaCallback, ModelPruning

from linlight.functional.forecast import Forecast
from linlight.methods.base import LinearModel


class MovedWeights:
    """Compares the weights that a step begins with to those that the one before left.

    torch's hooks around the optimizer's step see it whatever the order of the callbacks is.

    Args:
        trainer: The Trainer, whose optimizer is about to take its first step.
        model: The method.
        suspects: The names of the callbacks that may move weights.
    """

    def __init__(self, trainer: Trainer, model: LinearModel, suspects: list[str]) -> None:
        self._training, self._weights = trainer, list(model.parameters())
        self._suspects = suspects
        self._moved, self._looked_at = False, trainer.global_step
        self._keep()
        (optimizer,) = trainer.optimizers
        self._hooks = (
            optimizer.register_step_pre_hook(self._before_step),
            optimizer.register_step_post_hook(self._keep),
        )

    @property
    def reason(self) -> str:
        """What happened, in words."""
        return f"the weights move between the steps, as a callback moves them: {' or '.join(self._suspects)}"

    def is_seen(self) -> bool:
        """Whether the weights have been moved, now or before; to be asked between training steps."""
        self._looked_at = self._training.global_step
        for weight, left in zip(self._weights, self._left, strict=True):
            # Equal too where numbers have ended.
            self._moved |= not torch.allclose(weight.detach(), left, rtol=0, atol=0, equal_nan=True)
        if self._moved:
            for hook in self._hooks:
                hook.remove()
        return self._moved

    def _before_step(self, *_: Any) -> None:
        # A training step by hand may have made other updates since, which do not take this way.
        if self._training.global_step == self._looked_at:
            self.is_seen()

    def _keep(self, *_: Any) -> None:
        self._left = [weight.detach().clone() for weight in self._weights]


def watch_weights(trainer: Trainer, model: LinearModel, forecast: Forecast) -> MovedWeights | None:
    """Watches the weights where something is foretold of them, and a callback may move them."""
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
    suspects = [type(one).__name__ for one in callbacks if _may_move(one)]
    return MovedWeights(trainer, model, suspects) if suspects and forecast.lr is not None else None


def _may_move(callback: Callback) -> bool:
    known = type(callback).__module__.partition(".")[0] in ("linlight", "lightning")
    return not known or isinstance(callback, LambdaCallback | ModelPruning)
