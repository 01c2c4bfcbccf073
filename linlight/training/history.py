"""The course of a training: weights and losses by epoch, in one small file of the run's folder."""

import csv
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, Trainer

from linlight.errors import Diverged, InputError
from linlight.functional.descent import stack
from linlight.functional.standardize import Standardizer
from linlight.functional.statistic import Moments, design
from linlight.methods.base import LinearModel
from linlight.methods.base.run_rows import column_names, our_data
from linlight.methods.base.training_loss import epoch_loss
from linlight.training.diagnostics import Diagnostics
from linlight.training.folder import run_folder

FILE = "history.csv"
LOSSES = ("train_loss", "val_loss", "gap", "predicted_gap")
MOST_POINTS = 2000
"""The most epochs that are kept; with more, every second of them, then every fourth, and so on."""
MOST_NUMBERS = 2**17
"""The most numbers that are kept: with many weights, fewer epochs."""

ROUNDING = 8 * np.finfo(float).eps
"""Residuals below this share of the targets are rounding."""


@dataclass(frozen=True)
class Course:
    """Where a training was after some of its epochs, in float64.

    Attributes:
        epoch: Finished epochs, (n,): 0 is the start; a search and a solve have none.
        theta: θ = (b, w) in the data's own units, (n, T, K).
        bias: Whether the first of the K parameters is a bias.
        losses: `train_loss`, the mean loss of the epoch's batches, `val_loss`, `gap` and `predicted_gap`,
            (n,) each: those that are known, NaN at points without one.
    """

    epoch: np.ndarray
    theta: np.ndarray
    bias: bool
    losses: dict[str, np.ndarray]

    def squared_errors(self, m: Moments) -> np.ndarray:
        """The mean squared error at each point, (n,), from the statistic of the data in their own units."""
        x, y = (tensor.cpu().numpy() for tensor in design(m, self.bias))
        residuals = y - np.einsum("rk,ntk->nrt", x, self.theta)
        squares, least = np.square(residuals).sum(1), np.square(ROUNDING * y).sum(0)
        mean: np.ndarray = np.where(squares > least, squares, 0.0).mean(1) / m.weight.item()
        return mean

    def write(self, path: Path, features: list[str], targets: list[str]) -> None:
        """Writes a CSV with a row for each point: epoch, losses, then `b` and `w` by their names."""
        of = [""] if len(targets) == 1 else [f".{name}" for name in targets]
        names = ["w"] if len(features) == 1 else [f"w.{name}" for name in features]
        head = [name + target for target in of for name in (["b"] * self.bias + names)]
        columns = np.column_stack([*self.losses.values(), self.theta.reshape(len(self.epoch), -1)])
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["epoch", *self.losses, *head])
            for epoch, row in zip(self.epoch.tolist(), columns.tolist(), strict=True):
                writer.writerow([epoch, *("" if math.isnan(value) else repr(value) for value in row)])

    @classmethod
    def read(cls, path: Path, targets: int, bias: bool) -> "Course":
        """Reads what `write` wrote for a model with this number of targets.

        Raises:
            InputError: If the file is damaged.
        """
        try:
            with path.open(newline="", encoding="utf-8") as file:
                head, *rows = csv.reader(file)
            known = [name for name in head[1 : 1 + len(LOSSES)] if name in LOSSES]
            numbers = np.array([[float(cell or "nan") for cell in row] for row in rows])
            theta = numbers[:, 1 + len(known) :].reshape(len(rows), targets, -1)
            losses = {name: numbers[:, i] for i, name in enumerate(known, 1)}
            return cls(numbers[:, 0].astype(int), theta, bias, losses)
        except (ValueError, IndexError) as error:
            raise InputError(f"{path} is damaged: {error}") from error


class History(Callback):
    """Records weights and losses by epoch, and writes them into `history.csv`, even where the run fails.

    Attributes:
        course: The record, once the training has ended.
        started: Whether the training has begun, so that it is the training that fails.

    Args:
        diagnostics: The source of the gaps; it has to come before this callback.
    """

    def __init__(self, diagnostics: Diagnostics | None = None) -> None:
        self._diagnostics = diagnostics or Diagnostics()
        self.course: Course | None = None
        self.started = False
        self._every = 1
        self._in_part = False  # whether the last point is inside an epoch
        # Epoch, θ in the units of the training, losses.
        self._points: list[tuple[int, np.ndarray, dict[str, float]]] = []

    def state_dict(self) -> dict[str, Any]:
        """Returns all points, so that a resumed run has those before it too."""
        points = self._points[:-1] if self._in_part else self._points
        if not points:
            return {}
        epochs, theta, losses = zip(*points, strict=True)
        return {
            "epochs": list(epochs),
            "theta": torch.from_numpy(np.stack(theta)),
            "losses": list(losses),
            "every": self._every,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restores the points."""
        if state_dict:
            theta = state_dict["theta"].numpy()
            self._points = list(zip(state_dict["epochs"], theta, state_dict["losses"], strict=True))
            self._every = state_dict["every"]

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Records the starting weights, unless a search or a solve makes no use of them."""
        self.started = True
        if not pl_module.single_pass:
            self._keep(trainer.current_epoch, pl_module, {})

    def on_train_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Records the weights and losses after the epoch."""
        losses = {"train_loss": epoch_loss(trainer), **self._diagnostics.epoch_metrics}
        if trainer.enable_validation and "val_loss" in trainer.callback_metrics:
            losses["val_loss"] = trainer.callback_metrics["val_loss"].item()
        self._keep(trainer.current_epoch + 1, pl_module, losses)
        self._in_part = not trainer.is_last_batch

    def on_train_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Writes the file."""
        self._finish(trainer)

    def on_fit_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Writes the file of a run that was resumed at its end."""
        if self.course is None:
            self._finish(trainer)

    def on_exception(self, trainer: Trainer, pl_module: Any, exception: BaseException) -> None:
        """Records the last weights of a training that is stopped, and writes the file.

        After an overflow the model goes back to the last finite weights.
        """
        if self.started and self.course is None:
            if not pl_module.single_pass:
                self._keep(trainer.current_epoch + 1, pl_module, {})
            self._finish(trainer)
            if isinstance(exception, Diverged) and self._points:
                most = 1e-6 * math.sqrt(torch.finfo(pl_module.w.dtype).max)  # whose squares are numbers
                finite = [one for _, one, _ in self._points if np.abs(one).max() < most]
                theta = torch.from_numpy((finite or [self._points[0][1]])[-1])
                pl_module.w.data.copy_(theta[:, -pl_module.w.shape[1] :])
                if pl_module.b is not None:
                    pl_module.b.data.copy_(theta[:, 0])

    def _keep(self, epoch: int, model: LinearModel, losses: dict[str, float]) -> None:
        theta, points = stack(model.w, model.b), self._points
        if not np.isfinite(theta).all() or (points and epoch <= points[-1][0]):
            return
        if len(points) > 1 and points[-1][0] % self._every:  # it was only kept as the last one
            points.pop()
        points.append((epoch, theta, losses))
        if len(points) > max(2, min(MOST_POINTS, MOST_NUMBERS // theta.size)):
            self._every *= 2
            first, *between, last = points
            self._points = [first, *(one for one in between if one[0] % self._every == 0), last]

    def _finish(self, trainer: Trainer) -> None:
        data = our_data(trainer)
        model: LinearModel = trainer.lightning_module  # type: ignore[assignment]
        if not self._points:
            return
        epochs, thetas, losses = zip(*self._points, strict=True)
        theta, bias = np.stack(thetas), model.b is not None
        if data is not None and data.scaling is not None:
            theta = _original_units(theta, data.scaling)
        known = [name for name in LOSSES if any(name in one for one in losses)]
        columns = {name: np.array([one.get(name, math.nan) for one in losses]) for name in known}
        self.course = Course(np.array(epochs), theta, bias, columns)
        folder = run_folder(trainer)
        if trainer.is_global_zero and folder.is_dir():
            self.course.write(folder / FILE, *column_names(trainer, model.w.shape[1], model.w.shape[0]))


def _original_units(theta: np.ndarray, scaling: Standardizer) -> np.ndarray:
    flat = torch.from_numpy(theta.reshape(-1, theta.shape[-1]))
    w, b = scaling.original_units(flat[:, 1:], flat[:, 0])
    return np.column_stack([b.numpy(), w.numpy()]).reshape(theta.shape)
