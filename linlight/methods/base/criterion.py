"""The criterion: the loss of weighted rows, what can be one, and how a checkpoint keeps it."""

import copy
import inspect
import warnings
from typing import Any

import torch
from torch import Tensor, nn

from linlight.errors import InputError
from linlight.functional.squared_error import check_same_shape


def is_total(criterion: nn.Module) -> bool:
    """Whether a criterion is a sum over the rows instead of their mean."""
    return getattr(criterion, "reduction", "mean") == "sum"


def weighted_loss(criterion: nn.Module, y_hat: Tensor, y: Tensor, weight: Tensor | None = None) -> Tensor:
    """The loss of predictions (N, T) against targets (N, T), each row counting `weight` (N,) times.

    Raises:
        InputError: If there are weights, and the criterion has no reduction "none".
    """
    check_same_shape(y_hat, y)
    if weight is None:
        loss: Tensor = criterion(y_hat, y)
        return loss
    each = copy.copy(criterion)
    each.reduction = "none"  # type: ignore[assignment]
    losses = each(y_hat, y)  # (N, T)
    if losses.shape != y.shape:
        raise InputError(
            f"criterion {type(each).__name__} has no reduction 'none', so rows cannot be weighted: leave "
            "out the weights"
        )
    total: Tensor = (losses * weight[:, None]).sum()
    if is_total(criterion):
        return total
    return total / (weight.sum().clamp(min=torch.finfo(weight.dtype).tiny) * y.shape[1])  # 0 for no weight


def check_reduces(criterion: nn.Module) -> None:
    """Checks that a criterion makes one number of predictions and targets.

    Raises:
        InputError: If it does not.
    """
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

    A loss of classes, probabilities or counts is not, and would silently fit something else.

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
        warnings.simplefilter("ignore")  # of torch, about a criterion that is about to be refused
        loss: Tensor = criterion(y_hat, y)
    return loss


def class_and_arguments(criterion: nn.Module) -> dict[str, Any]:
    """A criterion's class and its arguments, in primitives, as a checkpoint keeps them.

    torch's criteria keep each argument as an attribute of that name.

    Raises:
        InputError: If this one does not.
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
