"""One pass sees one data set: whatever limits the batches of a run limits every figure of it."""

import time
from collections.abc import Callable
from datetime import timedelta
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
import pytest
import statsmodels.api as sm
import torch
from conftest import quiet_trainer
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import timer

from linlight import XYDataModule
from linlight.methods.backpropagation import Backpropagation
from linlight.methods.base import LinearModel
from linlight.methods.exhaustive_search import ExhaustiveSearch
from linlight.methods.gradient_descent import GradientDescent
from linlight.methods.least_squares import LeastSquares
from linlight.methods.linear_regression import LinearRegression
from linlight.training.diagnostics import Diagnostics
from linlight.training.run_summary import RunSummary

METHODS: dict[str, Callable[[], LinearModel]] = {
    "ExhaustiveSearch": lambda: ExhaustiveSearch(bias=True, step=0.25),
    "GradientDescent": lambda: GradientDescent(lr=0.05, bias=True),
    "Backpropagation": lambda: Backpropagation(lr=0.05, bias=True),
    "LinearRegression": lambda: LinearRegression(lr=0.05, w0=1.0),
    "LeastSquares": lambda: LeastSquares(),
    "LeastSquares HC3": lambda: LeastSquares(robust="HC3", refine=True),
}
GENERATOR = torch.Generator().manual_seed(8)
X = torch.randn(40, 1, generator=GENERATOR, dtype=torch.float64)
Y = 2 * X + 0.5 + torch.randn(40, 1, generator=GENERATOR, dtype=torch.float64)
Y[20:] += 50 * X[20:]  # rows that the limited runs must not see


class StopAfter(Callback):
    """Stops in the middle of the first epoch."""

    def __init__(self, batches: int) -> None:
        self.batches = batches

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        if trainer.fit_loop.batch_idx + 1 == self.batches:
            trainer.should_stop = True


class Slow(Callback):
    """Takes two hours over the fourth batch, by the clock of Lightning's Timer."""

    clock = mock.patch.object(timer, "time", SimpleNamespace(monotonic=lambda: time.monotonic() + 7200))

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        if trainer.fit_loop.batch_idx == 3:
            self.clock.start()

    def on_fit_end(self, *_: Any) -> None:
        self.clock.stop()


LIMITS: dict[str, Callable[[], dict[str, Any]]] = {
    "limit_train_batches": lambda: {"limit_train_batches": 4},
    "fraction": lambda: {"limit_train_batches": 0.5},
    "overfit_batches": lambda: {"overfit_batches": 4},
    "fast_dev_run": lambda: {"fast_dev_run": 4, "max_epochs": 1},
    "stopped": lambda: {"callbacks": [StopAfter(4)]},
    "max_time": lambda: {"max_time": timedelta(hours=1), "callbacks": [Slow()]},
}


def run(model: LinearModel, data: XYDataModule, tmp_path: Any, **settings: Any) -> dict[str, Any]:
    diagnostics = Diagnostics(quiet=True)
    summary = RunSummary(diagnostics)
    callbacks = [*settings.pop("callbacks", []), diagnostics, summary]
    options: dict[str, Any] = {"max_epochs": 3, "num_sanity_val_steps": 0, **settings}
    quiet_trainer(callbacks=callbacks, default_root_dir=tmp_path, **options).fit(model, datamodule=data)
    return summary.summary


@pytest.mark.filterwarnings("ignore::lightning.fabric.utilities.warnings.PossibleUserWarning")
# Lightning takes any sampler that is not torch's own for one that shuffles.
@pytest.mark.filterwarnings("ignore:You requested to overfit:UserWarning")
@pytest.mark.parametrize("limit", LIMITS)
@pytest.mark.parametrize("name", METHODS)
def test_every_figure_is_of_the_rows_that_were_seen(name: str, limit: str, tmp_path: Any) -> None:
    model = METHODS[name]()
    found = run(model, XYDataModule(X, Y, batch_size=5, dtype="float64"), tmp_path, **LIMITS[limit]())
    rows = 20
    x, y = X[:rows].numpy(), Y[:rows].numpy()
    assert found["rows"] == rows
    assert model.b is not None
    loss = np.mean((x * model.w.item() + model.b.item() - y) ** 2)
    assert found["train_loss"] == pytest.approx(loss, rel=1e-9)
    exact = sm.OLS(y, sm.add_constant(x)).fit()
    if name == "ExhaustiveSearch":
        return
    assert loss - found["gap"] == pytest.approx(exact.ssr / rows, rel=1e-9)
    if "LeastSquares" not in name:
        assert found["optimum"]["weights"][0] == pytest.approx(exact.params[1:], rel=1e-9)
        predicted = found.get("predicted", {}).get("gap")
        assert predicted is None or predicted == pytest.approx(found["gap"], rel=1e-6)
        return
    assert found["r_squared"] == pytest.approx(exact.rsquared, rel=1e-9)
    errors = exact.HC3_se if "HC3" in name else exact.bse
    assert [c["std_error"] for c in found["coefficients"]] == pytest.approx(errors, rel=1e-8)


@pytest.mark.filterwarnings("ignore::lightning.fabric.utilities.warnings.PossibleUserWarning")
@pytest.mark.parametrize("name", METHODS)
def test_shuffled_and_limited(name: str, tmp_path: Any) -> None:
    data = XYDataModule(X, Y, batch_size=5, shuffle=True, dtype="float64")
    model = METHODS[name]()
    found = run(model, data, tmp_path, limit_train_batches=4)
    assert found["rows"] == 20
    assert "optimum" not in found  # every epoch sees other rows
    if "LeastSquares" in name:
        assert found["gap"] < 1e-9
        assert 0 < found["r_squared"] < 1


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"gradient_clip_val": 0.1}, "clipped gradients"),
        ({"accumulate_grad_batches": 2}, "accumulated gradients"),
    ],
)
def test_what_cannot_be_known_is_not_foretold(
    settings: dict[str, Any], reason: str, tmp_path: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    diagnostics = Diagnostics()
    quiet_trainer(max_epochs=2, callbacks=[diagnostics], **settings).fit(
        LinearRegression(lr=0.05), datamodule=XYDataModule(X, Y, dtype="float64")
    )
    assert f"no largest stable step is known for {reason}" in capsys.readouterr().out
    assert "optimum" in diagnostics.findings
    assert diagnostics.findings.get("predicted", {}).get("gap") is None
