"""A training on two processes, of which now one and now the other is stopped, ends as if nothing had been."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
from conftest import ROOT

STRIKE = """
import os
import signal
from lightning.pytorch import Callback

class Strike(Callback):
    takes_several_batches = True

    def on_train_batch_end(self, trainer, *args):
        if f"{trainer.global_step} {trainer.global_rank}" == os.environ["STRIKE"]:
            signal.raise_signal(signal.SIGINT)
"""
WORDS = (
    *("--model=LinearRegression", "--optimizer=Adam", "--optimizer.lr=0.01", "--data.path=t.csv"),
    *("--data.batch_size=8", "--data.shuffle=true", "--trainer.devices=2", "--trainer.accelerator=cpu"),
    *("--trainer.max_epochs=6", "--trainer.logger=false", "--quiet=true"),
    "--trainer.callbacks+=strike.Strike",
    "--checkpoint.every_steps=100",  # so that they agree after every batch
)


def start(folder: str, *words: str, strike: str = "") -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "linlight", "fit", f"--trainer.default_root_dir={folder}", *words]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "STRIKE": strike}
    # Not pipes, which a process that outlives the first would hold open.
    with Path(f"{folder}.txt").open("a") as log:
        return subprocess.Popen(command, stdout=log, stderr=log, env=environment, text=True)


def ended(process: subprocess.Popen[str], folder: str) -> tuple[int, dict[str, Any]]:
    """The exit code of a training, and its newest checkpoint."""
    try:
        code = process.wait(timeout=120)
    finally:
        process.kill()
    found = sorted(Path(folder).rglob("last.ckpt"), key=lambda path: path.stat().st_mtime_ns)
    assert found, Path(f"{folder}.txt").read_text()
    return code, torch.load(found[-1], weights_only=True) | {"path": str(found[-1])}


def test_two_processes_stopped_and_resumed_to_the_bit() -> None:
    Path("strike.py").write_text(STRIKE)
    Path("t.csv").write_text("x,z,y\n" + "".join(f"{i % 17},{i % 5},{i * 7 % 13}\n" for i in range(61)))
    whole = start("whole", *WORDS)  # 8 steps an epoch
    words: tuple[str, ...] = WORDS
    for step, rank in ((12, 1), (29, 0)):
        code, stopped = ended(start("parts", *words, strike=f"{step} {rank}"), "parts")
        assert (code, stopped["global_step"]) == (130, step), Path("parts.txt").read_text()
        path = Path(stopped["path"])
        words = (f"--ckpt_path={path}", f"--config={path.parents[1] / 'config.yaml'}")
    code, found = ended(start("parts", *words), "parts")
    expected_code, expected = ended(whole, "whole")
    assert code == expected_code == 0, Path("parts.txt").read_text()
    assert found["global_step"] == expected["global_step"] == 48
    for name, tensor in expected["state_dict"].items():
        assert torch.equal(found["state_dict"][name], tensor)
