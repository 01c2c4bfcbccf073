"""One training of several: what `compare` and `sweep` share."""

import inspect
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Callback, Trainer, seed_everything
from lightning.pytorch.callbacks import LambdaCallback
from tqdm import tqdm

from linlight.callbacks import Diagnostics, History, RunSummary
from linlight.data.datamodule import XYDataModule
from linlight.errors import InputError
from linlight.methods.base import LinearModel
from linlight.training.history import Course
from linlight.training.progress import PATIENCE
from linlight.training.tensorboard import BatchedTensorBoardLogger

MOST_SEED = 2**32 - 1


def check_settings(
    data: dict[str, Any], epochs: int, seed: int, accelerator: str, seeds: Sequence[int] = ()
) -> None:
    """Checks the settings that all trainings share.

    Raises:
        InputError: If a setting cannot be used.
    """
    if data.get("stream"):
        raise InputError("compare and sweep train many times over rows in memory: leave out stream")
    if epochs < 1:
        raise InputError(f"epochs must be at least 1, got {epochs}")
    for one in (seed, *seeds):
        if not 0 <= one <= MOST_SEED:
            raise InputError(f"a seed must be a whole number from 0 to {MOST_SEED}, got {one}")
    if len(set(seeds)) < len(seeds):
        raise InputError(f"seeds names one twice, {list(seeds)}: name each once")
    try:
        Trainer(accelerator=accelerator, devices=1, logger=False, enable_checkpointing=False)
    except (ValueError, MisconfigurationException) as error:
        raise InputError(f"accelerator {accelerator!r} cannot be used: {error}") from error


def check_biases(models: Mapping[str, LinearModel]) -> None:
    """Checks that models of standardized features, given by their names, have a bias.

    Raises:
        InputError: If one has none.
    """
    for name, model in models.items():
        if not model.hparams.get("bias", True):
            raise InputError(
                f"standardize centres the features, so the models need a bias, and {name} has none: "
                "set --bias true, or bias: true in its config"
            )


def as_words(given: str | Sequence[str] | None) -> list[str]:
    """Names as a list: `SGD,Adam`, or a list already."""
    if isinstance(given, str):
        given = [name.strip() for name in given.split(",") if name.strip()]
    return list(given or ())


def parameters(method: type[LinearModel]) -> Mapping[str, inspect.Parameter]:
    """The settings that a method takes."""
    return inspect.signature(method).parameters


def make_model(method: type[LinearModel], **settings: Any) -> LinearModel:
    """Makes an untrained model with those of the settings that its method takes.

    Raises:
        InputError: If the method needs others.
    """
    given = {name: value for name, value in settings.items() if name in parameters(method)}
    try:
        return method(**given)
    except TypeError as error:
        raise InputError(f"{method.__name__} cannot be made: {error}; give it as --config") from error


def progress_bar(epochs: int) -> tqdm:
    """A bar over the epochs of all trainings, on standard error, once they have lasted a while."""
    look = {"bar_format": "{percentage:3.0f} %{postfix}, {remaining} left", "dynamic_ncols": True}
    # `disable=None`: only on a terminal.
    return tqdm(total=epochs, delay=PATIENCE, leave=False, file=sys.stderr, disable=None, **look)


@dataclass(frozen=True)
class Trial:
    """One training of several, at its end.

    Attributes:
        model: The method.
        diagnostics: Its forecast.
        summary: The content of `summary.json`; empty if it gave up.
        course: The weights and losses after its epochs; None of a search that gave up.
        epochs: Epochs trained.
        steps: Updates made.
        error: Why it gave up, or None.
    """

    model: LinearModel
    diagnostics: Diagnostics
    summary: dict[str, Any]
    course: Course | None
    epochs: int
    steps: int
    error: str | None


def run_trial(
    name: str,
    model: LinearModel,
    data: XYDataModule,
    *,
    epochs: int,
    seed: int,
    accelerator: str,
    folder: Path,
    bar: tqdm,
    callbacks: Sequence[Callback],
    **options: Any,
) -> Trial:
    """Trains one of several, and writes its events into its folder; if it diverges, the others go on.

    Args:
        name: What to call it.
        model: The untrained method.
        data: Its data.
        epochs: Epochs to train.
        seed: Of its random start and order.
        accelerator: Where to train.
        folder: Its folder.
        bar: The progress bar of all trainings.
        callbacks: Of `linlight.callbacks`; `Diagnostics`, `History` and `RunSummary` are among them.
        options: Of the Trainer.

    Raises:
        InputError: If it cannot be trained at all.
    """
    seed_everything(seed)
    bar.set_postfix_str(name, refresh=False)
    end = bar.n + epochs
    step = LambdaCallback(on_train_epoch_end=lambda *_: bar.update())
    trainer = Trainer(
        accelerator=accelerator,
        devices=1,
        max_epochs=epochs,
        num_sanity_val_steps=0,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=str(folder),
        logger=BatchedTensorBoardLogger(folder, name="", version="", default_hp_metric=False),
        callbacks=[*callbacks, step],
        **options,
    )
    diagnostics = next(one for one in callbacks if isinstance(one, Diagnostics))
    history = next(one for one in callbacks if isinstance(one, History))
    summary = next(one for one in callbacks if isinstance(one, RunSummary))
    error = None
    try:
        trainer.fit(model, data)
    except InputError as failure:
        if not history.started:  # it is not the training that failed
            raise InputError(f"{name}: {failure}") from failure
        error = str(failure)
    bar.update(end - bar.n)  # it may have ended before its last epoch
    found = {} if error else summary.summary
    steps = trainer.global_step
    return Trial(model, diagnostics, found, history.course, trainer.current_epoch, steps, error)
