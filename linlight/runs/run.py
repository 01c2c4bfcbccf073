"""A finished run, from Python: its model, its data, its result and its pictures."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from linlight.data.datamodule import XYDataModule
from linlight.errors import InputError
from linlight.methods.base import LinearModel
from linlight.runs.record import RunRecord
from linlight.training import checkpointing as checkpoints
from linlight.training.folder import folder_name
from linlight.training.run_summary import FORMAT

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Run(RunRecord):
    """A finished run, which draws itself."""

    def plot(self, name: str | None = None, theme: str = "light") -> "Figure | dict[str, Figure]":
        """Draws the run.

        Args:
            name: Which picture: `loss`, `fit`, `residuals`, `epochs`, `coefficients` or `graph`. Default: all
                that there are for this method and these data, by name.
            theme: `light` or `dark`.

        Raises:
            InputError: If there is no such picture of this run, or no such theme.
        """
        from linlight.runs import pictures  # with matplotlib, which takes long to import

        return pictures.draw_all(self, theme) if name is None else pictures.draw(self, name, theme)

    def save_pictures(self, folder: str | Path | None = None) -> list[Path]:
        """Writes every picture as PNG and SVG, in both themes.

        Args:
            folder: The folder to write to. Default: `pictures` in the run's folder.

        Returns:
            The files.

        Raises:
            InputError: If the run's `pictures` is a link.
        """
        from linlight.runs.pictures import save

        own = self.folder / "pictures"
        if folder is None and own.is_symlink():
            raise InputError(f"{own} leads out of the run's folder: name the folder to draw into, by --to")
        return save(self, own if folder is None else Path(folder))

    def __repr__(self) -> str:
        """One line: the folder and the result."""
        return f"Run({folder_name(self.folder)}: {self.result.line})"

    def _repr_markdown_(self) -> str:
        """The result, for notebooks that show no HTML."""
        return f"**{self.result.line}**\n\n{self.result.to_markdown()}"

    def _repr_html_(self) -> str:
        """The run as a notebook shows it: the result and the pictures."""
        from linlight.runs.pictures import as_html  # with matplotlib, which takes long to import

        return as_html(self)


def load(
    folder: str | Path,
    data: XYDataModule | None = None,
    method: type[LinearModel] | LinearModel | None = None,
) -> Run:
    """Opens a finished run.

    Args:
        folder: The run's folder, `lightning_logs/METHOD/version_N`.
        data: The data it was trained on, if those were arrays, which a run does not keep.
        method: The method, if it is one of your own: its class, or an untrained model. Without it, the name
            in the run is looked up among linlight's methods alone.

    Raises:
        InputError: If the folder is not that of a finished run, or a newer linlight wrote it.
    """
    folder = Path(folder)
    summary = _summary(folder)
    last = folder / "checkpoints" / "last.ckpt"
    if not last.exists():
        raise InputError(f"{folder} has no {last.relative_to(folder)}, which the runs of a sweep do not keep")
    stored = checkpoints.load(last)
    model = checkpoints.model_of(last, stored, method)
    if data is None:
        settings = checkpoints.data_of(last, stored)
        if not {"x", "y", "path"} <= settings.keys():
            raise InputError(
                f"{folder} was trained on arrays, which it does not hold: give data=XYDataModule(...)"
            )
        data = XYDataModule(**settings)
    if (data.features, data.targets) != (model.w.shape[1], model.w.shape[0]):
        raise InputError(
            f"{last} has weights for {model.w.shape[1]} features and {model.w.shape[0]} targets, and the "
            f"data have {data.features} and {data.targets or 0}: give the data it was trained on"
        )
    return Run(folder, summary, model, data)


def _summary(folder: Path) -> dict[str, Any]:
    """The content of a run's `summary.json`, checked."""
    path = folder / "summary.json"
    if not path.exists():
        raise InputError(_why_no_run(folder))
    try:
        summary = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is damaged: {error}") from error
    if not isinstance(summary, dict):
        raise InputError(f"{path} is damaged: it is a {type(summary).__name__}, not an object")
    written = summary.get("format", 1)
    if type(written) is not int:
        raise InputError(f"{path} is damaged: its format is {written!r}, not a number")
    if written > FORMAT:
        raise InputError(f"{folder} was written by a newer linlight (format {written}): upgrade to open it")
    kinds = {
        "method": str, "weights": list, "bias": list | None, "rows": int, "epochs": int, "steps": int,
        "train_loss": int | float, "seconds": int | float, "feature_names": list, "target_names": list,
    }  # fmt: skip
    for name, kind in kinds.items():
        if name in summary and not isinstance(summary[name], kind):
            raise InputError(f"{path} is damaged: its {name} is {str(summary[name])[:80]!r}")
    if "train_loss" not in summary:
        raise InputError(f"{folder} is not the folder of a training: give one that linlight fit made")
    return summary


def _why_no_run(folder: Path) -> str:
    """What to say of a folder without `summary.json`."""
    if not folder.is_dir():
        return f"there is no folder {folder}: give a run's, as its last line says"
    if (folder / "checkpoints" / "last.ckpt").exists():
        return f"{folder} has not finished: linlight fit --ckpt_path {folder}/checkpoints/last.ckpt goes on"
    if (folder / "sweep.json").exists():
        return f"{folder} is the folder of a sweep: its picture is {folder}/sweep.png"
    inside = sorted(
        folder_name(found.parent)
        for found in folder.glob("*/**/summary.json")
        if (found.parent / "checkpoints" / "last.ckpt").exists()
    )
    return (
        f"{folder} is not the folder of a run: it has no summary.json"
        + (f", but {inside[0]} has" if inside else "")
        + (f", and {len(inside) - 1} more below it" if len(inside) > 1 else "")
    )
