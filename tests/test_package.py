"""The public face of the package, and the files around it."""

import re
import subprocess
import sys
from importlib.metadata import requires

import pytest
from conftest import ROOT

import linlight as package

PUBLIC = {"InputError", "LinearModel", "Run", "XYDataModule", "compare", "default_callbacks", "load", "sweep"}
METHODS = {"ExhaustiveSearch", "GradientDescent", "Backpropagation", "LinearRegression", "LeastSquares"}
"""At the least: a new method is added in its file and one line."""


def test_public_names() -> None:
    assert package.__all__ == sorted(package.__all__)
    methods = set(package.__all__) - PUBLIC
    assert methods >= METHODS
    assert all(issubclass(getattr(package, name), package.LinearModel) for name in methods)
    for name in package.__all__:
        assert getattr(package, name).__name__ == name
    assert sorted(package.callbacks.__all__) == package.callbacks.__all__
    with pytest.raises(AttributeError, match="no attribute 'nope'"):
        package.nope  # noqa: B018


def test_importing_the_package_is_light() -> None:
    code = "import sys, linlight; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_constraints_pin_every_dependency() -> None:
    pinned = set(re.findall(r"^([\w.-]+)==", (ROOT / "constraints.txt").read_text(), re.MULTILINE))
    named = {re.split(r"[\[<>=;]", line)[0] for line in requires("linlight") or []}
    assert named <= pinned
