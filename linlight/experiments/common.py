"""What `compare` and `sweep` share: many trainings, checked before the first, and seen as one."""

import inspect
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import LambdaCallback
from tqdm import tqdm

from linlight.errors import InputError
from linlight.methods.base import LinearModel
from linlight.training import progress
from linlight.training.tensorboard import TensorBoardLogger

MOST_SEED = 2**32 - 1


def check(data: dict[str, Any], epochs: int, seed: int, accelerator: str, seeds: Sequence[int] = ()) -> None:
    """Makes sure of what all trainings are given.

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


def check_biases(models: dict[str, LinearModel]) -> None:
    """Makes sure that models of standardised features can make up for the shift, by their names."""
    for name, model in models.items():
        if not model.hparams.get("bias", True):
            raise InputError(
                f"standardize centres the features, so the models need a bias, and {name} has none: "
                "set --bias true, or bias: true in its config"
            )


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


class Watch:
    """One bar over all trainings, on standard error, where that is a terminal and they take their time."""

    def __init__(self, bar: Any) -> None:
        self._bar, self._done = bar, 0

    def callback(self, name: str) -> Callback:
        """Moves the bar with every epoch of the next training."""
        self._bar.set_postfix_str(name, refresh=False)
        return LambdaCallback(on_train_epoch_end=lambda *_: self._bar.update())

    def finished(self, epochs: int) -> None:
        """Moves the bar past a training, which may have ended before its last epoch."""
        self._done += epochs
        self._bar.update(self._done - self._bar.n)


@contextmanager
def watched(epochs: int) -> Iterator[Watch]:
    """Shows how far trainings of so many epochs in all are, until they are over."""
    look = {"bar_format": "{percentage:3.0f} %{postfix}, {remaining} left", "dynamic_ncols": True}
    # `disable=None`: only on a terminal.
    bar = tqdm(total=epochs, delay=progress.PATIENCE, leave=False, file=sys.stderr, disable=None, **look)
    with bar:
        yield Watch(bar)


def make_trainer(
    epochs: int, accelerator: str, folder: Path, callbacks: Sequence[Callback], **options: Any
) -> Trainer:
    """A Trainer for one of the trainings, with its events in a folder of its own."""
    return Trainer(
        accelerator=accelerator,
        devices=1,
        max_epochs=epochs,
        num_sanity_val_steps=0,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=str(folder),
        logger=TensorBoardLogger(folder, name="", version="", default_hp_metric=False),
        callbacks=list(callbacks),
        **options,
    )
