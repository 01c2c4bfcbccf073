"""What two processes on one machine gain and cost, beside one process with one thread and with two.

    python benchmarks/processes.py [--rows 2000000] [--repeat 5]

Each column is started by torchrun; each line is the median time of `Trainer.fit`, after one that fills the
caches, over that of one process with one thread.
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

FEATURES = 32
WAYS = {"1 process, 1 thread": (1, 1), "1 process, 2 threads": (1, 2), "2 processes, 1 thread each": (2, 1)}


def runs(path: Path) -> dict[str, tuple[Callable[[], Any], dict[str, Any], int]]:
    """What is measured: the method, the data's settings, and the epochs."""
    from linlight import GradientDescent, LeastSquares, LinearRegression

    def by_hand() -> Any:
        return GradientDescent(1e-3, bias=True)

    def automatic() -> Any:
        return LinearRegression(1e-3)

    shuffled = {"shuffle": True}
    return {
        "`LeastSquares`": (LeastSquares, {}, 1),
        "`GradientDescent`, all rows": (by_hand, {}, 20),
        "`GradientDescent`, 65,536 rows": (by_hand, {"batch_size": 65_536} | shuffled, 1),
        "`GradientDescent`, 1,024 rows": (by_hand, {"batch_size": 1024} | shuffled, 1),
        "the same, one update a step": (
            by_hand,
            {"batch_size": 1024, "updates_per_step": 1} | shuffled,
            1,
        ),
        "`LinearRegression`, 65,536 rows": (automatic, {"batch_size": 65_536} | shuffled, 1),
        "`LinearRegression`, 1,024 rows": (automatic, {"batch_size": 1024} | shuffled, 1),
        "`LeastSquares`, streamed": (LeastSquares, {"path": str(path), "stream": True}, 1),
    }


def work(path: Path, repeat: int) -> None:
    """One process: measures every run, and on rank 0 writes the medians beside the table."""
    import torch
    from lightning.pytorch import Trainer
    from pyarrow import parquet

    from linlight import XYDataModule

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    processes = int(os.environ["WORLD_SIZE"])
    columns = parquet.read_table(path)
    x = torch.stack([torch.tensor(columns[f"x{i}"].to_numpy()) for i in range(FEATURES)], dim=1)
    y = torch.tensor(columns["y"].to_numpy())
    medians = {}
    for name, (make, settings, epochs) in runs(path).items():
        arrays: dict[str, Any] = {} if "path" in settings else {"x": x, "y": y}
        times = []
        for _ in range(repeat + 1):
            trainer = Trainer(
                accelerator="cpu",
                devices=processes,
                strategy="ddp" if processes > 1 else "auto",
                max_epochs=epochs,
                logger=False,
                enable_checkpointing=False,
                enable_progress_bar=False,
                enable_model_summary=False,
                use_distributed_sampler=False,
                default_root_dir=path.parent,
            )
            data = XYDataModule(**arrays, **settings)
            start = time.perf_counter()
            trainer.fit(make(), data)
            times.append(time.perf_counter() - start)
        medians[name] = statistics.median(times[1:])
    if int(os.environ["RANK"]) == 0:
        (path.parent / "medians.json").write_text(json.dumps(medians))
    if processes > 1:
        torch.distributed.destroy_process_group()


def main() -> None:
    """Starts the processes and prints the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work is not None:
        work(options.work, options.repeat)
        return
    import numpy as np
    import pyarrow as pa
    from pyarrow import parquet

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t.parquet"
        rng = np.random.default_rng(0)
        table = {name: rng.standard_normal(options.rows, dtype="float32") for name in ("y", *columns())}
        parquet.write_table(pa.table(table), path, row_group_size=2**17)
        found = {}
        for way, (processes, threads) in WAYS.items():
            command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
            command += [f"--nproc_per_node={processes}", __file__, f"--work={path}"]
            environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
            subprocess.run([*command, f"--repeat={options.repeat}"], check=True, env=environment)
            found[way] = json.loads((path.parent / "medians.json").read_text())
    print(
        f"# Two processes\n\n{options.rows:,} x {FEATURES} float32 on {os.cpu_count()} cores; the time of a "
        f"fit over that of one process with one thread, medians of\n{options.repeat}. "
        "`python benchmarks/processes.py`.\n"
    )
    print("| | " + " | ".join(WAYS) + " |\n| --- |" + " --- |" * len(WAYS))
    first, *_ = found.values()
    for name, alone in first.items():
        print(f"| {name} | " + " | ".join(f"{times[name] / alone:.2f}" for times in found.values()) + " |")


def columns() -> list[str]:
    """The features' names."""
    return [f"x{i}" for i in range(FEATURES)]


if __name__ == "__main__":
    main()
