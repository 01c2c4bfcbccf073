"""A method under several optimizers, learning rates and criteria, which are checked before any training."""

from collections.abc import Sequence
from importlib import import_module
from itertools import product
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.optim import Optimizer

from linlight.errors import InputError, did_you_mean
from linlight.methods.base.optim import check_lr

NOTES_LR = 0.01
"""At which the sum of the squared errors of the notes' three points is stable."""


class Variant(NamedTuple):
    """One of the settings under which a method trains.

    Attributes:
        arguments: Of the method.
        words: What tells it from the others.
    """

    arguments: dict[str, Any]
    words: tuple[str, ...]


def as_words(given: str | Sequence[str] | None) -> list[str]:
    """Names as a list: `SGD,Adam`, or a list already."""
    if isinstance(given, str):
        given = [name.strip() for name in given.split(",") if name.strip()]
    return list(given or ())


def as_rates(given: float | str | Sequence[float]) -> list[float]:
    """Learning rates as a list: 0.01, `0.001,0.01`, or a list already.

    Raises:
        InputError: If one is no positive number.
    """
    words: Sequence[Any] = (
        as_words(given) if isinstance(given, str) else given if isinstance(given, list) else [given]
    )
    try:
        rates = [check_lr(float(word)) for word in words]
    except (TypeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"lr must be a number, or several as 0.001,0.01, got {given!r}") from error
    if not rates:
        raise InputError("lr names no learning rate: try 0.01")
    return list(dict.fromkeys(rates))


def variants(
    takes: Sequence[str],
    rates: Sequence[float],
    optimizers: Sequence[str],
    criteria: Sequence[str],
    total: bool,
) -> list[Variant]:
    """Every combination that a method can be trained under.

    Args:
        takes: The names of the method's arguments.
        rates: Learning rates.
        optimizers: Classes of torch.optim, or paths of others. None: the method's own.
        criteria: Classes of torch.nn, or paths of others. None: the squared error.
        total: Whether the squared error is a sum, as in the notes.
    """
    usual = [nn.MSELoss(reduction="sum" if total else "mean")]
    losses = [_criterion(name) for name in criteria] or usual
    named = bool(optimizers or criteria) or len(rates) > 1
    found = []
    for optimizer, lr, criterion in product(
        optimizers if optimizers and "optimizer" in takes else [None],
        rates if "lr" in takes else [None],
        losses if "criterion" in takes else [None],
    ):
        arguments: dict[str, Any] = {"lr": lr} if lr is not None else {}
        words = [f"lr {lr:g}"] if lr is not None else []
        if optimizer is not None:
            arguments["optimizer"] = _optimizer(optimizer, lr or rates[0])
        if "optimizer" in takes:
            words.insert(0, (optimizer or "SGD").rpartition(".")[2])
        if criterion is not None:
            arguments["criterion"] = criterion
            words.append(type(criterion).__name__.removesuffix("Loss"))
        found.append(Variant(arguments, tuple(words) if named else ()))
    return found


def _class(name: str, base: type, module: Any, what: str) -> Any:
    names = [
        key
        for key, one in vars(module).items()
        if isinstance(one, type) and issubclass(one, base) and one is not base
    ]
    package, _, short = name.rpartition(".")
    if not package and name not in names:
        raise InputError(
            f"there is no {what} {name!r}: {did_you_mean(name, names, f'name a class of {module.__name__}')}"
        )
    try:
        found = getattr(import_module(package or module.__name__), short)
    except (ImportError, AttributeError) as error:
        raise InputError(f"there is no {what} {name}: {error}") from error
    if not (isinstance(found, type) and issubclass(found, base)):
        raise InputError(f"{name} is no {what}: name a class of {module.__name__}")
    return found


def _optimizer(name: str, lr: float) -> dict[str, Any]:
    """What `LinearRegression` takes for an optimizer, tried on two parameters."""
    made = _class(name, Optimizer, torch.optim, "optimizer")
    w, b = nn.Parameter(torch.ones(1, 1)), nn.Parameter(torch.ones(1))
    try:
        optimizer = made([w, b], lr=lr)

        def closure() -> float:
            optimizer.zero_grad()
            loss = (w + b).square().sum()
            loss.backward()
            return loss.item()

        optimizer.step(closure)
    except (RuntimeError, TypeError, ValueError) as error:
        raise InputError(f"optimizer {name} cannot train a weight and a bias: {error}") from error
    path = name if "." in name else f"torch.optim.{name}"
    return {"class_path": path, "init_args": {"lr": lr}}


def _criterion(name: str) -> nn.Module:
    """A criterion that is least where predictions are the targets: others do not compare numbers."""
    losses = [key for key in vars(nn) if key.endswith("Loss")]
    if "." not in name and name not in losses:
        hint = did_you_mean(name, losses, "name a loss of torch.nn, such as L1Loss")
        raise InputError(f"there is no criterion {name!r}: {hint}")
    try:
        made: nn.Module = _class(name, nn.Module, nn, "criterion")()
        y = torch.tensor([[-2.0], [0.3], [1.7]])
        at, off = float(made(y, y)), [float(made(y + step, y)) for step in (-1.0, -0.1, 0.1, 1.0)]
    except (IndexError, RuntimeError, TypeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"criterion {name} does not compare predictions with targets: {error}") from error
    if not all(loss > at for loss in off):
        raise InputError(
            f"criterion {name} does not compare numbers: it is not least where predictions are the targets, "
            "as MSELoss, L1Loss or HuberLoss are"
        )
    return made
