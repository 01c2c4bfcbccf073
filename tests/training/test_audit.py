"""The audit passes every method of ours, and names each usual mistake."""

from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import fit

from linlight.cli.main import main
from linlight.data.datamodule import XYDataModule
from linlight.errors import InputError
from linlight.functional.squared_error import squared_error_sums
from linlight.methods.backpropagation import Backpropagation
from linlight.methods.gradient_descent import GradientDescent
from linlight.methods.linear_regression import LinearRegression
from linlight.training.audit import Audit


class Mistaken(GradientDescent):
    """Gradient descent with one mistake."""

    def __init__(self, mistake: str = "none") -> None:
        super().__init__(lr=1e-3, bias=True)
        self.mistake = mistake

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        x, y = batch
        with torch.no_grad():
            error, grad_w, grad_b = squared_error_sums(x, y, self.w, self.b)
        factors = {"half": 0.5, "sum": float(y.numel()), "sign": -1.0, "rows": float(y.shape[1])}
        factor = factors.get(self.mistake, 1.0)
        assert self.b is not None
        gradients = [(self.w, factor * grad_w / y.numel()), (self.b, factor * grad_b / y.numel())]
        for parameter, gradient in gradients[: 1 if self.mistake == "bias" else 2]:
            kept = parameter.grad if self.mistake == "kept" else None
            parameter.grad = gradient if kept is None else gradient + kept
        if self.mistake == "other":
            self.w.grad = grad_w.flip(1) / y.numel()
        self.optimizers().step()  # type: ignore[union-attr]
        return error / y.numel()


def train(model: Any, **data: Any) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(20, 3, generator=generator, dtype=torch.float64)
    y = x[:, :2] ** 2 + torch.randn(20, 2, generator=generator, dtype=torch.float64) + 3
    fit(model, XYDataModule(x, y, **data), max_epochs=3, callbacks=[Audit()])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("batch_size", [None, 3, 1])
@pytest.mark.parametrize(
    "make",
    [
        lambda: GradientDescent(bias=True),
        lambda: Backpropagation(),
        lambda: LinearRegression(),
        lambda: LinearRegression(criterion=torch.nn.MSELoss(reduction="sum"), lr=1e-3),
        lambda: LinearRegression(criterion=torch.nn.HuberLoss()),
    ],
)
def test_passes_what_is_right(
    make: Any, batch_size: int | None, dtype: str, tmp_path: Path, capsys: Any
) -> None:
    train(make(), batch_size=batch_size, dtype=dtype)
    out = capsys.readouterr().out
    assert out.count("audit: step") == 2
    assert "finite differences" in out


@pytest.mark.parametrize(
    ("mistake", "message"),
    [
        ("half", "step 1 .* the 2 of the squared error's derivative is missing"),
        ("sum", "step 1 .* the sum over the rows, divide by their number"),
        ("rows", "step 1 .* factor of 2 too many|divide by the number of targets too"),
        ("sign", "step 1 .* its sign is turned round"),
        ("kept", "step 2 .* zero it after each step"),
        ("bias", "step 1 .* the bias has no gradient"),
        ("other", "step 1 .* compare it with"),
    ],
)
def test_names_the_mistake(mistake: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        # Lightning zeroes gradients before every epoch, so what is kept shows only within one.
        train(Mistaken(mistake), batch_size=5 if mistake == "kept" else None)


def test_on_the_command_line(tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JSONARGPARSE_DEPRECATION_WARNINGS", "off")
    main(["fit", "--model", "Backpropagation", "--audit", "true", "--trainer.max_epochs", "2"])
    assert "audit: step 2: autograd, finite differences, the formula" in capsys.readouterr().out


def test_says_that_a_method_has_no_gradient(linlight: Any) -> None:
    out = linlight("fit", "--model", "LeastSquares", "--audit", "true").out
    assert "audit: LeastSquares computes no gradient: there is nothing to check" in out
    assert "nothing to check" not in linlight("fit", "--model", "Backpropagation", "--audit", "true").out
