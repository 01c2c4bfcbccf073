"""The files of a finished run: its summary, model, data and history."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from linlight.data.datamodule import XYDataModule
from linlight.methods.base import LinearModel
from linlight.training.fit_result import FitResult
from linlight.training.history import FILE, Course


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
        """What it found, for `to_text`, `to_markdown`, `to_json` and `to_frame`."""
        return FitResult(self.summary)
