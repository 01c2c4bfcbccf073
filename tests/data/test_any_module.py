"""The data module under models of every kind: what one of them asked for does not reach the next."""

import ast
from typing import Any

import pytest
import torch
from conftest import ROOT, fit
from lightning.pytorch import LightningModule
from torch import Tensor, nn

from linlight import XYDataModule
from linlight.methods.backpropagation import Backpropagation
from linlight.methods.gradient_descent import GradientDescent
from linlight.methods.least_squares import LeastSquares

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
    first: Any, batch_size: int | None, batches: int
) -> None:
    data, model = XYDataModule(X, X, batch_size), Plain()
    trainer = fit(first(), data, max_epochs=1)
    assert trainer.num_training_batches != batches
    fit(model, data, max_epochs=1)
    assert len(model.seen["fit"]) == batches


def test_the_compiled_form_decides_how_many_the_first_step_takes() -> None:
    data, model = XYDataModule(X, X, 8), GradientDescent(lr=1e-3)
    taken = [fit(model, data, max_epochs=1).num_training_batches for _ in range(2)]
    assert model._kernel is not None
    assert taken[0] == taken[1] < len(X) / 8 / 64


def test_nothing_flows_back() -> None:
    """No method or callback sets an attribute of the data, which know no model and no Trainer's state."""
    for path in sorted((ROOT / "linlight").rglob("*.py")):
        storey = path.relative_to(ROOT / "linlight").parts[0]
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Attribute):
                continue
            where = f"{path}:{node.lineno}: {ast.unparse(node)}"
            if storey == "data":
                assert node.attr not in ("lightning_module", "state", "fn"), where
            if storey in ("methods", "training") and isinstance(node.ctx, ast.Store):
                assert ast.unparse(node.value).split(".")[-1] not in ("data", "datamodule"), where
