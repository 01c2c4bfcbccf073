"""`--trace true`: prints what the notes print, in their order."""

from typing import Any

import torch
from lightning.pytorch import Callback, Trainer
from torch import Tensor

from linlight.methods.base import Batch, LinearModel
from linlight.methods.exhaustive_search import ExhaustiveSearch
from linlight.methods.gradient_descent import GradientDescent


def number(tensor: Tensor) -> float | list[Any]:
    """A tensor's one number, or its list of numbers, in full precision."""
    flat: list[Any] = tensor.detach().tolist()
    while isinstance(flat, list) and len(flat) == 1:
        flat = flat[0]
    return flat


class Trace(Callback):
    """Prints the training as the notes' programs do, to be read beside them.

    First the method's explanation; the prediction before training; for batches of one row the gradient of
    each; a line per epoch, or per candidate of a search; the prediction after training.
    """

    def __init__(self) -> None:
        self._batch: Batch | None = None

    def setup(self, trainer: Trainer, pl_module: Any, stage: str) -> None:
        """Sees to it that every batch is seen."""
        trainer.datamodule.one_by_one = True  # type: ignore[attr-defined]

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Explains the method and predicts with the weights it starts from."""
        if trainer.is_global_zero:
            print(f"{type(pl_module).__name__}\n{pl_module.explanation}\n")
            self._predict("before", trainer, pl_module)

    def on_train_batch_start(self, trainer: Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        """Keeps the batch, to show it beside its gradient."""
        self._batch = batch

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: Any, optimizer: Any) -> None:
        """Prints the gradient of a batch that is not the whole."""
        model: LinearModel = pl_module
        if not trainer.is_global_zero or model.w.grad is None or self._batch is None:
            return
        x, y = self._batch[:2]
        if len(x) == 1 and trainer.world_size == 1:
            print("\tgrad:", number(x), number(y), number(model.w.grad))
        elif trainer.num_training_batches > 1:
            print("\tgrad:", number(model.w.grad))

    def on_train_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Prints the epoch, or every candidate."""
        if not trainer.is_global_zero:
            return
        if isinstance(pl_module, ExhaustiveSearch):
            self._candidates(pl_module)
            return
        model: LinearModel = pl_module
        bias = "" if model.b is None else f" b= {number(model.b)}"
        print("epoch:", trainer.current_epoch, "w=", f"{number(model.w)}{bias}", "loss=", self._loss(model))

    def _loss(self, model: LinearModel) -> float:
        """The loss the notes print: a whole batch's, or that of the last sample.

        The stochastic program of the notes computes it after the update, the others before.
        """
        assert self._batch is not None
        if model.trainer.num_training_batches == 1:
            return model.epoch_loss.item()
        if isinstance(model, GradientDescent) and model.trainer.world_size == 1:
            x, y, *weight = self._batch
            with torch.no_grad():
                return model.loss(model(x), y, *weight).item()
        return model.step_loss.item()

    def _candidates(self, model: ExhaustiveSearch) -> None:
        features = model.w.shape[1]
        for candidate, losses in zip(model.candidates, model.losses.T, strict=True):
            bias = f" b= {candidate[features].item()}" if model.b is not None else ""
            print("w=", f"{number(candidate[:features])}{bias}", "MSE=", number(losses))

    def on_train_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Predicts with the weights it arrived at."""
        if trainer.is_global_zero:
            self._predict("after", trainer, pl_module)

    def _predict(self, when: str, trainer: Trainer, model: LinearModel) -> None:
        x: Tensor = trainer.datamodule.example.to(model.device)  # type: ignore[attr-defined]
        scaling = trainer.datamodule.scaling  # type: ignore[attr-defined]
        with torch.no_grad():
            y_hat = model(x if scaling is None else scaling.scale(x))
            print(f"predict ({when} training)", number(x), number(y_hat))
