"""Every test runs in an empty folder, and fails if it leaves files in the repository."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Before torch is imported: over tensors as small as the tests' a second thread costs more than it brings.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from lightning.pytorch import LightningDataModule, LightningModule, Trainer

from linlight.cli.main import main

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def _work_below_tmp_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    before = {*ROOT.iterdir(), *(ROOT / "lightning_logs").iterdir()}
    yield
    after = {*ROOT.iterdir(), *(ROOT / "lightning_logs").iterdir()}
    assert after == before, f"left behind: {after - before}"


def quiet_trainer(**settings: Any) -> Trainer:
    """A Trainer on the CPU that shows and keeps nothing unless asked to."""
    defaults: dict[str, Any] = {
        "accelerator": "cpu",
        "max_epochs": 100,
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    return Trainer(**(defaults | settings))


def fit(model: LightningModule, data: LightningDataModule, **settings: Any) -> Trainer:
    """Trains a model by `quiet_trainer`, and returns its Trainer."""
    trainer = quiet_trainer(**settings)
    trainer.fit(model, datamodule=data)
    return trainer


@dataclass
class Run:
    """What a command printed and where it put its results."""

    out: str
    folder: Path

    @property
    def summary(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads((self.folder / "summary.json").read_text())
        return content

    @property
    def checkpoint(self) -> Path:
        return self.folder / "checkpoints" / "last.ckpt"


@pytest.fixture
def linlight(capsys: pytest.CaptureFixture[str]) -> Callable[..., Run]:
    """Runs a command in this process, as `linlight(...)`."""

    def run(*words: object) -> Run:
        main([str(word) for word in words])
        captured = capsys.readouterr()
        assert captured.err == ""
        last = captured.out.rstrip("\n").splitlines()[-1]
        match = re.fullmatch(r"run: (\S+)", last)
        assert match, f"the last line names the run's folder, not {last!r}"
        return Run(captured.out, Path(match[1]))

    return run


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs a command that must be refused: one line, exit code 2, nothing that looks like a run."""

    def run(*words: object) -> str:
        with pytest.raises(SystemExit) as exit_:
            main([str(word) for word in words])
        captured = capsys.readouterr()
        assert exit_.value.code == 2
        assert captured.err.count("\n") == 1
        assert captured.err.startswith("linlight: error: ")
        assert not list(Path().rglob("summary.json"))
        assert not list(Path().rglob("compare.json"))
        return captured.err.removeprefix("linlight: error: ").rstrip("\n")

    return run


BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
needs_browser = pytest.mark.skipif(BROWSER is None, reason="needs chromium or google-chrome")


def opened(page: Path, tmp_path: Path, script: str = "", fragment: str = "") -> str:
    """A page as a browser leaves it after a script, opened at `page#fragment`."""
    assert BROWSER is not None
    copy = tmp_path / "copy.html"
    text = page.read_text(encoding="utf-8")
    copy.write_text(text.replace("</html>", f"<script>{script}</script></html>"), encoding="utf-8")
    quiet = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-sync"
    quiet += " --disable-background-networking --disable-component-update --virtual-time-budget=2000"
    words = [BROWSER, *quiet.split(), f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom"]
    address = copy.absolute().as_uri() + f"#{fragment}"
    return subprocess.run([*words, address], capture_output=True, text=True, timeout=120, check=True).stdout
