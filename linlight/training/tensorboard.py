"""TensorBoard during a training: the logger, the charts and their layout."""

import math
import time
from collections.abc import Mapping
from typing import Any

import torch
from lightning.fabric.utilities.rank_zero import rank_zero_only
from lightning.pytorch import Callback, Trainer
from lightning.pytorch import loggers as lightning_loggers
from tensorboard.compat.proto.summary_pb2 import Summary
from torch import Tensor

from linlight.methods.base import LinearModel
from linlight.methods.base.run_rows import our_data
from linlight.methods.base.training_loss import batch_loss, epoch_loss
from linlight.training.diagnostics import Diagnostics

LAYOUT: dict[str, dict[str, list[str]]] = {
    "by epoch": {
        "loss: training, validation, optimum": [
            rf"^epoch/{kind}_loss$" for kind in ("train", "val", "optimum")
        ],
        "gap to the optimum's loss, log10: actual, predicted": [
            r"^epoch/log10_gap$",
            r"^epoch/log10_predicted_gap$",
        ],
        "weights, and the exact answer": [r"^epoch/w(_\d+){0,2}$", r"^epoch/w_norm$", r"^epoch/optimum_w"],
        "bias, and the exact answer": [r"^epoch/b(_\d+)?$", r"^epoch/b_norm$", r"^epoch/optimum_b"],
        "gradient": [r"^epoch/grad_"],
    },
    "by step": {
        "loss of the batch": [r"^step/train_loss$"],
        "weights and bias": [r"^step/[wb](_\d+){0,2}$", r"^step/[wb]_norm$"],
        "gradient": [r"^step/grad_"],
    },
}
"""Category and chart of TensorBoard's custom scalars, and the expressions that match the tags of its lines.

The first tag of a run is drawn solid, the others in dashes of their own: so the actual one comes first.
"""
MOST_CURVES = 16
"""The most weights that are drawn one by one; with more, their norm is."""


class BatchedTensorBoardLogger(lightning_loggers.TensorBoardLogger):
    """Lightning's logger, except that it writes values that belong together as one event, once a second.

    On small data logging is most of what a step costs. Every event wakes the thread that writes, which then
    competes with the training; and an event of six values costs little more than an event of one
    (`benchmarks/overhead.py`). The run's settings are in `config.yaml`; there is no `hparams.yaml`.
    """

    _pending: list[tuple[Mapping[str, float], int | None, float]] | None = None
    _written = 0.0

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Keeps the values, with the time, to be written as one event within a second."""
        # Lightning adds the epoch to what `validate` and `test` find: a chart that says nothing.
        metrics = {tag: value for tag, value in metrics.items() if tag != "epoch"}
        now = time.time()
        if self._pending is None:
            self._pending = []
        self._pending.append((metrics, step, now))
        if now - self._written > 1:
            self._write()

    def _write(self) -> None:
        pending, self._pending, self._written = self._pending or [], None, time.time()
        writer = self.experiment.file_writer
        for metrics, step, when in pending:
            values = [Summary.Value(tag=tag, simple_value=float(value)) for tag, value in metrics.items()]
            writer.add_summary(Summary(value=values), step, when)

    @rank_zero_only
    def save(self) -> None:
        """Writes out what is pending."""
        self._write()
        self.experiment.flush()

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Writes out what is pending and closes the file."""
        self.save()
        super().finalize(status)


def tensorboards(trainer: Trainer) -> list[lightning_loggers.TensorBoardLogger]:
    """The TensorBoard loggers among those of a Trainer."""
    return [one for one in trainer.loggers if isinstance(one, lightning_loggers.TensorBoardLogger)]


class Charts(Callback):
    """Logs loss, w, b and their gradients, by step and by epoch.

    Under `step/` the x axis counts updates: a point shows the loss and the gradient of a batch, and the
    weights after its update; every `log_every_n_steps`, or once an epoch if that is more often. Under
    `epoch/` it counts finished epochs: a point shows the epoch's mean loss, the validation loss, the
    gradient of the last update and the weights after it; beside them the optimum's loss, w and b, and the
    gaps as logarithms, because TensorBoard keeps no axis of a chart logarithmic.

    Args:
        diagnostics: The source of the optimum and the gaps; it has to come before this callback.
    """

    takes_several_batches = True

    def __init__(self, diagnostics: Diagnostics | None = None) -> None:
        self._diagnostics = diagnostics or Diagnostics()
        self._gradients: dict[str, float] = {}
        self._exact: dict[str, float] = {}
        self._one_batch = False
        self._logged = 0  # the step logged last

    def setup(self, trainer: Trainer, pl_module: Any, stage: str) -> None:
        """Makes sure that short epochs are seen: Lightning's default is every 50 steps."""
        data = our_data(trainer)
        if stage == "fit" and data is not None:
            trainer.log_every_n_steps = max(1, min(trainer.log_every_n_steps, data.batches))  # type: ignore[attr-defined]

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Logs where the weights start, and arranges the charts."""
        self._logged = trainer.global_step
        self._one_batch = trainer.num_training_batches == 1
        self._exact = {}
        if self._diagnostics.exact is not None:
            w, b, loss = self._diagnostics.exact
            self._exact = {"optimum_loss": loss, **_values("optimum_w", w), **_values("optimum_b", b)}
        if trainer.is_global_zero:
            for logger in tensorboards(trainer):
                write_layout(logger.experiment)
        _log(trainer, trainer.global_step, _named("step", _weights(pl_module)))

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: Any, optimizer: Any) -> None:
        """Keeps the gradient, which a method may zero after its update."""
        if not trainer.loggers:
            return
        if self._one_batch or trainer.is_last_batch or self._due(trainer.global_step + 1, trainer):
            w, b = pl_module.w, pl_module.b
            self._gradients = _values("grad_w", w.grad) | _values("grad_b", None if b is None else b.grad)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Logs a step."""
        if trainer.loggers and not self._one_batch and self._due(trainer.global_step, trainer):
            self._logged = trainer.global_step
            model: LinearModel = pl_module
            loss = batch_loss(trainer, outputs)
            values = {} if loss is None else {"train_loss": loss.item()}
            values |= self._gradients | _weights(model)
            _log(trainer, trainer.global_step, _named("step", values))

    def _due(self, step: int, trainer: Trainer) -> bool:
        """Whether a multiple of `log_every_n_steps` was reached, or passed by several updates at once."""
        every: int = trainer.log_every_n_steps  # type: ignore[attr-defined]
        return step // every > self._logged // every

    def on_train_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Logs an epoch; where it is a single step, as one event with the step."""
        if not trainer.loggers:
            return
        model: LinearModel = pl_module
        values = {"train_loss": epoch_loss(trainer), **self._gradients, **_weights(model)}
        epoch = trainer.current_epoch + 1
        step = _named("step", values) if self._one_batch else {}
        values |= self._exact
        gaps = self._diagnostics.epoch_metrics
        values |= gaps | {f"log10_{name}": math.log10(gap) for name, gap in gaps.items() if gap > 0}
        if trainer.enable_validation:
            found = trainer.callback_metrics.items()
            values |= {name: value.item() for name, value in found if name.startswith("val_")}
        by_epoch = _named("epoch", values)
        if trainer.global_step == epoch:
            _log(trainer, epoch, step | by_epoch)
        else:
            _log(trainer, trainer.global_step, step)
            _log(trainer, epoch, by_epoch)


def write_layout(writer: Any) -> None:
    """Writes the layout to a `SummaryWriter`; the runs of one log folder share it."""
    lines = {
        category: {title: ["Multiline", tags] for title, tags in charts.items()}
        for category, charts in LAYOUT.items()
    }
    writer.add_custom_scalars(lines)


def _named(axis: str, values: dict[str, float]) -> dict[str, float]:
    return {f"{axis}/{name}": value for name, value in values.items()}


def _log(trainer: Trainer, x: int, values: dict[str, float]) -> None:
    for logger in trainer.loggers if values else ():
        logger.log_metrics(values, x)


def _weights(model: LinearModel) -> dict[str, float]:
    return _values("w", model.w) | _values("b", model.b)


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
