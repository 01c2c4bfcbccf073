"""The results of a comparison: what each method came to, and the table of all."""

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import Tensor

from linlight.data.datamodule import XYDataModule
from linlight.experiments.trial import Trial
from linlight.text import display_width, number, padded, shortened
from linlight.training.history import Course
from linlight.training.settings import run_label

WIDTH = 80
"""Columns of the table."""
NAME = 27
"""Columns of a method's name in it."""


@dataclass
class Result:
    """The result of one method of a comparison, as `compare.json` has it.

    Attributes:
        name: The method's heading in the notes, or its config's name.
        method: The class.
        settings: The settings that tell it from the others.
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


def result_of(name: str, trial: Trial, data: XYDataModule, example: Tensor) -> Result:
    """The result of a training called `name` on `data`, with its prediction at `example`, (1, D)."""
    model, summary = trial.model, trial.summary
    result = Result(
        name,
        type(model).__name__,
        run_label(model, data).replace(",", ", "),
        trial.epochs,
        trial.steps,
        descends=not model.single_pass,
        path=[] if trial.course is None else _path(trial.course, data),
        error=trial.error,
    )
    if trial.error is None:
        result.weights, result.bias, result.seconds = (summary[key] for key in ("weights", "bias", "seconds"))
        result.loss = result.path[-1]["loss"]
        result.prediction = model(example.to(model.w))[0].tolist()
    return result


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


def table(results: Sequence[Result], example: Tensor, remarks: Sequence[str] = ()) -> str:
    """The results as a table within 80 columns.

    Args:
        results: The results.
        example: The features that were predicted at, (1, D).
        remarks: Lines to add below it.
    """
    at = f"x = {example[0, 0]:.10g}" if example.shape[1] == 1 else "the given x"
    lines = [
        f"{'method':<{NAME}} {'epochs':>6} {'w':>8} {'b':>8} {'loss':>8} {'prediction':>10} {'seconds':>7}"
    ]
    notes = [f"loss: mean squared error; prediction: at {at}", *remarks]
    if any(r.weights and (len(r.weights) > 1 or len(r.weights[0]) > 1) for r in results):
        notes.append("(n): n numbers, which are in compare.json")
    for r, name in zip(results, shortened([r.name for r in results], WIDTH), strict=True):
        if display_width(name) > NAME:  # a line of its own, or it would lose the settings that tell it apart
            lines.append(name)
            name = ""
        start = f"{padded(name, NAME)} {r.epochs:>6}"
        if r.error is not None:
            lines.append(f"{start}  gave up, see below")
            notes.append(
                f"{r.name}: {r.error.replace('--model.lr', '--lr').replace('--optimizer.lr', '--lr')}"
            )
            continue
        weights = [w for row in r.weights or [] for w in row]
        lines.append(
            f"{start} {_cell(weights):>8} {_cell(r.bias):>8} {number(r.loss, 2):>8} "
            f"{_cell(r.prediction, 10):>10} {r.seconds:>7.2f}"
        )
    return "\n".join([*lines, *(line for note in notes for line in textwrap.wrap(note, WIDTH))])


def _cell(numbers: list[float] | None, width: int = 8) -> str:
    if numbers is None:
        return "-"
    return f"({len(numbers)})" if len(numbers) > 1 else number(numbers[0], width=width)
