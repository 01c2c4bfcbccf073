"""Several updates in one training step are the same updates."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import fit

from linlight import Backpropagation, GradientDescent, XYDataModule
from linlight.methods.base import LinearModel
from linlight.training.tensorboard import Charts


def trained(make: Callable[[], LinearModel], batches_per_step: int | None, rows: int, **options: Any) -> Any:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(rows, 2, generator=generator)
    data = XYDataModule(x, x @ torch.tensor([[1.0], [2.0]]), updates_per_step=batches_per_step, **options)
    model = make()
    trainer = fit(model, data, max_epochs=3, callbacks=[Charts()])
    return (
        model.w.tolist(),
        trainer.global_step,
        trainer.callback_metrics["train_loss"].item(),
        len(data.train_dataloader()),
    )


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("make", [GradientDescent, Backpropagation])
def test_several_updates_in_a_step_are_the_same_to_the_bit(
    make: Callable[[], LinearModel], shuffle: bool, tmp_path: Path
) -> None:
    *one, items = trained(make, 1, 101, batch_size=3, shuffle=shuffle)
    *several, fewer = trained(make, 8, 101, batch_size=3, shuffle=shuffle)
    assert several[:2] == one[:2]
    assert several[2] == pytest.approx(one[2], rel=1e-6)
    assert one[1] == 3 * 34
    assert (items, fewer) == (34, 5)


def test_many_small_batches_are_taken_together_unasked(tmp_path: Path) -> None:
    assert trained(GradientDescent, None, 1000, batch_size=2)[3] == 8
    assert trained(GradientDescent, None, 100, batch_size=2)[3] == 50
