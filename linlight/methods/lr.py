"""The rule that every learning rate obeys."""

import math

from linlight.errors import InputError


def check_lr(lr: float) -> float:
    """Returns `lr`.

    Raises:
        InputError: If it is not positive and finite.
    """
    if not isinstance(lr, int | float) or not 0 < lr < math.inf:
        raise InputError(f"lr must be a positive finite number, got {lr}: try 0.01")
    return lr
