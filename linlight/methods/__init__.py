"""The five methods of the notes and the exact one, a file each, and a line here for each.

That line gives a method its short name: `--model`, `--methods`, `linlight.__all__` and the messages follow
from it.
"""

from importlib import import_module

# In the order of the notes; then ours.
# isort: off
from linlight.methods.exhaustive_search import ExhaustiveSearch as ExhaustiveSearch
from linlight.methods.gradient_descent import GradientDescent as GradientDescent
from linlight.methods.backpropagation import Backpropagation as Backpropagation
from linlight.methods.linear_regression import LinearRegression as LinearRegression
from linlight.methods.least_squares import LeastSquares as LeastSquares

# isort: on
from linlight.errors import InputError, nearest_name
from linlight.methods.base import LinearModel as LinearModel
from linlight.methods.base import ManualSGD

METHODS: dict[str, type[LinearModel]] = {
    name: thing
    for name, thing in globals().items()
    if isinstance(thing, type) and issubclass(thing, LinearModel) and thing is not LinearModel
}
"""The methods by their short names."""


def own_class(path: str) -> type | None:
    """The method or optimizer of linlight's that a path names, wherever an earlier version kept it."""
    own = {**METHODS, "ManualSGD": ManualSGD}
    return own.get(path.rpartition(".")[2]) if path.startswith("linlight.") else None


def find_method(name: str) -> type[LinearModel]:
    """Looks a method up by its short name, or by the path of its class, `my_module.MyMethod`.

    A path into linlight is found by its last word, so that what an earlier version wrote still opens.

    Raises:
        InputError: If there is no such class, or it is not a method.
    """
    module, _, short = name.rpartition(".")
    if not module and short not in METHODS:
        raise InputError(f"there is no method {name!r}: {nearest_name(name, METHODS)}")
    try:
        found = own_class(name) or (getattr(import_module(module), short) if module else METHODS[short])
    except (ImportError, AttributeError) as error:
        raise InputError(f"there is no class {name}: {error}") from error
    if not (isinstance(found, type) and issubclass(found, LinearModel)):
        raise InputError(f"{name} is not a method: that is a subclass of linlight.LinearModel")
    return found
