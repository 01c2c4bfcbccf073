"""Several updates in one training step are the same updates."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer

from linlight import Backpropagation, GradientDescent, XYDataModule
from linlight.base import LinearModel
from linlight.dashboard import Dashboard


def fit(
    make: Callable[[], LinearModel], together: int | None, tmp_path: Path, rows: int, **options: Any
) -> Any:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(rows, 2, generator=generator)
    data = XYDataModule(x, x @ torch.tensor([[1.0], [2.0]]), updates_per_step=together, **options)
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=3,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
        callbacks=[Dashboard()],
    )
    model = make()
    trainer.fit(model, data)
    return model.w.tolist(), trainer.global_step, model.epoch_loss.item(), len(data.train_dataloader())


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("make", [GradientDescent, Backpropagation])
def test_several_updates_in_a_step_are_the_same_to_the_bit(
    make: Callable[[], LinearModel], shuffle: bool, tmp_path: Path
) -> None:
    *one, items = fit(make, 1, tmp_path, 101, batch_size=3, shuffle=shuffle)
    *several, fewer = fit(make, 8, tmp_path, 101, batch_size=3, shuffle=shuffle)
    assert several == one
    assert one[1] == 3 * 34
    assert (items, fewer) == (34, 5)


def test_many_small_batches_are_taken_together_unasked(tmp_path: Path) -> None:
    assert fit(GradientDescent, None, tmp_path, 1000, batch_size=2)[3] == 8
    assert fit(GradientDescent, None, tmp_path, 100, batch_size=2)[3] == 50
