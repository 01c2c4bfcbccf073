"""MSE, RMSE, MAE and R² of every method, against scikit-learn's."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import quiet_trainer
from lightning.pytorch.callbacks import EarlyStopping
from sklearn import metrics as oracle
from torch.utils.data import DataLoader, TensorDataset
from torchmetrics import Metric
from torchmetrics.regression import MeanAbsolutePercentageError

from linlight import XYDataModule
from linlight.errors import InputError
from linlight.methods.backpropagation import Backpropagation
from linlight.methods.base import LinearModel
from linlight.methods.exhaustive_search import ExhaustiveSearch
from linlight.methods.gradient_descent import GradientDescent
from linlight.methods.least_squares import LeastSquares
from linlight.methods.linear_regression import LinearRegression

METHODS: dict[str, Callable[..., LinearModel]] = {
    "ExhaustiveSearch": lambda **own: ExhaustiveSearch(bias=True, step=0.25, **own),
    "GradientDescent": lambda **own: GradientDescent(lr=0.05, bias=True, **own),
    "Backpropagation": lambda **own: Backpropagation(lr=0.05, bias=True, **own),
    "LinearRegression": lambda **own: LinearRegression(lr=0.05, w0=1.0, **own),
    "LeastSquares": lambda **own: LeastSquares(**own),
}
GENERATOR = torch.Generator().manual_seed(3)
X = torch.randn(30, 1, generator=GENERATOR, dtype=torch.float64)
Y = torch.cat([2 * X, 1 - X], 1) + torch.randn(30, 2, generator=GENERATOR, dtype=torch.float64)
WEIGHT = torch.rand(30, generator=GENERATOR, dtype=torch.float64) / 20  # whose sum is below 2


def expected(y: Any, y_hat: Any, weight: Any = None) -> dict[str, float]:
    mse = oracle.mean_squared_error(y, y_hat, sample_weight=weight)
    return {
        "mse": mse,
        "rmse": np.sqrt(mse),
        "mae": oracle.mean_absolute_error(y, y_hat, sample_weight=weight),
        "r2": oracle.r2_score(y, y_hat, sample_weight=weight),
    }


@pytest.mark.filterwarnings("ignore::lightning.fabric.utilities.warnings.PossibleUserWarning")
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("unit", "mean"), [(1e-5, 0.0), (1.0, 1e8), (1e-3, -1e6), (1e9, 1e3)])
@pytest.mark.parametrize("name", METHODS)
def test_r2_is_right_in_any_unit_and_about_any_mean(
    name: str, unit: float, mean: float, weighted: bool
) -> None:
    y = mean + unit * Y
    loader = DataLoader(TensorDataset(X, y, WEIGHT) if weighted else TensorDataset(X, y), batch_size=7)
    model = METHODS[name]()
    trainer = quiet_trainer(max_epochs=1)
    trainer.fit(model, loader, loader)
    shift = [y_hat - mean for y_hat in (y, model(X).detach())]
    value = oracle.r2_score(*shift, sample_weight=WEIGHT if weighted else None)
    assert 1 - model.train_metrics()["train_r2"] == pytest.approx(1 - value, rel=1e-6)
    assert 1 - trainer.callback_metrics["val_r2"].item() == pytest.approx(1 - value, rel=1e-6)


@pytest.mark.filterwarnings("ignore::lightning.fabric.utilities.warnings.PossibleUserWarning")
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", METHODS)
def test_metrics_of_every_method_are_scikit_learns(name: str, weighted: bool) -> None:
    tensors = (X, Y, WEIGHT) if weighted else (X, Y)
    model = METHODS[name]()
    trainer = quiet_trainer(max_epochs=2)
    loader = DataLoader(TensorDataset(*tensors), batch_size=7)
    trainer.fit(model, loader, loader)
    y_hat = model(X).detach()
    values = expected(Y, y_hat, WEIGHT if weighted else None)
    trained = model.train_metrics()
    assert {key: trained[f"train_{key}"] for key in values} == pytest.approx(values, rel=1e-9)
    for prefix, check in (("val", trainer.validate), ("test", trainer.test)):
        check(model, loader, verbose=False)
        logged = trainer.callback_metrics
        assert {key: logged[f"{prefix}_{key}"].item() for key in values} == pytest.approx(values, rel=1e-9)


@pytest.mark.parametrize("name", METHODS)
def test_on_the_command_line(name: str, linlight: Any) -> None:
    rows = "--data.x", "[1,2,3,4,5,6,7,8]", "--data.y", "[2,4,5,9,10,13,13,17]", "--data.val_fraction", "0.4"
    own = ["--model.metrics", "[MeanAbsolutePercentageError]", "--trainer.max_epochs", "3"]
    run = linlight("fit", "--model", name, *rows, *own)
    names = ("loss", "mse", "rmse", "mae", "r2", "mean_absolute_percentage_error")
    for key in names:
        assert isinstance(run.summary[f"train_{key}"], float)
        assert isinstance(run.summary[f"val_{key}"], float)
    again = linlight("validate", "--ckpt_path", run.checkpoint)
    for key in names:
        assert again.summary[f"val_{key}"] == pytest.approx(run.summary[f"val_{key}"], rel=1e-5)


@pytest.mark.parametrize(
    "name", [name for name in METHODS if name not in ("ExhaustiveSearch", "LeastSquares")]
)
def test_metrics_are_monitors(name: str) -> None:
    data = XYDataModule(X, Y, val_fraction=0.3, dtype="float64")
    stop = EarlyStopping("val_r2", mode="max", min_delta=1.0, patience=2)
    trainer = quiet_trainer(max_epochs=50, callbacks=[stop])
    trainer.fit(METHODS[name](), datamodule=data)
    assert trainer.current_epoch < 10


def test_a_subclass_adds_a_metric_in_a_line() -> None:
    class Mine(GradientDescent):
        def make_metrics(self) -> dict[str, Metric]:
            return super().make_metrics() | {"mape": MeanAbsolutePercentageError()}

    trainer, model = quiet_trainer(max_epochs=2), Mine(lr=0.05)
    trainer.fit(model, datamodule=XYDataModule(X, Y, dtype="float64"))
    trainer.validate(model, datamodule=XYDataModule(X, Y, dtype="float64"), verbose=False)
    value = oracle.mean_absolute_percentage_error(Y, model(X).detach())
    assert trainer.callback_metrics["val_mape"].item() == pytest.approx(value, rel=1e-9)


def test_an_unknown_metric_is_refused_when_the_model_is_made() -> None:
    with pytest.raises(InputError, match=r"no regression metric 'os\.system'"):
        GradientDescent(metrics=["os.system"])


def test_r2_of_one_row_has_no_value(tmp_path: Path) -> None:
    trainer, model = quiet_trainer(max_epochs=1), GradientDescent()
    trainer.fit(model, datamodule=XYDataModule([1.0], [2.0]))
    assert np.isnan(model.train_metrics()["train_r2"])


@pytest.mark.filterwarnings("ignore::lightning.fabric.utilities.warnings.PossibleUserWarning")
@pytest.mark.parametrize("name", METHODS)
def test_a_batch_without_weight_counts_nothing_and_nan_is_not_left_out(name: str) -> None:
    trainer, model = quiet_trainer(max_epochs=1), METHODS[name]()
    trainer.fit(model, datamodule=XYDataModule(X, Y, dtype="float64"))
    weight = torch.cat([WEIGHT[:20], torch.zeros(10, dtype=torch.float64)])
    trainer.validate(model, DataLoader(TensorDataset(X, Y, weight), batch_size=10), verbose=False)
    values = expected(Y[:20], model(X[:20]).detach(), WEIGHT[:20])
    logged = trainer.callback_metrics
    assert logged["val_loss"].item() == pytest.approx(values["mse"], rel=1e-9)
    assert {key: logged[f"val_{key}"].item() for key in values} == pytest.approx(values, rel=1e-9)
    y = Y.clone()
    y[3] = torch.nan
    trainer.validate(model, DataLoader(TensorDataset(X, y), batch_size=10), verbose=False)
    assert torch.isnan(trainer.callback_metrics["val_loss"])
