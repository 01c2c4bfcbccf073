"""A criterion of a regression is least where the prediction is the target; others are refused in a line."""

import inspect

import pytest
import torch
from conftest import fit
from torch import Tensor, nn

from linlight import InputError, LinearRegression, XYDataModule

REAL = {"HuberLoss", "L1Loss", "MSELoss", "SmoothL1Loss"}
TORCHS = sorted(
    name
    for name in nn.modules.loss.__all__
    if name != "NLLLoss2d"  # an old name
    and all(p.default is not p.empty for p in inspect.signature(getattr(nn, name)).parameters.values())
)


class Pinball(nn.Module):
    """The loss of a quantile: errors up cost more than errors down."""

    def __init__(self, quantile: float = 0.9) -> None:
        super().__init__()
        self.quantile = quantile

    def forward(self, y_hat: Tensor, y: Tensor) -> Tensor:
        return torch.maximum(self.quantile * (y - y_hat), (self.quantile - 1) * (y - y_hat)).mean()


class LogTargets(nn.Module):
    """Of counts: NaN for targets below -1."""

    def forward(self, y_hat: Tensor, y: Tensor) -> Tensor:
        return (torch.log1p(y_hat) - torch.log1p(y)).square().mean()


class EachOfThem(nn.Module):
    def forward(self, y_hat: Tensor, y: Tensor) -> Tensor:
        return (y_hat - y).square()


@pytest.mark.parametrize("name", TORCHS)
def test_torchs_losses_are_of_real_numbers_or_refused(name: str) -> None:
    def train() -> LinearRegression:
        model = LinearRegression(w0=1.0, criterion=getattr(nn, name)())
        fit(model, XYDataModule(), max_epochs=2)
        return model

    if name in REAL:
        assert train().w.item() > 1
        return
    with pytest.raises(InputError, match=rf"criterion {name} ") as refused:
        train()
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("criterion", [Pinball(), LogTargets()])
def test_a_loss_of_ones_own_is_taken(criterion: nn.Module) -> None:
    model = LinearRegression(w0=1.0, criterion=criterion)
    fit(model, XYDataModule(), max_epochs=2)
    assert model.w.item() > 1


def test_rows_are_weighted_or_it_is_said_that_they_cannot_be() -> None:
    data = XYDataModule()
    data.rows.weight = torch.tensor([1.0, 2.0, 3.0], dtype=data.dtype)
    with pytest.raises(InputError, match="criterion Pinball has no reduction 'none', so rows cannot be"):
        fit(LinearRegression(w0=1.0, criterion=Pinball()), data, max_epochs=1)


@pytest.mark.parametrize("criterion", [EachOfThem(), nn.MSELoss(reduction="none")])
def test_a_criterion_makes_one_number(criterion: nn.Module) -> None:
    with pytest.raises(InputError, match="must reduce to one number"):
        LinearRegression(criterion=criterion)
