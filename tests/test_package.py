"""The public face of the package, and the files around it."""

import re
import subprocess
import sys
from importlib.metadata import requires

import pytest
from conftest import ROOT

import linlight as package

PUBLIC = [
    "Backpropagation",
    "ExhaustiveSearch",
    "GradientDescent",
    "InputError",
    "LeastSquares",
    "LinearModel",
    "LinearRegression",
    "Run",
    "XYDataModule",
    "compare",
    "default_callbacks",
    "load",
    "sweep",
]


def test_public_names() -> None:
    assert package.__all__ == PUBLIC
    for name in PUBLIC:
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
