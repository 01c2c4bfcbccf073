"""The course of a training, kept in one file."""

import csv
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import fit

from linlight import (
    Backpropagation,
    GradientDescent,
    InputError,
    LeastSquares,
    LinearRegression,
    XYDataModule,
)
from linlight.methods.base import LinearModel
from linlight.training.diagnostics import Diagnostics
from linlight.training.history import FILE, Course, History

X = torch.tensor([[1.0, 2.0], [2.0, 1.0], [3.0, 5.0], [4.0, 2.0]], dtype=torch.float64)
Y = torch.tensor([[1.0, 3.0], [2.0, 1.0], [3.0, 2.0], [5.0, 2.0]], dtype=torch.float64)


def trained(model: LinearModel, tmp_path: Path, targets: int = 1, epochs: int = 30, **data: Any) -> Course:
    diagnostics = Diagnostics(quiet=True)
    history = History(diagnostics)
    module = XYDataModule(X, Y[:, :targets], dtype="float64", **data)
    callbacks = [diagnostics, history]
    fit(model, module, max_epochs=epochs, callbacks=callbacks, default_root_dir=tmp_path)
    assert history.course is not None
    read = Course.read(tmp_path / FILE, targets, model.b is not None)
    np.testing.assert_array_equal(read.epoch, history.course.epoch)
    np.testing.assert_array_equal(read.theta, history.course.theta)  # to the last bit
    for name, losses in history.course.losses.items():
        np.testing.assert_array_equal(read.losses[name], losses)
    return read


@pytest.mark.parametrize("targets", [1, 2])
@pytest.mark.parametrize("standardize", [False, True])
@pytest.mark.parametrize("batch_size", [None, 3])
@pytest.mark.parametrize("method", [GradientDescent, Backpropagation, LinearRegression])
def test_the_path_is_that_of_the_weights(
    method: Any, batch_size: int | None, standardize: bool, targets: int, tmp_path: Path
) -> None:
    settings: dict[str, Any] = {"standardize": standardize, "batch_size": batch_size}
    model = method(lr=0.02, bias=True, w0=1.0)
    course = trained(model, tmp_path, targets, **settings)
    assert course.epoch.tolist() == list(range(31))
    w, b = model.w.detach().numpy(), model.b.detach().numpy()
    np.testing.assert_allclose(course.theta[-1], np.column_stack([b, w]), rtol=1e-12)
    # The mean squared error by the statistic is that of the rows.
    x = np.column_stack([np.ones(4), X])
    expected = [np.square(x @ theta.T - Y[:, :targets].numpy()).mean() for theta in course.theta]
    np.testing.assert_allclose(
        course.squared_errors(XYDataModule(X, Y[:, :targets], dtype="float64").statistics.moments),
        expected,
        rtol=1e-9,
    )
    # Of whole batches the epoch's loss is that of its start.
    if batch_size is None:
        np.testing.assert_allclose(course.losses["train_loss"][1:], expected[:-1], rtol=1e-9)
        np.testing.assert_allclose(course.losses["gap"], course.losses["predicted_gap"], rtol=1e-6)
    assert math.isnan(course.losses["train_loss"][0])


def test_the_file_is_for_people_too(tmp_path: Path) -> None:
    trained(GradientDescent(bias=True), tmp_path, epochs=2)
    with (tmp_path / FILE).open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["epoch", "train_loss", "gap", "predicted_gap", "b", "w.x_0", "w.x_1"]
    assert [row["epoch"] for row in rows] == ["0", "1", "2"]
    assert rows[0] | {"b": "0.0", "w.x_0": "1.0", "w.x_1": "1.0", "train_loss": ""} == rows[0]


def test_a_solve_starts_nowhere(tmp_path: Path) -> None:
    assert trained(LeastSquares(), tmp_path, epochs=3).epoch.tolist() == [1]


def test_a_long_training_keeps_its_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("linlight.training.history.MOST_POINTS", 6)
    for epochs, kept in ((6, [0, 2, 4, 6]), (29, [0, 8, 16, 24, 29])):
        assert trained(GradientDescent(), tmp_path, epochs=epochs).epoch.tolist() == kept


def test_many_weights_keep_fewer_epochs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("linlight.training.history.MOST_NUMBERS", 9)
    assert trained(GradientDescent(), tmp_path, 2, epochs=5).epoch.tolist() == [0, 5]


def test_a_run_that_fails_keeps_what_was(tmp_path: Path) -> None:
    diagnostics = Diagnostics(quiet=True)
    history = History(diagnostics)
    with pytest.raises(InputError, match=r"grows without end|finite numbers"):
        fit(
            GradientDescent(lr=1.0), XYDataModule(X, Y), max_epochs=50, default_root_dir=tmp_path,
            callbacks=[diagnostics, history],
        )  # fmt: skip
    assert history.started
    course = Course.read(tmp_path / FILE, 2, False)
    assert np.abs(course.theta[-1]).max() > np.abs(course.theta[0]).max()


@pytest.mark.parametrize("content", ["", "epoch,w\n0,x\n", "epoch,b,w\n0,1\n1,2,3\n"])
def test_a_damaged_file(content: str, tmp_path: Path) -> None:
    (tmp_path / FILE).write_text(content)
    with pytest.raises(InputError, match=r"history\.csv is damaged"):
        Course.read(tmp_path / FILE, 1, True)
