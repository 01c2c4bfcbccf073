"""What TensorBoard is given while a method trains."""

from collections.abc import Mapping
from typing import Any

import torch
from lightning.fabric.utilities.rank_zero import rank_zero_only
from lightning.pytorch import Callback, Trainer
from lightning.pytorch import loggers as lightning_loggers
from tensorboard.compat.proto.summary_pb2 import Summary
from torch import Tensor

from linlight.base import LinearModel
from linlight.data import XYDataModule

MOST_CURVES = 16
"""Up to so many weights are drawn one by one; of more, their norm."""


class TensorBoardLogger(lightning_loggers.TensorBoardLogger):
    """Lightning's logger, except that the values logged together are written together.

    One event for six values costs about as much as one event for one (`benchmarks/`), and on small data
    logging is most of what a step costs. The run's settings are in `config.yaml`; no `hparams.yaml`.
    """

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Writes one event with all values."""
        values = [Summary.Value(tag=tag, simple_value=float(value)) for tag, value in metrics.items()]
        self.experiment.file_writer.add_summary(Summary(value=values), step)

    def save(self) -> None:
        """Writes out what is pending."""
        self.experiment.flush()


class Dashboard(Callback):
    """Logs loss, w, b and their gradients, by step and by epoch.

    Under `step/`, the x axis counts updates, and a point shows loss, weights and gradient just before an
    update; every `log_every_n_steps`, or once an epoch if that is more often. Under `epoch/`, the x axis
    counts finished epochs, and a point shows the epoch's mean loss, the validation loss, the weights after
    the epoch and the gradient of its last update.
    """

    def __init__(self) -> None:
        self._gradients: dict[str, float] = {}

    def setup(self, trainer: Trainer, pl_module: Any, stage: str) -> None:
        """Makes sure that short epochs are seen: Lightning's default is every 50 steps."""
        data: XYDataModule = trainer.datamodule  # type: ignore[attr-defined]
        if stage == "fit":
            trainer.log_every_n_steps = max(1, min(trainer.log_every_n_steps, data.batches))  # type: ignore[attr-defined]

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: Any, optimizer: Any) -> None:
        """Logs a step, when its gradient is known and its update has not happened."""
        model: LinearModel = pl_module
        logged = trainer.global_step % trainer.log_every_n_steps == 0  # type: ignore[attr-defined]
        if not trainer.loggers or not (logged or trainer.is_last_batch):
            return
        self._gradients = _values("grad_w", model.w.grad)
        if model.b is not None:
            self._gradients |= _values("grad_b", model.b.grad)
        if logged and model.step_loss is not None:
            values = {"train_loss": model.step_loss.item(), **_weights(model), **self._gradients}
            _log(trainer, "step", values, trainer.global_step)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Logs an epoch."""
        if not trainer.loggers:
            return
        model: LinearModel = pl_module
        values = {
            "train_loss": model.epoch_loss.item(),
            **_weights(model),
            **self._gradients,
            **model.figures,
        }
        if trainer.enable_validation and "val_loss" in trainer.callback_metrics:
            values["val_loss"] = trainer.callback_metrics["val_loss"].item()
        _log(trainer, "epoch", values, trainer.current_epoch + 1)


def _log(trainer: Trainer, axis: str, values: dict[str, float], step: int) -> None:
    for logger in trainer.loggers:
        logger.log_metrics({f"{axis}/{name}": value for name, value in values.items()}, step)


def _weights(model: LinearModel) -> dict[str, float]:
    return _values("w", model.w) | ({} if model.b is None else _values("b", model.b))


def _values(name: str, tensor: Tensor | None) -> dict[str, float]:
    """A name for each number of a tensor: `w`, `w_1`, or `w_0_1` (target, feature)."""
    if tensor is None:
        return {}
    if tensor.numel() > MOST_CURVES:
        return {f"{name}_norm": torch.linalg.vector_norm(tensor.detach()).item()}
    numbers = tensor.detach().flatten().tolist()
    if len(numbers) == 1:
        return {name: numbers[0]}
    width = tensor.shape[-1]
    if tensor.ndim == 1 or tensor.shape[0] == 1:
        return {f"{name}_{i}": number for i, number in enumerate(numbers)}
    return {f"{name}_{i // width}_{i % width}": number for i, number in enumerate(numbers)}
