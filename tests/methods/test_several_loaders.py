"""Several loaders of one stage, which Lightning numbers, and the best of a run's checkpoints."""

from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import quiet_trainer
from lightning.pytorch import LightningDataModule
from lightning.pytorch.callbacks import ModelCheckpoint
from torch.utils.data import DataLoader, TensorDataset

import linlight
from linlight import methods

METHODS: dict[str, Any] = dict(methods.METHODS)
MANY = pytest.mark.filterwarnings("ignore:.*(multiple `ModelCheckpoint`|does not have many workers).*")


class Parts(LightningDataModule):
    """A line, whose rows to evaluate come from as many loaders as there are sizes."""

    def __init__(self, *sizes: int) -> None:
        super().__init__()
        self.x = torch.linspace(-1, 1, 12)[:, None]
        self.sizes = sizes

    def train_dataloader(self) -> DataLoader[Any]:
        return DataLoader(TensorDataset(self.x, 2 * self.x), batch_size=12)

    def val_dataloader(self) -> list[DataLoader[Any]]:
        rows = TensorDataset(self.x, self.x**2)
        parts = torch.utils.data.random_split(rows, self.sizes, torch.Generator().manual_seed(0))
        return [DataLoader(part, batch_size=5) for part in parts]

    test_dataloader = predict_dataloader = val_dataloader


@MANY
@pytest.mark.parametrize("method", METHODS)
def test_several_loaders_are_evaluated_together(method: str) -> None:
    found = []
    for sizes in ((12,), (7, 4, 1)):
        torch.manual_seed(0)
        model, data = METHODS[method](), Parts(*sizes)
        trainer = quiet_trainer(max_epochs=2)
        trainer.fit(model, data)
        during = dict(trainer.callback_metrics)
        validated, *_ = trainer.validate(model, data)  # once for each loader
        tested, *_ = trainer.test(model, data)
        assert validated["val_mae"] == pytest.approx(float(during["val_mae"]))
        predicted = trainer.predict(model, data)
        assert predicted is not None
        parts = predicted if len(sizes) > 1 else [predicted]
        assert sum(len(batch) for part in parts for batch in part) == 12
        found.append({**validated, **tested})
    assert found[0] == pytest.approx(found[1])


@MANY
@pytest.mark.parametrize("method", METHODS)
def test_best_is_the_model_checkpoints(method: str, tmp_path: Path) -> None:
    rows = [1.0, 2.0, 3.0, 4.0]
    model, data = METHODS[method](), linlight.XYDataModule(rows, rows, test_fraction=0.25)
    keeper = ModelCheckpoint(monitor="train_loss", filename="kept")
    callbacks = [*linlight.default_callbacks(tmp_path, bar=False, quiet=True), keeper]
    trainer = quiet_trainer(max_epochs=2, enable_checkpointing=True, callbacks=callbacks)
    trainer.fit(model, data)
    assert trainer.checkpoint_callback is keeper
    assert keeper.best_model_path.endswith("kept.ckpt")
    assert trainer.test(model, data, ckpt_path="best")
