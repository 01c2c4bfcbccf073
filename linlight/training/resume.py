"""The settings of a resumed training that differ from its checkpoint's."""

from collections.abc import Iterator, Mapping
from typing import Any

from lightning.pytorch import Callback, Trainer


def differences(old: Any, new: Any, name: str = "") -> Iterator[tuple[str, Any, Any]]:
    """The settings with different values on both sides, such as (`lr`, 0.1, 0.2)."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in (key for key in old if key in new):
            yield from differences(old[key], new[key], f"{name}.{key}" if name else key)
    elif old != new:
        yield name, old, new


class ResumedSettings(Callback):
    """Applies the settings of this run over those of the checkpoint that it resumes, and prints each."""

    def __init__(self) -> None:
        self._changed: dict[str, tuple[Any, Any]] = {}  # old and new

    def on_load_checkpoint(self, trainer: Trainer, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        """Finds the settings of method and data that differ from the checkpoint's."""
        found = list(differences(checkpoint["hyper_parameters"], dict(pl_module.hparams)))
        if (data := getattr(trainer, "datamodule", None)) is not None:
            before, now = (
                {name: value for name, value in settings.items() if name not in ("x", "y")}
                for settings in (checkpoint.get("datamodule_hyper_parameters", {}), data.hparams)
            )
            found += differences(before, now, "data")
        self._changed = {name.replace("init_args.", ""): (old, new) for name, old, new in found}

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Prints what changed, and sets the learning rate.

        The checkpoint's comes back with the optimizer's state (Lightning-AI/pytorch-lightning#21455).
        """
        for name, (old, new) in self._changed.items():
            if trainer.is_global_zero:
                print(f"{name} is {new}, where the checkpoint has {old}")
            if name in ("lr", "optimizer.lr"):
                _set_lr(trainer, old, new)
        self._changed = {}


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
