"""Variants of a method: optimizers, learning rates and criteria, checked before any training."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from itertools import product
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from linlight.errors import InputError, did_you_mean
from linlight.methods.base.optim import check_lr

NOTES_LR = 0.01
"""At which the sum of the squared errors of the notes' three points is stable."""


@dataclass(frozen=True)
class Settings:
    """The settings of a comparison, of which each method takes those it has.

    Attributes:
        rates: Learning rates of all that have one.
        bias: Whether those have a bias that have none by themselves.
        batch_size: Rows per update of the two that take single rows in the notes.
        total: Whether the squared error of linear regression is a sum, as in the notes.
        optimizers: Of those that take one.
        criteria: Of those that take one.
        is_textbook: Whether the data are the notes', whose two programs with tensors compute in float32.
    """

    rates: list[float]
    bias: bool
    batch_size: int
    total: bool
    optimizers: list[str]
    criteria: list[str]
    is_textbook: bool


def as_words(given: str | Sequence[str] | None) -> list[str]:
    """Names as a list: `SGD,Adam`, or a list already."""
    if isinstance(given, str):
        given = [name.strip() for name in given.split(",") if name.strip()]
    return list(given or ())


def as_rates(given: float | str | list[float]) -> list[float]:
    """Learning rates as a list: 0.01, `0.001,0.01`, or a list already.

    Raises:
        InputError: If one is no positive number.
    """
    words = given if isinstance(given, list) else as_words(str(given))
    try:
        rates = [check_lr(float(word)) for word in words]
    except InputError:
        raise
    except (TypeError, ValueError) as error:
        raise InputError(f"lr must be a number, or several as 0.001,0.01, got {given!r}") from error
    if not rates:
        raise InputError("lr names no learning rate: try 0.01")
    return list(dict.fromkeys(rates))


def variants(takes: Sequence[str], settings: Settings) -> list[tuple[dict[str, Any], list[str]]]:
    """Every combination of settings that a method with arguments of these names can be trained under.

    Returns:
        For each the arguments, and what tells it from the others.
    """
    usual = [nn.MSELoss(reduction="sum" if settings.total else "mean")]
    losses = [_criterion(name) for name in settings.criteria] or usual
    named = bool(settings.optimizers or settings.criteria) or len(settings.rates) > 1
    found = []
    for optimizer, lr, criterion in product(
        settings.optimizers if settings.optimizers and "optimizer" in takes else [None],
        settings.rates if "lr" in takes else [None],
        losses if "criterion" in takes else [None],
    ):
        arguments: dict[str, Any] = {"lr": lr} if lr is not None else {}
        words = [f"lr {lr:g}"] if lr is not None else []
        if optimizer is not None:
            arguments["optimizer"] = _optimizer(optimizer, lr or settings.rates[0])
        if "optimizer" in takes:
            words.insert(0, (optimizer or "SGD").rpartition(".")[2])
        if criterion is not None:
            arguments["criterion"] = criterion
            words.append(type(criterion).__name__.removesuffix("Loss"))
        found.append((arguments, words if named else []))
    return found


def _class(name: str, base: type, module: Any, what: str, ending: str, hint: str) -> Any:
    """The class of a module, or by its whole path, that a name stands for."""
    classes = {key: one for key, one in vars(module).items() if isinstance(one, type) and one is not base}
    names = [key for key, one in classes.items() if issubclass(one, base) and key.endswith(ending)]
    package, _, short = name.rpartition(".")
    if not package and name not in names:
        raise InputError(f"there is no {what} {name!r}: {did_you_mean(name, names, hint)}")
    try:
        found = getattr(import_module(package or module.__name__), short)
    except (ImportError, AttributeError) as error:
        raise InputError(f"there is no {what} {name}: {error}") from error
    if not (isinstance(found, type) and issubclass(found, base)):
        raise InputError(f"{name} is no {what}: name a class of {module.__name__}")
    return found


def _optimizer(name: str, lr: float) -> dict[str, Any]:
    """An optimizer as `LinearRegression` takes it, tried on two parameters."""
    made = _class(name, Optimizer, torch.optim, "optimizer", "", "name a class of torch.optim")
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
    hint = "name a loss of torch.nn, such as L1Loss"
    try:
        made: nn.Module = _class(name, nn.Module, nn, "criterion", "Loss", hint)()
        y = torch.tensor([[-2.0], [0.3], [1.7]])
        at, off = float(made(y, y)), [float(made(y + step, y)) for step in (-1.0, -0.1, 0.1, 1.0)]
    except InputError:
        raise
    except (IndexError, RuntimeError, TypeError, ValueError) as error:
        raise InputError(f"criterion {name} does not compare predictions with targets: {error}") from error
    if not all(loss > at for loss in off):
        raise InputError(
            f"criterion {name} does not compare numbers: it is not least where predictions are the targets, "
            "as MSELoss, L1Loss or HuberLoss are"
        )
    return made
