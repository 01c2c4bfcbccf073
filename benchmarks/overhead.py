"""What linlight costs on the textbook's three points, against the shortest script that trains the same model.

    python benchmarks/overhead.py

Ratios, each the median of several runs taken in turn: the whole process `linlight fit` against the script;
a step of training against a step of the script's bare Trainer, by itself and with TensorBoard, checkpoint,
history and forecast; and `linlight fit` after imports with TensorBoard against the same without. Times
depend on the machine; the ratios hardly do. The table is what `benchmarks/results/overhead.md` holds.
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
from typing import Any

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
    return medians([(seconds(ours), seconds(theirs)) for _ in range(repeats)])


def medians(pairs: list[tuple[float, float]]) -> tuple[float, float, float]:
    """The median of each of two, and of their ratios."""
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


def steps(folder: str, repeats: int, epochs: int) -> dict[str, tuple[float, float, float]]:
    """A step of each gradient method over one of the bare script: by itself, and with all that a run keeps.

    An epoch of three points is a step. Its time is the slope between trainings of `epochs` and of nine times
    as many, so what a training costs once is left out. It is the processor's, which bears a busy machine.
    """
    from lightning.pytorch import Trainer

    import linlight
    from linlight.training.folder import new_folder
    from linlight.training.tensorboard import BatchedTensorBoardLogger

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    script: dict[str, Callable[[int], None]] = {}
    exec(SCRIPT, script)

    def train(name: str, length: int, **settings: Any) -> None:
        trainer = Trainer(
            max_epochs=length,
            accelerator="cpu",
            enable_progress_bar=False,
            enable_model_summary=False,
            **settings,
        )
        with contextlib.redirect_stdout(io.StringIO()):
            trainer.fit(getattr(linlight, name)(), linlight.XYDataModule())

    def alone(name: str, length: int) -> None:
        train(name, length, logger=False, enable_checkpointing=False)

    def kept(name: str, length: int) -> None:
        run = new_folder(Path(folder))
        logger = BatchedTensorBoardLogger(run, name="", version="", default_hp_metric=False)
        callbacks = linlight.default_callbacks(run, bar=False)
        train(name, length, logger=logger, callbacks=callbacks, default_root_dir=run)

    def slope(action: Callable[[int], None]) -> float:
        times = []
        for length in (epochs, 9 * epochs):
            start = time.process_time()
            action(length)
            times.append(time.process_time() - start)
        return (times[1] - times[0]) / (8 * epochs)

    rows = {}
    for label, ours in {"a step": alone, "a step with all that a run keeps": kept}.items():
        for name in ("GradientDescent", "Backpropagation", "LinearRegression"):
            ours(name, 10)
            pairs = [(slope(lambda n: ours(name, n)), slope(script["train"])) for _ in range(repeats)]  # noqa: B023
            rows[f"{label}, {name}"] = medians(pairs)
    return rows


def showing(folder: str, repeats: int) -> dict[str, tuple[float, float, float]]:
    """`linlight fit` after imports, with TensorBoard, against the same without."""
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
    parser.add_argument("--epochs", type=int, default=100)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = {"whole process, linlight fit": whole_process(folder, options.repeats)}
        rows |= steps(folder, options.repeats, options.epochs)
        for name, row in showing(folder, options.repeats).items():
            rows[f"fit with or without TensorBoard, {name}"] = row
    print("| on the textbook's three points | linlight | script | ratio |\n|---|---|---|---|")
    for name, (mine, other, quotient) in rows.items():
        unit, times = (" ms", 1000) if name.startswith("a step") else (" s", 1)
        print(f"| {name} | {mine * times:.2f}{unit} | {other * times:.2f}{unit} | {quotient:.2f} |")


if __name__ == "__main__":
    main()
