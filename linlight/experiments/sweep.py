"""`linlight sweep`: learning rates × batch sizes × methods, and where theory draws the border."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import groupby, product
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from linlight.callbacks import recording
from linlight.data.datamodule import XYDataModule
from linlight.errors import InputError, nearest_name
from linlight.experiments.trial import (
    Trial,
    as_words,
    check_biases,
    check_settings,
    make_model,
    parameters,
    progress_bar,
    run_trial,
)
from linlight.functional.descent import parabola
from linlight.functional.solve import optimum
from linlight.functional.standardize import Standardizer
from linlight.methods import METHODS, find_method
from linlight.methods.base import LinearModel
from linlight.runs.style import RED, drawing, save_figure
from linlight.text import count, models, number
from linlight.training.folder import new_folder, removed_on_failure, write_json
from linlight.training.prediction import TOLERANCE
from linlight.training.settings import run_label

POINTS = 9
MOST_RUNS = 1000
DECADES = 8
"""The map's colours reach down to a gap of 10 to the minus this."""


@dataclass
class Cell:
    """One run of a sweep.

    Attributes:
        method: Its class.
        batch_size: Rows per update.
        lr: Learning rate.
        largest_stable_step: Of this method, data and batch size; None where it is infinite.
        diverged: Whether it was stopped because its loss grew.
        gap: How far above the optimum's loss it ended, over how far it began; None where it diverged.
        epochs_to_tolerance: Epochs until that was a millionth; None where it never was.
    """

    method: str
    batch_size: int
    lr: float
    largest_stable_step: float | None = None
    diverged: bool = False
    gap: float | None = None
    epochs_to_tolerance: int | None = None


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
    check_settings(data, epochs, seed, accelerator)
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
                trial = run_trial(
                    f"{method.__name__}, {label}",
                    model,
                    module,
                    epochs=epochs,
                    seed=seed,
                    accelerator=accelerator,
                    folder=root / method.__name__ / label,
                    bar=bar,
                    callbacks=recording(),
                    enable_checkpointing=False,
                )
                cells.append(_cell(trial, rate, size))
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


def _cell(trial: Trial, lr: float, batch_size: int) -> Cell:
    known, diverged, name = trial.diagnostics, trial.error is not None, type(trial.model).__name__
    if known.exact is None:
        raise InputError(f"{name} has no optimum to measure the gap to: name methods on the squared error")
    cell = Cell(name, batch_size, lr, diverged=diverged)
    if not diverged:
        cell.gap = trial.summary["gap"] / known.first_gap if known.first_gap > 0 else 0.0
        cell.epochs_to_tolerance = trial.summary["epochs_to_tolerance"]
    cell.largest_stable_step = known.bound if math.isfinite(known.bound) else None
    return cell


def table(cells: Sequence[Cell]) -> str:
    """A table of the best learning rate of each method and batch size, within 80 columns."""
    lines = [
        f"{'method':<17} {'batch':>8} {'stable step':>12} {'best lr':>9} {'gap left':>9} {'epochs':>7} "
        f"{'diverged':>9}"
    ]
    for (name, size), group in groupby(cells, key=lambda cell: (cell.method, cell.batch_size)):
        runs = list(group)
        arrived = [cell for cell in runs if cell.gap is not None]
        best = min(arrived, key=lambda cell: (cell.epochs_to_tolerance or math.inf, cell.gap), default=None)
        lr, gap = (None, None) if best is None else (best.lr, best.gap)
        epochs = None if best is None else best.epochs_to_tolerance
        lines.append(
            f"{name:<17} {size:>8} {number(runs[0].largest_stable_step, 4):>12} {number(lr, 3):>9} "
            f"{number(gap, 2):>9} {'-' if epochs is None else epochs:>7} "
            f"{f'{len(runs) - len(arrived)} of {len(runs)}':>9}"
        )
    lines.append("gap left: to the optimum's loss, over that at the start; epochs: to 1e-6 of it")
    return "\n".join(lines)


@drawing()
def heat_map(cells: Sequence[Cell], epochs: int) -> Figure:
    """For each method: how far it came at each learning rate and batch size, and theory's border."""
    names = list(dict.fromkeys(cell.method for cell in cells))
    sizes, rates = (sorted({getattr(cell, key) for cell in cells}) for key in ("batch_size", "lr"))
    width = max(7.0, 2.5 + 0.75 * len(rates))
    height = max(3.2, 1.2 + len(names) * (1.0 + 0.5 * len(sizes)))  # the colour bar has a label
    figure = Figure(figsize=(width, height))
    norm, colors = Normalize(-DECADES, 0), colormaps["cividis_r"]
    for axes, name in zip(figure.subplots(len(names), 1, squeeze=False)[:, 0], names, strict=True):
        own = [cell for cell in cells if cell.method == name]
        for cell in own:
            i, j = rates.index(cell.lr), sizes.index(cell.batch_size)
            if cell.diverged:
                _square(axes, i, j, facecolor="#f2f2f2", hatch="xx", edgecolor=RED)
                continue
            depth = math.log10(cell.gap) if cell.gap else -DECADES
            _square(axes, i, j, facecolor=colors(norm(depth)))
            if cell.epochs_to_tolerance is not None:
                axes.text(i, j, str(cell.epochs_to_tolerance), ha="center", va="center", fontsize=8)
        is_long = _border(axes, own, sizes, rates)
        axes.set(xlim=(-0.5, len(rates) - 0.5), ylim=(-0.5, len(sizes) - 0.5), ylabel="batch size")
        axes.set_title(name, loc="left", pad=22 if is_long else None)  # above a legend that reaches it
        axes.set_xticks(range(len(rates)), [number(rate, 3) for rate in rates], fontsize=8)
        axes.set_yticks(range(len(sizes)), [str(size) for size in sizes])
        axes.grid(visible=False)
    axes.set_xlabel("learning rate; numbers: epochs to a millionth of the first gap; crosses: diverged")
    label = f"log10 of the gap left\nafter {count(epochs, 'epoch')}"
    figure.colorbar(ScalarMappable(norm, colors), ax=figure.axes, label=label)
    return figure


def _square(axes: Axes, i: int, j: int, **style: Any) -> None:
    axes.add_patch(Rectangle((i - 0.5, j - 0.5), 1, 1, linewidth=0, **style))


def _border(axes: Axes, cells: Sequence[Cell], sizes: Sequence[int], rates: Sequence[float]) -> bool:
    """Draws where theory puts the border; returns whether the legend names batch sizes without one."""
    outside = []
    for j, size in enumerate(sizes):
        (bound,) = {cell.largest_stable_step for cell in cells if cell.batch_size == size}
        if bound is None or not rates[0] <= bound <= rates[-1]:
            outside.append(str(size))
            continue
        at = np.interp(math.log(bound), np.log(rates), range(len(rates)))
        axes.plot([at, at], [j - 0.5, j + 0.5], color="black", lw=2.5)
    note = "" if not outside else f"; outside these rates for batches of {', '.join(outside)}"
    bar = Line2D([], [], color="black", lw=2.5, label=f"the largest stable step{note}")
    axes.legend(handles=[bar], loc="lower right", bbox_to_anchor=(1, 1), frameon=False)
    return bool(outside)
