"""The settings that a training goes on with where they are not the checkpoint's."""

from collections.abc import Iterator, Mapping
from typing import Any

from lightning.pytorch import Callback, Trainer

from linlight.data.datamodule import XYDataModule


def differences(old: Any, new: Any, name: str = "") -> Iterator[tuple[str, Any, Any]]:
    """The settings that differ, by their names, as (`lr`, 0.1, 0.2); those that only one side has do not."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in (key for key in old if key in new):
            yield from differences(old[key], new[key], f"{name}.{key}" if name else key)
    elif old != new:
        yield name, old, new


class ResumedSettings(Callback):
    """Applies the settings of this run over those of the checkpoint that it resumes, and prints each."""

    def __init__(self) -> None:
        self._changed: dict[str, tuple[Any, Any]] = {}

    def on_load_checkpoint(self, trainer: Trainer, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        """Compares the settings."""
        data = getattr(trainer, "datamodule", None)
        self._changed = changes(checkpoint, dict(pl_module.hparams), data)

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Applies what changed."""
        apply(self._changed, trainer)
        self._changed = {}


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
    """Applies the settings of this run over those of the checkpoint, and prints each.

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
    """Replaces the learning rate of restored optimizers.

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
