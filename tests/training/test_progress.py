"""What is seen while a training lasts: on a terminal, and elsewhere."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Callable

import pytest
from conftest import ROOT, Run

from linlight.cli.main import main
from linlight.data.sources import ProcessInfo

Linlight = Callable[..., Run]
FIT = ["fit", "--model", "GradientDescent"]


def on_a_terminal(*words: object, patience: float) -> str:
    """What a fit shows on a terminal of its own, whose bar appears after `patience` seconds."""
    code = (
        f"import linlight.training.progress as p; p.PATIENCE = {patience}; "
        "from linlight.cli.main import main; main()"
    )
    main, other = pty.openpty()
    fcntl.ioctl(other, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))  # lines, columns
    command = [sys.executable, "-c", code, *(str(word) for word in words)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stdin=other, stdout=other, stderr=other, env=environment) as process:
        os.close(other)
        shown = b""
        while True:
            try:
                part = os.read(main, 2**16)
            except OSError:  # on Linux, the other side has been closed
                break
            if not part:
                break
            shown += part
        assert process.wait() == 0, shown.decode()
    os.close(main)
    return shown.decode()


def test_a_long_training_shows_a_bar_and_takes_it_away() -> None:
    shown = on_a_terminal(*FIT, "--trainer.max_epochs", 1500, patience=0.0)
    bars = [part for part in shown.split("\r") if " %, epoch " in part]
    assert len(bars) > 1
    assert any(
        re.search(r"\d+ %, epoch \d+, loss [\d.e-]+, gap [\d.e-]+, [\d.]+k? rows/s, \d\d:\d\d left", bar)
        for bar in bars
    ), bars
    assert all(len(bar.strip("\n")) <= 80 for bar in bars)
    # A line of blanks has taken its place before the next text.
    assert re.search(r"\r +\rgap: ", shown)
    assert shown.splitlines()[-1].startswith("run: ")


def test_a_short_training_shows_none() -> None:
    shown = on_a_terminal(*FIT, patience=60.0)
    assert "%" not in shown
    assert "\r" not in shown.replace("\r\n", "")
    assert len(shown.splitlines()) == 6


@pytest.mark.parametrize(
    "words", [["compare", "--epochs", 600], ["sweep", "--epochs", 300, "--lr", "[0.01, 0.02]"]]
)
def test_many_trainings_show_one_bar(words: list[object]) -> None:
    shown = on_a_terminal(*words, patience=0.0)
    bars = [part for part in shown.split("\r") if re.match(r" *\d+ %, \w.*, \d\d:\d\d left", part)]
    percents = [int(bar.split()[0]) for bar in bars]
    assert len(percents) > 1
    assert percents == sorted(percents)
    assert shown.splitlines()[-1].startswith("run: ")


def test_no_terminal_no_bar(linlight: Linlight) -> None:
    run = linlight(*FIT, "--trainer.max_epochs", 50)  # fails where anything is on standard error
    assert "%" not in run.out


def test_quiet_prints_the_folder_only(linlight: Linlight) -> None:
    run = linlight(*FIT, "--quiet", "true", "--trace", "true")
    assert run.out == f"run: {run.folder}\n"
    assert run.summary["epochs"] == 100
    again = linlight("fit", "--ckpt_path", "last", "--quiet", "true", "--trainer.max_epochs", 101)
    assert again.out == f"run: {again.folder}\n"
    for command in ("validate", "predict"):
        done = linlight(command, "--ckpt_path", run.checkpoint, "--quiet", "true")
        assert done.out == f"run: {done.folder}\n"


def test_quiet_prints_errors_all_the_same(refused: Callable[..., str]) -> None:
    assert "val_fraction must be at least 0" in refused(*FIT, "--data.val_fraction", -1, "--quiet", "true")


def test_quiet_prints_what_a_run_that_diverges_fails_with(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main([*FIT, "--model.lr", "0.3", "--quiet", "true"])
    out, err = capsys.readouterr()
    assert out.startswith("run: ")
    assert out.count("\n") == err.count("\n") == 1
    assert "above 0.2143" in err


def test_verbose_counts_processes(monkeypatch: pytest.MonkeyPatch, linlight: Linlight) -> None:
    monkeypatch.setattr("lightning.pytorch.Trainer.world_size", 2)
    monkeypatch.setattr("linlight.data.datamodule.XYDataModule._place", lambda *_, **__: ProcessInfo())
    monkeypatch.setattr("linlight.methods.base.LinearModel.sum_over_processes", lambda _, *tensors: tensors)
    assert ", 2 processes\n" in linlight(*FIT, "--verbose", "true", "--trainer.max_epochs", 1).out


def test_verbose_adds_settings_and_epochs(linlight: Linlight) -> None:
    words = ["--data.x", "[1,2,3,4]", "--data.y", "[2,4,6,9]", "--data.val_fraction", 0.25]
    words += ["--data.batch_size", 2, "--trainer.max_epochs", 30]
    plain, run = (linlight(*FIT, *words, "--verbose", value) for value in ("false", "true"))
    lines = run.out.splitlines()
    assert "settings: bias False, lr 0.01, w0 1.0" in lines
    assert "data: 1 feature, 1 target; rows: 3 for training, 1 for validation" in lines
    assert "batches: 2 of 2 rows an epoch, in order; 30 epochs" in lines
    assert any(re.fullmatch(r"device: cpu, \d+ threads?, float64", line) for line in lines)
    epochs = [int(line.split()[1][:-1]) for line in lines if line.startswith("epoch ")]
    assert epochs == [1, *range(3, 31, 3)]
    line = next(line for line in lines if line.startswith("epoch 30:"))
    assert re.fullmatch(r"epoch 30: loss [\d.e-]+, gap [\d.e-]+, [\d.e+]+ rows/s", line)
    added = set(lines) - set(plain.out.splitlines()) - {f"run: {run.folder}"}
    assert len(added) == 4 + 11


def test_quiet_and_verbose_exclude_each_other(refused: Callable[..., str]) -> None:
    assert "leave out one" in refused(*FIT, "--quiet", "true", "--verbose", "true")
