"""The entries of a comparison: which methods take part, in which variants, and what they are called."""

import inspect
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from importlib import import_module
from itertools import product
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from linlight.data.datamodule import XYDataModule
from linlight.errors import InputError, did_you_mean, nearest_name
from linlight.experiments.trial import as_words, make_model, parameters
from linlight.methods import METHODS, find_method
from linlight.methods.base import LinearModel
from linlight.methods.base.criterion import check_compares_numbers, check_reduces
from linlight.methods.base.optim import check_lr
from linlight.methods.gradient_descent import GradientDescent
from linlight.training.settings import run_label

NOTES_LR = 0.01
"""The learning rate at which the sum of the squared errors of the notes' three points is stable."""
THE_FIVE = (
    "ExhaustiveSearch",
    "GradientDescent",
    "StochasticGradientDescent",
    "Backpropagation",
    "LinearRegression",
)
"""The methods of the notes; the third is the second, row by row."""


@dataclass(frozen=True)
class Entry:
    """A method with its settings.

    Attributes:
        name: What to call it.
        make: Makes the untrained model.
        data: Its own settings of `XYDataModule`: batch size, type of numbers, shuffling.
        epochs: Epochs to train. Default: the comparison's.
        seed: Seed of its random start and order. Default: the comparison's.
        shared: What its config says of the data that all entries are given.
    """

    name: str
    make: Callable[[], LinearModel]
    data: dict[str, Any] = field(default_factory=dict)
    epochs: int | None = None
    seed: int | None = None
    shared: dict[str, Any] = field(default_factory=dict)

    @property
    def folder(self) -> str:
        """The name of its run's folder."""
        return re.sub(r"[^\w.=+]+", "_", self.name.replace(",", "").replace("-", ""))


@dataclass(frozen=True)
class Settings:
    """The settings of a comparison, of which each method takes those it has.

    Attributes:
        rates: Learning rates of the methods that have one.
        bias: Whether those methods have a bias that have none by default.
        batch_size: Rows per update of the two methods that take single rows in the notes.
        total: Whether linear regression sums the squared errors, as in the notes.
        optimizers: Names of optimizers for the methods that take one.
        criteria: Names of criteria for the methods that take one.
        is_textbook: Whether the data are the notes', whose two programs with tensors compute in float32.
    """

    rates: list[float]
    bias: bool
    batch_size: int
    total: bool
    optimizers: list[str]
    criteria: list[str]
    is_textbook: bool


def as_rates(given: float | str | list[float]) -> list[float]:
    """Learning rates as a list: 0.01, `0.001,0.01`, or a list already.

    Raises:
        InputError: If one is not a positive number.
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


def known_names() -> list[str]:
    """The short names that `--methods` takes: the notes' five, then ours."""
    return list(dict.fromkeys([*THE_FIVE, *METHODS]))


def choose(given: str | Sequence[str], settings: Settings) -> list[Entry]:
    """The entries of these names, a list or one word such as `GradientDescent,my_module.MyMethod`.

    Raises:
        InputError: If there is no method of a name, it is named twice, or no method takes an optimizer or a
            criterion that is named.
    """
    names = as_words(given)
    for i, name in enumerate(names):
        if "." not in name and name not in known_names():
            raise InputError(f"there is no method {name!r}: {nearest_name(name, known_names())}")
        if name in names[:i]:
            raise InputError(f"{name} is named twice: name it once, or give a second one as --config")
    for option, argument in (("optimizers", "optimizer"), ("criteria", "criterion")):
        if getattr(settings, option) and not any(argument in parameters(_method(name)) for name in names):
            raise InputError(f"{option} are for methods that take one: add LinearRegression to --methods")
    return [entry for name in names for entry in _entries(name, settings, alone=len(names) == 1)]


def _method(name: str) -> type[LinearModel]:
    return GradientDescent if name == "StochasticGradientDescent" else find_method(name)


def _entries(name: str, settings: Settings, alone: bool) -> Iterator[Entry]:
    """A method with the notes' settings or its own defaults, in each of its variants."""
    method = _method(name)
    takes = parameters(method)
    own = {"bias": settings.bias} if "bias" in takes and takes["bias"].default is False else {}
    data: dict[str, Any] = {}
    if settings.is_textbook and name in ("Backpropagation", "LinearRegression"):
        data["dtype"] = "float32"  # as PyTorch's tensors are, in which the notes' last two compute
    if name in ("StochasticGradientDescent", "Backpropagation"):
        data["batch_size"] = settings.batch_size
    short = "Back-propagation" if name == "Backpropagation" else name.rpartition(".")[2]
    heading = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", short).lower()
    for arguments, words in _variants(list(takes), settings):
        words = words if alone and len(words) > 1 else [heading, *words]
        yield Entry(", ".join(words), partial(make_model, method, **own, **arguments), data)


def _variants(takes: Sequence[str], settings: Settings) -> Iterator[tuple[dict[str, Any], list[str]]]:
    """Every combination of settings of a method with arguments of these names.

    Yields:
        The arguments, and the words that tell the variant from the others.
    """
    usual = [nn.MSELoss(reduction="sum" if settings.total else "mean")]
    losses = [_criterion(name) for name in settings.criteria] or usual
    several = bool(settings.optimizers or settings.criteria) or len(settings.rates) > 1
    for optimizer, lr, criterion in product(
        settings.optimizers if settings.optimizers and "optimizer" in takes else [None],
        settings.rates if "lr" in takes else [None],
        losses if "criterion" in takes else [None],
    ):
        arguments: dict[str, Any] = {}
        words = []
        if "optimizer" in takes:
            words.append((optimizer or "SGD").rpartition(".")[2])
        if optimizer is not None:
            arguments["optimizer"] = _optimizer(optimizer, lr or settings.rates[0])
        if lr is not None:
            arguments["lr"] = lr
            words.append(f"lr {lr:g}")
        if criterion is not None:
            arguments["criterion"] = criterion
            words.append(type(criterion).__name__.removesuffix("Loss"))
        yield arguments, words if several else []


def _class(name: str, base: type, module: Any, what: str, ending: str, hint: str) -> Any:
    """The class that a name stands for: one of a module, or any by its whole path."""
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
    """A criterion, checked as `LinearRegression` checks it, but before anything is trained."""
    made = _class(name, nn.Module, nn, "criterion", "Loss", "name a loss of torch.nn, such as L1Loss")
    try:
        criterion: nn.Module = made()
    except TypeError as error:
        raise InputError(f"criterion {name} does not compare predictions with targets: {error}") from error
    check_reduces(criterion)
    check_compares_numbers(criterion, torch.zeros(()))
    return criterion


def shared_data(given: dict[str, Any], entries: Sequence[Entry]) -> dict[str, Any]:
    """The arguments of `XYDataModule` that all entries get: what was given, and what their configs say.

    Raises:
        InputError: If two of these say different things.
    """
    usual = {key: one.default for key, one in inspect.signature(XYDataModule).parameters.items()}

    def unusual(settings: dict[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in settings.items() if not _same(value, usual.get(key))}

    # A config that says nothing of the data takes what there is.
    configs = [(entry.name, unusual(entry.shared)) for entry in entries if entry.shared]
    given, (first, found) = unusual(given), configs[0] if configs else ("", dict[str, Any]())
    for name, own in configs:
        for key in [*own, *found]:
            if not _same(own.get(key), found.get(key)):
                who = f"the configs of {first} and {name}"
            elif not _same(own[key], given.get(key, own[key])):
                who = f"the config of {name} and --data.{key}"
            else:
                continue
            raise InputError(
                f"{who} differ in data.{key}, and all methods are given the same data: take it out of the "
                f"configs, and give it once, by --data.{key}"
            )
    return found | given


def _same(a: Any, b: Any) -> bool:
    """Whether two settings are equal; arrays, which compare by element, only to themselves."""
    return a is b or (type(a) is type(b) and isinstance(a, bool | int | float | str | list | dict) and a == b)


def with_seeds(entries: Sequence[Entry], seeds: Sequence[int]) -> list[Entry]:
    """Repeats the entries that depend on chance, once for every seed."""
    found = []
    for entry in entries:
        is_random = entry.make().hparams.get("w0", 0.0) is None or entry.data.get("shuffle", False)
        if seeds and is_random:
            found += [replace(entry, name=f"{entry.name}, {seed}", seed=seed) for seed in seeds]
        else:
            found.append(entry)
    return found


def with_unique_names(
    entries: Sequence[Entry], models: Sequence[LinearModel], modules: Sequence[XYDataModule]
) -> list[Entry]:
    """Makes the entries' names unique: to a name that several have, the settings that differ are added."""
    labels = [run_label(*both).split(",") for both in zip(models, modules, strict=True)]
    found = list(entries)
    for group in _namesakes(found):
        common = set.intersection(*(set(labels[i]) for i in group))
        for i in group:
            own = [setting for setting in labels[i] if setting not in common]
            found[i] = replace(found[i], name=", ".join([found[i].name, *own]))
    for group in _namesakes(found):
        for count, i in enumerate(group[1:], 2):
            found[i] = replace(found[i], name=f"{found[i].name} {count}")
    return found


def _namesakes(entries: Sequence[Entry]) -> list[list[int]]:
    """The indices of entries that would share a folder, group by group."""
    groups: dict[str, list[int]] = {}
    for i, entry in enumerate(entries):
        groups.setdefault(entry.folder, []).append(i)
    return [group for group in groups.values() if len(group) > 1]
