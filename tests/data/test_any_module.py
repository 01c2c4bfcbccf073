"""The data module under models of every kind: what one of them asked for does not reach the next."""

import ast
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from conftest import ROOT, fit, quiet_trainer
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor, nn

from linlight import XYDataModule
from linlight.errors import InputError
from linlight.methods.backpropagation import Backpropagation
from linlight.methods.base import LinearModel
from linlight.methods.gradient_descent import GradientDescent
from linlight.methods.least_squares import LeastSquares
from linlight.methods.linear_regression import LinearRegression

# Lightning's own advice to any module: validation rows, workers, logging intervals.
pytestmark = [
    pytest.mark.filterwarnings("ignore::lightning.fabric.utilities.warnings.PossibleUserWarning"),
    pytest.mark.filterwarnings("ignore:.*`val_dataloader` but have no `validation_step`:UserWarning"),
]
X = torch.randn(80_000, 1, generator=torch.Generator().manual_seed(0))


class Plain(LightningModule):
    """A module as everybody writes it, that keeps the features it is handed in each stage."""

    def __init__(self, features: int = 1, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.layer = nn.Linear(features, 1, dtype=dtype)
        self.seen: dict[str, list[Tensor]] = {}

    def _step(self, stage: str, batch: Any) -> Tensor:
        x: Tensor = batch[0]
        self.seen.setdefault(stage, []).append(x.clone())
        y_hat: Tensor = self.layer(x)
        return y_hat if stage == "predict" else nn.functional.mse_loss(y_hat, batch[1])

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return self._step("fit", batch)

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self._step("validate", batch)

    def test_step(self, batch: Any, batch_idx: int) -> None:
        self._step("test", batch)

    def predict_step(self, batch: Any, batch_idx: int) -> Tensor:
        return self._step("predict", batch)

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), 0.01)


@pytest.mark.parametrize(
    ("first", "batch_size", "batches"),
    [
        (lambda: GradientDescent(lr=1e-3), 100, 800),
        (lambda: Backpropagation(lr=1e-3), 100, 800),
        (LeastSquares, None, 1),
    ],
    ids=["GradientDescent", "Backpropagation", "LeastSquares"],
)
def test_what_one_model_asks_for_the_next_does_not_get(
    first: Any, batch_size: int | None, batches: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("linlight.data.memory.SINGLE_PASS_BYTES", 1)  # so few rows come in two blocks
    data, model = XYDataModule(X, X, batch_size), Plain()
    trainer = fit(first(), data, max_epochs=1)
    assert trainer.num_training_batches != batches
    fit(model, data, max_epochs=1)
    assert len(model.seen["fit"]) == batches


ROWS = torch.randn(60, 2, generator=torch.Generator().manual_seed(1)) * torch.tensor([1.0, 50.0]) + 7
TARGET = ROWS @ torch.tensor([[2.0], [-0.1]]) + 1
SPLIT: dict[str, Any] = {"val_fraction": 0.2, "test_fraction": 0.3}
SOURCES: dict[str, dict[str, Any]] = {
    "memory": {},
    "memory, batches": {"batch_size": 7},
    "stream": {"stream": True, "batch_size": 7, "dtype": "float32"},
}


def standardised(kind: str, folder: Path, *, table: Tensor = ROWS, **settings: Any) -> XYDataModule:
    options = {"standardize": True, **SOURCES[kind], **settings}
    if kind != "stream":
        return XYDataModule(table, TARGET[: len(table)], **options)
    path = folder / f"{len(table)}.parquet"
    frame = pd.DataFrame(table.numpy(), columns=["a", "b"]).assign(y=TARGET[: len(table), 0].numpy())
    if not path.exists():
        frame.to_parquet(path)
    return XYDataModule(path=str(path), target="y", **options)


def features(loader: Any) -> Tensor:
    return torch.cat([batch[0] for batch in loader])


@pytest.mark.parametrize("kind", SOURCES)
def test_any_module_gets_standardised_features_in_every_stage(kind: str, tmp_path: Path) -> None:
    data, model = standardised(kind, tmp_path, **SPLIT), Plain(2)
    own = standardised(kind, tmp_path, standardize=False, **SPLIT)
    trainer = quiet_trainer(max_epochs=1, num_sanity_val_steps=0)
    trainer.fit(model, datamodule=data)
    seen = {"fit": model.seen["fit"], "validate": model.seen.pop("validate")}
    trainer.validate(model, data, verbose=False)
    torch.testing.assert_close(torch.cat(model.seen["validate"]), torch.cat(seen["validate"]))
    trainer.test(model, data, verbose=False)
    trainer.predict(model, data)
    trained_on = features(own.train_dataloader())
    mean, deviation = trained_on.mean(0), trained_on.std(0, correction=0)
    torch.testing.assert_close(data.standardizer.mean.float(), mean, rtol=1e-5, atol=1e-5)
    loaders = {"fit": "train", "validate": "val", "test": "test", "predict": "predict"}
    for stage, name in loaders.items():
        raw = features(getattr(own, f"{name}_dataloader")())
        expected = (raw - mean) / deviation
        torch.testing.assert_close(torch.cat(model.seen[stage]), expected, rtol=1e-4, atol=1e-4)
        alone = standardised(kind, tmp_path, **SPLIT)  # without a Trainer
        assert torch.equal(features(getattr(alone, f"{name}_dataloader")()), torch.cat(model.seen[stage]))


@pytest.mark.parametrize("kind", SOURCES)
def test_new_rows_are_standardised_as_those_of_the_training(kind: str, tmp_path: Path) -> None:
    data, model = standardised(kind, tmp_path), Plain(2)
    trainer = fit(model, data, max_epochs=1)
    trainer.save_checkpoint("plain.ckpt")
    new = standardised(kind, tmp_path, table=ROWS[:9] * 3)
    trainer.predict(model, new, ckpt_path="plain.ckpt", weights_only=True)
    expected = data.standardizer.scale(ROWS[:9].double() * 3).float()
    torch.testing.assert_close(torch.cat(model.seen["predict"]), expected)
    alone = XYDataModule(ROWS[:9] * 3, standardize=True)
    with pytest.raises(InputError, match="measures the rows to train on, and there are none"):
        trainer.predict(model, alone)
    alone.standardizer = data.standardizer
    model.seen.clear()
    trainer.predict(model, alone)
    torch.testing.assert_close(torch.cat(model.seen["predict"]), expected)
    narrow = XYDataModule(ROWS[:, :1], TARGET, standardize=True)
    with pytest.raises(InputError, match="not one of 1 features"):
        trainer.predict(model, narrow, ckpt_path="plain.ckpt", weights_only=True)


OURS: dict[str, Callable[[], LinearModel]] = {
    "GradientDescent": lambda: GradientDescent(lr=0.1, bias=True),
    "Backpropagation": lambda: Backpropagation(lr=0.1, bias=True),
    "LinearRegression": lambda: LinearRegression(lr=0.1, w0=0.0),
}


@pytest.mark.parametrize("name", OURS)
@pytest.mark.parametrize("kind", SOURCES)
def test_our_models_are_of_the_data_as_given(name: str, kind: str, tmp_path: Path) -> None:
    data, model = standardised(kind, tmp_path), OURS[name]()
    trainer = fit(model, data, max_epochs=300)
    torch.testing.assert_close(model.w.detach(), torch.tensor([[2.0, -0.1]]), rtol=1e-3, atol=1e-3)
    for ckpt_path in (None, "after.ckpt"):
        trainer.save_checkpoint("after.ckpt")
        for raw in (data, standardised(kind, tmp_path, standardize=False)):
            found: Any = trainer.predict(model, raw, ckpt_path=ckpt_path, weights_only=True)
            torch.testing.assert_close(torch.cat(found), TARGET, rtol=1e-2, atol=1e-2)
    plain = Plain(2)
    fit(plain, data, max_epochs=1)  # the same data, handed to another
    assert torch.cat(plain.seen["fit"]).mean(0).abs().max() < 1e-4


@pytest.mark.parametrize("name", OURS)
@pytest.mark.parametrize("kind", SOURCES)
@pytest.mark.parametrize("tested", [False, True])
def test_saved_after_training_ours_go_on_to_the_bit(
    name: str, kind: str, tested: bool, tmp_path: Path
) -> None:
    whole, part, resumed = (OURS[name]() for _ in range(3))
    fit(whole, standardised(kind, tmp_path), max_epochs=6)
    data = standardised(kind, tmp_path)
    trainer = fit(part, data, max_epochs=3)
    if tested:
        trainer.test(part, data, verbose=False)
    trainer.save_checkpoint("half.ckpt")
    on = quiet_trainer(max_epochs=6)
    on.fit(resumed, datamodule=standardised(kind, tmp_path), ckpt_path="half.ckpt", weights_only=True)
    assert torch.equal(resumed.w, whole.w)
    assert torch.equal(resumed.b, whole.b)  # type: ignore[arg-type]
    assert on.global_step == 2 * trainer.global_step


def test_the_compiled_form_decides_how_many_the_first_step_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("linlight.methods.base.compiled.MANY_UPDATES", 1000)
    data, model = XYDataModule(X, X, 8), GradientDescent(lr=1e-3)
    taken = [fit(model, data, max_epochs=1).num_training_batches for _ in range(2)]
    assert model._kernel is not None
    assert taken[0] == taken[1] < len(X) / 8 / 64


def test_nothing_flows_back() -> None:
    """No method or callback sets an attribute of the data, which know no model and look at a Trainer once."""
    looks = []
    for path in sorted((ROOT / "linlight").rglob("*.py")):
        storey = path.relative_to(ROOT / "linlight").parts[0]
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Attribute):
                continue
            where = f"{path}:{node.lineno}: {ast.unparse(node)}"
            if storey == "data":
                assert node.attr not in ("lightning_module", "state", "fn"), where
                looks += [where] * (node.attr == "trainer")
            if storey in ("methods", "training") and isinstance(node.ctx, ast.Store):
                assert ast.unparse(node.value).split(".")[-1] not in ("data", "datamodule"), where
    assert len(looks) == 1, looks


def test_a_single_pass_over_a_large_table_leaves_its_rows_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("linlight.data.opened.MANY_NUMBERS", 1)
    monkeypatch.setattr("linlight.data.chunks.CHUNK_ROWS", 8)
    frame = pd.DataFrame(ROWS.numpy(), columns=["a", "b"]).assign(y=TARGET[:, 0].numpy())
    frame.to_parquet("t.parquet", row_group_size=20)
    data = XYDataModule(path="t.parquet")
    found = {}
    for stream in (None, False, True):
        data = XYDataModule(path="t.parquet", stream=stream)
        fit(model := LeastSquares(), data, max_epochs=1)
        assert data.streamed == (stream is not False)
        found[stream] = model.w.detach()
    assert torch.equal(found[None], found[True])
    torch.testing.assert_close(found[None], found[False], rtol=1e-13, atol=1e-13)
    data = XYDataModule(path="t.parquet")
    fit(LeastSquares(), data, max_epochs=1)
    assert data.x.shape == (60, 2)
    fit(GradientDescent(lr=1e-5), data, max_epochs=1)  # the same data, handed to another
    assert not data.streamed
    for settings in ({"val_fraction": 0.2}, {"shuffle": True}, {"batch_size": 7}):
        held = XYDataModule(path="t.parquet", **settings)
        fit(LeastSquares(), held, max_epochs=1)
        assert not held.streamed, settings
    limited = XYDataModule(path="t.parquet")
    fit(LeastSquares(), limited, max_epochs=1, limit_train_batches=1)
    assert not limited.streamed


class Stops(Callback):
    """Saves a checkpoint in the middle of an epoch, and fails."""

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        if trainer.fit_loop.epoch_loop.batch_idx == 1:
            trainer.save_checkpoint("begun.ckpt")
            raise KeyError("stopped")


@pytest.mark.parametrize("stream", [None, False])
def test_a_pass_goes_on_in_the_batches_it_began_with(
    stream: bool | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("linlight.data.opened.MANY_NUMBERS", 1)
    monkeypatch.setattr("linlight.data.chunks.CHUNK_ROWS", 8)
    monkeypatch.setattr("linlight.data.memory.BLOCK_ROWS", 25)
    monkeypatch.setattr("linlight.data.memory.SINGLE_PASS_BYTES", 1)
    frame = pd.DataFrame(ROWS.numpy(), columns=["a", "b"]).assign(y=TARGET[:, 0].numpy())
    frame.to_parquet("t.parquet", row_group_size=20)
    fit(whole := LeastSquares(), XYDataModule(path="t.parquet", stream=stream), max_epochs=1)
    with pytest.raises(KeyError, match="stopped"):
        quiet_trainer(callbacks=Stops()).fit(LeastSquares(), XYDataModule(path="t.parquet", stream=stream))
    again, data = LeastSquares(), XYDataModule(path="t.parquet")
    quiet_trainer(max_epochs=1).fit(again, data, ckpt_path="begun.ckpt", weights_only=True)
    assert data.streamed == (stream is None)
    assert torch.equal(again.w, whole.w)
