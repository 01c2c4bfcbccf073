"""A callback that moves the weights takes the forecast back; one that only looks leaves it."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from conftest import fit
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import LambdaCallback

from linlight import XYDataModule
from linlight.methods.backpropagation import Backpropagation
from linlight.methods.gradient_descent import GradientDescent
from linlight.methods.linear_regression import LinearRegression
from linlight.training.diagnostics import Diagnostics

METHODS: dict[str, Callable[[float], Any]] = {
    "GradientDescent": lambda lr: GradientDescent(lr=lr, bias=True),
    "Backpropagation": lambda lr: Backpropagation(lr=lr, bias=True),
    "LinearRegression": lambda lr: LinearRegression(lr=lr, w0=1.0),
    "momentum": lambda lr: LinearRegression(
        optimizer={"class_path": "torch.optim.SGD", "init_args": {"lr": lr, "momentum": 0.5}}, w0=1.0
    ),
}
HOOKS = (
    *("on_train_start", "on_train_batch_start", "on_train_batch_end"),
    *("on_train_epoch_start", "on_train_epoch_end", "on_validation_end"),
)
X = torch.randn(24, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
Y = X.sum(1, keepdim=True) + 1


def a_callback(hook: str, act: Callable[[torch.Tensor], Any]) -> Callback:
    """A callback of the user's with one hook, in which it does something with w."""

    def called(self: Any, trainer: Any, pl_module: Any, *_: Any) -> None:
        if not trainer.sanity_checking:
            act(pl_module.w.data)

    kind: Any = type("Mine", (Callback,), {hook: called, "__module__": "mine"})
    found: Callback = kind()
    return found


def train(name: str, mine: Callback, is_first: bool, batch_size: int | None, lr: float = 0.05) -> Diagnostics:
    diagnostics = Diagnostics()
    callbacks = [mine, diagnostics] if is_first else [diagnostics, mine]
    data = XYDataModule(X, Y, batch_size, val_fraction=0.25, dtype="float64")
    fit(METHODS[name](lr), data, max_epochs=3, callbacks=callbacks)
    return diagnostics


@pytest.mark.parametrize("batch_size", [None, 6])
@pytest.mark.parametrize("is_first", [True, False])
@pytest.mark.parametrize("hook", HOOKS)
@pytest.mark.parametrize("name", METHODS)
def test_moved_weights_are_not_foretold(
    name: str, hook: str, is_first: bool, batch_size: int | None, capsys: pytest.CaptureFixture[str]
) -> None:
    if hook == "on_train_start" and is_first:
        pytest.skip("the forecast is of the weights that it finds")
    if name == "momentum" and batch_size:
        pytest.skip("nothing is foretold of it")
    found = train(name, a_callback(hook, lambda w: w.mul_(0.9)), is_first, batch_size)
    out = " ".join(capsys.readouterr().out.split())
    assert out.count("no forecast from here on") == 1
    assert "as a callback moves them: Mine" in out
    assert "predicted" not in found.findings
    assert "largest_stable_step" not in found.findings
    assert found.findings["gap"] > 0


@pytest.mark.parametrize("batch_size", [None, 6, 1])
@pytest.mark.parametrize("is_first", [True, False])
@pytest.mark.parametrize("hook", HOOKS)
@pytest.mark.parametrize("name", [name for name in METHODS if name != "momentum"])
def test_a_callback_that_looks_loses_nothing(
    name: str, hook: str, is_first: bool, batch_size: int | None, capsys: pytest.CaptureFixture[str]
) -> None:
    found = train(name, a_callback(hook, lambda w: w.sum()), is_first, batch_size)
    assert "no forecast" not in capsys.readouterr().out
    assert found.findings["predicted"]["gap"] == pytest.approx(found.findings["gap"], rel=1e-8)


def test_a_function_in_lightnings_callback_is_the_users(capsys: pytest.CaptureFixture[str]) -> None:
    mine = LambdaCallback(on_train_batch_end=lambda trainer, model, *_: model.w.data.mul_(0.9))
    assert "predicted" not in train("GradientDescent", mine, False, None).findings
    assert "LambdaCallback" in capsys.readouterr().out


@pytest.mark.parametrize("name", METHODS)
def test_weights_that_are_held_do_not_diverge(name: str) -> None:
    found = train(name, a_callback("on_train_batch_end", lambda w: w.clamp_(-2, 2)), True, None, lr=4.0)
    assert not found.diverged
