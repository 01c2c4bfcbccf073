"""What a training that goes on makes sure of, and what it says: the settings that are no longer the same."""

from typing import Any

from lightning.pytorch import Trainer

from linlight.data.datamodule import XYDataModule
from linlight.errors import InputError
from linlight.training.checkpointing import differences


def check_columns(checkpoint: dict[str, Any], data: XYDataModule) -> None:
    """Makes sure that a table's columns are those that the checkpoint's weights belong to.

    Raises:
        InputError: If one is another.
    """
    learned = checkpoint.get("columns")
    if learned is None or not data.is_table:
        return
    present = {"feature": data.feature_names, "target": data.target_names if data.targets else []}
    for kind, names in present.items():
        for i, (was, now) in enumerate(zip(learned[kind], names, strict=False)):
            if was != now:
                raise InputError(
                    f"{kind} {i} (counted from 0) is {was!r} in the checkpoint and {now!r} in the data: "
                    "leave out --data.features, --data.categorical and --data.target, which it remembers"
                )


def check_units(checkpoint: dict[str, Any], data: XYDataModule) -> None:
    """Makes sure that a training goes on in the units in which it began.

    Raises:
        InputError: If its features were standardised and no longer are, or the other way round.
    """
    standardized = "standardized" in checkpoint
    if data.standardize != standardized:
        raise InputError(
            f"the checkpoint was trained {'with' if standardized else 'without'} standardize, which makes "
            f"its steps others: set standardize to {str(standardized).lower()}"
        )


def changes(checkpoint: dict[str, Any], settings: dict[str, Any], data: Any) -> dict[str, tuple[Any, Any]]:
    """The settings of method and data that are others than the checkpoint's: (old, new) by their names."""
    found = list(differences(checkpoint["hyper_parameters"], settings))
    if isinstance(data, XYDataModule):
        before, now = (
            {name: value for name, value in all_of_them.items() if name not in ("x", "y")}
            for all_of_them in (checkpoint.get("datamodule_hyper_parameters", {}), data.hparams)
        )
        found += differences(before, now, "data")
    return {name.replace("init_args.", ""): (old, new) for name, old, new in found}


def apply(changed: dict[str, tuple[Any, Any]], trainer: Trainer) -> None:
    """Lets the settings of this run win over the checkpoint's, and says so.

    The checkpoint's learning rate comes back with the optimizer's state
    (Lightning-AI/pytorch-lightning#21455).
    """
    for name, (old, new) in changed.items():
        if trainer.is_global_zero:
            print(f"{name} is {new}, where the checkpoint has {old}")
    for name in ("lr", "optimizer.lr"):
        if name in changed:
            _set_lr(trainer, *changed[name])


def _set_lr(trainer: Trainer, old: float, new: float) -> None:
    """Puts another learning rate into optimizers that were restored with theirs.

    Where a scheduler has moved on from `old`, it keeps its course in proportion.
    """
    for optimizer in trainer.optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group["lr"] * (new / old) if trainer.lr_scheduler_configs else new
            if "initial_lr" in group:
                group["initial_lr"] = new
    for config in trainer.lr_scheduler_configs:
        if hasattr(config.scheduler, "base_lrs"):
            config.scheduler.base_lrs = [new for _ in config.scheduler.base_lrs]
