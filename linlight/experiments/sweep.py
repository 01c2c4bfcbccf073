"""`linlight sweep`: learning rates × batch sizes × methods, and where theory draws the border."""

import math
from collections.abc import Sequence
from dataclasses import asdict
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from linlight.data.datamodule import XYDataModule
from linlight.errors import InputError, nearest_name
from linlight.experiments.common import check, check_biases, make_model, parameters, progress_bar, run_one
from linlight.experiments.results import Cell, cell_of
from linlight.experiments.sweep_plot import heat_map
from linlight.experiments.variants import as_words
from linlight.functional.descent import parabola
from linlight.functional.solve import optimum
from linlight.functional.standardize import Standardizer
from linlight.methods import METHODS, find_method
from linlight.methods.base import LinearModel
from linlight.runs.style import save_figure
from linlight.text import models, number
from linlight.training.diagnostics import TOLERANCE
from linlight.training.folder import new_folder, removed_on_failure, write_json
from linlight.training.tensorboard import run_label

POINTS = 9
MOST_RUNS = 1000


def sweep(
    data: dict[str, Any] | None = None,
    methods: str | list[str] = "GradientDescent",
    lr: list[float] | None = None,
    batch_size: list[int] | None = None,
    epochs: int = 100,
    bias: bool = True,
    seed: int = 0,
    accelerator: str = "cpu",
    folder: str | Path = "lightning_logs/sweep",
) -> Path:
    """Trains every method at every learning rate and batch size, and maps where it converges.

    Args:
        data: Arguments of `XYDataModule`. Default: the textbook's three points.
        methods: Methods that have a learning rate, by name or by the path of their class, a list or joined by
            commas.
        lr: Learning rates. Default: nine, from a hundredth of the largest stable step of the whole batch to
            three times it.
        batch_size: Rows per update. Default: all rows, a quarter of them, and so on, four sizes at most.
        epochs: Epochs to train.
        bias: Whether the models have a bias.
        seed: Seed of random starting values.
        accelerator: Where to train, as in Lightning's Trainer.
        folder: Where to make the folder `version_N` of this sweep.

    Returns:
        The folder, with `sweep.json`, `sweep.png`, `sweep.svg` and each run's TensorBoard events.

    Raises:
        InputError: If the data or a setting cannot be used.
    """
    data = dict(data or {})
    chosen = _methods(methods)
    check(data, epochs, seed, accelerator)
    if data.get("reduce"):
        raise InputError("sweep varies the batch size, and reduce leaves a single batch: leave out reduce")
    if data.get("standardize"):
        check_biases({name: make_model(method, lr=1.0, bias=bias) for name, method in chosen.items()})
    whole = XYDataModule(**data)
    sizes = _sizes(batch_size, whole.train_size)
    m = whole.statistics.moments
    m = Standardizer.fit(m).moments(m) if whole.standardize else m
    rates = _rates(lr, parabola(m, optimum(m, bias)).largest_stable_step)
    grid = list(product(chosen.values(), sizes, rates))
    if len(grid) > MOST_RUNS:
        raise InputError(
            f"{len(chosen)} methods, {len(sizes)} batch sizes and {len(rates)} learning rates make over "
            f"{MOST_RUNS} runs: name fewer"
        )
    root = new_folder(Path(folder))
    with removed_on_failure(root):
        cells = []
        with progress_bar(epochs * len(grid)) as bar:
            for method, size, rate in grid:
                # No size, where it is all rows: so it is known for the whole batch.
                rows = None if size == whole.train_size else size
                module = whole.sharing_rows(rows, standardize=whole.standardize)
                model = make_model(method, lr=rate, bias=bias)
                label = run_label(model, module)
                training = run_one(
                    f"{method.__name__}, {label}",
                    model,
                    module,
                    epochs=epochs,
                    seed=seed,
                    accelerator=accelerator,
                    folder=root / method.__name__ / label,
                    bar=bar,
                    enable_checkpointing=False,
                )
                cells.append(cell_of(training, rate, size))
        save_figure(heat_map(cells, epochs), root / "sweep")
        content = {"rows": whole.train_size, "epochs": epochs, "tolerance": TOLERANCE}
        write_json(root / "sweep.json", content | {"runs": [asdict(cell) for cell in cells]})
    print(table(cells), models(bias), sep="\n")
    return root


def _methods(names: str | Sequence[str]) -> dict[str, type[LinearModel]]:
    """The methods to sweep, by their classes' names."""
    names = as_words(names)
    usual = [name for name, method in METHODS.items() if "lr" in parameters(method)]
    if not names:
        raise InputError(f"there is no method to sweep: name --methods, of {', '.join(usual)}")
    found = {}
    for name in names:
        if "." not in name and name not in usual:
            raise InputError(f"{name!r} is no method with a learning rate: {nearest_name(name, usual)}")
        method = find_method(name)
        if "lr" not in parameters(method):
            raise InputError(f"{name} has no setting lr to sweep: name another method")
        found[method.__name__] = method
    return found


def _rates(lr: Sequence[float] | None, stable: float) -> list[float]:
    if lr is None:
        middle = stable if math.isfinite(stable) else 1.0
        return [float(f"{rate:.3g}") for rate in middle * np.logspace(-2, math.log10(3), POINTS)]
    if not lr or not all(rate > 0 and math.isfinite(rate) for rate in lr):
        raise InputError(f"lr must be a list of positive numbers, got {lr}: for example --lr '[0.01, 0.1]'")
    return sorted(set(lr))


def _sizes(batch_size: Sequence[int] | None, rows: int) -> list[int]:
    if batch_size is None:
        return sorted({-(-rows // part) for part in (1, 4, 16, 64)})
    if not batch_size or min(batch_size) < 1:
        raise InputError(f"batch_size must be a list of whole numbers from 1, got {batch_size}")
    return sorted({min(size, rows) for size in batch_size})


def table(cells: Sequence[Cell]) -> str:
    """A table of the best learning rate of each method and batch size, within 80 columns."""
    lines = [
        f"{'method':<17} {'batch':>8} {'stable step':>12} {'best lr':>9} {'gap left':>9} {'epochs':>7} "
        f"{'diverged':>9}"
    ]
    for name, size in dict.fromkeys((cell.method, cell.batch_size) for cell in cells):
        group = [cell for cell in cells if (cell.method, cell.batch_size) == (name, size)]
        start = f"{name:<17} {size:>8} {number(group[0].largest_stable_step, 4):>12}"
        arrived = [cell for cell in group if cell.gap is not None]
        lost = f"{len(group) - len(arrived)} of {len(group)}"
        if not arrived:
            lines.append(f"{start} {'-':>9} {'-':>9} {'-':>7} {lost:>9}")
            continue
        best = min(arrived, key=lambda cell: (cell.epochs_to_tolerance or math.inf, cell.gap))
        count = "-" if best.epochs_to_tolerance is None else best.epochs_to_tolerance
        lines.append(f"{start} {best.lr:>9.3g} {best.gap:>9.2g} {count:>7} {lost:>9}")
    lines.append("gap left: to the optimum's loss, over that at the start; epochs: to 1e-6 of it")
    return "\n".join(lines)
