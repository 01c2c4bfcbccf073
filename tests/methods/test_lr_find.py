"""Lightning's learning rate finder on every gradient method: the same losses, the same suggestion."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from conftest import quiet_trainer
from lightning.pytorch.tuner.tuning import Tuner

from linlight import XYDataModule
from linlight.methods.backpropagation import Backpropagation
from linlight.methods.base import LinearModel
from linlight.methods.gradient_descent import GradientDescent
from linlight.methods.linear_regression import LinearRegression


def found(make: Callable[..., LinearModel]) -> Any:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(200, 1, generator=generator, dtype=torch.float64)
    y = 2 * x + torch.randn(200, 1, generator=generator, dtype=torch.float64)
    model = make()
    data = XYDataModule(x, y, batch_size=10, dtype="float64")
    return Tuner(quiet_trainer(max_epochs=2)).lr_find(model, datamodule=data, num_training=40), model


@pytest.mark.filterwarnings("ignore::lightning.fabric.utilities.warnings.PossibleUserWarning")
@pytest.mark.parametrize("method", [GradientDescent, Backpropagation])
def test_by_hand_methods_are_found_the_rate_of_automatic_ones(method: type[LinearModel]) -> None:
    theirs, _ = found(lambda: LinearRegression(bias=False, w0=1.0))
    ours, model = found(method)
    assert ours.results["lr"] == theirs.results["lr"]
    assert ours.results["loss"] == pytest.approx(theirs.results["loss"], rel=1e-9)
    assert model.lr == ours.suggestion() == theirs.suggestion()
