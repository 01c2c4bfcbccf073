"""Generic promises, which every method in the table keeps."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import fit, quiet_trainer
from torch import nn

from linlight import (
    Backpropagation,
    ExhaustiveSearch,
    GradientDescent,
    InputError,
    LinearModel,
    LinearRegression,
    XYDataModule,
)

GRADIENT_METHODS: dict[str, Callable[..., LinearModel]] = {
    "GradientDescent": GradientDescent,
    "Backpropagation": Backpropagation,
    "LinearRegression": LinearRegression,
}
ALL_METHODS = GRADIENT_METHODS | {"ExhaustiveSearch": ExhaustiveSearch}


def problem(n: int = 40, d: int = 3, t: int = 2, seed: int = 0) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, d))
    y = x @ rng.normal(size=(d, t)) + rng.normal(size=t) + 0.1 * rng.normal(size=(n, t))
    return x, y


@pytest.mark.parametrize("name", GRADIENT_METHODS)
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("batch_size", [None, 7])
def test_finds_least_squares(name: str, bias: bool, batch_size: int | None) -> None:
    x, y = problem()
    if batch_size:  # mini-batches stay near the optimum only where the fit is perfect
        y = x @ np.array([[1.0, 2.0], [-1.0, 0.5], [0.0, 3.0]]) + bias * np.array([1.0, -2.0])
    model = GRADIENT_METHODS[name](lr=0.3, bias=bias)
    data = XYDataModule(x, y, batch_size=batch_size, shuffle=True, dtype="float64")
    fit(model, data, max_epochs=400)
    design = np.column_stack([x, np.ones(len(x))]) if bias else x
    expected = torch.linalg.lstsq(torch.from_numpy(design), torch.from_numpy(y)).solution.T
    torch.testing.assert_close(model.w.data, expected[:, :3], rtol=1e-6, atol=1e-8)
    if bias:
        assert model.b is not None
        torch.testing.assert_close(model.b.data, expected[:, 3], rtol=1e-6, atol=1e-8)
    else:
        assert model.b is None


def test_search_finds_the_best_candidate_of_each_target() -> None:
    x, _ = problem(d=1)
    y = x @ np.array([[1.3, 2.7]])
    model = ExhaustiveSearch()
    fit(model, XYDataModule(x, y, batch_size=9, dtype="float64"))
    assert model.w.flatten().tolist() == pytest.approx([1.3, 2.7])
    losses = [((model.candidates[c, 0].item() * x - y) ** 2).mean(0) for c in range(41)]
    np.testing.assert_allclose(model.losses.T, losses, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", ALL_METHODS)
def test_checkpoint_needs_nothing_else(name: str, tmp_path: Path) -> None:
    model = ALL_METHODS[name](bias=True)
    train = quiet_trainer(max_epochs=3)
    train.fit(model, XYDataModule(dtype="float64", batch_size=2))
    train.save_checkpoint(tmp_path / "x.ckpt")
    saved = torch.load(tmp_path / "x.ckpt", weights_only=True)
    assert saved["global_step"] == (2 if name == "ExhaustiveSearch" else 6)
    again = type(model).load_from_checkpoint(tmp_path / "x.ckpt", weights_only=True)
    x = torch.tensor([[4.0], [5.0]], dtype=torch.float64)
    assert torch.equal(again(x), model(x))
    assert dict(again.hparams) == dict(model.hparams)


@pytest.mark.parametrize("name", GRADIENT_METHODS)
def test_one_batch_size_one_answer(name: str) -> None:
    """The loss is a mean over rows: an epoch's loss does not depend on how the rows are cut."""
    losses = []
    for batch_size in (None, 1, 4):
        model = GRADIENT_METHODS[name](lr=1e-12, w0=0.5)
        data = XYDataModule(*problem(n=10), batch_size=batch_size, dtype="float64")
        losses.append(fit(model, data, max_epochs=1).callback_metrics["train_loss"].item())
    assert losses[1:] == pytest.approx([losses[0]] * 2, rel=1e-9)


@pytest.mark.parametrize("name", GRADIENT_METHODS)
def test_max_steps_stops_and_counts(name: str) -> None:
    train = quiet_trainer(max_epochs=-1, max_steps=5)
    train.fit(GRADIENT_METHODS[name](), XYDataModule(batch_size=2))
    assert train.global_step == 5


@pytest.mark.parametrize("name", GRADIENT_METHODS)
def test_divergence_is_said_with_the_largest_stable_step(name: str) -> None:
    model = GRADIENT_METHODS[name](lr=0.5, bias=False)
    with pytest.raises(InputError, match=r"lr 0.5 is above 0.2143.*try --model.lr 0.107"):
        fit(model, XYDataModule(), max_epochs=1000)


def test_sum_of_errors_has_a_smaller_stable_step() -> None:
    model = LinearRegression(lr=0.1, bias=False, criterion=nn.MSELoss(reduction="sum"))
    with pytest.raises(InputError, match=r"lr 0.1 is above 0.07143"):
        fit(model, XYDataModule(), max_epochs=1000)


def test_data_too_large_for_their_type_are_not_blamed_on_lr() -> None:
    with pytest.raises(InputError, match="too large for float32"):
        fit(GradientDescent(), XYDataModule([1e30], [1.0], dtype="float32"))


@pytest.mark.parametrize("name", GRADIENT_METHODS)
@pytest.mark.parametrize("lr", [0.0, -1.0, float("nan"), float("inf")])
def test_learning_rate_must_be_positive(name: str, lr: float) -> None:
    with pytest.raises(InputError, match="lr must be a positive finite number"):
        GRADIENT_METHODS[name](lr=lr)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"low": 2.0, "high": 1.0}, "low <= high"),
        ({"step": 0.0}, "step must be a positive"),
        ({"step": 1e-9}, "use a larger step"),
        ({"bias_low": float("nan")}, "bias_low <= bias_high"),
    ],
)
def test_search_grid_must_make_sense(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        ExhaustiveSearch(**arguments)


def test_search_refuses_many_weights() -> None:
    with pytest.raises(InputError, match="exhaustive search is for one or two"):
        fit(ExhaustiveSearch(), XYDataModule(*problem(d=5)))


def test_criterion_optimizer_and_scheduler_of_linear_regression(tmp_path: Path) -> None:
    model = LinearRegression(
        criterion=nn.HuberLoss(delta=0.25),
        optimizer={"class_path": "torch.optim.Adam", "init_args": {"lr": 0.1}},
        lr_scheduler={
            "class_path": "torch.optim.lr_scheduler.StepLR",
            "init_args": {"step_size": 1, "gamma": 0.5},
        },
    )
    train = quiet_trainer(max_epochs=2)
    train.fit(model, XYDataModule())
    assert train.optimizers[0].param_groups[0]["lr"] == 0.025
    train.save_checkpoint(tmp_path / "x.ckpt")
    again = LinearRegression.load_from_checkpoint(tmp_path / "x.ckpt", weights_only=True)
    assert isinstance(again.criterion, nn.HuberLoss)
    assert again.criterion.delta == 0.25
    assert again.optimizer == model.optimizer


def test_a_model_without_data_says_what_it_needs() -> None:
    with pytest.raises(InputError, match="the model has no weights yet"):
        GradientDescent()(torch.zeros(1, 1))


def test_a_checkpoint_of_other_features_is_refused(tmp_path: Path) -> None:
    train = quiet_trainer(max_epochs=1)
    train.fit(GradientDescent(), XYDataModule())
    train.save_checkpoint(tmp_path / "x.ckpt")
    model = GradientDescent.load_from_checkpoint(tmp_path / "x.ckpt")
    with pytest.raises(InputError, match="the model has 1 features and the data have 3"):
        quiet_trainer().predict(model, XYDataModule(problem()[0]))


def test_early_stopping_can_monitor_the_training_loss() -> None:
    from lightning.pytorch.callbacks import EarlyStopping

    train = quiet_trainer(max_epochs=1000, callbacks=[EarlyStopping("train_loss", stopping_threshold=1e-3)])
    train.fit(GradientDescent(), XYDataModule())
    assert 10 < train.current_epoch < 100


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", ALL_METHODS)
def test_gpu_walks_the_same_path(name: str) -> None:
    results = []
    for accelerator in ("cpu", "gpu"):
        torch.manual_seed(0)
        model = ALL_METHODS[name]()
        fit(model, XYDataModule(dtype="float64"), accelerator=accelerator, devices=1)
        results.append(model.w.detach().cpu())
    torch.testing.assert_close(*results, rtol=1e-12, atol=0)
