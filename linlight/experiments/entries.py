"""The entries of a comparison: the notes' five methods and others by name, and the data they share."""

import inspect
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from linlight.data.datamodule import XYDataModule
from linlight.errors import InputError, nearest_name
from linlight.experiments.common import make_model, parameters
from linlight.experiments.variants import Settings, as_words, variants
from linlight.methods import METHODS, find_method
from linlight.methods.base import LinearModel
from linlight.methods.gradient_descent import GradientDescent
from linlight.training.tensorboard import run_label


@dataclass(frozen=True)
class Entry:
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


THE_FIVE = (
    "ExhaustiveSearch",
    "GradientDescent",
    "StochasticGradientDescent",
    "Backpropagation",
    "LinearRegression",
)
"""The methods of the notes; the third is the second, row by row."""


def _entries(name: str, settings: Settings, alone: bool) -> list[Entry]:
    """A method with the notes' settings or its own defaults, in each of its variants."""
    method = GradientDescent if name == "StochasticGradientDescent" else find_method(name)
    takes = parameters(method)
    own = {"bias": settings.bias} if "bias" in takes and takes["bias"].default is False else {}
    data: dict[str, Any] = {}
    if settings.is_textbook and name in ("Backpropagation", "LinearRegression"):
        data["dtype"] = "float32"  # as PyTorch's tensors are, in which the notes' last two compute
    if name in ("StochasticGradientDescent", "Backpropagation"):
        data["batch_size"] = settings.batch_size
    short = "Back-propagation" if name == "Backpropagation" else name.rpartition(".")[2]
    heading = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", short).lower()
    found = []
    for arguments, words in variants(list(takes), settings):
        words = words if alone and len(words) > 1 else [heading, *words]
        found.append(Entry(", ".join(words), partial(make_model, method, **own, **arguments), data))
    return found


def choose(given: str | Sequence[str], settings: Settings) -> list[Entry]:
    """The contenders of these names, a list or one word such as `GradientDescent,my_module.MyMethod`.

    Raises:
        InputError: If there is none of a name, it is named twice, or none takes an optimizer that is named.
    """
    names = as_words(given)
    for i, name in enumerate(names):
        if "." not in name and name not in known_names():
            raise InputError(f"there is no method {name!r}: {nearest_name(name, known_names())}")
        if name in names[:i]:
            raise InputError(f"{name} is named twice: name it once, or give a second one as --config")
    for option, argument in (("optimizers", "optimizer"), ("criteria", "criterion")):
        able = (name for name in names if name != "StochasticGradientDescent")
        if getattr(settings, option) and not any(argument in parameters(find_method(name)) for name in able):
            raise InputError(f"{option} are for methods that take one: add LinearRegression to --methods")
    return [one for name in names for one in _entries(name, settings, alone=len(names) == 1)]


def known_names() -> list[str]:
    """The short names that `--methods` takes: the notes' five, then ours."""
    return list(dict.fromkeys([*THE_FIVE, *METHODS]))


def shared_data(given: dict[str, Any], contenders: Sequence[Entry]) -> dict[str, Any]:
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


def with_seeds(contenders: Sequence[Entry], seeds: Sequence[int]) -> list[Entry]:
    """Repeats the contenders that depend on chance, once for every seed."""
    found = []
    for one in contenders:
        by_chance = one.make().hparams.get("w0", 0.0) is None or one.data.get("shuffle", False)
        if seeds and by_chance:
            found += [replace(one, name=f"{one.name}, {seed}", seed=seed) for seed in seeds]
        else:
            found.append(one)
    return found


def told_apart(
    contenders: Sequence[Entry], models: Sequence[LinearModel], modules: Sequence[XYDataModule]
) -> list[Entry]:
    """Makes the contenders' names unique: to a name that several have what differs is added."""
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


def _doubles(contenders: Sequence[Entry]) -> list[str]:
    times = Counter(one.folder for one in contenders)
    return [folder for folder, count in times.items() if count > 1]
