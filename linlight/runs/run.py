"""A finished run, from Python: its model, its data, what it found, and its pictures."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jsonargparse import ArgumentError, ArgumentParser

from linlight.cli.main import COMMANDS, fail
from linlight.cli.messages import one_line, options_of
from linlight.data.datamodule import XYDataModule
from linlight.errors import InputError
from linlight.methods.base import LinearModel
from linlight.training import checkpointing as checkpoints
from linlight.training.folder import folder_name
from linlight.training.history import FILE, Course
from linlight.training.run_summary import FORMAT
from linlight.training.summary import fitted

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes:
        folder: Its folder.
        summary: What `summary.json` holds.
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

    def plot(self, name: str | None = None, theme: str = "light") -> "Figure | dict[str, Figure]":
        """Draws the run.

        Args:
            name: Which picture: `loss`, `fit`, `residuals`, `epochs` or `coefficients`. Default: all that
                there are for this method and these data, by name.
            theme: `light` or `dark`.

        Raises:
            InputError: If there is no such picture of this run.
        """
        from linlight.runs.pictures import draw

        return draw(self, name, theme)

    def save_pictures(self, folder: str | Path | None = None) -> list[Path]:
        """Writes every picture as PNG and SVG, in both themes.

        Args:
            folder: Where to. Default: `pictures` in the run's folder.

        Returns:
            The files.
        """
        from linlight.runs.pictures import save

        return save(self, self.folder / "pictures" if folder is None else Path(folder))

    def __repr__(self) -> str:
        """One line: where it is, and what was found."""
        return f"Run({folder_name(self.folder)}: {self._line()})"

    def _line(self) -> str:
        return fitted(self.summary, self.data.feature_names)

    def _repr_markdown_(self) -> str:
        """The run as a notebook shows it."""
        lines = [f"**{self._line()}**"]
        rows = self.summary.get("coefficients") or []
        if rows and isinstance(rows[0], Mapping):
            keys = ("name", "estimate", "std_error", "t", "p", "ci_low", "ci_high")
            lines += ["", "| " + " | ".join(keys) + " |", "|---" * len(keys) + "|"]
            for row in rows:
                cells = [row[key] if key == "name" else _short(row[key]) for key in keys]
                lines.append("| " + " | ".join(cells) + " |")
        return "\n".join(lines)


def _short(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"


def load(folder: str | Path, data: XYDataModule | None = None) -> Run:
    """Opens a finished run.

    Args:
        folder: The run's folder, `lightning_logs/METHOD/version_N`.
        data: The data it was trained on, where those were arrays, which a run does not keep.

    Raises:
        InputError: If the folder is not one of a finished run, or a newer linlight wrote it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"there is no folder {folder}: give a run's, as its last line says")
    path = folder / "summary.json"
    if not path.exists():
        if (folder / "checkpoints" / "last.ckpt").exists():
            raise InputError(
                f"{folder} has not finished: linlight fit --ckpt_path {folder}/checkpoints/last.ckpt goes on"
            )
        if (folder / "sweep.json").exists():
            raise InputError(f"{folder} is the folder of a sweep: its picture is {folder}/sweep.png")
        inside = sorted(
            folder_name(found.parent)
            for found in folder.glob("*/**/summary.json")
            if (found.parent / "checkpoints" / "last.ckpt").exists()
        )
        raise InputError(
            f"{folder} is not the folder of a run: it has no summary.json"
            + (f", but {inside[0]} has" if inside else "")
            + (f", and {len(inside) - 1} more below it" if len(inside) > 1 else "")
        )
    try:
        summary: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        written = summary.get("format", 1)
        if type(written) is not int:
            raise ValueError(f"its format is {written!r}, not a number")
    except (ValueError, AttributeError) as error:
        raise InputError(f"{path} is damaged: {error}") from error
    if written > FORMAT:
        raise InputError(f"{folder} was written by a newer linlight (format {written}): upgrade to open it")
    if "train_loss" not in summary:
        raise InputError(f"{folder} is not the folder of a training: give one that linlight fit made")
    last = folder / "checkpoints" / "last.ckpt"
    if not last.exists():
        raise InputError(f"{folder} has no {last.relative_to(folder)}, which the runs of a sweep do not keep")
    stored = checkpoints.load(str(last))
    if data is None:
        settings = dict(stored.get("datamodule_hyper_parameters") or {})
        if not {"x", "y", "path"} <= settings.keys():
            raise InputError(
                f"{folder} was trained on arrays, which it does not hold: give data=XYDataModule(...)"
            )
        data = XYDataModule(**settings)
    module, _, name = stored["method"].rpartition(".")
    method: type[LinearModel] = getattr(import_module(module), name)
    model = method(**stored["hyper_parameters"])
    model.on_load_checkpoint(stored)
    model.load_state_dict(stored["state_dict"])
    return Run(folder, summary, model, data)


def of_file(error: OSError) -> str:
    """What the system says of a file, without its number."""
    return f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}"


def plot(args: Sequence[str]) -> None:
    """Runs `linlight plot`.

    Args:
        args: The words after the command.
    """
    parser = ArgumentParser(prog="linlight plot", exit_on_error=False, description=COMMANDS["plot"])
    help = "The run's folder, lightning_logs/METHOD/version_N."
    parser.add_argument("folder", type=str, nargs="+", help=help)
    parser.add_argument("--to", type=str | None, default=None, help="Default: pictures in that folder.")
    try:
        try:
            config = parser.parse_args(list(args))
        except ArgumentError as error:
            raise InputError(one_line(str(error), options_of(parser))) from error
        folder, *more = config.folder
        if more:
            raise InputError(f"plot draws one run at a time: give one folder, not {len(more) + 1}")
        files = load(folder).save_pictures(config.to)
    except InputError as error:
        fail(error)
    except OSError as error:
        fail(of_file(error))
    for file in files:
        if file.suffix == ".png":
            print(folder_name(file))
    print(f"run: {folder_name(folder)}")
