"""The one rule that every learning rate obeys."""

import math

from linlight.errors import InputError


def check_lr(lr: float) -> float:
    """Returns `lr`.

    Raises:
        InputError: If it is not positive and finite.
    """
    if not (lr > 0 and math.isfinite(lr)):
        raise InputError(f"lr must be a positive finite number, got {lr:g}: try 0.01")
    return lr
