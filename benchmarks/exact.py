"""What the exact answer costs against the tools people know, and what `reduce` saves.

    python benchmarks/exact.py [--rows 2000000] [--rounds 3]

Every ratio is of medians of runs taken in turn, in one process. Times depend on the machine and on what
else it does; the ratios do less. The table is what `benchmarks/results/exact.md` holds.
"""

import argparse
import contextlib
import io
import logging
import os
import resource
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable

import numpy as np
import pyarrow
import pyarrow.parquet as parquet
import statsmodels.api as sm
import torch
from lightning.pytorch import Trainer
from sklearn.linear_model import LinearRegression as ScikitLinearRegression
from sklearn.linear_model import Ridge

from linlight.data.datamodule import XYDataModule
from linlight.methods.base import LinearModel
from linlight.methods.exhaustive_search import ExhaustiveSearch
from linlight.methods.gradient_descent import GradientDescent
from linlight.methods.least_squares import LeastSquares


def fit(model: LinearModel, data: XYDataModule, epochs: int) -> None:
    """Trains as `linlight fit` does, without its files."""
    trainer = Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )
    with contextlib.redirect_stdout(io.StringIO()):
        trainer.fit(model, datamodule=data)


def plain_loop(x: torch.Tensor, y: torch.Tensor, epochs: int) -> None:
    """Whole-batch descent as plain PyTorch."""
    model = torch.nn.Linear(x.shape[1], 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    for _ in range(epochs):
        optimizer.zero_grad()
        torch.nn.functional.mse_loss(model(x), y).backward()
        optimizer.step()


def search_of_the_notes(x: np.ndarray, y: np.ndarray) -> None:
    """The notes' search, a loop over the rows for each candidate, on NumPy's numbers."""
    for w in np.arange(0.0, 4.1, 0.1):
        total = 0.0
        for x_value, y_value in zip(x, y, strict=True):
            y_hat = x_value * w
            total += (y_hat - y_value) * (y_hat - y_value)


def medians(rounds: int, **runs: Callable[[], object]) -> dict[str, float]:
    """The median seconds of each, taken in turn."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            times[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in times.items()}


def against_others(rows: int, rounds: int) -> list[str]:
    """One fit by each tool, on float32 in memory."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(rows, 32, generator=generator)
    y = x.sum(1, keepdim=True) + torch.randn(rows, 1, generator=generator)
    data = XYDataModule(x, y)
    a, b = x.numpy(), y[:, 0].numpy()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    fit(LeastSquares(), data, 1)
    extra = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak) / 1024
    found = medians(
        rounds,
        linlight=lambda: fit(LeastSquares(), data, 1),
        scikit=lambda: ScikitLinearRegression().fit(a, b),
        numpy=lambda: np.linalg.lstsq(np.column_stack([np.ones(len(a), a.dtype), a]), b, rcond=None),
        statsmodels=lambda: sm.OLS(b, sm.add_constant(a)).fit().bse,
    )
    wide, double = XYDataModule(x.double(), y.double(), dtype="float64"), (a.astype(float), b.astype(float))
    in_float64 = medians(
        rounds,
        linlight=lambda: fit(LeastSquares(), wide, 1),
        ridge=lambda: Ridge(alpha=1e-9, solver="cholesky").fit(*double),
    )
    ours = found["linlight"]
    lines = [f"| LeastSquares with standard errors, {rows:,} x 32 | {ours:.2f} s | 1 | |"]
    names = {
        "scikit": ("scikit-learn LinearRegression", 2),
        "numpy": ("numpy.linalg.lstsq", 4),
        "statsmodels": ("statsmodels OLS with standard errors", 8),
    }
    for key, (name, wanted) in names.items():
        lines.append(f"| {name} | {found[key]:.2f} s | {found[key] / ours:.1f} | {wanted} |")
    ours, ridge = in_float64["linlight"], in_float64["ridge"]
    lines.append(f"| LeastSquares in float64 | {ours:.2f} s | 1 | |")
    lines.append(
        f'| scikit-learn Ridge(solver="cholesky") in float64 | {ridge:.2f} s | {ridge / ours:.1f} | 1 |'
    )
    size = x.nbytes / 2**20
    return [*lines, f"| extra memory of LeastSquares, data {size:.0f} MiB | {extra:.0f} MiB | | |"]


def from_parquet(rounds: int, rows: int = 3_000_000) -> list[str]:
    """A table read and fitted, in memory and streamed, beside pyarrow's bare read of it."""
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/table.parquet"
        numbers = np.random.default_rng(0).standard_normal((rows, 11))
        names = [*(f"x_{i}" for i in range(10)), "y"]
        parquet.write_table(pyarrow.table(list(numbers.T.copy()), names=names), path)
        found = medians(
            rounds,
            stream=lambda: fit(LeastSquares(), XYDataModule(path=path, stream=True), 1),
            memory=lambda: fit(LeastSquares(), XYDataModule(path=path, stream=False), 1),
            read=lambda: parquet.read_table(path),
        )
    ours = found["stream"]
    return [
        f"| LeastSquares of a Parquet file, {rows:,} x 10, streamed | {ours:.2f} s | 1 | |",
        f"| the same in memory | {found['memory']:.2f} s | {found['memory'] / ours:.1f} | |",
        f"| pyarrow's bare read of it | {found['read']:.2f} s | {found['read'] / ours:.2f} | |",
    ]


def reduced_descent(rounds: int, rows: int = 1_000_000, epochs: int = 1000) -> list[str]:
    """Whole-batch descent on rows that stand for others, against the plain loop."""
    x, y = torch.randn(rows, 32), torch.randn(rows, 1)
    together = 50  # passes in an epoch of the Trainer
    found = medians(
        rounds,
        reduce=lambda: fit(GradientDescent(bias=True), XYDataModule(x, y, reduce=True), epochs),
        batches_per_step=lambda: fit(
            GradientDescent(bias=True),
            XYDataModule(x, y, reduce=True, updates_per_step=together),
            epochs // together,
        ),
        # Every epoch costs the same: a twentieth of them tells the time of all.
        loop=lambda: plain_loop(x, y, epochs // 20),
    )
    ours, alone, loop = found["batches_per_step"], found["reduce"], 20 * found["loop"]
    return [
        f"| {epochs} passes with reduce, {together} updates per step, {rows:,} x 32 | {ours:.2f} s | 1 | |",
        f"| the same, one pass an epoch | {alone:.2f} s | {alone / ours:.1f} | |",
        f"| the plain PyTorch loop (from {epochs // 20} epochs) | {loop:.2f} s | {loop / ours:.1f} | 100 |",
    ]


def epochs_at_any_size(sizes: tuple[int, ...]) -> list[str]:
    """What an epoch costs with reduce, after the first pass."""
    lines = []
    for rows in sizes:
        data = XYDataModule(torch.randn(rows, 4), torch.randn(rows, 1), reduce=True)
        start = time.perf_counter()
        fit(GradientDescent(bias=True), data, 1)
        first = time.perf_counter() - start
        start = time.perf_counter()
        fit(GradientDescent(bias=True), data, 300)
        epoch = (time.perf_counter() - start) / 300
        lines.append(f"| {rows:,} | {first:.2f} s | {1e3 * epoch:.2f} ms |")
    return lines


def search(rounds: int, rows: int = 1_000_000) -> list[str]:
    """41 candidates on a million rows, against the notes' program."""
    x = torch.randn(rows, 1)
    few = 20_000
    found = medians(
        rounds,
        linlight=lambda: fit(ExhaustiveSearch(), XYDataModule(x, 2 * x), 1),
        reduce=lambda: fit(ExhaustiveSearch(), XYDataModule(x, 2 * x, reduce=True), 1),
        notes=lambda: search_of_the_notes(x[:few, 0].numpy(), 2 * x[:few, 0].numpy()),
    )
    notes = found["notes"] * rows / few
    reduced = found["reduce"]
    return [
        f"| ExhaustiveSearch, 41 candidates on {rows:,} rows | {found['linlight']:.2f} s | 1 | |",
        f"| ExhaustiveSearch, the same with reduce | {reduced:.2f} s | {reduced / found['linlight']:.2f} | |",
        f"| the notes' program (from {few:,} rows) | {notes:.1f} s | {notes / found['linlight']:.0f} | 100 |",
    ]


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")
    load = os.getloadavg()[0]
    print(f"{os.cpu_count()} cores, load {load:.1f}, torch {torch.__version__}, {sys.version.split()[0]}\n")
    print("| what | median | times ours | wanted |\n|---|---|---|---|")
    parts: list[Callable[[], list[str]]] = [
        lambda: against_others(arguments.rows, arguments.rounds),
        lambda: from_parquet(arguments.rounds),
        lambda: reduced_descent(arguments.rounds),
        lambda: search(arguments.rounds),
    ]
    for part in parts:
        print("\n".join(part()), flush=True)
    print("\n| rows, with reduce | first epoch | an epoch after |\n|---|---|---|")
    print("\n".join(epochs_at_any_size((10**3, 10**4, 10**5, 10**6, 10**7))))


if __name__ == "__main__":
    main()
