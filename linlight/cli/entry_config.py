"""A config of `linlight fit` that takes part in a comparison."""

from pathlib import Path
from typing import Any

from jsonargparse import Namespace
from lightning.pytorch.cli import LightningArgumentParser

from linlight.cli.explain import one_line
from linlight.cli.given import read_config
from linlight.cli.schema import OptionsOnly
from linlight.errors import InputError
from linlight.experiments.entries import Entry
from linlight.methods.base import LinearModel

OF_A_CONFIG = ("batch_size", "dtype", "shuffle")
"""Settings of the data that an entry's config has for itself; the rest all share."""
NOT_TAKEN = (
    *("max_steps", "max_time", "limit_train_batches", "overfit_batches", "fast_dev_run", "precision"),
    *("gradient_clip_val", "accumulate_grad_batches", "callbacks", "plugins"),
)
"""Trainer settings that change what is trained, which a comparison refuses."""


class _Reader(OptionsOnly):
    """Parses a config as `linlight fit` does, and makes nothing of it.

    A checkpoint that it names is left alone: all entries start afresh.
    """

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parses, and refuses what a comparison cannot do."""
        self.read = self.parse()
        usual = self.options.get_defaults()
        for key in (*(f"trainer.{name}" for name in NOT_TAKEN), "stop_at_se"):
            if self.read[key] != usual[key]:
                raise InputError(f"compare trains without {key}: take it out of the config")
        self.method = self.read.model.class_path.rpartition(".")[2]
        for key in ("optimizer", "lr_scheduler"):
            if self.read.get(key) and key not in self.read.model.init_args:
                raise InputError(f"{self.method} takes no {key}")

    def make(self) -> LinearModel:
        """Makes the method, untrained."""
        alone = Namespace(model=self.read.model.clone())  # type: ignore[no-untyped-call]
        model: LinearModel = self.options.instantiate_classes(alone).model
        return model


def _whole(what: str, value: Any, least: int) -> int | None:
    if value is not None and not (type(value) is int and least <= value < 2**32):
        raise InputError(f"{what} must be a whole number from {least}, got {value!r}")
    return value


def from_config(path: str) -> Entry:
    """The entry that a config of `linlight fit` describes, called after its file.

    Raises:
        InputError: If there is no such config, or it names no method, or what it says cannot be used.
    """
    if not Path(path).exists():
        raise InputError(f"there is no config file {path}: check the path given to --config")
    content = read_config(path)
    if content.get("model") is None:
        raise InputError(f"{path} names no method: it needs model: with a class_path, as configs/ show")
    settings = {
        key: part if isinstance(part := content.get(key), dict) else {} for key in ("trainer", "data")
    }
    try:
        if "class_path" in settings["data"]:
            raise InputError("compare trains on arrays or a table: leave out data.class_path")
        epochs = _whole("max_epochs", settings["trainer"].get("max_epochs"), 1)
        seed = content.get("seed_everything")
        # Lightning's yes and no to a seed of its choice are no seeds.
        seed = None if isinstance(seed, bool) else _whole("seed_everything", seed, 0)
        reader = _Reader(["fit", "--config", path])
    except (ImportError, TypeError, ValueError) as error:
        raise InputError(f"{path}: {one_line(error)}") from error
    data = {key: reader.read.data[key] for key in settings["data"]}
    name = Path(path).stem
    return Entry(
        reader.method if name == "config" else name.replace("_", " "),  # a run's own is called config.yaml
        reader.make,
        {key: value for key, value in data.items() if key in OF_A_CONFIG},
        epochs,
        seed,
        {key: value for key, value in data.items() if key not in OF_A_CONFIG},
    )
