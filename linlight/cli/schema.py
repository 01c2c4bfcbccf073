"""The options of `fit`, `validate`, `test` and `predict`."""

from inspect import signature

import torch
from jsonargparse.typing import register_type
from lightning.pytorch import LightningDataModule, Trainer
from lightning.pytorch.cli import LightningArgumentParser, LRSchedulerTypeTuple
from torch.optim import Optimizer

from linlight.callbacks import LastCheckpoint, default_callbacks
from linlight.data.datamodule import XYDataModule
from linlight.methods import LinearModel

# Else what a checkpoint keeps of a setting such as StochasticWeightAveraging's is no device.
register_type(torch.device, deserializer=torch.device)

TRAINER = {
    "max_epochs": 100,
    "devices": 1,
    "use_distributed_sampler": False,  # the data module deals out the rows
    "num_sanity_val_steps": 0,
    "enable_model_summary": False,
}
"""Trainer defaults that differ from Lightning's."""
OF_CALLBACKS = {
    "fit": {"quiet", "verbose", "trace", "lang", "audit", "pictures", "stop_at_se", "on_divergence"},
    "predict": {"quiet", "format"},
}
"""The options of `default_callbacks` that a command takes."""


def add_core_arguments(parser: LightningArgumentParser, *, names_data: bool) -> None:
    """Adds `--trainer`, `--model` (which a checkpoint can stand for) and `--data`.

    Args:
        parser: The command's.
        names_data: Whether the data are of a class that is named; else they are an `XYDataModule`.
    """
    parser.add_lightning_class_args(Trainer, "trainer")
    parser.set_defaults({f"trainer.{key}": value for key, value in TRAINER.items()})
    parser.add_lightning_class_args(LinearModel, "model", subclass_mode=True, required=False)
    if names_data:
        parser.add_lightning_class_args(LightningDataModule, "data", subclass_mode=True)
    else:
        parser.add_lightning_class_args(XYDataModule, "data")


def add_arguments(parser: LightningArgumentParser, command: str) -> None:
    """Adds `--optimizer` and `--lr_scheduler`, which `LinearRegression` takes, and the command's own."""
    for key, base in (("optimizer", Optimizer), ("lr_scheduler", LRSchedulerTypeTuple)):
        bases = base if isinstance(base, tuple) else (base,)
        parser.add_subclass_arguments(
            bases, key, instantiate=False, fail_untyped=False, skip={"params", "optimizer"}
        )
        parser.link_arguments(
            key, f"model.init_args.{key}", compute_fn=lambda value: None if value is None else value.as_dict()
        )
    taken = OF_CALLBACKS.get(command, {"quiet"})
    parser.add_function_arguments(
        default_callbacks,
        skip={name for name in signature(default_callbacks).parameters if name not in taken},
    )
    if command == "fit":
        parser.add_class_arguments(LastCheckpoint, "checkpoint")
