"""The results of a comparison's and of a sweep's trainings."""

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import Tensor

from linlight.data.datamodule import XYDataModule
from linlight.experiments.common import Training
from linlight.training.history import Course
from linlight.training.tensorboard import run_label


@dataclass
class Result:
    """The result of one method of a comparison.

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
        path: Epoch, weights, bias and mean squared error before training and after its epochs.
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


def _path(course: Course, data: XYDataModule) -> list[dict[str, Any]]:
    with np.errstate(over="ignore"):
        losses = course.squared_errors(data.statistics.moments)
    return [
        {
            "epoch": epoch,
            "weights": theta[:, course.bias :].tolist(),
            "bias": theta[:, 0].tolist() if course.bias else None,
            "loss": loss,
        }
        for epoch, theta, loss in zip(course.epoch.tolist(), course.theta, losses.tolist(), strict=True)
        if math.isfinite(loss)
    ]


def result_of(name: str, training: Training, data: XYDataModule, example: Tensor) -> Result:
    """The result of a training of what is called `name` on `data`, predicting at `example`, (1, D)."""
    model, summary = training.model, training.summary
    result = Result(
        name,
        type(model).__name__,
        run_label(model, data).replace(",", ", "),
        training.epochs,
        training.steps,
        descends=not model.single_pass,
        path=[] if training.course is None else _path(training.course, data),
        error=training.error,
    )
    if training.error is None:
        result.weights, result.bias, result.seconds = (summary[key] for key in ("weights", "bias", "seconds"))
        result.loss = result.path[-1]["loss"]
        result.prediction = model(example.to(model.w))[0].tolist()
    return result


@dataclass
class Cell:
    """One run of a sweep.

    Attributes:
        method: Its class.
        batch_size: Rows per update.
        lr: Learning rate.
        largest_stable_step: Of this method, data and batch size; None where it is infinite.
        diverged: Whether it was stopped because its loss grew.
        gap: How far above the optimum's loss it ended, over how far it began; None where it diverged.
        epochs_to_tolerance: Epochs until that was a millionth; None where it never was.
    """

    method: str
    batch_size: int
    lr: float
    largest_stable_step: float | None = None
    diverged: bool = False
    gap: float | None = None
    epochs_to_tolerance: int | None = None


def cell_of(training: Training, lr: float, batch_size: int) -> Cell:
    """The cell of a training with a learning rate and a batch size."""
    known, diverged = training.diagnostics, training.error is not None
    cell = Cell(type(training.model).__name__, batch_size, lr, diverged=diverged)
    if not diverged:
        cell.gap = training.summary["gap"] / known.first_gap if known.first_gap > 0 else 0.0
        cell.epochs_to_tolerance = training.summary["epochs_to_tolerance"]
    cell.largest_stable_step = known.bound if math.isfinite(known.bound) else None
    return cell
