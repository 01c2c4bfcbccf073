"""The options of `fit`, `validate`, `test` and `predict`, by LightningCLI."""

from collections.abc import Sequence
from enum import Enum
from inspect import signature
from pathlib import Path
from typing import Any

import torch
import yaml
from jsonargparse import Namespace
from jsonargparse.typing import register_type
from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from lightning.pytorch.cli import (
    LightningArgumentParser,
    LightningCLI,
    LRSchedulerTypeTuple,
    SaveConfigCallback,
)
from torch.optim import Optimizer

from linlight.callbacks import LastCheckpoint, default_callbacks
from linlight.cli.given import Given
from linlight.cli.parsing import parse
from linlight.data.datamodule import XYDataModule
from linlight.methods import LinearModel

# Else what a checkpoint keeps of a setting such as StochasticWeightAveraging's is no device.
register_type(torch.device, deserializer=torch.device)
# Lightning's Timer has one for a default, which PyYAML would not write.
yaml.SafeDumper.add_multi_representer(Enum, lambda dumper, one: dumper.represent_str(str(one.value)))

TRAINER = {
    "max_epochs": 100,
    "devices": 1,
    "use_distributed_sampler": False,  # the data module shares out the rows
    "num_sanity_val_steps": 0,
    "enable_model_summary": False,
}
"""Trainer defaults that differ from Lightning's."""
OF_CALLBACKS = {
    "fit": {"quiet", "verbose", "trace", "lang", "audit", "pictures", "stop_at_se", "on_divergence"},
    "predict": {"quiet", "format"},
}
"""The options of `default_callbacks` that a command takes."""
_PARSER = {"exit_on_error": False, "allow_abbrev": False}


class SaveConfig(SaveConfigCallback):
    """Writes `config.yaml`, from which the run can be repeated, into the run's folder."""

    def save_config(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Called once, on rank 0."""
        path = Path(trainer.default_root_dir) / "config.yaml"
        self.parser.save(self.config, path, skip_none=False, overwrite=True, multifile=False)


class MethodCLI(LightningCLI):
    """LightningCLI with linlight's options.

    Args:
        args: The command (`fit`, …) and its options.

    Attributes:
        command: The command.
        given: Its options, as they were given.
        options: The command's parser.
    """

    options: LightningArgumentParser

    def __init__(self, args: Sequence[str]) -> None:
        self.command = args[0]
        self.given = Given([word for word in args[1:] if word != "all" or "--help" not in args])
        super().__init__(
            LinearModel,
            XYDataModule,
            args=list(args),
            subclass_mode_model=True,
            seed_everything_default=0,
            save_config_callback=SaveConfig,
            save_config_kwargs={"save_to_log_dir": False},
            parser_kwargs={**_PARSER, self.command: _PARSER},
            # Here the optimizer is made when the weights exist, and a checkpoint keeps plain arguments.
            auto_configure_optimizers=False,
            load_from_checkpoint_support=False,
        )

    def subcommands(self) -> dict[str, set[str]]:  # type: ignore[override]
        """The one command that was typed; to set up the parsers of all takes four times as long."""
        return {self.command: LightningCLI.subcommands()[self.command] | {"verbose"}}

    def add_core_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Adds `--trainer`, `--model`, which a checkpoint can stand for, and `--data`."""
        parser.add_lightning_class_args(Trainer, "trainer")
        parser.set_defaults({f"trainer.{key}": value for key, value in TRAINER.items()})
        parser.add_lightning_class_args(LinearModel, "model", subclass_mode=True, required=False)
        is_named = self.given.names_data
        data = LightningDataModule if is_named else XYDataModule
        parser.add_lightning_class_args(data, "data", subclass_mode=is_named)

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Adds `--optimizer` and `--lr_scheduler`, which `LinearRegression` takes, and the command's own."""
        self.options = parser
        for key, base in (("optimizer", Optimizer), ("lr_scheduler", LRSchedulerTypeTuple)):
            bases = base if isinstance(base, tuple) else (base,)
            parser.add_subclass_arguments(
                bases, key, instantiate=False, fail_untyped=False, skip={"params", "optimizer"}
            )
            parser.link_arguments(
                key,
                f"model.init_args.{key}",
                compute_fn=lambda value: None if value is None else value.as_dict(),
            )
        taken = OF_CALLBACKS.get(self.command, {"quiet"})
        skipped: set[str | int] = {
            name for name in signature(default_callbacks).parameters if name not in taken
        }
        parser.add_function_arguments(default_callbacks, skip=skipped)
        if self.command == "fit":
            parser.add_class_arguments(LastCheckpoint, "checkpoint")

    def parse(self) -> Namespace:
        """Parses what was given.

        Raises:
            InputError: In one line, if it cannot be used.
        """
        words = [self.command, *self.given.words]
        self.config = parse(self.parser, words, self.options, self.given.settings)
        config: Namespace = self.config[self.command]
        return config

    def _parse_ckpt_path(self) -> None:
        """Does nothing: Lightning's would let the checkpoint override what was typed (#21455)."""

    def _run_subcommand(self, subcommand: str) -> None:
        """Does nothing yet: `Cli.execute` runs the command once all objects are made."""


class OptionsOnly(MethodCLI):
    """The options of a command; nothing is made of them."""

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parses nothing."""
        self.config = {"subcommand": self.command}

    def _set_seed(self) -> None:
        """Does nothing."""

    def instantiate_classes(self) -> None:
        """Does nothing."""
