"""From Python, what the command line has."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import Run, quiet_trainer
from lightning.pytorch import Trainer
from torch.utils.data import DataLoader, TensorDataset

import linlight as package
from linlight import GradientDescent, InputError, LinearModel, XYDataModule, default_callbacks, load

METHODS: dict[str, tuple[Callable[[], LinearModel], list[str]]] = {
    "ExhaustiveSearch": (package.ExhaustiveSearch, []),
    "GradientDescent": (lambda: package.GradientDescent(lr=0.05), ["--model.lr=0.05"]),
    "Backpropagation": (lambda: package.Backpropagation(lr=0.05), ["--model.lr=0.05"]),
    "LinearRegression": (
        lambda: package.LinearRegression(lr=0.05, w0=1.0),
        ["--model.lr=0.05", "--model.w0=1"],
    ),
    "LeastSquares": (package.LeastSquares, []),
}
X, Y = [1.0, 2.0, 3.0, 4.0, 5.0], [2.0, 4.0, 5.0, 9.0, 9.0]


def trainer(**settings: Any) -> Trainer:
    return quiet_trainer(
        **{"max_epochs": 3, "enable_checkpointing": True, "enable_progress_bar": True} | settings
    )


def printed(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().out.splitlines()


@pytest.mark.parametrize("method", METHODS)
def test_the_same_run_as_from_the_command_line(
    method: str, linlight: Callable[..., Run], capsys: pytest.CaptureFixture[str]
) -> None:
    make, words = METHODS[method]
    words = [*words, "--trainer.max_epochs=3", f"--data.x={X}", f"--data.y={Y}", "--data.val_fraction=0.4"]
    theirs = linlight("fit", f"--model={method}", *words, "--trainer.logger=false")
    data = XYDataModule(X, Y, val_fraction=0.4)
    one = trainer(callbacks=default_callbacks())
    one.fit(make(), data)
    *lines, last = printed(capsys)
    assert lines == theirs.out.splitlines()[:-1]
    run = load(last.removeprefix("run: "))
    at_end = one.callback_metrics
    for name in ("train_mse", "train_rmse", "train_mae", "train_r2", "val_mse", "val_r2"):
        assert at_end[name].item() == pytest.approx(run.summary[name])
    assert {**run.summary, "seconds": 0} == {**theirs.summary, "seconds": 0}
    for name in ["history.csv", *(["loss_curve.png"] if method == "ExhaustiveSearch" else [])]:
        assert (run.folder / name).read_bytes() == (theirs.folder / name).read_bytes()
    predicted = linlight("predict", f"--ckpt_path={run.folder}/checkpoints/last.ckpt", "--data.x=[4.0]")
    assert predicted.out.startswith("x = 4.0 -> prediction ")


def test_predictions_and_pictures_lie_in_the_run_folder(capsys: pytest.CaptureFixture[str]) -> None:
    model, data = GradientDescent(lr=0.05), XYDataModule(X, Y)
    one = trainer(logger=True, callbacks=default_callbacks(pictures=True, format="parquet"))
    one.fit(model, data)
    one.predict(model, data)
    folder = Path(one.log_dir or "")
    assert printed(capsys)[-1] == f"run: {folder.relative_to(Path.cwd())}"
    assert (folder / "predictions.parquet").exists()
    assert (folder / "pictures" / "loss.png").exists()
    assert list(folder.glob("events.*"))


@pytest.mark.filterwarnings("ignore:You defined a `validation_step`")
def test_predictions_of_any_loader_are_written_in_its_order(capsys: pytest.CaptureFixture[str]) -> None:
    x, y = torch.tensor(X)[:, None], torch.tensor(Y)[:, None]
    loader = DataLoader(TensorDataset(x, y), batch_size=2)
    model = GradientDescent(lr=0.01)
    one = trainer(callbacks=default_callbacks())
    one.fit(model, loader)
    returned = one.predict(model, loader)
    lines = printed(capsys)
    assert lines[-2].startswith("x = 5.0 -> prediction ")
    content = (Path(lines[-1].removeprefix("run: ")) / "predictions.csv").read_text().splitlines()
    assert content[0] == "row,prediction"
    written = [float(line.partition(",")[2]) for line in content[1:]]
    assert written == torch.cat(returned)[:, 0].tolist()  # type: ignore[arg-type]


def test_a_run_that_diverges_is_kept(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InputError, match="lr 1 is above"):
        trainer(callbacks=default_callbacks(pictures=True)).fit(GradientDescent(lr=1.0), XYDataModule(X, Y))
    (path,) = Path().rglob("summary.json")
    assert "diverged" in json.loads(path.read_text())
    assert (path.parent / "pictures" / "loss.png").exists()
    assert "lr 1 is ABOVE" in capsys.readouterr().out


def test_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    model, data = GradientDescent(), XYDataModule(X, Y)
    one = trainer(callbacks=default_callbacks(quiet=True, checkpoint=False), enable_progress_bar=False)
    one.fit(model, data)
    one.predict(model, data)
    assert capsys.readouterr().out == ""
    assert not list(Path().rglob("last.ckpt"))
    assert list(Path().rglob("summary.json"))


def test_lightning_does_not_advertise_or_warn_of_itself() -> None:
    code = (
        "import linlight; from lightning.pytorch import Trainer;"
        "Trainer(max_epochs=1, accelerator='cpu', callbacks=linlight.default_callbacks())"
        ".fit(linlight.GradientDescent(), linlight.XYDataModule())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    said = done.stdout + done.stderr
    for noise in ("Tip:", "litlogger", "deprecated", "LeafSpec", "Total length", "weights_only"):
        assert noise not in said
    assert "`Trainer.fit` stopped" in said  # what is news stays
