"""What one method of a comparison did, and the path that it took."""

import math
from dataclasses import dataclass, field
from typing import Any

import torch
from lightning.pytorch import Callback, Trainer

from linlight.data.datamodule import XYDataModule
from linlight.functional.squared_error import squared_error_sums
from linlight.methods.base import LinearModel


@dataclass
class Result:
    """What one method did.

    Attributes:
        name: The method's heading in the notes, or its config's name.
        method: The class.
        settings: What tells it from the others.
        epochs: Epochs trained.
        steps: Updates made.
        weights: w, (T, D).
        bias: b, (T,), or None.
        loss: Mean squared error at these weights over the training rows.
        prediction: The prediction at the chosen x, (T,).
        seconds: Time of the training alone.
        descends: Whether it moves step by step; a search and a solve jump to where they end.
        path: Weights, bias and mean squared error before training and after every epoch.
        error: Why the method gave up, or None.
    """

    name: str
    method: str
    settings: str = ""
    epochs: int = 0
    steps: int = 0
    weights: list[list[float]] | None = None
    bias: list[float] | None = None
    loss: float | None = None
    prediction: list[float] | None = None
    seconds: float | None = None
    descends: bool = False
    path: list[dict[str, Any]] = field(default_factory=list)
    error: str | None = None


class PathRecorder(Callback):
    """Keeps weights and bias, in the data's own units, and mean squared error, as training goes on."""

    def __init__(self) -> None:
        self.path: list[dict[str, Any]] = []
        self.loss = math.nan
        self.started = False

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Keeps where the method starts; a search and a solve start nowhere."""
        self.started = True
        if "lr" in pl_module.hparams:
            self._keep(trainer, pl_module)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Keeps where the epoch led."""
        self._keep(trainer, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Keeps the loss of the end, as long as model and data have the same units."""
        self.loss = _mean_squared_error(pl_module, trainer.datamodule)  # type: ignore[attr-defined]

    def _keep(self, trainer: Trainer, model: LinearModel) -> None:
        data: XYDataModule = trainer.datamodule  # type: ignore[attr-defined]
        loss = _mean_squared_error(model, data)
        if math.isfinite(loss):
            w, b = model.original_units()
            bias = None if b is None else b.tolist()
            self.path.append({"weights": w.tolist(), "bias": bias, "loss": loss})


def _mean_squared_error(model: LinearModel, data: XYDataModule) -> float:
    total, mass = 0.0, 0.0
    with torch.no_grad():
        for x, y, *weight in data.train_pass():
            total += squared_error_sums(x, y, model.w, model.b, *weight)[0].item()
            mass += model.total_weight((x, y, *weight)).item() * y.shape[1]
    return total / mass
