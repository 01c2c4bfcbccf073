"""Data larger than memory: peak memory and speed of streaming a Parquet file of over 4 GB.

    python benchmarks/stream.py [rows]

Each line is a process of its own; the system limits the data segment of ours to 1.5 GB, which pyarrow alone,
reading ahead as it likes, does not keep to. Times are ratios to what it takes to read the same columns.
"""

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import parquet

LIMIT = 1_500_000_000
FEATURES = 32
GROUP = 2**18

READ = """
import sys
import pyarrow.dataset as pads
for batch in pads.dataset(sys.argv[1]).to_batches():
    pass
"""
FIT = """
import sys
from linlight.cli.main import main
main(["fit", *sys.argv[2:], "--data.path", sys.argv[1], "--data.stream", "true", "--trainer.logger", "false",
      "--quiet", "true", "--trainer.max_epochs", "1"])
"""
PREDICT = """
import sys
from linlight.cli.main import main
fitted = "lightning_logs/LeastSquares/version_0/checkpoints/last.ckpt"
main(["predict", "--ckpt_path", fitted, "--data.path", sys.argv[1], "--data.stream", "true",
      "--format", "parquet", "--trainer.logger", "false", "--quiet", "true"])
"""
NOTHING = "import linlight.cli.commands, linlight.data.columns, linlight.data.stream"

RUNS = {
    "pyarrow reads it": (READ, []),
    "LeastSquares": (FIT, ["--model", "LeastSquares"]),
    "predictions of it, written as Parquet": (PREDICT, []),
    "GradientDescent, reduce": (FIT, ["--model", "GradientDescent", "--data.reduce", "true"]),
    "GradientDescent, 1,024 rows, shuffled": (
        FIT,
        ["--model", "GradientDescent", "--data.batch_size", "1024", "--data.shuffle", "true"],
    ),
    "LinearRegression, 1,024 rows, shuffled": (
        FIT,
        ["--model", "LinearRegression", "--data.batch_size", "1024", "--data.shuffle", "true"],
    ),
}


def make(path: Path, rows: int) -> None:
    """Writes y = x·w + noise, a row group at a time."""
    rng = np.random.default_rng(0)
    w = np.linspace(-1, 1, FEATURES, dtype="float32")
    schema = pa.schema([("y", pa.float32()), *((f"x_{i}", pa.float32()) for i in range(FEATURES))])
    with parquet.ParquetWriter(path, schema, compression="none", use_dictionary=False) as writer:
        for first in range(0, rows, GROUP):
            x = rng.standard_normal((min(GROUP, rows - first), FEATURES), dtype="float32")
            y = x @ w + rng.standard_normal(len(x), dtype="float32")
            writer.write_table(pa.table([y, *(np.ascontiguousarray(c) for c in x.T)], schema=schema))


def limited() -> None:
    """Lets the system refuse more than the limit to this process."""
    resource.setrlimit(resource.RLIMIT_DATA, (LIMIT, LIMIT))


def run(program: str, words: list[str], folder: Path) -> tuple[float, float]:
    """Seconds, and peak resident memory in bytes."""
    peak = "\nimport resource; print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    start = time.perf_counter()
    out = subprocess.run(
        [sys.executable, "-c", program + peak, *words],
        cwd=folder,
        preexec_fn=None if program is READ else limited,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return time.perf_counter() - start, 1024 * float(out.stdout.split()[-1])


def main() -> None:
    """Prints the table."""
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 2**25
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = folder / "t.parquet"
        make(path, rows)
        print(f"{rows:,} rows of {FEATURES + 1} float32, {path.stat().st_size / 1e9:.2f} GB of Parquet\n")
        print("| | time / pyarrow | peak memory, GB |\n|---|---|---|")
        imports, peak = run(NOTHING, [], folder)
        print(f"| imports alone | - | {peak / 1e9:.2f} |", flush=True)
        plain = 0.0
        for label, (program, more) in RUNS.items():
            seconds, peak = run(program, [str(path), *more], folder)
            seconds -= 0.0 if program is READ else imports
            plain = plain or seconds
            print(f"| {label} | {seconds / plain:.1f} | {peak / 1e9:.2f} |", flush=True)


if __name__ == "__main__":
    main()
