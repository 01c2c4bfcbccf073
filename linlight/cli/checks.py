"""Options that contradict each other, found before anything runs."""

import os
import re
from typing import Any

import torch
from jsonargparse import Namespace
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.pytorch import LightningDataModule, Trainer
from lightning.pytorch.strategies import StrategyRegistry

from linlight.cli.given import Given
from linlight.data.datamodule import XYDataModule
from linlight.errors import InputError, did_you_mean
from linlight.methods import LinearModel

PROCESSES = max(8, os.cpu_count() or 1)
"""The most processes that a training on the CPU may start: more than there are processors are slower."""

PRECISIONS = dict.fromkeys(("32-true", "32"), "float32") | dict.fromkeys(("64-true", "64"), "float64")
"""Lightning's names of precisions, and the types of numbers that they stand for."""


def precision(config: Namespace, given: Given) -> None:
    """Applies `--trainer.precision` to the data's type; it wins over that of a checkpoint.

    Raises:
        InputError: If it is no type of `PRECISIONS`, or contradicts `--data.dtype`.
    """
    asked = config.trainer.precision
    if asked is None:
        return
    dtype = PRECISIONS.get(str(asked))
    if dtype is None:
        raise InputError(
            f"precision {asked} is not used here: --data.dtype float32 or float64, which is "
            "--trainer.precision 32-true or 64-true, is the type of all numbers"
        )
    if given.names_data:
        return
    if given.gives("data.dtype") and config.data.dtype not in (None, dtype):
        raise InputError(
            f"--trainer.precision {asked} and --data.dtype {config.data.dtype} contradict each other: "
            "leave out one"
        )
    config.data.dtype = dtype


def optimizer(config: Namespace) -> None:
    """Raises where a method that moves its weights by hand is given an optimizer or a scheduler."""
    name = config.model.class_path.rpartition(".")[2]
    for key in ("optimizer", "lr_scheduler"):
        if config.get(key) and key not in config.model.init_args:
            raise InputError(
                f"{name} moves its weights by hand and takes no --{key}: set --model.lr, "
                "or use --model LinearRegression"
            )


def pass_lr_on(config: Namespace, given: Given) -> list[str]:
    """Gives the optimizer the learning rate of `--model.lr`, which would else be SGD's alone.

    Returns:
        A line that says so, or none.

    Raises:
        InputError: If the optimizer is given another rate of its own.
    """
    if not config.get("optimizer") or not given.gives("model.lr"):
        return []
    name, arguments = config.optimizer.class_path.rpartition(".")[2], config.optimizer.init_args
    lr = config.model.init_args.lr
    if "lr" not in arguments:
        return [f"model.lr is not used: {name} takes no learning rate"]
    if lr is None:
        return []
    if given.gives("optimizer.lr"):
        if arguments.lr != lr:
            raise InputError(
                f"model.lr is {lr} and optimizer.lr is {arguments.lr}: {name} has one rate, give one"
            )
        return []
    arguments.lr = config.model.init_args.optimizer["init_args"]["lr"] = lr
    return [f"{name} is given --model.lr as its learning rate, {lr:g}"]


def trainer(config: Any, model: LinearModel, data: LightningDataModule) -> list[Any]:
    """Makes sure that the Trainer's settings go with the method and the data.

    Returns:
        The user's callbacks.

    Raises:
        InputError: If one does not; Lightning would raise too, without a remedy.
    """
    for key in ("val_check_interval", "check_val_every_n_epoch", "accumulate_grad_batches"):
        if config[key] is not None and not isinstance(config[key], str) and float(config[key]) <= 0:
            raise InputError(f"trainer.{key} must be more than 0, got {config[key]}")
    on_cpu = config["accelerator"] == "cpu" or not torch.accelerator.is_available()
    if on_cpu and str(config["devices"]).isdigit() and int(config["devices"]) > PROCESSES:
        raise InputError(
            f"trainer.devices {config['devices']} would be as many processes on this machine's "
            f"{os.cpu_count()} processors: give at most {PROCESSES}"
        )
    if not model.automatic_optimization:
        _by_hand(config, type(model).__name__)
    strategy = config["strategy"]
    names = ["auto", *StrategyRegistry.available_strategies()]
    if isinstance(strategy, str) and strategy.lower() not in names:
        hint = did_you_mean(strategy.lower().removesuffix("strategy"), names, "use ddp")
        raise InputError(f"there is no strategy {strategy!r}: {hint}")
    start = strategy if isinstance(strategy, str) else getattr(strategy, "_start_method", "")
    if re.search("spawn|fork|notebook", start or ""):
        raise InputError(
            f"strategy {start} leaves what it trained in processes that are gone: use --trainer.strategy ddp"
        )
    given = config["callbacks"] or []
    given = given if isinstance(given, list) else [given]
    for callback in given:
        monitor = getattr(callback, "monitor", None) or ""
        if monitor.startswith("val_") and isinstance(data, XYDataModule) and not data.has_validation:
            raise InputError(
                f"{type(callback).__name__} monitors {monitor} and there are no validation rows: "
                "set --data.val_fraction, or monitor train_loss"
            )
    return given


def nodes(made: Trainer) -> None:
    """Raises where processes on other machines cannot find the first, which waits for them."""
    alone = isinstance(getattr(made.strategy, "cluster_environment", None), LightningEnvironment)
    if made.num_nodes > 1 and alone and "MASTER_ADDR" not in os.environ:
        raise InputError(
            f"trainer.num_nodes {made.num_nodes} waits for processes on other machines: start it by torchrun "
            "or Slurm, or set MASTER_ADDR, MASTER_PORT and NODE_RANK on each"
        )


def _by_hand(config: Any, name: str) -> None:
    if config["gradient_clip_val"] is not None:
        raise InputError(
            f"{name} moves its weights by hand and takes no --trainer.gradient_clip_val: "
            "use a smaller --model.lr, or --model LinearRegression"
        )
    if config["accumulate_grad_batches"] != 1:
        raise InputError(
            f"{name} moves its weights by hand and takes no --trainer.accumulate_grad_batches: "
            "use a larger --data.batch_size"
        )
