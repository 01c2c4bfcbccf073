"""What the exact answer costs against the tools people know, and what `reduce` saves.

    python benchmarks/exact.py [--rows 2000000] [--rounds 3]

Every ratio against other tools is the median of the ratios of runs taken in turn, in one process. Times
depend on the machine and on what else it does; the ratios do less. It takes about two minutes. The table is
what `benchmarks/results/exact.md` holds.
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
from importlib import import_module
from importlib.util import find_spec

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


def medians(rounds: int, **runs: Callable[[], object]) -> dict[str, tuple[float, float]]:
    """The median seconds of each, taken in turn, and the median of its ratios to the first of its round."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            times[name].append(time.perf_counter() - start)
    first, *_ = times.values()
    return {
        name: (
            statistics.median(values),
            statistics.median(v / f for v, f in zip(values, first, strict=True)),
        )
        for name, values in times.items()
    }


def lines(found: dict[str, tuple[float, float]], names: dict[str, tuple[str, str]]) -> list[str]:
    """A line of the table for each, by what it is called and what is wanted of it."""
    return [
        f"| {names[key][0]} | {seconds:.2f} s | {ratio:.2g} | {names[key][1]} |"
        for key, (seconds, ratio) in found.items()
    ]


def polars_ols(x: np.ndarray, y: np.ndarray) -> dict[str, Callable[[], object]]:
    """The fit of polars-ols, where that is installed: linlight does without it."""
    if find_spec("polars_ols") is None:
        return {}
    polars, compute = import_module("polars"), import_module("polars_ols").compute_least_squares
    frame = polars.DataFrame({"y": y, **{f"x_{i}": column for i, column in enumerate(x.T)}})
    features = [polars.col(name) for name in frame.columns[1:]]
    fitted = compute(polars.col("y"), *features, add_intercept=True, mode="coefficients")
    return {"polars": lambda: frame.select(fitted)}


def against_others(rows: int, rounds: int) -> list[str]:
    """One fit by each tool, in memory: the quick ones of all rows, the slow ones of a quarter of them."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(rows, 32, generator=generator, dtype=torch.float64)
    y = x.sum(1, keepdim=True) + torch.randn(rows, 1, generator=generator, dtype=torch.float64)
    double, a, b = XYDataModule(x, y, dtype="float64"), x.numpy(), y[:, 0].numpy()
    in_float64 = medians(
        rounds,
        linlight=lambda: fit(LeastSquares(), double, 1),
        ridge=lambda: Ridge(alpha=1e-9, solver="cholesky").fit(a, b),
        **polars_ols(a, b),
    )
    few = rows // 4
    x, y = x[:few].float(), y[:few].float()
    data, a, b = XYDataModule(x, y), x.numpy(), y[:, 0].numpy()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    fit(LeastSquares(), data, 1)
    extra = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak) / 1024
    in_float32 = medians(
        rounds,
        linlight=lambda: fit(LeastSquares(), data, 1),
        scikit=lambda: ScikitLinearRegression().fit(a, b),
        numpy=lambda: np.linalg.lstsq(np.column_stack([np.ones(len(a), a.dtype), a]), b, rcond=None),
        statsmodels=lambda: sm.OLS(b, sm.add_constant(a)).fit().bse,
    )
    return [
        *lines(
            in_float64,
            {
                "linlight": (f"LeastSquares with standard errors, {rows:,} x 32 in float64", ""),
                "ridge": ('scikit-learn Ridge(solver="cholesky")', "1"),
                "polars": ("polars-ols, coefficients alone", ""),
            },
        ),
        *lines(
            in_float32,
            {
                "linlight": (f"LeastSquares with standard errors, {few:,} x 32 in float32", ""),
                "scikit": ("scikit-learn LinearRegression", "2"),
                "numpy": ("numpy.linalg.lstsq", "4"),
                "statsmodels": ("statsmodels OLS with standard errors", "8"),
            },
        ),
        f"| extra memory of LeastSquares, data {x.nbytes / 2**20:.0f} MiB | {extra:.0f} MiB | | |",
    ]


def from_parquet(rounds: int, rows: int = 1_000_000) -> list[str]:
    """A table read and fitted, streamed and in memory, beside pyarrow's bare read of it."""
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
    return lines(
        found,
        {
            "stream": (f"LeastSquares of a Parquet file, {rows:,} x 10, streamed", ""),
            "memory": ("the same in memory", ""),
            "read": ("pyarrow's bare read of it", ""),
        },
    )


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
        # Every epoch costs the same: a fiftieth of them tells the time of all.
        loop=lambda: plain_loop(x, y, epochs // 50),
    )
    ours, alone, loop = (found[name][0] for name in ("batches_per_step", "reduce", "loop"))
    loop *= 50
    return [
        f"| {epochs} passes with reduce, {together} updates per step, {rows:,} x 32 | {ours:.2f} s | 1 | |",
        f"| the same, one pass an epoch | {alone:.2f} s | {alone / ours:.1f} | |",
        f"| the plain PyTorch loop (from {epochs // 50} epochs) | {loop:.2f} s | {loop / ours:.1f} | 100 |",
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
    ours, reduced, notes = (found[name][0] for name in ("linlight", "reduce", "notes"))
    notes *= rows / few
    return [
        f"| ExhaustiveSearch, 41 candidates on {rows:,} rows | {ours:.2f} s | 1 | |",
        f"| ExhaustiveSearch, the same with reduce | {reduced:.2f} s | {reduced / ours:.2f} | |",
        f"| the notes' program (from {few:,} rows) | {notes:.1f} s | {notes / ours:.0f} | 100 |",
    ]


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    logging.disable(logging.INFO)
    warnings.simplefilter("ignore")
    load = os.getloadavg()[0]
    print(f"{os.cpu_count()} cores, load {load:.1f}, torch {torch.__version__}, {sys.version.split()[0]}\n")
    print("| what | median | times ours | wanted |\n|---|---|---|---|")
    parts: list[Callable[[], list[str]]] = [
        lambda: against_others(arguments.rows, arguments.rounds),
        lambda: from_parquet(arguments.rounds),
        lambda: reduced_descent(3),
        lambda: search(3),
    ]
    for part in parts:
        print("\n".join(part()), flush=True)
    print("\n| rows, with reduce | first epoch | an epoch after |\n|---|---|---|")
    print("\n".join(epochs_at_any_size((10**3, 10**4, 10**5, 10**6))))


if __name__ == "__main__":
    main()
