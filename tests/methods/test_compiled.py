"""GradientDescent on many rows: compiled, it is the same training."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import fit, quiet_trainer
from lightning.pytorch import Callback, Trainer

from linlight import GradientDescent, XYDataModule
from linlight.errors import InputError
from linlight.methods.base import compiled
from linlight.training.diagnostics import Diagnostics

ROWS = 4099


@pytest.fixture(autouse=True)
def _forget_the_kernel(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(compiled, "MANY_UPDATES", 1000)
    compiled._load.cache_clear()
    yield
    compiled._load.cache_clear()


@pytest.fixture
def table(tmp_path: Path) -> Path:
    generator = np.random.default_rng(0)
    frame = pd.DataFrame(generator.standard_normal((ROWS, 3)), columns=["a", "b", "c"])
    frame["y"] = frame.a - 2 * frame.b + 0.5 * frame.c + 1 + 0.1 * generator.standard_normal(ROWS)
    frame["z"] = frame.a + frame.b + 0.1 * generator.standard_normal(ROWS)
    frame["weight"] = generator.uniform(0.5, 2, ROWS)
    path = tmp_path / "table.parquet"
    frame.to_parquet(path, row_group_size=700)
    return path


def trained(path: Path, plain: bool, monkeypatch: pytest.MonkeyPatch, **options: Any) -> Any:
    bias = options.pop("bias", True)
    with monkeypatch.context() as patch:
        if plain:
            patch.setattr("linlight.methods.base.by_hand.kernel_for", lambda *_: None)
        model = GradientDescent(lr=0.005, bias=bias)
        data = XYDataModule(
            path=path, features=["a", "b", "c"], **({"target": "y", "dtype": "float64"} | options)
        )
        trainer = fit(model, data, max_epochs=2)
        assert (model._kernel is None) == plain
        if not plain:
            assert trainer.num_training_batches < 50  # many updates in a step
        return model, trainer


@pytest.mark.parametrize(
    "options",
    [
        {"batch_size": 1},
        {"batch_size": 1, "shuffle": True, "dtype": "float32"},
        {"batch_size": 4, "shuffle": True, "bias": False},
        {"batch_size": 3, "weight": "weight", "standardize": True},
        {"batch_size": 2, "target": ["y", "z"], "weight": "weight", "shuffle": True},
        {"batch_size": 1, "stream": True, "dtype": "float32"},
        {"batch_size": 3, "stream": True, "shuffle": True, "window": 1000, "weight": "weight"},
        {"batch_size": 2, "val_fraction": 0.25, "shuffle": True, "target": ["y", "z"]},
    ],
    ids=str,
)
def test_it_is_the_same_training(
    table: Path, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, trainer = trained(table, False, monkeypatch, **options)
    plain, other = trained(table, True, monkeypatch, **options)
    close = 1e-4 if options.get("dtype") == "float32" else 1e-11
    torch.testing.assert_close(model.w, plain.w, rtol=close, atol=close)
    torch.testing.assert_close(model.b, plain.b, rtol=close, atol=close)
    assert trainer.global_step == other.global_step
    losses = [float(one.callback_metrics["train_loss"]) for one in (trainer, other)]
    assert losses[0] == pytest.approx(losses[1], rel=close)


class Killed(Callback):
    """Saves within an epoch, and falls over; it watches single batches, so a step takes one."""

    def __init__(self, falls: bool = True) -> None:
        self.falls = falls

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        if (
            self.falls
            and trainer.current_epoch == 1
            and trainer.fit_loop.epoch_loop.batch_progress.current.ready == 1303
        ):
            trainer.save_checkpoint("killed.ckpt")
            raise ValueError("killed")


@pytest.mark.parametrize("options", [{}, {"shuffle": True}, {"stream": True, "shuffle": True, "window": 900}])
def test_killed_and_resumed_it_ends_at_the_same_bits(table: Path, options: dict[str, Any]) -> None:
    def data() -> XYDataModule:
        return XYDataModule(path=table, features=["a", "b", "c"], target="y", batch_size=1, **options)

    whole = GradientDescent(lr=0.005, bias=True)
    fit(whole, data(), max_epochs=2)
    with pytest.raises(ValueError, match="killed"):
        fit(GradientDescent(lr=0.005, bias=True), data(), max_epochs=2, callbacks=[Killed()])
    resumed = GradientDescent(lr=0.005, bias=True)
    trainer = quiet_trainer(max_epochs=2, callbacks=[Killed(falls=False)])
    trainer.fit(resumed, datamodule=data(), ckpt_path="killed.ckpt", weights_only=True)
    assert resumed._kernel is not None
    assert torch.equal(resumed.w, whole.w)
    assert torch.equal(resumed.b, whole.b)  # type: ignore[arg-type]
    assert trainer.global_step == 2 * ROWS


def test_one_update_a_step_is_the_same_to_the_bit(table: Path) -> None:
    models = []
    for settings in ({}, {"max_steps": 2 * ROWS}):  # where steps are counted, a step is one update
        models.append(GradientDescent(lr=0.005, bias=True))
        data = XYDataModule(path=table, features=["a", "b"], target="y", batch_size=1, shuffle=True)
        fit(models[-1], data, max_epochs=2, **settings)
    assert torch.equal(models[0].w, models[1].w)


def test_a_step_too_large_still_ends_it(table: Path) -> None:
    data = XYDataModule(path=table, features=["a", "b", "c"], target="y", batch_size=2)
    with pytest.raises(InputError, match=r"lr|loss"):
        fit(GradientDescent(lr=5.0, bias=True), data, callbacks=[Diagnostics(quiet=True)])


@pytest.mark.parametrize("what", ["numba is missing", "no folder for its cache"])
def test_without_a_compiler_it_is_plain_and_says_so_once(
    table: Path, what: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delitem(sys.modules, "linlight.functional.kernels", raising=False)
    if what == "numba is missing":
        monkeypatch.setitem(sys.modules, "numba", None)
    else:
        from numba.core import caching

        monkeypatch.setattr(caching.CacheImpl, "_locator_classes", [])
    weights = []
    for _ in range(2):
        model = GradientDescent(lr=0.005, bias=True)
        data = XYDataModule(path=table, features=["a", "b"], target="y", batch_size=1)
        fit(model, data, max_epochs=1)
        assert model._kernel is None
        weights.append(model.w.tolist())
    assert weights[0] == weights[1]
    assert capsys.readouterr().out.count("descent is not compiled") == 1


@pytest.mark.parametrize(
    ("rows", "batch_size"), [(3, 1), (3, None), (999, 1), (5000, 10), (5000, None)], ids=str
)
def test_few_updates_need_no_compiler(rows: int, batch_size: int | None) -> None:
    x = torch.linspace(0, 1, rows)
    model = GradientDescent(lr=0.1)
    fit(model, XYDataModule(x, 2 * x, batch_size=batch_size), max_epochs=1)
    assert model._kernel is None


@pytest.mark.parametrize(("epochs", "is_compiled"), [(9, False), (10, True), (-1, True)])
def test_updates_are_counted_over_the_whole_run(epochs: int, is_compiled: bool) -> None:
    class Two(Callback):
        def on_train_epoch_end(self, trainer: Trainer, *_: Any) -> None:
            trainer.should_stop = trainer.current_epoch == 1

    x = torch.linspace(0, 1, 400)
    model = GradientDescent(lr=0.1)
    fit(model, XYDataModule(x, 2 * x, batch_size=4), max_epochs=epochs, callbacks=[Two()])
    assert (model._kernel is not None) == is_compiled


@pytest.mark.parametrize(("first", "then"), [(3, 12), (12, 14)])
@pytest.mark.parametrize("of_old", [False, True])
def test_more_epochs_go_on_in_the_same_form(first: int, then: int, of_old: bool) -> None:
    x = torch.linspace(-1, 1, 400)
    data = XYDataModule(x, 2 * x, batch_size=4, shuffle=True)
    part, resumed = (GradientDescent(lr=0.1, bias=True) for _ in range(2))
    fit(part, data, max_epochs=first).save_checkpoint("part.ckpt")
    if of_old:  # which took 1,000 updates an epoch for many, and here are 100
        checkpoint = torch.load("part.ckpt", weights_only=True)
        del checkpoint["compiled"]
        torch.save(checkpoint, "part.ckpt")
    trainer = quiet_trainer(max_epochs=then)
    trainer.fit(resumed, datamodule=data, ckpt_path="part.ckpt", weights_only=True)
    assert (resumed._kernel is not None) == (part._kernel is not None and not of_old)
    assert trainer.global_step == 100 * then
