"""The user's own data modules, callbacks, criteria and optimizers, by the paths of their classes."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from conftest import Run

from linlight.cli.main import main

Linlight = Callable[..., Run]
Refused = Callable[..., str]
MINE = """
import torch
from lightning.pytorch import Callback, LightningDataModule
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class Sine(LightningDataModule):
    def __init__(self, amplitude: float = 1.0, rows: int = 40):
        super().__init__()
        self.save_hyperparameters()

    def _loader(self, shuffle=False):
        x = torch.linspace(-1, 1, self.hparams.rows)[:, None]
        y = self.hparams.amplitude * torch.sin(x)
        return DataLoader(TensorDataset(x, y), batch_size=8, shuffle=shuffle)

    def train_dataloader(self):
        return self._loader(shuffle=True)

    val_dataloader = test_dataloader = predict_dataloader = _loader


class Count(Callback):
    def __init__(self, word: str = "batches"):
        self.word, self.batches = word, 0

    def on_train_batch_end(self, *args):
        self.batches += 1

    def on_train_end(self, trainer, pl_module):
        print(self.word, self.batches)


class Quartic(nn.Module):
    def __init__(self, power: float = 4.0):
        super().__init__()
        self.power = power

    def forward(self, y_hat, y):
        return (y_hat - y).abs().pow(self.power).mean()


class Signs(torch.optim.Optimizer):
    def __init__(self, params, lr: float = 0.05):
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure=None):
        loss = None if closure is None else torch.enable_grad()(closure)()
        for group in self.param_groups:
            for p in group["params"]:
                p.sub_(p.grad.sign(), alpha=group["lr"])
        return loss
"""
METHODS = ["ExhaustiveSearch", "GradientDescent", "Backpropagation", "LinearRegression", "LeastSquares"]
SHORT = ["--trainer.max_epochs=2", "--trainer.logger=false", "--trainer.accelerator=cpu"]
NO_SHUFFLE = "ignore:The '.*_dataloader' does not have many workers"


@pytest.fixture(autouse=True)
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module of the user's, which another test must not find imported."""
    name = f"mine_{abs(hash(str(tmp_path)))}"
    (tmp_path / f"{name}.py").write_text(MINE)
    monkeypatch.syspath_prepend(tmp_path)
    return name


@pytest.mark.filterwarnings(NO_SHUFFLE)
@pytest.mark.parametrize("method", METHODS)
def test_data(method: str, mine: str, linlight: Linlight, refused: Refused) -> None:
    sine = f"--data={mine}.Sine"
    run = linlight("fit", f"--model={method}", sine, "--data.amplitude=2", *SHORT)
    assert (run.summary["rows"], run.summary["features"]) == (40, 1)
    assert run.summary["weights"][0][0] != 1
    assert run.summary["val_loss"] > 0
    # What the checkpoint says of the data is the default, and what is typed wins.
    checkpoint = [f"--ckpt_path={run.checkpoint}", "--trainer.logger=false"]
    validated = linlight("validate", *checkpoint, sine)
    assert validated.summary["val_loss"] == pytest.approx(run.summary["val_loss"])
    assert " on 40 rows\n" in validated.out
    tested = linlight("test", *checkpoint, sine, "--data.rows=12")
    assert tested.summary["rows"] == 12
    predicted = linlight("predict", *checkpoint, sine)
    lines = (predicted.folder / "predictions.csv").read_text().splitlines()
    assert len(lines) == 41
    bias = run.summary["bias"] or [0.0]
    assert float(lines[1].split(",")[1]) == pytest.approx(bias[0] - run.summary["weights"][0][0], abs=1e-5)
    assert linlight("predict", *checkpoint, "--data.x=[1.0]").out.startswith("x = 1.0 -> prediction ")
    again = linlight("fit", f"--config={run.folder / 'config.yaml'}")
    assert again.summary["weights"] == run.summary["weights"]
    for path in Path().rglob("summary.json"):
        path.unlink()
    assert f"trained on data of {mine}.Sine: add --data {mine}.Sine" in refused("validate", *checkpoint)


@pytest.mark.filterwarnings(NO_SHUFFLE)
def test_a_config_that_is_trusted_brings_its_own_callbacks(
    mine: str, linlight: Linlight, refused: Refused
) -> None:
    run = linlight("fit", "--model=GradientDescent", f"--trainer.callbacks={mine}.Count", *SHORT)
    config, more = run.folder / "config.yaml", [f"--ckpt_path={run.checkpoint}", "--trainer.max_epochs=5"]
    (run.folder / "summary.json").unlink()
    assert f"add --config {config.absolute()}" in refused("fit", *more)
    assert linlight("fit", f"--config={config}", *more).summary["epochs"] == 5


@pytest.mark.parametrize(
    ("words", "needed"),
    {
        "--trainer.callbacks=EarlyStopping": "monitor",
        "--trainer.callbacks+=GradientAccumulationScheduler": "scheduling",
        "--lr_scheduler=StepLR": "step_size",
    }.items(),
)
def test_what_a_class_needs_is_named(words: str, needed: str, refused: Refused) -> None:
    option, name = words.replace("+", "").split("=")
    assert f"{option} {name} needs {option}.{needed}" in refused("fit", "--model=LinearRegression", words)


@pytest.mark.filterwarnings(NO_SHUFFLE)
def test_going_on_tells_of_other_data(mine: str, linlight: Linlight) -> None:
    words = [f"--data={mine}.Sine", "--trainer.logger=false"]
    run = linlight("fit", "--model=GradientDescent", *words, "--data.amplitude=2", "--trainer.max_epochs=2")
    more = [f"--ckpt_path={run.checkpoint}", "--trainer.max_epochs=4", *words]
    assert "data.amplitude" not in linlight("fit", *more).out
    other = linlight("fit", *more, "--data.amplitude=3")
    assert "data.amplitude is 3.0, where the checkpoint has 2.0" in other.out
    assert other.summary["epochs"] == 4


@pytest.mark.filterwarnings(NO_SHUFFLE)
def test_callback_criterion_and_optimizer(mine: str, linlight: Linlight, refused: Refused) -> None:
    parts = [
        *(f"--trainer.callbacks={mine}.Count", "--trainer.callbacks.word=Batches"),
        *(f"--model.criterion={mine}.Quartic", "--model.criterion.power=3"),
        *(f"--optimizer={mine}.Signs", "--optimizer.lr=0.01"),
    ]
    run = linlight("fit", "--model=LinearRegression", *parts, f"--data={mine}.Sine", *SHORT)
    assert "Batches 10\n" in run.out
    content = yaml.safe_load((run.folder / "config.yaml").read_text())
    assert content["optimizer"]["class_path"] == f"{mine}.Signs"
    again = linlight("fit", f"--config={run.folder / 'config.yaml'}")
    assert again.summary["weights"] == run.summary["weights"]
    trusted = (f"--ckpt_path={run.checkpoint}", f"--config={run.folder / 'config.yaml'}")
    assert "Batches " in linlight("fit", *trusted, "--trainer.max_epochs=9").out
    for path in Path().rglob("summary.json"):
        path.unlink()
    # A checkpoint's word alone imports no class of anyone's.
    line = refused("test", f"--ckpt_path={run.checkpoint}", "--trainer.logger=false", f"--data={mine}.Sine")
    assert f"{mine}.Quartic, which is not one of torch's: name it again, by --model.criterion" in line


def test_the_pictures_of_a_run_with_own_parts(
    mine: str, linlight: Linlight, capsys: pytest.CaptureFixture[str]
) -> None:
    parts = [f"--optimizer={mine}.Signs", f"--model.criterion={mine}.Quartic", "--model.criterion.power=3"]
    run = linlight("fit", "--model=LinearRegression", *parts, *SHORT)
    named = [f"--optimizer={mine}.Signs", f"--criterion={mine}.Quartic"]
    assert "loss.png" in linlight("plot", run.folder, *named).out
    for words, line in {
        (named[0],): "name it again, by --model.criterion",
        (named[1],): "name it again, by --optimizer",
        ("--model.criterion=x",): "there is no option --model.criterion: did you mean --criterion?",
        (named[0], "--criterion=nix.Quartic"): "No module named 'nix'",
    }.items():
        with pytest.raises(SystemExit, match="2"):
            main(["plot", str(run.folder), *words])
        assert line in capsys.readouterr().err


def test_a_comparison_takes_own_parts(mine: str, linlight: Linlight) -> None:
    model = {
        "class_path": "LinearRegression",
        "init_args": {"criterion": {"class_path": f"{mine}.Quartic", "init_args": {"power": 2.0}}},
    }
    optimizer = {"class_path": f"{mine}.Signs", "init_args": {"lr": 0.1}}
    Path("own.yaml").write_text(yaml.safe_dump({"model": model, "optimizer": optimizer}))
    folder = linlight("compare", "--methods=GradientDescent", "--config=own.yaml", "--epochs=5").folder
    rows = json.loads((folder / "compare.json").read_text())
    assert "own" in json.dumps(rows)


WRONG = {
    "no such class": ("fit", "--data={}.Sin", "has no attribute 'Sin'"),
    "no such module": ("fit", "--data=nix.Sine", "No module named 'nix'"),
    "another kind": ("fit", "--data={}.Count", "Count is no LightningDataModule"),
    "a criterion": ("fit", "--model.criterion={}.Sine", "Sine is no Module"),
    "a callback": ("fit", "--trainer.callbacks={}.Nix", "has no attribute 'Nix'"),
    "an optimizer": ("fit", "--optimizer={}.Quartic", "Quartic is no Optimizer"),
    "compare": ("compare", "--data={}.Sine", "is for fit, validate, test, predict"),
    "sweep": ("sweep", "--data={}.Sine", "is for fit, validate, test, predict"),
    "inspect": ("inspect", "--data={}.Sine", "is for fit, validate, test, predict"),
}


@pytest.mark.parametrize("case", WRONG)
def test_one_line_where_a_part_is_none(case: str, mine: str, refused: Refused) -> None:
    command, option, reason = WRONG[case]
    model = ["--model=LinearRegression"] if command == "fit" else []
    assert reason in refused(command, *model, option.format(mine))
