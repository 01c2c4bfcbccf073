"""Callbacks that average weights change every gradient method as they change a plain module."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import quiet_trainer
from lightning.pytorch import LightningDataModule, LightningModule
from lightning.pytorch.callbacks import EMAWeightAveraging, ModelCheckpoint, StochasticWeightAveraging
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from linlight import XYDataModule
from linlight.methods.backpropagation import Backpropagation
from linlight.methods.base.optim import ManualSGD
from linlight.methods.gradient_descent import GradientDescent
from linlight.methods.linear_regression import LinearRegression
from linlight.training.diagnostics import Diagnostics

METHODS: dict[str, Callable[[], Any]] = {
    "GradientDescent": lambda: GradientDescent(lr=0.01),
    "Backpropagation": lambda: Backpropagation(lr=0.01),
    "LinearRegression": lambda: LinearRegression(lr=0.01, bias=False, w0=1.0),
}
AVERAGES: dict[str, Callable[[], Any]] = {
    "EMA": lambda: EMAWeightAveraging(decay=0.9),
    "SWA": lambda: StochasticWeightAveraging(swa_lrs=0.02, swa_epoch_start=2),
}


class Plain(LightningModule):
    """The same model and steps without linlight."""

    def __init__(self, automatic: bool) -> None:
        super().__init__()
        self.linear = nn.Linear(1, 1, bias=False, dtype=torch.float64)
        nn.init.ones_(self.linear.weight)
        self.automatic_optimization = automatic

    def configure_optimizers(self) -> Any:
        make = torch.optim.SGD if self.automatic_optimization else ManualSGD
        return make(self.parameters(), lr=0.01)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        x, y = batch
        loss = nn.functional.mse_loss(self.linear(x), y)
        if not self.automatic_optimization:
            optimizer: Any = self.optimizers()
            optimizer.zero_grad()
            self.manual_backward(loss)
            optimizer.step()
        return loss


X = torch.arange(1.0, 41, dtype=torch.float64)[:, None] / 20
Y = 20 * X


class Another(LightningDataModule):
    """A data module that tells its sizes by its batches alone, once it is set up."""

    def __init__(self, batch_size: int | None) -> None:
        super().__init__()
        self.batch_size = batch_size or len(X)

    def setup(self, stage: str) -> None:
        self.rows = TensorDataset(X, Y)

    def train_dataloader(self) -> Any:
        return DataLoader(self.rows, self.batch_size)


DATA: dict[str, Callable[[int | None], LightningDataModule]] = {
    "ours": lambda batch_size: XYDataModule(X, Y, batch_size),
    "another": Another,
}


def train(model: Any, average: str, data: LightningDataModule) -> float:
    quiet_trainer(max_epochs=5, callbacks=[AVERAGES[average]()], num_sanity_val_steps=0).fit(
        model, datamodule=data
    )
    weight: float = model.linear.weight.item()
    return weight


@pytest.mark.filterwarnings("ignore::lightning.fabric.utilities.warnings.PossibleUserWarning")
@pytest.mark.filterwarnings("ignore:You passed in a `val_dataloader`:UserWarning")  # to the plain module
@pytest.mark.parametrize("batch_size", [None, 4, 1])
@pytest.mark.parametrize("average", AVERAGES)
@pytest.mark.parametrize("source", DATA)
@pytest.mark.parametrize("name", METHODS)
def test_averages_are_a_plain_modules(name: str, source: str, average: str, batch_size: int | None) -> None:
    found, expected = (
        train(model, average, DATA[source](batch_size))
        for model in (METHODS[name](), Plain(name == "LinearRegression"))
    )
    assert found == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("average", AVERAGES)
def test_a_gap_of_averaged_weights_is_measured_and_not_foretold(
    average: str, capsys: pytest.CaptureFixture[str]
) -> None:
    diagnostics = Diagnostics()
    callbacks = [AVERAGES[average](), diagnostics]
    model = GradientDescent(lr=0.01)
    quiet_trainer(max_epochs=5, callbacks=callbacks).fit(model, datamodule=XYDataModule(dtype="float64"))
    assert "no largest stable step is known for averaged weights" in capsys.readouterr().out
    assert diagnostics.findings["gap"] == pytest.approx(14 / 3 * (model.w.item() - 2) ** 2, rel=1e-9)


@pytest.mark.parametrize("source", DATA)
@pytest.mark.parametrize("average", AVERAGES)
@pytest.mark.parametrize("name", METHODS)
@pytest.mark.filterwarnings("ignore::lightning.fabric.utilities.warnings.PossibleUserWarning")
@pytest.mark.filterwarnings("ignore:The dirpath has changed from:UserWarning")
@pytest.mark.filterwarnings("ignore:Checkpoint directory:UserWarning")
def test_a_resumed_training_averages_on_to_the_bit(
    name: str, average: str, source: str, tmp_path: Path
) -> None:
    def weight_of(checkpoint: str | None) -> float:
        model = METHODS[name]()
        keep = ModelCheckpoint(tmp_path, filename="{epoch}", every_n_epochs=1, save_top_k=-1)
        callbacks = [AVERAGES[average](), keep]
        quiet_trainer(
            max_epochs=6, num_sanity_val_steps=0, enable_checkpointing=True, callbacks=callbacks
        ).fit(model, datamodule=DATA[source](4), ckpt_path=checkpoint)
        weight: float = model.w.item()
        return weight

    whole = weight_of(None)
    for epoch in (0, 3):
        assert weight_of(str(tmp_path / f"epoch={epoch}.ckpt")) == whole


def test_the_command_line_goes_on_averaging(linlight: Callable[..., Any]) -> None:
    swa = "StochasticWeightAveraging"
    first = linlight(
        *("fit", "--model", "GradientDescent", "--trainer.max_epochs", 4, "--trainer.callbacks", swa),
        *("--trainer.callbacks.swa_lrs", 0.02, "--trainer.callbacks.swa_epoch_start", 2),
    )
    state = torch.load(first.checkpoint, weights_only=True)["callbacks"][swa]
    assert state["n_averaged"] == 3
    again = linlight("fit", "--ckpt_path", first.checkpoint, "--trainer.max_epochs", 6)
    state = torch.load(again.checkpoint, weights_only=True)["callbacks"][swa]
    assert state["n_averaged"] > 3
