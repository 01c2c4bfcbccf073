"""What the parser refuses is found among its options, whatever words it has for it."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from jsonargparse import ArgumentError, ArgumentParser

from linlight.cli.console import COMMANDS

Refused = Callable[..., str]

EVALUATE = ("validate", "test", "predict")
SHORT = {
    "fit": {"target": "data.target", "path": "data.path", "lr": "model.lr", "batch_size": "data.batch_size",
            "max_epochs": "trainer.max_epochs", "epochs": "trainer.max_epochs"},
    "compare": {"target": "data.target", "path": "data.path", "max_epochs": "epochs", "model": "methods"},
    "sweep": {"target": "data.target", "path": "data.path", "max_epochs": "epochs", "model": "methods"},
    "inspect": {"target": "data.target", "path": "data.path", "batch_size": "data.batch_size"},
}  # fmt: skip
SHORT |= dict.fromkeys(EVALUATE, SHORT["fit"])
TAKES_WORDS = ("plot", "board")


@pytest.mark.parametrize("command", SHORT)
def test_a_short_name_gets_the_full_one(command: str, refused: Refused) -> None:
    for short, full in SHORT[command].items():
        line = refused(command, f"--{short}", "3")
        assert line == f"there is no option --{short}: did you mean --{full}?"


@pytest.mark.parametrize("command", [name for name in COMMANDS if name not in TAKES_WORDS])
def test_a_word_without_an_option(command: str, refused: Refused) -> None:
    Path("data.csv").write_text("x,y\n1,2\n2,3\n")
    Path("model.ckpt").touch()
    assert refused(command, "stray") == "'stray' is not an option: options begin with --, see --help"
    takes_data = command != "learn"
    remedies = {"data.csv": "data.path data.csv"} if takes_data else {}
    if command in ("fit", *EVALUATE):
        remedies |= {
            "model.ckpt": "ckpt_path model.ckpt",
            "LeastSquares": "model LeastSquares",
            "data.path=data.csv": "data.path=data.csv",
        }
    elif command in ("compare", "sweep"):
        remedies["LeastSquares"] = "methods [LeastSquares]"
    for word, remedy in remedies.items():
        assert refused(command, word) == f"{word!r} is not an option: did you mean --{remedy}?"
        assert f"{word!r} is not an option" in refused(command, word, "--target", "y")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("fit --optimizer Adm", "--optimizer: there is no class 'Adm': did you mean Adam?"),
        ("fit --model GradientDescnt", "there is no method 'GradientDescnt': did you mean GradientDescent?"),
        ("fit --model GradientDescent --model.lrr 1", "no option --model.lrr: did you mean --model.lr?"),
        ("fit --model.lr 1", "--model.lr needs a method before it"),
        ("fit --model GradientDescent --data.dtype half", "must be one of 'float32', 'float64', got half"),
        ("fit --model GradientDescent --data.batch_size x", "must be of type int or null, got x"),
        ("fit --model LeastSquares --trainer.callbacks EarlyStopping", "needs --trainer.callbacks.monitor"),
        ("fit --model LinearRegression --model.criterion nix.Loss", "No module named 'nix'"),
        ("fit --config typo.yaml", "no option --trainer.max_epochz: did you mean --trainer.max_epochs?"),
        ("fit --config part.yaml", "no option --model.criterion.dlta: did you mean --model.criterion.delta"),
        ("fit --config list.yaml", "EarlyStopping has no option --trainer.callbacks.monitr: did you mean"),
        ("fit --config three.yaml", "trainer must hold settings, such as max_epochs: 100, got 3"),
        ("inspect --data mine.Data", "is for fit, validate, test, predict: give --data.path or --data.x"),
        ("compare --lrr 1", "there is no option --lrr: did you mean --lr?"),
        ("board --prt 3", "there is no option --prt: did you mean --port?"),
    ],
)  # fmt: skip
def test_faults_are_found_however_they_are_worded(
    words: str, message: str, refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    def error(self: ArgumentParser, message: str, ex: Any = None) -> None:
        raise ArgumentError(None, "worded otherwise") from ex

    monkeypatch.setattr(ArgumentParser, "error", error)
    Path("typo.yaml").write_text("model: {class_path: GradientDescent}\ntrainer: {max_epochz: 3}\n")
    Path("three.yaml").write_text("trainer: 3\n")
    callbacks = "trainer: {callbacks: [{class_path: EarlyStopping, init_args: {monitr: train_loss}}]}\n"
    Path("list.yaml").write_text(callbacks)
    criterion = "{class_path: HuberLoss, init_args: {dlta: 3}}"
    model = f"model: {{init_args: {{criterion: {criterion}}}, class_path: LinearRegression}}\n"
    Path("part.yaml").write_text(model)
    assert message in refused(*words.split())


def test_what_is_not_found_is_said_by_the_parser(refused: Refused, monkeypatch: pytest.MonkeyPatch) -> None:
    def error(self: ArgumentParser, message: str, ex: Any = None) -> None:
        raise ArgumentError(None, "worded\n  otherwise")

    monkeypatch.setattr(ArgumentParser, "error", error)
    monkeypatch.setattr("linlight.cli.explain._Search.check", lambda *_: None)
    assert refused("fit", "--model", "GradientDescent", "--data.dtype", "half") == "worded otherwise"


def test_signals_before_a_command_runs_are_no_traceback() -> None:
    import subprocess

    code = (
        "import signal, sys, types; from linlight.__main__ import main\n"
        "assert not any(name.startswith('linlight.cli') for name in sys.modules)\n"
        "fake = types.ModuleType('linlight.cli.main')\n"
        "fake.main = lambda: signal.raise_signal(getattr(signal, sys.argv[1]))\n"
        "sys.modules['linlight.cli.main'] = fake; main()"
    )
    for name in ("SIGINT", "SIGTERM"):
        done = subprocess.run([sys.executable, "-c", code, name], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout, done.stderr) == (130, "", "linlight: stopped\n")
