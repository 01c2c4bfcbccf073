"""The speed of the data: one epoch of small batches, loading files, and memory, beside others.

python benchmarks/data.py [--rows 2000000] [--repeat 3] writes benchmarks/results/data.md. All are measured in
one run, in turn, so that what else the machine does meets all alike; the medians' ratios are what counts.
"""

import argparse
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
import pyarrow as pa
import torch
from lightning.pytorch import LightningModule, Trainer
from pyarrow import csv, parquet
from sklearn.linear_model import SGDRegressor
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from linlight import GradientDescent, LinearRegression, XYDataModule

FEATURES, BATCH, LR = 32, 1024, 0.01


def trainer(folder: str) -> Trainer:
    """A Trainer that logs nothing."""
    return Trainer(
        max_epochs=1,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
    )


class Plain(LightningModule):
    """What a tutorial would write."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(FEATURES, 1)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """The loss."""
        x, y = batch
        return nn.functional.mse_loss(self.linear(x), y)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """SGD."""
        return torch.optim.SGD(self.parameters(), lr=LR)


def by_formula(x: Tensor, y: Tensor) -> None:
    """A plain loop over shuffled slices, the gradient by the formula."""
    w, b = torch.zeros(1, FEATURES), torch.zeros(1)
    for rows in torch.randperm(len(x)).split(BATCH):
        xs, ys = x[rows], y[rows]
        residual = xs @ w.T + b - ys
        w -= LR * 2 / len(rows) * (residual.T @ xs)
        b -= LR * 2 / len(rows) * residual.sum(0)


def by_autograd(x: Tensor, y: Tensor) -> None:
    """A plain loop over shuffled slices, the gradient by autograd."""
    linear = nn.Linear(FEATURES, 1)
    optimizer = torch.optim.SGD(linear.parameters(), lr=LR)
    for rows in torch.randperm(len(x)).split(BATCH):
        loss = nn.functional.mse_loss(linear(x[rows]), y[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def by_sklearn(x: Tensor, y: Tensor) -> None:
    """scikit-learn's, batch by batch."""
    model = SGDRegressor()
    xs, ys = x.numpy(), y.numpy()[:, 0]
    for rows in np.array_split(np.random.default_rng(0).permutation(len(xs)), len(xs) // BATCH):
        model.partial_fit(xs[rows], ys[rows])


def seconds(runs: dict[str, Callable[[], Any]], repeat: int) -> dict[str, float]:
    """The median time of each, taken in turn."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(repeat):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            times[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in times.items()}


def peak(path: str) -> float:
    """Peak memory of reading a file, beyond that of the imports, in bytes."""
    code = (
        "import sys, linlight.columns\nfrom linlight import XYDataModule\n"
        "def usage():\n"
        "    return 1024 * int(open('/proc/self/status').read().split('VmHWM:')[1].split()[0])\n"
        "before = usage()\n"
        "XYDataModule(path=sys.argv[1], target='y')\nprint(usage() - before)"
    )
    result = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=True)
    return float(result.stdout)


def table(rows: list[tuple[str, str, str]], head: tuple[str, str, str]) -> str:
    """A Markdown table."""
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, ("---",) * 3, *rows])


def main() -> None:
    """Measures and writes the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)  # on batches this small a second thread only waits, for all of them
    x = torch.randn(options.rows, FEATURES)
    y = x @ torch.randn(FEATURES, 1) + 0.1 * torch.randn(options.rows, 1)
    with tempfile.TemporaryDirectory() as folder:
        data = XYDataModule(x, y, batch_size=BATCH, shuffle=True)
        loader = DataLoader(TensorDataset(x, y), batch_size=BATCH, shuffle=True)
        epoch = seconds(
            {
                "`GradientDescent`": lambda: trainer(folder).fit(GradientDescent(LR, bias=True), data),
                "`LinearRegression`": lambda: trainer(folder).fit(LinearRegression(LR), data),
                "plain loop, formula": lambda: by_formula(x, y),
                "plain loop, autograd": lambda: by_autograd(x, y),
                "`SGDRegressor.partial_fit`": lambda: by_sklearn(x, y),
                "`TensorDataset` + `DataLoader` + `Trainer`": lambda: trainer(folder).fit(Plain(), loader),
            },
            options.repeat,
        )
        columns = {f"x{i}": x[:, i].numpy() for i in range(FEATURES)} | {"y": y[:, 0].numpy()}
        paths = {kind: os.path.join(folder, f"t.{kind}") for kind in ("csv", "parquet")}
        few = pa.table({name: column[: options.rows // 4] for name, column in columns.items()})
        csv.write_csv(few, paths["csv"])
        parquet.write_table(few, paths["parquet"])
        types = {name: pa.float32() for name in columns}
        read = {
            "csv": lambda: csv.read_csv(paths["csv"], convert_options=csv.ConvertOptions(column_types=types)),
            "parquet": lambda: parquet.read_table(paths["parquet"]),
        }
        loading = []
        for kind, alone in read.items():
            times = seconds(
                {
                    "linlight": lambda kind=kind: XYDataModule(path=paths[kind], target="y"),  # type: ignore[misc]
                    "columns": alone,
                    "matrix": lambda alone=alone: np.column_stack(  # type: ignore[misc]
                        [column.to_numpy() for column in alone().columns]
                    ),
                },
                options.repeat,
            )
            memory = peak(paths[kind]) / (len(few) * (FEATURES + 1) * 4)
            ratios = f"{times['linlight'] / times['columns']:.2f}, {times['linlight'] / times['matrix']:.2f}"
            loading.append((kind, ratios, f"{memory:.2f}"))
    ours, theirs = epoch["`GradientDescent`"], epoch["`LinearRegression`"]
    report = [
        "# The data's speed",
        "",
        f"{options.rows:,} rows of {FEATURES} float32 features, batches of {BATCH}, shuffled; median of "
        f"{options.repeat}. One thread of {os.cpu_count()} cores (pyarrow takes all), "
        f"torch {torch.__version__}. `python benchmarks/data.py`.",
        "",
        table(
            [(name, f"{value / ours:.2f}", f"{value / theirs:.2f}") for name, value in epoch.items()],
            ("one epoch", "time over `GradientDescent`'s", "over `LinearRegression`'s"),
        ),
        "",
        table(
            loading,
            (
                "a quarter of the rows from",
                "time over pyarrow's, as columns, as a matrix",
                "peak memory over data",
            ),
        ),
        "",
    ]
    (Path(__file__).parent / "results" / "data.md").write_text("\n".join(report))
    print("\n".join(report), json.dumps(epoch), sep="\n")


if __name__ == "__main__":
    main()
