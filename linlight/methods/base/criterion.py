"""What can be the criterion of a linear regression, and how a checkpoint keeps it."""

import inspect
import warnings
from typing import Any

import torch
from torch import Tensor, nn

from linlight.errors import InputError


def check_reduces(criterion: nn.Module) -> None:
    """Raises where a criterion does not make one number of predictions and targets."""
    try:
        loss = _loss(criterion, torch.zeros(2, 1), torch.zeros(2, 1))
    except (RuntimeError, TypeError, ValueError) as error:
        raise InputError(
            f"criterion {type(criterion).__name__} does not compare predictions with targets: {error}"
        ) from error
    if loss.numel() != 1:
        raise InputError(f"criterion must reduce to one number: {criterion} needs reduction mean or sum")


def check_compares_numbers(criterion: nn.Module, like: Tensor) -> None:
    """Checks that a criterion is least where the prediction is the target, whatever real number that is.

    A loss of classes, probabilities or counts is not, and would fit something else without a word.

    Args:
        criterion: One that reduces.
        like: A tensor of the model's type, on its device.

    Raises:
        InputError: If it is not.
    """
    for target in (-3.0, -0.5, 0.5, 2.0):
        y = like.new_full((1, 1), target)
        try:
            at, *near = (_loss(criterion, y + by, y).item() for by in (0.0, -0.1, 0.1))
            far = [_loss(criterion, y + by, y).item() for by in (-50.0, 50.0)]
        except (IndexError, RuntimeError, TypeError, ValueError):
            near, far, at = [], [0.0], 0.0
        if any(loss < at for loss in near) or any(loss <= at for loss in far):
            raise InputError(
                f"criterion {type(criterion).__name__} does not compare numbers: it is not least where the "
                "prediction is the target, as MSELoss, L1Loss and HuberLoss are"
            )


def _loss(criterion: nn.Module, y_hat: Tensor, y: Tensor) -> Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's, of a criterion that is about to be refused
        loss: Tensor = criterion(y_hat, y)
    return loss


def class_and_arguments(criterion: nn.Module) -> dict[str, Any]:
    """What made a criterion, in primitives: torch's keep their arguments under the arguments' names.

    Raises:
        InputError: If it does not.
    """
    signature = inspect.signature(type(criterion).__init__).parameters
    names = [name for name in signature if name not in ("self", "args", "kwargs", "size_average", "reduce")]
    lost = [name for name in names if not hasattr(criterion, name)]
    if lost:
        raise InputError(
            f"{type(criterion).__name__} does not keep its argument {lost[0]} as an attribute of that name, "
            "so a checkpoint could not make it again"
        )
    return {
        "class_path": f"{type(criterion).__module__}.{type(criterion).__qualname__}",
        "init_args": {name: getattr(criterion, name) for name in names},
    }
