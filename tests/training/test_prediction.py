"""What no update rule says takes the forecast back: moved weights, changed gradients, another rate."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import fit, quiet_trainer
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


def is_taken_back(found: Diagnostics, out: str) -> bool:
    """Whether a training has no forecast at its end, and says so once."""
    is_left = "largest_stable_step" in found.findings
    assert out.count("no forecast from here on") == (not is_left)
    assert "predicted" not in found.findings or is_left
    return not is_left


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
    assert "perhaps because of Mine" in out
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


def shrink(factor: float, w: torch.Tensor) -> None:
    w.mul_(factor)


def scale(parameters: Any) -> None:
    for one in parameters:
        if one.grad is not None:
            one.grad.mul_(0.5)


@pytest.mark.parametrize("batch_size", [None, 6])
@pytest.mark.parametrize("name", METHODS)
def test_changed_gradients_are_not_foretold(
    name: str, batch_size: int | None, capsys: pytest.CaptureFixture[str]
) -> None:
    if name == "momentum" and batch_size:
        pytest.skip("nothing is foretold of it")
    mine = LambdaCallback(on_before_optimizer_step=lambda trainer, model, _: scale(model.parameters()))
    assert is_taken_back(train(name, mine, False, batch_size), capsys.readouterr().out)
    late = LambdaCallback(  # only in the last epoch
        on_before_optimizer_step=lambda trainer, model, _: (
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1e-3) if trainer.current_epoch == 2 else None
        )
    )
    assert is_taken_back(train(name, late, True, batch_size), capsys.readouterr().out)


@pytest.mark.parametrize("name", METHODS)
def test_another_learning_rate_is_not_foretold(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    mine = LambdaCallback(
        on_train_epoch_start=lambda trainer, model: trainer.optimizers[0].param_groups[0].update(lr=0.01)
    )
    assert is_taken_back(train(name, mine, False, None), capsys.readouterr().out)


class Decaying(GradientDescent):
    """Moves the weights in a hook of its own."""

    def on_train_batch_end(self, *_: Any) -> None:
        self.w.data.mul_(0.9)


class Halved(LinearRegression):
    """Forgets the 2 of the derivative."""

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        return 0.5 * super().training_step(batch, batch_idx)


class Projected(Backpropagation):
    """Keeps the weights within bounds, which are not reached."""

    def on_train_batch_end(self, *_: Any) -> None:
        self.w.data.clamp_(-5, 5)


@pytest.mark.parametrize("batch_size", [None, 6])
@pytest.mark.parametrize(("method", "departs"), [(Decaying, True), (Halved, True), (Projected, False)])
def test_a_methods_own_doing(
    method: Any, departs: bool, batch_size: int | None, capsys: pytest.CaptureFixture[str]
) -> None:
    diagnostics = Diagnostics()
    data = XYDataModule(X, Y, batch_size, dtype="float64")
    fit(method(lr=0.05, bias=True, w0=1.0), data, max_epochs=3, callbacks=[diagnostics])
    out = capsys.readouterr().out
    assert is_taken_back(diagnostics, out) is departs
    assert (f"perhaps because of {method.__name__}" in " ".join(out.split())) is departs


SGD = "torch.optim.SGD"
RULES: dict[str, dict[str, Any]] = {
    "plain": {},
    "momentum": {"momentum": 0.9},
    "dampened": {"momentum": 0.9, "dampening": 0.5},
    "dampened without momentum": {"dampening": 0.5},
    "Nesterov's": {"momentum": 0.8, "nesterov": True},
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "own",
    [
        {},
        {"batch_size": 7},
        {"standardize": True},
        {"reduce": True, "updates_per_step": 5},
        {"batch_size": 7, "standardize": True},
    ],
)
@pytest.mark.parametrize("rule", RULES)
def test_rounding_is_no_departure(
    rule: str, own: dict[str, Any], dtype: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(50, 3, generator=generator, dtype=torch.float64) * torch.tensor([1.0, 30.0, 0.02])
    x += torch.tensor([300.0, -40.0, 7.0])
    y = x.sum(1, keepdim=True) * torch.tensor([1.0, -2.0]) + torch.randn(50, 2, generator=generator)
    lr = 1e-9
    for share in (0.1, 0.98):  # the first training finds the largest stable step
        optimizer = {"class_path": SGD, "init_args": {"lr": lr, **RULES[rule]}}
        diagnostics = Diagnostics()
        data = XYDataModule(x, y, dtype=dtype, **own)
        fit(LinearRegression(optimizer=optimizer, w0=0.5), data, max_epochs=30, callbacks=[diagnostics])
        assert "no forecast from here on" not in capsys.readouterr().out
        if diagnostics.bound == float("inf"):  # as with momentum in batches
            return
        lr = share * diagnostics.bound


def test_a_resumed_training_is_compared_from_its_next_epoch_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in METHODS:
        for epochs, moves in ((4, False), (6, True)):
            factor = 0.9 if moves else 1.0
            mine = a_callback("on_train_epoch_start", partial(shrink, factor))
            diagnostics = Diagnostics()
            trainer = quiet_trainer(max_epochs=epochs, callbacks=[diagnostics, mine])
            data = XYDataModule(X, Y, None if name == "momentum" else 6, dtype="float64")
            last = tmp_path / f"{name}.ckpt"
            trainer.fit(METHODS[name](0.05), data, ckpt_path=last if moves else None)
            trainer.save_checkpoint(last)
            # The velocity of momentum is not known again.
            expected = moves and name != "momentum"
            assert is_taken_back(diagnostics, capsys.readouterr().out) is expected, name


def test_of_many_coefficients_the_first_epochs_are_compared(capsys: pytest.CaptureFixture[str]) -> None:
    x = torch.randn(400, 300, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for epoch, expected in ((None, False), (2, True), (9, False)):

        def halve(trainer: Any, model: Any, at: int | None = epoch) -> None:
            if trainer.current_epoch == at:
                model.w.data.mul_(0.5)

        mine = LambdaCallback(on_train_epoch_start=halve)
        diagnostics = Diagnostics()
        data = XYDataModule(x, x.sum(1), dtype="float64")
        fit(GradientDescent(lr=0.01), data, max_epochs=12, callbacks=[diagnostics, mine])
        assert is_taken_back(diagnostics, capsys.readouterr().out) is expected
