"""The callbacks of a run, and the list of them that `linlight fit` trains with."""

from pathlib import Path
from typing import Literal

from lightning.pytorch import Callback

from linlight.methods.base.training_loss import TrainingLoss
from linlight.runs.final_pictures import Pictures
from linlight.runs.search_curve import SearchCurve
from linlight.text import language
from linlight.training.audit import Audit
from linlight.training.diagnostics import Diagnostics
from linlight.training.folder import RunFolder
from linlight.training.history import History
from linlight.training.last_checkpoint import LastCheckpoint
from linlight.training.predictions import PredictionWriter
from linlight.training.progress import ProgressBar, Verbose
from linlight.training.resume import ResumedSettings
from linlight.training.run_summary import RunSummary
from linlight.training.tensorboard import Charts
from linlight.training.trace import Trace

__all__ = [
    "Audit",
    "Charts",
    "Diagnostics",
    "History",
    "LastCheckpoint",
    "Pictures",
    "PredictionWriter",
    "ProgressBar",
    "ResumedSettings",
    "RunFolder",
    "RunSummary",
    "SearchCurve",
    "Trace",
    "TrainingLoss",
    "Verbose",
    "default_callbacks",
    "recording",
]


def recording(
    diagnostics: Diagnostics | None = None,
) -> tuple[Diagnostics, TrainingLoss, History, RunSummary]:
    """Makes the callbacks that measure a training and write `history.csv` and `summary.json`.

    They are a part of `default_callbacks`, and all that each of the many runs of `linlight sweep` needs.

    Args:
        diagnostics: The first of them. Default: one that prints nothing.
    """
    diagnostics = diagnostics or Diagnostics(quiet=True)
    return diagnostics, TrainingLoss(), History(diagnostics), RunSummary(diagnostics)


def default_callbacks(
    folder: Path | None = None,
    *,
    verbose: bool = False,
    trace: bool = False,
    lang: Literal["en", "zh"] | None = None,
    audit: bool = False,
    pictures: bool = False,
    stop_at_se: float | None = None,
    on_divergence: Literal["stop", "continue"] = "stop",
    format: Literal["csv", "parquet"] = "csv",
    checkpoint: LastCheckpoint | bool = True,
    bar: bool = True,
    quiet: bool = False,
) -> list[Callback]:
    """Makes the callbacks of a run, for `Trainer(callbacks=linlight.default_callbacks())`.

    With them a training prints a forecast and its results, and leaves a folder that `linlight.load` opens:
    `summary.json`, `history.csv` and `checkpoints/last.ckpt`, and `predictions.csv` where rows are predicted.

    Args:
        folder: The run's folder. Default: its TensorBoard's or CSV logger's, or a fresh
            `lightning_logs/METHOD/version_N`.
        verbose: Print settings and epochs.
        trace: Print what the notes print.
        lang: Of what --trace explains (default: locale's).
        audit: Check the first gradients.
        pictures: Draw the run at its end, as linlight plot does.
        stop_at_se: Stop within this many standard errors of the optimum, such as 0.01.
        on_divergence: Whether a run that diverges stops soon, or goes on as long as there are numbers.
        format: Of the file of predictions.
        checkpoint: Whether to keep `last.ckpt`, or what keeps it.
        bar: Whether a terminal shows a bar, instead of Lightning's. A Trainer with
            `enable_progress_bar=False` refuses any bar: give it `default_callbacks(bar=False)`.
        quiet: Print only `run:` and errors.
            There is no bar of ours: `enable_progress_bar=False` turns off Lightning's.

    Returns:
        The callbacks, in the order in which they need each other.

    Raises:
        InputError: If `stop_at_se` is not positive.
    """
    diagnostics = Diagnostics(stop_at_se, quiet, on_divergence)
    *measuring, summary = recording(diagnostics)
    callbacks: list[Callback] = []
    if trace:  # explains the method before the others print
        callbacks.append(Trace(language(lang)))
    if bar and not quiet:  # is removed before the others print; a trace leaves no room for it
        callbacks.append(ProgressBar(diagnostics, shown=not trace))
    callbacks += [
        *measuring,  # the others read what it measured
        Charts(diagnostics),
        SearchCurve(),
        summary,
        Pictures(summary, pictures),
        ResumedSettings(),
        PredictionWriter(format, quiet),
    ]
    if verbose:
        callbacks.append(Verbose(diagnostics))
    if checkpoint is not False:
        callbacks.append(LastCheckpoint() if checkpoint is True else checkpoint)
    if audit:
        callbacks.append(Audit())
    return [*callbacks, RunFolder(folder, quiet)]
