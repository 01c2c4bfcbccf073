"""Who takes part in a comparison: the notes' five methods, others by name, and configs."""

import inspect
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import ArgumentError, ArgumentParser
from lightning.pytorch.cli import LRSchedulerTypeTuple
from torch import nn
from torch.optim import Optimizer

from linlight.backpropagation import Backpropagation
from linlight.base import LinearModel
from linlight.dashboard import run_label
from linlight.data import XYDataModule
from linlight.errors import InputError
from linlight.exhaustive_search import ExhaustiveSearch
from linlight.gradient_descent import GradientDescent
from linlight.least_squares import LeastSquares
from linlight.linear_regression import LinearRegression
from linlight.messages import nearest_name, one_line

OF_A_CONFIG = ("batch_size", "dtype", "shuffle")
"""What a contender's config says of the data for itself; the rest all share."""


@dataclass(frozen=True)
class Contender:
    """A method with its settings.

    Attributes:
        name: What to call it.
        make: Makes the untrained model.
        data: What it sets of `XYDataModule` for itself: its batch size, its type of numbers.
        shared: What its config says of the data that all are to be given.
        epochs: To train; the comparison's, by default.
        seed: Of its random start and order; the comparison's, by default.
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


def by_name(lr: float, bias: bool, batch_size: int, total: bool) -> dict[str, Contender]:
    """The methods as the notes set them, by the names that `--methods` takes; then ours.

    Args:
        lr: Learning rate of all that have one.
        bias: Whether the first four have a bias.
        batch_size: Rows per update of the two that take single rows in the notes.
        total: Whether linear regression takes the sum of the squared errors, as the notes do.
    """
    # The first three compute in Python's floats, which are float64.
    whole, single = {"dtype": "float64"}, {"dtype": "float64", "batch_size": batch_size}
    loss = nn.MSELoss(reduction="sum" if total else "mean")
    return {
        "ExhaustiveSearch": Contender("exhaustive search", lambda: ExhaustiveSearch(bias=bias), whole),
        "GradientDescent": Contender("gradient descent", lambda: GradientDescent(lr, bias), whole),
        "StochasticGradientDescent": Contender(
            "stochastic gradient descent", lambda: GradientDescent(lr, bias), single
        ),
        "Backpropagation": Contender(
            "back-propagation", lambda: Backpropagation(lr, bias), {"batch_size": batch_size}
        ),
        "LinearRegression": Contender("linear regression", lambda: LinearRegression(lr, criterion=loss)),
        "LeastSquares": Contender("least squares", lambda: LeastSquares(), whole),
    }


THE_FIVE = (
    "ExhaustiveSearch",
    "GradientDescent",
    "StochasticGradientDescent",
    "Backpropagation",
    "LinearRegression",
)


def choose(names: str | Sequence[str], known: dict[str, Contender]) -> list[Contender]:
    """The contenders of these names, a list or one word such as `GradientDescent,LeastSquares`.

    Raises:
        InputError: If there is none of a name, or it is named twice.
    """
    if isinstance(names, str):
        names = [name.strip() for name in names.split(",")]
    for i, name in enumerate(names):
        if name not in known:
            raise InputError(f"there is no method {name!r}: {nearest_name(name, known)}")
        if name in names[:i]:
            raise InputError(f"{name} is named twice: name it once, or give a second one as --config")
    return [known[name] for name in names]


def from_config(path: str) -> Contender:
    """The contender that a config of `linlight fit` describes, called after its file.

    Raises:
        InputError: If there is no such config, or it names no method, or what it says cannot be used.
    """
    if not Path(path).is_file():
        raise InputError(f"there is no config file {path}: check the path given to --config")
    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict) or content.get("model") is None:
        raise InputError(f"{path} names no method: it needs model: with a class_path, as configs/ show")
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(LinearModel, "model")
    parser.add_class_arguments(XYDataModule, "data", instantiate=False)
    for key, bases in (("optimizer", (Optimizer,)), ("lr_scheduler", LRSchedulerTypeTuple)):
        skip = {"params", "optimizer"}
        parser.add_subclass_arguments(bases, key, instantiate=False, fail_untyped=False, skip=skip)
    if not isinstance(content.get("data") or {}, dict):
        raise InputError(f"{path}: data must hold settings, such as path: table.csv, got {content['data']!r}")
    given = {
        key: content[key]
        for key in ("model", "data", "optimizer", "lr_scheduler")
        if content.get(key) is not None
    }
    try:
        config = parser.parse_object(given)
    except (ArgumentError, TypeError) as error:
        raise InputError(f"{path}: {one_line(str(error), [])}") from error
    method = config.model.class_path.rpartition(".")[2]
    for key in ("optimizer", "lr_scheduler"):
        if key in given:
            if key not in config.model.init_args:
                raise InputError(f"{path}: {method} takes no {key}")
            config.model.init_args[key] = config[key].as_dict()
    epochs, seed = _epochs_and_seed(path, content)
    said = {key: config.data[key] for key in given.get("data", {})}

    def make() -> LinearModel:
        model: LinearModel = parser.instantiate_classes(config.clone()).model
        return model

    name = Path(path).stem
    return Contender(
        method if name == "config" else name.replace("_", " "),  # a run's own is called config.yaml
        make,
        {key: value for key, value in said.items() if key in OF_A_CONFIG},
        epochs,
        seed,
        {key: value for key, value in said.items() if key not in OF_A_CONFIG},
    )


def _epochs_and_seed(path: str, content: dict[str, Any]) -> tuple[int | None, int | None]:
    trainer = {} if content.get("trainer") is None else content["trainer"]
    if not isinstance(trainer, dict):
        raise InputError(f"{path}: trainer must hold settings, such as max_epochs: 100, got {trainer!r}")
    found = []
    for what, value, least in (
        ("max_epochs", trainer.get("max_epochs"), 1),
        ("seed_everything", content.get("seed_everything"), 0),
    ):
        if isinstance(value, bool) and not least:
            value = None  # Lightning's yes and no to a seed of its choice
        if value is not None and not (type(value) is int and least <= value < 2**32):
            raise InputError(f"{path}: {what} must be a whole number from {least}, got {value!r}")
        found.append(value)
    return found[0], found[1]


def shared_data(given: dict[str, Any], contenders: Sequence[Contender]) -> dict[str, Any]:
    """The arguments of `XYDataModule` that all contenders get: what was given, and what their configs say.

    Raises:
        InputError: If two of these say different things.
    """
    usual = {key: one.default for key, one in inspect.signature(XYDataModule).parameters.items()}

    def unusual(settings: dict[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in settings.items() if not _same(value, usual.get(key))}

    given, found = unusual(given), {}
    # A config that says nothing of the data takes what there is.
    saying = [(one.name, unusual(one.shared)) for one in contenders if one.shared]
    for name, own in saying:
        found = saying[0][1]
        for key in [*own, *found]:
            if not _same(own.get(key), found.get(key)):
                raise _unlike(key, f"the configs of {saying[0][0]} and {name}")
            if not _same(own[key], given.get(key, own[key])):
                raise _unlike(key, f"the config of {name} and --data.{key}")
    return found | given


def _unlike(key: str, who: str) -> InputError:
    return InputError(
        f"{who} differ in data.{key}, and all methods are given the same data: take it out of the configs, "
        f"and give it once, by --data.{key}"
    )


def _same(a: Any, b: Any) -> bool:
    return a is b or (type(a) is type(b) and isinstance(a, bool | int | float | str | list | dict) and a == b)


def with_seeds(contenders: Sequence[Contender], seeds: Sequence[int]) -> list[Contender]:
    """Each contender that depends on chance once for every seed, the others once."""
    found = []
    for one in contenders:
        by_chance = one.make().hparams.get("w0", 0.0) is None or one.data.get("shuffle", False)
        if seeds and by_chance:
            found += [replace(one, name=f"{one.name}, {seed}", seed=seed) for seed in seeds]
        else:
            found.append(one)
    return found


def told_apart(
    contenders: Sequence[Contender], models: Sequence[LinearModel], modules: Sequence[XYDataModule]
) -> list[Contender]:
    """The contenders with names of their own: after a name that several have comes what differs."""
    labels = [run_label(*both).split(",") for both in zip(models, modules, strict=True)]
    found = list(contenders)
    for name in _doubles(found):
        group = [i for i, one in enumerate(found) if one.folder == name]
        common = set(labels[group[0]]).intersection(*(labels[i] for i in group))
        for i in group:
            own = [setting for setting in labels[i] if setting not in common]
            found[i] = replace(found[i], name=", ".join([found[i].name, *own]))
    for name in _doubles(found):
        group = [i for i, one in enumerate(found) if one.folder == name]
        for count, i in enumerate(group[1:], 2):
            found[i] = replace(found[i], name=f"{found[i].name} {count}")
    return found


def _doubles(contenders: Sequence[Contender]) -> list[str]:
    times = Counter(one.folder for one in contenders)
    return [folder for folder, count in times.items() if count > 1]
