"""What linlight costs on the textbook's three points, against the shortest script that trains the same model.

    python benchmarks/overhead.py

Three ratios, each the median of several runs taken in turn: the whole process `linlight fit` against the
script; a training step with linlight's defaults (TensorBoard, checkpoint) against the script's bare
Trainer; and `linlight fit` after imports with TensorBoard and pictures against the same without. Times
depend on the machine; the ratios hardly do. The
table is what `benchmarks/results/overhead.md` holds.
"""

import argparse
import contextlib
import io
import logging
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

SCRIPT = """
import lightning.pytorch.cli
import torch
from lightning.pytorch import LightningModule, Trainer
from torch.utils.data import DataLoader, TensorDataset

class Model(LightningModule):
    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(1, 1)
    def training_step(self, batch):
        x, y = batch
        return torch.nn.functional.mse_loss(self.linear(x), y)
    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.01)

def train(epochs):
    x = torch.tensor([[1.0], [2.0], [3.0]])
    trainer = Trainer(max_epochs=epochs, accelerator="cpu", logger=False, enable_checkpointing=False,
                      enable_progress_bar=False, enable_model_summary=False)
    trainer.fit(Model(), DataLoader(TensorDataset(x, 2 * x), batch_size=3))
"""


def seconds(action: Callable[[], object]) -> float:
    """How long an action takes."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def ratio(
    ours: Callable[[], object], theirs: Callable[[], object], repeats: int
) -> tuple[float, float, float]:
    """Median times of two actions, taken in turn, and the median of their ratios."""
    pairs = [(seconds(ours), seconds(theirs)) for _ in range(repeats)]
    mine, other = zip(*pairs, strict=True)
    return statistics.median(mine), statistics.median(other), statistics.median(m / o for m, o in pairs)


def whole_process(folder: str, repeats: int) -> tuple[float, float, float]:
    """`linlight fit`, from start to end, against the script's process."""
    words = ["fit", "--model", "LinearRegression", "--trainer.accelerator", "cpu"]
    ours = [sys.executable, "-m", "linlight", *words]
    theirs = [sys.executable, "-c", SCRIPT + "\ntrain(100)\n"]

    def run(command: list[str]) -> None:
        subprocess.run(command, cwd=folder, check=True, capture_output=True)

    run(ours)  # fills the caches of compiled modules
    run(theirs)
    return ratio(lambda: run(ours), lambda: run(theirs), repeats)


def training(folder: str, repeats: int, epochs: int) -> dict[str, tuple[float, float, float]]:
    """A step of each gradient method with linlight's defaults against a step of the bare script."""
    from lightning.pytorch import Trainer

    import linlight
    from linlight.data.datamodule import XYDataModule
    from linlight.training.diagnostics import Diagnostics
    from linlight.training.folder import new_folder
    from linlight.training.last_checkpoint import LastCheckpoint
    from linlight.training.run_summary import RunSummary
    from linlight.training.tensorboard import BatchedTensorBoardLogger, Charts

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    names: dict[str, Callable[[int], None]] = {}
    exec(SCRIPT, names)

    def ours(name: str) -> None:
        run, diagnostics = new_folder(Path(folder)), Diagnostics(quiet=True)
        trainer = Trainer(
            max_epochs=epochs,
            accelerator="cpu",
            num_sanity_val_steps=0,
            enable_progress_bar=False,
            enable_model_summary=False,
            default_root_dir=run,
            logger=BatchedTensorBoardLogger(run, name="", version="", default_hp_metric=False),
            callbacks=[diagnostics, Charts(diagnostics), LastCheckpoint(), RunSummary(diagnostics)],
        )
        trainer.fit(getattr(linlight, name)(), XYDataModule())

    methods = ["GradientDescent", "Backpropagation", "LinearRegression"]
    for name in methods:
        ours(name)
    names["train"](epochs)
    return {name: ratio(lambda: ours(name), lambda: names["train"](epochs), repeats) for name in methods}  # noqa: B023


def showing(folder: str, repeats: int) -> dict[str, tuple[float, float, float]]:
    """`linlight fit` after imports, with TensorBoard and pictures, against the same without."""
    from linlight.cli.main import main

    def fit(*words: str) -> None:
        with contextlib.redirect_stdout(io.StringIO()):
            main(["fit", *words, "--trainer.default_root_dir", folder, "--trainer.accelerator", "cpu"])

    rows = {}
    for name in ("GradientDescent", "LinearRegression"):
        words = ("--model", name)
        fit(*words)  # imports
        rows[name] = ratio(
            lambda: fit(*words),  # noqa: B023
            lambda: fit(*words, "--trainer.logger", "false"),  # noqa: B023
            3 * repeats,
        )
    return rows


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--epochs", type=int, default=300)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = {"whole process, linlight fit": whole_process(folder, options.repeats)}
        for name, row in training(folder, options.repeats, options.epochs).items():
            rows[f"training alone, {name}"] = row
        for name, row in showing(folder, options.repeats).items():
            rows[f"fit with or without TensorBoard, {name}"] = row
    print("| on the textbook's three points | linlight | script | ratio |\n|---|---|---|---|")
    for name, (mine, other, quotient) in rows.items():
        print(f"| {name} | {mine:.2f} s | {other:.2f} s | {quotient:.2f} |")


if __name__ == "__main__":
    main()
