"""A config of `linlight fit` that takes part in a comparison."""

from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser, Namespace
from lightning.pytorch.cli import LightningArgumentParser

from linlight.cli.explain import one_line
from linlight.cli.given import read_config
from linlight.cli.schema import OptionsOnly
from linlight.errors import InputError
from linlight.experiments.entries import Entry
from linlight.methods.base import LinearModel

OF_A_CONFIG = ("batch_size", "dtype", "shuffle")
"""Settings of the data that a contender's config has for itself; the rest all share."""
NOT_TAKEN = (
    *("max_steps", "max_time", "limit_train_batches", "overfit_batches", "fast_dev_run", "precision"),
    *("gradient_clip_val", "accumulate_grad_batches", "callbacks", "plugins"),
)
"""Trainer settings that change what is trained, which a comparison refuses."""


class _Reader(OptionsOnly):
    """Parses a config as `linlight fit` does, and makes nothing of it."""

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parses, and leaves a checkpoint alone: all contenders start afresh."""
        self.read = self.parse()
        self.usual: Namespace = self.options.get_defaults()


def _as_fit_reads_it(path: str) -> Namespace:
    try:
        reader = _Reader(["fit", "--config", path])
    except (ImportError, TypeError, ValueError) as error:
        raise InputError(f"{path}: {one_line(error)}") from error
    for key in (*(f"trainer.{name}" for name in NOT_TAKEN), "stop_at_se"):
        if reader.read[key] != reader.usual[key]:
            raise InputError(f"{path}: compare trains without {key}: take it out of the config")
    return reader.read


def _whole(path: str, what: str, value: Any, least: int) -> int | None:
    if value is not None and not (type(value) is int and least <= value < 2**32):
        raise InputError(f"{path}: {what} must be a whole number from {least}, got {value!r}")
    return value


def from_config(path: str) -> Entry:
    """The contender that a config of `linlight fit` describes, called after its file.

    Raises:
        InputError: If there is no such config, or it names no method, or what it says cannot be used.
    """
    if not Path(path).exists():
        raise InputError(f"there is no config file {path}: check the path given to --config")
    content = read_config(path)
    if content.get("model") is None:
        raise InputError(f"{path} names no method: it needs model: with a class_path, as configs/ show")
    trainer, data = (
        part if isinstance(part := content.get(key), dict) else {} for key in ("trainer", "data")
    )
    if "class_path" in data:
        raise InputError(f"{path}: compare trains on arrays or a table: leave out data.class_path")
    epochs = _whole(path, "max_epochs", trainer.get("max_epochs"), 1)
    seed = content.get("seed_everything")
    # Lightning's yes and no to a seed of its choice
    seed = None if isinstance(seed, bool) else _whole(path, "seed_everything", seed, 0)
    config = _as_fit_reads_it(path)
    method = config.model.class_path.rpartition(".")[2]
    for key in ("optimizer", "lr_scheduler"):
        if config.get(key):
            if key not in config.model.init_args:
                raise InputError(f"{path}: {method} takes no {key}")
            config.model.init_args[key] = config[key].as_dict()
    said = {key: config.data[key] for key in data}
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(LinearModel, "model", fail_untyped=False)  # a criterion may be the user's
    alone = parser.parse_object({"model": config.model.as_dict()})

    def make() -> LinearModel:
        model: LinearModel = parser.instantiate_classes(alone.clone()).model
        return model

    name = Path(path).stem
    return Entry(
        method if name == "config" else name.replace("_", " "),  # a run's own is called config.yaml
        make,
        {key: value for key, value in said.items() if key in OF_A_CONFIG},
        epochs,
        seed,
        {key: value for key, value in said.items() if key not in OF_A_CONFIG},
    )
