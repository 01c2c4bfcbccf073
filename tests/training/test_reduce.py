"""A handful of rows that stand for all: the same loss everywhere, and the same path."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from test_diagnostics import diagnosed, train

from linlight.cli.main import main
from linlight.data.datamodule import XYDataModule
from linlight.errors import InputError
from linlight.functional.squared_error import squared_error_sums
from linlight.functional.statistic import moments, reduced
from linlight.methods.backpropagation import Backpropagation
from linlight.methods.exhaustive_search import ExhaustiveSearch
from linlight.methods.gradient_descent import GradientDescent
from linlight.methods.least_squares import LeastSquares
from linlight.methods.linear_regression import LinearRegression


def table(rows: int, features: int = 5, targets: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(rows)
    x = torch.randn(rows, features, generator=generator, dtype=torch.float64) + 3
    return x, x[:, :targets] ** 2 + torch.randn(rows, targets, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("rows", [1, 2, 5, 10_007])
def test_every_model_has_the_same_error_and_gradient(rows: int) -> None:
    x, y = table(rows)
    scales = torch.tensor([1e-3, 1e3, 1.0, 1.0, 1e-3])
    x = x * scales
    few = reduced(moments(x, y))
    assert len(few[0]) == min(rows, 7) + 1
    generator = torch.Generator().manual_seed(0)
    for _ in range(5):
        w = torch.randn(2, 5, generator=generator, dtype=torch.float64) / scales
        b = torch.randn(2, generator=generator, dtype=torch.float64)
        whole, part = squared_error_sums(x, y, w, b), squared_error_sums(*few, w, b)
        for a, c in zip(whole, part, strict=True):
            torch.testing.assert_close(c / len(few[0]), a / rows, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    "make",
    [
        lambda: GradientDescent(lr=0.01, bias=True),
        lambda: Backpropagation(lr=0.01, bias=True),
        lambda: LinearRegression(lr=0.01, w0=0.0),
    ],
)
def test_trains_along_the_same_path(make: Any, tmp_path: Path) -> None:
    x, y = table(1000)
    whole, few = (train(make(), x, y, epochs=50, reduce=reduce) for reduce in (False, True))
    torch.testing.assert_close(few.w, whole.w, rtol=1e-10, atol=0)
    torch.testing.assert_close(few.b, whole.b, rtol=1e-10, atol=0)
    for key in ("gap", "gap_in_standard_errors", "largest_stable_step"):
        assert diagnosed(few).findings[key] == pytest.approx(diagnosed(whole).findings[key], rel=1e-8)


def test_searches_the_same_losses(tmp_path: Path) -> None:
    x, y = table(1000, features=1, targets=1)
    whole, few = (train(ExhaustiveSearch(high=9), x, y, reduce=reduce) for reduce in (False, True))
    torch.testing.assert_close(few.losses, whole.losses, rtol=1e-10, atol=0)


def test_refuses_what_it_cannot_keep(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="leave out batch_size"):
        XYDataModule(reduce=True, batch_size=1)
    for criterion in (torch.nn.L1Loss(), torch.nn.MSELoss(reduction="sum")):
        with pytest.raises(InputError, match="mean squared error of the data and nothing else"):
            train(LinearRegression(criterion=criterion), None, None, reduce=True)
    with pytest.raises(InputError, match="reads the data only once"):
        train(LeastSquares(), None, None, reduce=True)


def test_on_the_command_line(tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JSONARGPARSE_DEPRECATION_WARNINGS", "off")
    main(["fit", "--model", "GradientDescent", "--data.reduce", "true", "--data.dtype", "float64"])
    out = capsys.readouterr().out
    summary = json.loads((tmp_path / out.splitlines()[-1].removeprefix("run: ") / "summary.json").read_text())
    assert summary["rows"] == 3
    assert summary["weights"][0][0] == pytest.approx(1.9999444396553017, rel=1e-14)


@pytest.mark.parametrize("model", [GradientDescent, Backpropagation, LinearRegression])
def test_several_passes_in_an_epoch_are_the_same_path(model: Any, tmp_path: Path) -> None:
    x, y = table(1000)
    options = {"lr": 0.01, "bias": True, "w0": 1.0}
    one = train(model(**options), x, y, epochs=24, reduce=True)
    eight = train(model(**options), x, y, epochs=3, reduce=True, updates_per_step=8)
    assert eight.trainer.global_step == one.trainer.global_step == 24
    assert torch.equal(eight.w, one.w)
    assert diagnosed(eight).findings["gap"] == diagnosed(one).findings["gap"]
    assert diagnosed(eight).findings["predicted"]["gap"] == pytest.approx(
        diagnosed(one).findings["predicted"]["gap"], rel=1e-9
    )
    few, many = (diagnosed(m).findings["predicted"]["epochs_to_tolerance"] for m in (eight, one))
    assert few == -(-many // 8)
    assert diagnosed(eight).findings["largest_stable_step"] == diagnosed(one).findings["largest_stable_step"]
