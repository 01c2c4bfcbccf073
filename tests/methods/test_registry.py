"""The one registry of methods, and what follows from it."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import ROOT, Run

import linlight as package
from linlight.errors import InputError
from linlight.methods import METHODS, find_method

MINE = """
import torch
from linlight import LinearModel
from linlight.methods.gradient_descent import GradientDescent

class HalfSteps(GradientDescent):
    def __init__(self, lr: float = 0.01, bias: bool = False) -> None:
        super().__init__(lr / 2, bias)

class Needy(GradientDescent):
    def __init__(self, lr: float, depth: int) -> None:
        super().__init__(lr)

class Passing(Needy):
    def __init__(self, width: int = 1, **kwargs) -> None:
        super().__init__(**kwargs)

class Plain(LinearModel):
    def training_step(self, batch, batch_idx):
        x, y = batch
        return torch.nn.functional.mse_loss(self(x), y)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.01)
"""


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module of the user's own, which no other test has imported."""
    name = f"mine_{abs(hash(tmp_path))}"
    (tmp_path / f"{name}.py").write_text(MINE)
    monkeypatch.syspath_prepend(str(tmp_path))
    return name


def test_a_method_is_its_file_and_one_line() -> None:
    """The line in `methods/__init__.py` alone: a sixth method is known everywhere."""
    line = "from linlight.methods.sixth import Sixth as Sixth"
    source = (ROOT / "linlight" / "methods" / "__init__.py").read_text()
    code = f"""
import sys, types, linlight.methods.base as base
from linlight.methods.gradient_descent import GradientDescent
file = types.ModuleType("linlight.methods.sixth")
file.Sixth = type("Sixth", (GradientDescent,), {{"__module__": file.__name__}})
sys.modules[file.__name__] = file
methods = sys.modules["linlight.methods"]
exec({source.replace("# isort: on", line)!r}, methods.__dict__)
import linlight
from linlight.cli.main import main
from linlight.experiments.entries import known_names
assert linlight.Sixth is file.Sixth and "Sixth" in linlight.__all__ and "Sixth" in known_names()
for words in (["fit", "--model=Sixth"], ["compare", "--methods=Sixth"], ["sweep", "--methods=Sixth"]):
    main([*words, "--trainer.max_epochs=1" if words[0] == "fit" else "--epochs=1"])
main(["fit", "--model=Sixht"])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr == "linlight: error: there is no method 'Sixht': did you mean Sixth?\n"
    assert done.stdout.count("run: ") == 3


def test_public_names_of_methods() -> None:
    assert set(METHODS) < set(package.__all__)
    for name, method in METHODS.items():
        assert getattr(package, name) is method is find_method(name)


@pytest.mark.parametrize("module", ["linlight.methods.gradient_descent", "linlight.gradient_descent"])
def test_paths_of_earlier_versions_open(module: str) -> None:
    assert find_method(f"{module}.GradientDescent") is METHODS["GradientDescent"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("GradientDecent", "did you mean GradientDescent"),
        ("nowhere.Mine", "no class nowhere.Mine: No module named 'nowhere'"),
        ("pathlib.Mine", "no class pathlib.Mine: module 'pathlib' has no attribute"),
        ("pathlib.Path", "pathlib.Path is not a method: that is a subclass of linlight.LinearModel"),
    ],
)
def test_what_is_not_a_method(name: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        find_method(name)


def test_compare_and_sweep_take_a_class_of_the_users(linlight: Callable[..., Run], mine: str) -> None:
    methods = f"--methods={mine}.HalfSteps,GradientDescent"
    run = linlight("compare", methods, "--epochs=2", "--lr=0.1")
    own, ours = json.loads((run.folder / "compare.json").read_text())["methods"]
    assert own["name"] == "half steps"
    assert (own["weights"], ours["weights"]) != (None, None)
    (first, *_), (other, *_) = own["path"][1]["weights"], ours["path"][1]["weights"]
    assert first[0] - 1 == pytest.approx((other[0] - 1) / 2)
    run = linlight("sweep", methods, "--epochs=2", "--lr=[0.1]", "--batch_size=[3]")
    cells = json.loads((run.folder / "sweep.json").read_text())["runs"]
    assert [cell["method"] for cell in cells] == ["HalfSteps", "GradientDescent"]


@pytest.mark.parametrize("command", ["compare", "sweep"])
def test_a_class_that_needs_more(command: str, mine: str, refused: Callable[..., str]) -> None:
    assert "missing 1 required positional argument: 'depth'" in refused(command, f"--methods={mine}.Needy")
    assert "linlight.LinearModel" in refused(command, "--methods=pathlib.Path")


def test_what_is_needed_behind_kwargs_is_named(mine: str, refused: Callable[..., str]) -> None:
    line = "--model Passing needs --model.lr, --model.depth"
    assert line in refused("fit", f"--model={mine}.Passing")


def test_a_method_without_arguments_of_its_own(linlight: Callable[..., Run], mine: str) -> None:
    run = linlight("fit", f"--model={mine}.Plain", "--trainer.max_epochs=2")
    assert run.summary["bias"] is not None
    linlight("compare", f"--methods={mine}.Plain", "--epochs=2")
