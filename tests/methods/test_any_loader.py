"""Every method trains, validates, tests and predicts on loaders and data modules that are not ours."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from conftest import quiet_trainer
from lightning.pytorch import LightningDataModule
from torch.utils.data import DataLoader, TensorDataset

from linlight import XYDataModule
from linlight.errors import InputError
from linlight.methods.backpropagation import Backpropagation
from linlight.methods.base import LinearModel
from linlight.methods.exhaustive_search import ExhaustiveSearch
from linlight.methods.gradient_descent import GradientDescent
from linlight.methods.least_squares import LeastSquares
from linlight.methods.linear_regression import LinearRegression

# Lightning's own advice to any module with plain loaders: validation rows, workers, logging intervals.
pytestmark = pytest.mark.filterwarnings("ignore::lightning.fabric.utilities.warnings.PossibleUserWarning")

METHODS: dict[str, Callable[[], LinearModel]] = {
    "ExhaustiveSearch": lambda: ExhaustiveSearch(bias=True, step=0.25),
    "GradientDescent": lambda: GradientDescent(lr=0.05, bias=True),
    "Backpropagation": lambda: Backpropagation(lr=0.05, bias=True),
    "LinearRegression": lambda: LinearRegression(lr=0.05, w0=1.0),
    "LeastSquares": lambda: LeastSquares(),
}
GENERATOR = torch.Generator().manual_seed(5)
X = torch.randn(23, 1, generator=GENERATOR, dtype=torch.float64)
Y = 2 * X + 0.5 + 0.1 * torch.randn(23, 1, generator=GENERATOR, dtype=torch.float64)
WEIGHT = torch.rand(23, generator=GENERATOR, dtype=torch.float64) + 0.5


def loader(kind: str, batch_size: int = 5) -> Any:
    if kind == "weights":  # all rows: another's loader does not tell the mean weight of smaller batches
        return DataLoader(TensorDataset(X, Y, WEIGHT), batch_size=len(X))
    rows = TensorDataset(X, Y)
    if kind == "tuples":  # torch's own collate function makes lists
        return DataLoader(
            rows,
            batch_size=batch_size,
            collate_fn=lambda pairs: tuple(torch.stack(c) for c in zip(*pairs, strict=True)),
        )
    if kind == "flat":  # (B,) each
        return DataLoader(TensorDataset(X[:, 0], Y[:, 0]), batch_size=batch_size)
    return DataLoader(rows, batch_size=batch_size)


class Plain(LightningDataModule):
    """A data module as everybody writes it: it knows its loaders once it is set up."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind

    def setup(self, stage: str) -> None:
        self.loader = loader(self.kind)

    def train_dataloader(self) -> Any:
        return self.loader

    val_dataloader = test_dataloader = predict_dataloader = train_dataloader


@pytest.mark.parametrize("kind", ["lists", "tuples", "flat", "weights"])
@pytest.mark.parametrize("source", ["loader", "built", "datamodule"])
@pytest.mark.parametrize("name", METHODS)
def test_any_loader_gives_what_ours_gives(name: str, source: str, kind: str) -> None:
    ours, expected = METHODS[name](), XYDataModule(X, Y, None if kind == "weights" else 5, dtype="float64")
    if kind == "weights":
        expected.rows.weight = WEIGHT
    reference = quiet_trainer(max_epochs=3)
    reference.fit(ours, datamodule=expected)
    model = METHODS[name]()
    if source == "built":
        model.build(1, 1, torch.float64)
    trainer = quiet_trainer(max_epochs=3)
    data = Plain(kind) if source == "datamodule" else loader(kind)
    given: Any = {"datamodule": data} if source == "datamodule" else {"train_dataloaders": data}
    trainer.fit(model, **given)
    torch.testing.assert_close(model.w, ours.w, rtol=1e-12, atol=1e-12)
    train_loss = trainer.callback_metrics["train_loss"]
    torch.testing.assert_close(train_loss, reference.callback_metrics["train_loss"], rtol=1e-9, atol=1e-12)
    theirs: Any = {"datamodule": data} if source == "datamodule" else {"dataloaders": data}
    reference.test(ours, datamodule=expected, verbose=False)
    for check, loss in ((trainer.validate, "val_loss"), (trainer.test, "test_loss")):
        check(model, **theirs, verbose=False)
        found = trainer.callback_metrics[loss].item()
        assert found == pytest.approx(reference.callback_metrics["test_loss"].item(), rel=1e-9)
    predictions = torch.cat(trainer.predict(model, **theirs))  # type: ignore[arg-type]
    np.testing.assert_allclose(predictions.numpy(), model(X).detach().numpy(), rtol=1e-12)


def test_sizes_taken_from_the_first_batch_leave_the_shuffling_as_it_is() -> None:
    weights = []
    for built in (False, True):
        torch.manual_seed(3)
        model = GradientDescent(lr=0.05, bias=True)
        if built:
            model.build(1, 1, torch.float64)
        quiet_trainer(max_epochs=2).fit(model, DataLoader(TensorDataset(X, Y), batch_size=4, shuffle=True))
        weights.append(model.w.item())
    assert weights[0] == weights[1]


@pytest.mark.parametrize("batch", [torch.ones(3), {"x": torch.ones(3)}, [torch.ones(3)] * 4])
@pytest.mark.parametrize("name", METHODS)
def test_another_kind_of_batch_is_refused(name: str, batch: Any) -> None:
    with pytest.raises(InputError, match=r"a batch must be \(x, y\) or \(x, y, weights\)"):
        quiet_trainer(max_epochs=1).fit(METHODS[name](), [batch])


COLUMN = torch.arange(1.0, 6)[:, None]
MISFITS: list[tuple[tuple[Any, ...], list[torch.Tensor], str]] = [
    ((2, 1), [COLUMN, COLUMN], r"x has the shape \(5, 1\): it must be \(rows, features\), .* 2 features"),
    ((1, 1), [COLUMN[:, :, None], COLUMN], r"x has the shape \(5, 1, 1\): it must be \(rows, features\)"),
    ((1, 1), [COLUMN, COLUMN.repeat(1, 2)], r"a batch has 2 targets and the model 1: call build\(1, 2\)"),
    (
        (1, 1),
        [COLUMN.double(), COLUMN],
        r"float64 and the model float32: .* call build\(1, 1, torch.float64\)",
    ),
    ((1, 1), [COLUMN.long(), COLUMN], r"int64 and the model float32: convert x$"),
    ((1, 1, torch.float64), [COLUMN, COLUMN], r"float32 and the model float64"),
]


@pytest.mark.parametrize(("sizes", "batch", "message"), MISFITS)
@pytest.mark.parametrize("name", METHODS)
def test_batches_of_other_sizes_or_types_are_refused_in_a_line(
    name: str, sizes: tuple[Any, ...], batch: list[torch.Tensor], message: str
) -> None:
    for stage in ("fit", "validate", "test", "predict"):
        model = METHODS[name]()
        model.build(*sizes)
        if stage == "fit" and model.single_pass and " and the model float" in message:
            continue  # what only adds up takes any type
        if stage == "predict" and "targets" in message:
            continue
        with pytest.raises(InputError, match=message):
            getattr(quiet_trainer(max_epochs=1), stage)(
                model, DataLoader(TensorDataset(*batch), batch_size=5)
            )


@pytest.mark.parametrize("name", METHODS)
def test_weights_are_of_torchs_type_unless_the_data_or_the_user_say_otherwise(name: str) -> None:
    model = METHODS[name]()
    model.build(2, 1)
    assert model.w.dtype == torch.float32
    torch.set_default_dtype(torch.float64)
    try:
        model.build(2, 1)
    finally:
        torch.set_default_dtype(torch.float32)
    assert model.w.dtype == torch.float64
    model = METHODS[name]()
    quiet_trainer(max_epochs=1).fit(model, loader("lists"))
    assert model.w.dtype == torch.float64
