"""Linear regression on PyTorch Lightning: the textbook's five methods, one interface."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from linlight.data.datamodule import XYDataModule as XYDataModule
    from linlight.errors import InputError as InputError
    from linlight.experiments.compare import compare as compare
    from linlight.experiments.sweep import sweep as sweep
    from linlight.methods.backpropagation import Backpropagation as Backpropagation
    from linlight.methods.base import LinearModel as LinearModel
    from linlight.methods.exhaustive_search import ExhaustiveSearch as ExhaustiveSearch
    from linlight.methods.gradient_descent import GradientDescent as GradientDescent
    from linlight.methods.least_squares import LeastSquares as LeastSquares
    from linlight.methods.linear_regression import LinearRegression as LinearRegression
    from linlight.runs.run import Run as Run
    from linlight.runs.run import load as load

_MODULES = {
    "Backpropagation": "methods.backpropagation",
    "ExhaustiveSearch": "methods.exhaustive_search",
    "GradientDescent": "methods.gradient_descent",
    "InputError": "errors",
    "LeastSquares": "methods.least_squares",
    "LinearModel": "methods.base",
    "LinearRegression": "methods.linear_regression",
    "Run": "runs.run",
    "XYDataModule": "data.datamodule",
    "compare": "experiments.compare",
    "load": "runs.run",
    "sweep": "experiments.sweep",
}

__all__ = sorted(_MODULES)


def __getattr__(name: str) -> object:
    """Imports a public name when it is first used.

    Importing Lightning takes seconds; `linlight --help` and a mistyped command need none of it.
    """
    if name not in _MODULES:
        raise AttributeError(f"module 'linlight' has no attribute {name!r}")
    return getattr(import_module(f"linlight.{_MODULES[name]}"), name)
