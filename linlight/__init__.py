"""Linear regression on PyTorch Lightning: the textbook's five methods, one interface."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from linlight.backpropagation import Backpropagation as Backpropagation
    from linlight.base import LinearModel as LinearModel
    from linlight.comparison import compare as compare
    from linlight.data import XYDataModule as XYDataModule
    from linlight.errors import InputError as InputError
    from linlight.exhaustive_search import ExhaustiveSearch as ExhaustiveSearch
    from linlight.gradient_descent import GradientDescent as GradientDescent
    from linlight.least_squares import LeastSquares as LeastSquares
    from linlight.linear_regression import LinearRegression as LinearRegression
    from linlight.run import Run as Run
    from linlight.run import load as load
    from linlight.sweeping import sweep as sweep

_MODULES = {
    "Backpropagation": "backpropagation",
    "ExhaustiveSearch": "exhaustive_search",
    "GradientDescent": "gradient_descent",
    "InputError": "errors",
    "LeastSquares": "least_squares",
    "LinearModel": "base",
    "LinearRegression": "linear_regression",
    "Run": "run",
    "XYDataModule": "data",
    "compare": "comparison",
    "load": "run",
    "sweep": "sweeping",
}

__all__ = sorted(_MODULES)


def __getattr__(name: str) -> object:
    """Imports a public name when it is first used.

    Importing Lightning takes seconds; `linlight --help` and a mistyped command need none of it.
    """
    if name not in _MODULES:
        raise AttributeError(f"module 'linlight' has no attribute {name!r}")
    return getattr(import_module(f"linlight.{_MODULES[name]}"), name)
