"""What would make a GPU wait is not done in a step: nothing on the device is read back."""

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from conftest import fit

from linlight import ExhaustiveSearch, GradientDescent, LeastSquares, LinearRegression, XYDataModule
from linlight.functional.descent import parabola
from linlight.functional.solve import optimum
from linlight.functional.statistic import moments
from linlight.methods import METHODS
from linlight.methods.base import LinearModel
from linlight.methods.base.batch import mean_over
from linlight.methods.base.training_loss import TrainingLoss
from linlight.training.diagnostics import Diagnostics
from linlight.training.history import History
from linlight.training.last_checkpoint import LastCheckpoint
from linlight.training.prediction import ExactAnswer
from linlight.training.tensorboard import Charts

READS = ("item", "tolist", "numpy", "__bool__", "__int__", "__float__", "__index__")


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(
    "make",
    [
        lambda: GradientDescent(lr=0.01),
        lambda: ExhaustiveSearch(bias=True, step=0.5),
        lambda: LinearRegression(lr=0.01),
    ],
)
def test_no_step_reads_a_number_back(
    make: Any, weighted: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    model: LinearModel = make()
    step, steps = model.training_step, []

    def watched(batch: Any, batch_idx: int) -> Any:
        with monkeypatch.context() as patch:
            for name in READS if model.trainer.global_step else ():  # what the first finds out is kept
                patch.setattr(torch.Tensor, name, lambda *_, name=name: pytest.fail(f"{name} in a step"))
            result = step(batch, batch_idx)
        steps.append(batch_idx)
        return result

    monkeypatch.setattr(model, "training_step", watched)
    rows = ["x,y,weight", *(f"{i / 10},{i / 5},{1 + i % 3}" for i in range(20))]
    (tmp_path / "t.csv").write_text("\n".join(rows))
    data = XYDataModule(path="t.csv", target="y", weight="weight" if weighted else None, features=["x"])
    data.batch_size = 6
    fit(model, data, max_epochs=2)
    assert len(steps) == (4 if isinstance(model, ExhaustiveSearch) else 8)  # a search needs one pass


def _trainer(model: LinearModel) -> Any:
    """In the midst of an epoch, at a step that nothing is logged at."""
    return SimpleNamespace(
        callback_metrics={},
        global_step=7,
        is_last_batch=False,
        lightning_module=model,
        log_every_n_steps=50,
        loggers=[object()],
        should_stop=False,
        accumulate_grad_batches=1,
        world_size=1,
        state=SimpleNamespace(fn="fit"),
        training=True,
        datamodule=None,
    )


@pytest.mark.parametrize("weighted", [False, True])
def test_least_squares_adds_up_without_reading(weighted: bool) -> None:
    # A tensor on `meta` has no numbers, so that whatever asks for one fails.
    model = LeastSquares()
    model.build(3, 1)
    model = model.to("meta")
    model._trainer = _trainer(model)
    model.on_train_epoch_start()
    for rows in (100, 7):
        batch = (torch.empty(rows, 3), torch.empty(rows, 1), *([torch.empty(rows)] * weighted))
        assert model.training_step(tuple(tensor.to("meta") for tensor in batch), 0) is None
    assert model._seen is not None
    assert model._seen.triangle.device.type == "meta"


@pytest.mark.parametrize("rows", [5, 0])
@pytest.mark.parametrize("method", [name for name in METHODS if name != "ExhaustiveSearch"])
def test_weights_of_another_s_loader_are_not_read_back(method: str, rows: int) -> None:
    make: Any = METHODS[method]
    model: LinearModel = make()
    model.build(3, 1)
    model = model.to("meta")
    trainer: Any = _trainer(model)
    model._trainer = trainer
    weight = torch.empty(rows, device="meta")
    mass = model.expected_weight((torch.empty(rows, 3, device="meta"), weight, weight))
    assert isinstance(mass, torch.Tensor)
    losses = [torch.empty((), device="meta") for _ in range(2)]
    assert mean_over(losses, [mass, mass]).device.type == "meta"
    one, batch = (
        TrainingLoss(),
        (torch.empty(rows, 3, device="meta"), torch.empty(rows, 1, device="meta"), weight),
    )
    for loss in losses:
        one.on_train_batch_end(trainer, model, {"loss": loss}, batch, 0)
    assert trainer.callback_metrics["train_loss"].device.type == "meta"


@pytest.mark.parametrize("callback", [TrainingLoss, Diagnostics, History, Charts, LastCheckpoint])
@pytest.mark.parametrize("method", METHODS)
def test_no_callback_reads_a_number_back_after_a_batch(method: str, callback: Any) -> None:
    make: Any = METHODS[method]
    model = make()
    model.build(3, 1)
    model = model.to("meta")
    trainer = model._trainer = _trainer(model)
    one = callback()
    if callback is Diagnostics:  # which looks only where the loss is foreseen to grow
        m = moments(torch.randn(9, 3), torch.randn(9, 1))
        best = optimum(m, bias=True)
        one._answer = ExactAnswer(m, 9, best, parabola(m, best), total=False)
        one.divergence_message = "use a smaller lr"
    if callback is LastCheckpoint:
        one._due = math.inf
    batch = (torch.empty(5, 3, device="meta"), torch.empty(5, 1, device="meta"))
    loss = torch.empty((), device="meta")
    one.on_train_batch_start(trainer, model, batch, 0)
    one.on_before_optimizer_step(trainer, model, None)
    one.on_train_batch_end(trainer, model, {"loss": loss}, batch, 0)
