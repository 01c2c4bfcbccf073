"""Stopped by a signal at any hook of any method and resumed, a run ends as one that was never stopped."""

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import quiet_trainer
from lightning.pytorch import Callback

from linlight import XYDataModule
from linlight.cli.main import main
from linlight.methods.backpropagation import Backpropagation
from linlight.methods.base import LinearModel
from linlight.methods.exhaustive_search import ExhaustiveSearch
from linlight.methods.gradient_descent import GradientDescent
from linlight.methods.least_squares import LeastSquares
from linlight.methods.linear_regression import LinearRegression
from linlight.training.diagnostics import Diagnostics
from linlight.training.history import History
from linlight.training.last_checkpoint import LastCheckpoint
from linlight.training.run_summary import RunSummary

# At which call of which hook: before the training, in its middle, at an epoch's end, at the run's.
STRIKES = {
    "setup": [1],
    "on_fit_start": [1],
    "on_train_start": [1],
    "on_train_epoch_start": [2],
    "on_train_batch_start": [1, 3],
    "on_before_optimizer_step": [5],
    "on_after_backward": [1],
    "on_train_batch_end": [12],
    "on_validation_batch_end": [2],
    "on_validation_end": [1],
    "on_train_epoch_end": [1, 3],
    "on_save_checkpoint": [1],
    "on_train_end": [1],
    "on_fit_end": [1],
    "teardown": [1],
}
PLATEAU = {
    "class_path": "lightning.pytorch.cli.ReduceLROnPlateau",
    "init_args": {"monitor": "train_loss", "patience": 0, "mode": "max", "factor": 0.5},
}
ADAM = {"class_path": "torch.optim.Adam", "init_args": {"lr": 0.05}}
METHODS: dict[str, Callable[[], LinearModel]] = {
    "ExhaustiveSearch": lambda: ExhaustiveSearch(bias=True, step=1.0),
    "GradientDescent": lambda: GradientDescent(lr=0.01, bias=True),
    "Backpropagation": lambda: Backpropagation(lr=0.01, bias=True),
    "LinearRegression": lambda: LinearRegression(lr=0.01),
    "LinearRegression, Adam": lambda: LinearRegression(optimizer=ADAM, lr_scheduler=PLATEAU),
    "LeastSquares": lambda: LeastSquares(robust="HC1"),
}
DATA: dict[str, dict[str, Any]] = {
    "plain": {"batch_size": 4, "shuffle": True, "val_fraction": 0.2},
    "standardised": {"batch_size": 4, "standardize": True, "val_fraction": 0.2},
    "streamed": {"batch_size": 4, "shuffle": True, "stream": True, "window": 8},
    "several updates": {"batch_size": 2, "shuffle": True, "updates_per_step": 3, "standardize": True},
    "one batch": {},
}


class Strike(Callback):
    """Sends the process a signal at the n-th call of a hook."""

    takes_several_batches = True

    def __init__(self, hook: str, count: int, number: int = signal.SIGINT, times: int = 1) -> None:
        self.left = count

        def strike(*args: Any, **kwargs: Any) -> None:
            self.left -= 1
            for _ in range(times if self.left == 0 else 0):
                signal.raise_signal(number)

        setattr(self, hook, strike)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(40, 2, generator=generator) + 3
    y = x @ torch.tensor([2.0, -1.0]) + 0.1 * torch.randn(40, generator=generator)
    lines = [f"{a},{b},{c}" for (a, b), c in zip(x.tolist(), y.tolist(), strict=True)]
    (tmp_path / "t.csv").write_text("\n".join(["a,b,y", *lines]))
    return tmp_path / "t.csv"


@pytest.fixture(autouse=True)
def _handlers_are_put_back() -> Iterator[None]:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs start without
    before = {number: signal.getsignal(number) for number in signal.valid_signals()}
    yield
    assert {number: signal.getsignal(number) for number in signal.valid_signals()} == before


def train(
    folder: Path,
    path: Path,
    method: str,
    kind: str,
    callbacks: list[Callback],
    last: Path | None = None,
    **settings: Any,
) -> dict[str, Any]:
    """What a training leaves in its summary and its history."""
    torch.manual_seed(0)
    folder.mkdir(exist_ok=True)
    diagnostics = Diagnostics(quiet=True)
    ours = [diagnostics, RunSummary(diagnostics), History(diagnostics), LastCheckpoint()]
    trainer = quiet_trainer(
        # The least number does not keep anyone from stopping.
        **({"max_epochs": 3, "min_epochs": 2} | settings),
        default_root_dir=folder,
        num_sanity_val_steps=0,
        enable_checkpointing=True,
        callbacks=[*callbacks, *ours],
    )
    trainer.fit(METHODS[method](), XYDataModule(path=str(path), **DATA[kind]), ckpt_path=last)
    summary: dict[str, Any] = json.loads((folder / "summary.json").read_text())
    summary["history"] = (folder / "history.csv").read_text()
    return {key: value for key, value in summary.items() if key != "seconds"}


@pytest.mark.parametrize("kind", DATA)
@pytest.mark.parametrize("method", METHODS)
def test_stopped_at_any_hook(method: str, kind: str, table: Path, tmp_path: Path) -> None:
    if method == "LeastSquares" and DATA[kind].get("standardize"):
        pytest.skip("it is exact whatever the columns' sizes")
    expected = train(tmp_path / "whole", table, method, kind, [])
    stopped = set()
    for hook, counts in STRIKES.items():
        for count in counts:
            folder = tmp_path / f"{hook}{count}"
            try:
                found = train(folder, table, method, kind, [Strike(hook, count)])
            except SystemExit:
                stopped.add(hook)
                last = folder / "checkpoints" / "last.ckpt"
                assert not list(folder.rglob("*.part"))
                found = train(folder, table, method, kind, [], last if last.exists() else None)
            assert found == expected, f"{hook}, call {count}"
    assert {"setup", "on_fit_start", "on_fit_end", "teardown"} <= stopped
    if not (kind == "one batch" and METHODS[method]().single_pass):
        assert "on_train_batch_start" in stopped


WORDS = ["fit", "--model=GradientDescent", "--data.batch_size=1", "--trainer.logger=false"]


def striking(hook: str, count: int, number: int = signal.SIGINT, times: int = 1) -> list[str]:
    words = [f"--trainer.callbacks={__name__}.Strike", f"--trainer.callbacks.hook={hook}"]
    words += [f"--trainer.callbacks.count={count}", f"--trainer.callbacks.number={number}"]
    return [*words, f"--trainer.callbacks.times={times}"]


def stopped(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit, match="130"):
        main(words)
    captured = capsys.readouterr()
    assert captured.err == ""
    return captured.out


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_says_how_to_go_on(
    number: int,
    linlight: Any,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    strike = vars(Strike("on_before_optimizer_step", 5, number))["on_before_optimizer_step"]
    monkeypatch.setattr(Diagnostics, "on_before_optimizer_step", strike)
    out = stopped(WORDS, capsys)
    last = "lightning_logs/GradientDescent/version_0/checkpoints/last.ckpt"
    assert f"stopped; linlight fit --ckpt_path {last} goes on" in out
    assert out.endswith("run: lightning_logs/GradientDescent/version_0\n")
    assert not Path("lightning_logs/GradientDescent/version_0/summary.json").exists()
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    again = linlight("fit", "--ckpt_path", last).summary
    whole = linlight(*WORDS).summary
    assert {**again, "seconds": 0} == {**whole, "seconds": 0}


def test_a_second_signal_ends_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    often = [*WORDS, "--checkpoint.every_steps=2"]
    out = stopped([*often, *striking("on_train_batch_start", 6, times=2)], capsys)
    assert "stopped; linlight fit" not in stopped([*WORDS, *striking("on_fit_start", 1)], capsys)
    (last,) = Path().rglob("last.ckpt")
    assert str(last) in out
    assert torch.load(last, weights_only=True)["global_step"] == 4
    # Of a single step, nothing is consistent yet.
    out = stopped([*WORDS, *striking("on_before_optimizer_step", 2, times=2)], capsys)
    assert "there is no checkpoint to go on from" in out
    assert list(Path().rglob("*.part")) == []


def test_a_second_signal_while_the_first_saves(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    save = torch.save

    def strike(*args: Any, **kwargs: Any) -> None:
        save(*args, **kwargs)
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(torch, "save", strike)
    out = stopped([*WORDS, *striking("on_train_batch_start", 4)], capsys)
    assert "there is no checkpoint to go on from" in out
    assert not list(Path().rglob("*.part"))


@pytest.mark.parametrize("hook", ["setup", "on_fit_start", "on_train_start"])
def test_before_the_training_there_is_nothing_to_keep(hook: str, capsys: pytest.CaptureFixture[str]) -> None:
    out = stopped([*WORDS, *striking(hook, 1)], capsys)
    assert out.splitlines()[-1] == "stopped: nothing was kept"
    assert not list(Path().rglob("version_*"))


@pytest.mark.parametrize("command", ["validate", "test", "predict"])
def test_evaluations_leave_nothing(command: str, linlight: Any, capsys: pytest.CaptureFixture[str]) -> None:
    last = linlight(*WORDS).checkpoint
    before = set(Path().rglob("*"))
    name = "validation" if command == "validate" else command
    hook = striking(f"on_{name}_batch_start", 1, signal.SIGTERM)
    out = stopped([command, f"--ckpt_path={last}", "--trainer.logger=false", *hook], capsys)
    assert out == "stopped: nothing was kept\n"
    assert set(Path().rglob("*")) == before


@pytest.mark.parametrize("command", ["compare", "sweep"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("where", ["training", "between"])
def test_many_trainings_leave_nothing(
    command: str, number: int, where: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def strike(*args: Any) -> None:
        signal.raise_signal(number)

    if where == "training":
        monkeypatch.setattr(Diagnostics, "on_train_batch_end", strike)
    else:
        monkeypatch.setattr(RunSummary, "on_fit_end", strike)
    assert stopped([command, "--epochs=3"], capsys).splitlines()[-1] == "stopped: nothing was kept"
    assert not list(Path().rglob("version_*"))


def test_in_another_thread_signals_are_left_alone(table: Path, tmp_path: Path) -> None:
    found: list[Any] = []
    thread = threading.Thread(
        target=lambda: found.append(train(tmp_path / "a", table, "GradientDescent", "plain", []))
    )
    thread.start()
    thread.join()
    assert found == [train(tmp_path / "b", table, "GradientDescent", "plain", [])]


INTERRUPTED = """
import signal, sys
from linlight.__main__ import main

def strike(event, args):
    if event == "import" and args[0] == module:
        signal.raise_signal(signal.SIGINT)

signal.signal(signal.SIGINT, signal.default_int_handler)  # where the tests' own is ignored
del sys.argv[0]
module = sys.argv[0]
sys.addaudithook(strike)
main()
"""


@pytest.mark.parametrize(
    "module",
    ["linlight.cli.main", "torch", "lightning.pytorch", "linlight.methods", "linlight.training.history"],
)
def test_while_it_starts(module: str) -> None:
    words = [sys.executable, "-c", INTERRUPTED, module, *WORDS, "--trainer.max_epochs=100000000"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert done.returncode == 130
    assert done.stderr == "linlight: stopped\n"


@pytest.mark.parametrize("kind", ["plain", "standardised", "one batch"])
@pytest.mark.parametrize(
    "method", ["GradientDescent", "Backpropagation", "LinearRegression", "LinearRegression, Adam"]
)
def test_ended_by_max_steps_and_gone_on(method: str, kind: str, table: Path, tmp_path: Path) -> None:
    expected = train(tmp_path / "whole", table, method, kind, [], max_epochs=-1, max_steps=30)
    for steps in (8, 13, 16, 21):  # at an epoch's end and inside one
        folder = tmp_path / str(steps)
        train(folder, table, method, kind, [], max_epochs=-1, max_steps=steps)
        last = folder / "checkpoints" / "last.ckpt"
        found = train(folder, table, method, kind, [], last, max_epochs=-1, max_steps=30)
        assert found == expected, f"ended after step {steps}"
