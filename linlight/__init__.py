"""Linear regression on PyTorch Lightning: the textbook's five methods, one interface."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from linlight.callbacks import default_callbacks as default_callbacks
    from linlight.data.datamodule import XYDataModule as XYDataModule
    from linlight.errors import InputError as InputError
    from linlight.experiments.compare import compare as compare
    from linlight.experiments.sweep import sweep as sweep
    from linlight.methods import *  # noqa: F403
    from linlight.runs.run import Run as Run
    from linlight.runs.run import load as load

_MODULES = {
    "InputError": "errors",
    "LinearModel": "methods.base",
    "Run": "runs.run",
    "XYDataModule": "data.datamodule",
    "compare": "experiments.compare",
    "default_callbacks": "callbacks",
    "load": "runs.run",
    "sweep": "experiments.sweep",
}
"""Where the public names are, beside those of the methods, which `linlight.methods` has."""


def __getattr__(name: str) -> Any:
    """Imports a public name when it is first used.

    Importing Lightning takes seconds; `linlight --help` and a mistyped command need none of it.
    """
    if name in _MODULES:
        return getattr(import_module(f"linlight.{_MODULES[name]}"), name)
    if name == "callbacks":  # a module, whose import takes its time too
        return import_module("linlight.callbacks")
    # A method has a class's name: `from linlight import text` asks here too, before it imports the file.
    if name == "__all__" or name[0].isupper():
        methods = import_module("linlight.methods").METHODS
        if name == "__all__":
            return sorted([*_MODULES, *methods])
        if name in methods:
            return methods[name]
    raise AttributeError(f"module 'linlight' has no attribute {name!r}")
