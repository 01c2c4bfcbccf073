"""Progress of a long training: a bar on a terminal, or lines when asked for."""

import os
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any

import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch import callbacks as lightning_callbacks
from tqdm import tqdm

from linlight.data.datamodule import XYDataModule
from linlight.methods.base import LinearModel
from linlight.methods.base.run_rows import our_data
from linlight.methods.base.training_loss import epoch_loss
from linlight.text import count, number
from linlight.training.diagnostics import Diagnostics
from linlight.training.settings import method_settings

PATIENCE = 2.0
"""Seconds after which the bar of a training appears."""
LINES = 10
"""Lines about epochs that `Verbose` prints in a whole training."""


def loss_and_gap(trainer: Trainer, diagnostics: Diagnostics) -> str:
    """The loss of the epoch so far, and the gap after the last one, where it is known."""
    gap = diagnostics.epoch_metrics.get("gap")
    return f"loss {number(epoch_loss(trainer), 3)}" + ("" if gap is None else f", gap {number(gap, 3)}")


class ProgressBar(lightning_callbacks.ProgressBar):
    """One bar for the whole training, on standard error: rows, rows/s, time left, loss and gap.

    It goes away with the training. Only a terminal shows it.

    Args:
        diagnostics: The source of the gap.
        shown: Whether to show it at all.
    """

    takes_several_batches = True

    def __init__(self, diagnostics: Diagnostics | None = None, shown: bool = True) -> None:
        super().__init__()
        self._diagnostics = diagnostics or Diagnostics()
        # Both, because what is printed on one shows on the other's terminal.
        self._shown = shown and sys.stderr.isatty() and sys.stdout.isatty()
        self._bar: Any = None
        self._rows = 0.0  # of a batch, on average
        self._due = 0.0

    def disable(self) -> None:
        """Shows nothing, as on all processes but the first."""
        self._shown = False

    def enable(self) -> None:
        """Shows the bar again."""
        self._shown = True

    def print(self, *args: Any, **kwargs: Any) -> None:
        """Prints above the bar."""
        tqdm.write(" ".join(str(arg) for arg in args), file=kwargs.get("file") or sys.stdout)

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Makes the bar, which appears after a while."""
        data = our_data(trainer)
        if not self._shown or data is None:  # the rows of another data module are not known
            return
        epochs = trainer.max_epochs if trainer.max_epochs and trainer.max_epochs > 0 else None
        rows = data.source.known_sizes().get("training")
        if rows is None:  # a stream that is read for the first time
            self._rows, epochs = data.source.chunk_rows or 0, None
        else:
            self._rows = rows * data.passes / max(1, int(trainer.num_training_batches))
        self._bar = tqdm(
            total=None if epochs is None or rows is None else epochs * rows * data.passes,
            initial=trainer.current_epoch * (rows or 0) * data.passes,
            unit=" rows",
            unit_scale=True,
            delay=PATIENCE,
            leave=False,
            dynamic_ncols=True,
            file=sys.stderr,
            bar_format="{percentage:3.0f} %{postfix}, {rate_fmt}, {remaining} left"
            if epochs is not None
            else "{n_fmt} rows{postfix}, {rate_fmt}",
        )
        self._due = time.monotonic() + PATIENCE

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Advances the bar, and updates its loss and gap now and then."""
        if self._bar is None:
            return
        if time.monotonic() >= self._due:
            self._due = time.monotonic() + 0.2
            text = f"epoch {trainer.current_epoch + 1}, {loss_and_gap(trainer, self._diagnostics)}"
            self._bar.set_postfix_str(text, refresh=False)
        self._bar.update(self._rows)

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def on_train_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Removes the bar."""
        self._close()

    def on_exception(self, trainer: Trainer, pl_module: Any, exception: BaseException) -> None:
        """Removes the bar before the message."""
        self._close()


class Verbose(Callback):
    """Prints the settings before training, and some ten lines about its epochs."""

    def __init__(self, diagnostics: Diagnostics | None = None) -> None:
        self._diagnostics = diagnostics or Diagnostics()
        self._every = 1
        self._began = (0.0, 0)  # time and epoch

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Prints settings, data and device."""
        data = our_data(trainer)
        model: LinearModel = pl_module
        epochs = trainer.max_epochs or 0
        self._every = max(1, epochs // LINES)
        self._began = (time.perf_counter(), trainer.current_epoch)
        if not trainer.is_global_zero:
            return
        settings = (f"{name} {value}" for name, value in sorted(method_settings(model).items()))
        dtype = str(model.w.dtype).removeprefix("torch.")
        where = f"device: {model.device}, {count(torch.get_num_threads(), 'thread')}, {dtype}"
        if trainer.world_size > 1:
            where += f", {trainer.world_size} processes"
        print(f"settings: {', '.join(settings)}")
        if data is not None:
            sizes = data.source.known_sizes()
            order = "shuffled" if data.shuffle else "in order"
            print(
                f"data: {count(data.features, 'feature')}, {count(data.targets or 0, 'target')}; rows: "
                + (", ".join(f"{size} for {name}" for name, size in sizes.items()) or "as many as there are"),
                f"batches: {_batches(data, sizes.get('training'))}, {order}; {count(epochs, 'epoch')}",
                sep="\n",
            )
        print(where)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Prints one epoch of some."""
        epoch = trainer.current_epoch + 1
        if not trainer.is_global_zero or (epoch % self._every and epoch != 1):
            return
        data = our_data(trainer)
        began, first = self._began
        line = f"epoch {epoch}: {loss_and_gap(trainer, self._diagnostics)}"
        rows = None if data is None else data.source.known_sizes().get("training")
        if data is not None and rows is not None:
            speed = (epoch - first) * rows * data.passes / (time.perf_counter() - began)
            line += f", {number(speed, 3)} rows/s"
        bar = trainer.progress_bar_callback
        print(line) if bar is None else bar.print(line)


def _batches(data: XYDataModule, rows: int | None) -> str:
    if data.streamed and not data.batch_size and not data.reduce:
        return f"as they are read, up to {data.source.chunk_rows:,} rows"
    rows = data.train_size if rows is None else rows
    return f"{data.batches:,} of {count(min(data.batch_size or rows, rows), 'row')} an epoch"


@contextmanager
def silence() -> Iterator[None]:
    """Suppresses all output but errors."""
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
