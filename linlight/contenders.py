"""Who takes part in a comparison: the notes' five methods, others by name, and configs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import ArgumentError, ArgumentParser
from torch import nn

from linlight.backpropagation import Backpropagation
from linlight.base import LinearModel
from linlight.data import XYDataModule
from linlight.errors import InputError
from linlight.exhaustive_search import ExhaustiveSearch
from linlight.gradient_descent import GradientDescent
from linlight.least_squares import LeastSquares
from linlight.linear_regression import LinearRegression
from linlight.messages import nearest_name, one_line

OF_A_CONFIG = ("batch_size", "dtype", "shuffle")
"""What a contender's config may say of the data; the rest is the comparison's."""


@dataclass(frozen=True)
class Contender:
    """A method with its settings.

    Attributes:
        name: What to call it.
        make: Makes the untrained model.
        data: What it sets of `XYDataModule`: its batch size, its type of numbers.
        epochs: To train; the comparison's, by default.
        seed: Of its random start and order; the comparison's, by default.
    """

    name: str
    make: Callable[[], LinearModel]
    data: dict[str, Any] = field(default_factory=dict)
    epochs: int | None = None
    seed: int | None = None


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
        InputError: If there is no such config, or it names no method.
    """
    if not Path(path).is_file():
        raise InputError(f"there is no config file {path}: check the path given to --config")
    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict) or "model" not in content:
        raise InputError(f"{path} names no method: it needs model: with a class_path, as configs/ show")
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(LinearModel, "model")
    parser.add_class_arguments(XYDataModule, "data", instantiate=False)
    parts = {key: content[key] for key in ("model", "data") if content.get(key) is not None}
    try:
        config = parser.parse_object(parts)
    except (ArgumentError, TypeError) as error:
        raise InputError(f"{path}: {one_line(str(error), [])}") from error
    for key in ("optimizer", "lr_scheduler"):
        if content.get(key) is not None:
            if key not in config.model.init_args:
                raise InputError(f"{path}: {config.model.class_path.rpartition('.')[2]} takes no {key}")
            config.model.init_args[key] = content[key]
    trainer = content.get("trainer") or {}
    data = {key: config.data[key] for key in OF_A_CONFIG if key in (content.get("data") or {})}

    def make() -> LinearModel:
        model: LinearModel = parser.instantiate_classes(config.clone()).model
        return model

    return Contender(
        Path(path).stem.replace("_", " "),
        make,
        data,
        trainer.get("max_epochs"),
        content.get("seed_everything"),
    )


def with_seeds(contenders: Sequence[Contender], seeds: Sequence[int]) -> list[Contender]:
    """Each contender that depends on chance once for every seed, the others once."""
    found = []
    for one in contenders:
        model = one.make()
        by_chance = model.hparams.get("w0", 0.0) is None or one.data.get("shuffle", False)
        if len(seeds) < 2 or not by_chance:
            found.append(one)
        else:
            found += [
                Contender(f"{one.name}, {seed}", one.make, one.data, one.epochs, seed) for seed in seeds
            ]
    return found
