"""The rule that every learning rate obeys, and its change when a run is resumed."""

import math

from lightning.pytorch import Trainer

from linlight.errors import InputError


def check_lr(lr: float) -> float:
    """Returns `lr`.

    Raises:
        InputError: If it is not positive and finite.
    """
    if not isinstance(lr, int | float) or not 0 < lr < math.inf:
        raise InputError(f"lr must be a positive finite number, got {lr}: try 0.01")
    return lr


def set_lr(trainer: Trainer, old: float | None, new: float | None) -> None:
    """Puts another learning rate into optimizers that were restored with theirs.

    Where a scheduler has moved on from `old`, it keeps its course in proportion.
    """
    if old is None or new is None:
        return
    for optimizer in trainer.optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group["lr"] * (new / old) if trainer.lr_scheduler_configs else new
            if "initial_lr" in group:
                group["initial_lr"] = new
    for config in trainer.lr_scheduler_configs:
        if hasattr(config.scheduler, "base_lrs"):
            config.scheduler.base_lrs = [new for _ in config.scheduler.base_lrs]
