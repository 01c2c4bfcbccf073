"""A finished run: its summary, model, data and history, and the rows that it was trained on."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from linlight.data.datamodule import XYDataModule
from linlight.data.sources import ProcessInfo
from linlight.functional.descent import stack
from linlight.functional.statistic import Moments, merge, moments
from linlight.methods.base import LinearModel
from linlight.training.fit_result import FitResult
from linlight.training.history import FILE, Course

BLOCK_ROWS = 2**14


@dataclass(frozen=True)
class SeenRows:
    """Some rows that a run saw, and the statistic of all that it saw.

    Attributes:
        x: Features, (n, D).
        y: Targets, (n, T).
        moments: The statistic.
        note: A remark on how many of the rows x and y are.
        remark: A remark on a limited run that took its rows at random: x, y and the statistic are then of all
            rows. Else empty.
    """

    x: Tensor
    y: Tensor
    moments: Moments
    note: str
    remark: str


@dataclass(frozen=True)
class RunRecord:
    """A finished run.

    Attributes:
        folder: Its folder.
        summary: The content of `summary.json`.
        model: The trained method, in the data's own units.
        data: The data it was trained on.
    """

    folder: Path
    summary: dict[str, Any]
    model: LinearModel
    data: XYDataModule

    @cached_property
    def history(self) -> Course | None:
        """Weights and losses by epoch; None of a run that kept none, as those of earlier versions."""
        path = self.folder / FILE
        if not path.exists():
            return None
        return Course.read(path, self.model.w.shape[0], self.model.b is not None)

    @property
    def result(self) -> FitResult:
        """The result, for `to_text`, `to_markdown`, `to_json` and `to_frame`."""
        return FitResult(self.summary)

    @property
    def path(self) -> tuple[np.ndarray, np.ndarray]:
        """Finished epochs, (points,), and θ = (b, w) of the first target after each, (points, K).

        The last point alone if there is no history.
        """
        course = self.history
        if course is None:
            return np.array([self.summary["epochs"]]), stack(self.model.w, self.model.b)[:1]
        return course.epoch, course.theta[:, 0]

    def seen(self, most: int) -> SeenRows:
        """Finds the rows of the run again: the first of an epoch where a limit ended it.

        Args:
            most: The most rows to return; of more, evenly spaced ones.
        """
        data, rows, there = self.data, self.summary["rows"], self.data.train_size
        if rows < there and not data.shuffle:
            spaced = torch.linspace(0, rows - 1, min(rows, most), dtype=torch.float64).round().long()
            chosen, parts, first = [], [], 0
            for x, y, *weight in _first(data, rows):
                parts.append(moments(x, y, *weight))
                here = spaced[(spaced >= first) & (spaced < first + len(x))] - first
                chosen.append((x[here], y[here]))
                first += len(x)
            x, y = (torch.cat(tensors) for tensors in zip(*chosen, strict=True))
            return SeenRows(x, y, merge(parts), _note(len(x), rows), "")
        x, y = data.statistics.sample(most)
        limited = f" (of all {there:,} rows: the run saw {rows:,} of them, at random)" if rows < there else ""
        return SeenRows(x, y, data.statistics.moments, limited or _note(len(x), rows), limited)


def _note(shown: int, rows: int) -> str:
    return "" if shown == rows else f" ({shown:,} of {rows:,} rows)"


def _first(data: XYDataModule, rows: int) -> Iterator[tuple[Tensor, ...]]:
    """The first rows to train on, block by block."""
    for item in data.source.in_order("train", ProcessInfo(), None, BLOCK_ROWS):
        block = tuple(tensor[:rows] for tensor in item)
        yield block
        rows -= len(block[0])
        if not rows:
            return
