"""`linlight compare`: methods on the same data, side by side."""

import math
import textwrap
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Callback, Trainer, seed_everything
from torch import Tensor

from linlight.arrays import Numbers, as_matrix
from linlight.base import LinearModel
from linlight.compare_page import write_page
from linlight.compare_plot import comparison, make_ground
from linlight.contenders import THE_FIVE, by_name, choose, from_config, with_seeds
from linlight.dashboard import Dashboard, TensorBoardLogger, run_label
from linlight.data import XYDataModule
from linlight.errors import InputError
from linlight.explain import Explain
from linlight.functional import squared_error_sums
from linlight.plots import save_figure
from linlight.run_folder import LastCheckpoint, RunSummary, new_folder, removed_on_failure, write_json


@dataclass
class Result:
    """What one method did.

    Attributes:
        name: The method's heading in the notes, or its config's name.
        method: The class.
        settings: What tells it from the others.
        epochs: Epochs trained.
        steps: Updates made.
        weights: w, (T, D).
        bias: b, (T,), or None.
        loss: Mean squared error at these weights over the training rows.
        prediction: The prediction at the chosen x, (T,).
        seconds: Time of the training alone.
        path: Weights, bias and mean squared error before training and after every epoch.
        error: Why the method gave up, or None.
    """

    name: str
    method: str
    settings: str = ""
    epochs: int = 0
    steps: int = 0
    weights: list[list[float]] | None = None
    bias: list[float] | None = None
    loss: float | None = None
    prediction: list[float] | None = None
    seconds: float | None = None
    path: list[dict[str, Any]] = field(default_factory=list)
    error: str | None = None

    @property
    def is_path(self) -> bool:
        """Whether it moved step by step; a search and a solve jump to where they end."""
        return len(self.path) > 1


class PathRecorder(Callback):
    """Keeps weights, bias and mean squared error before training and after every epoch."""

    def __init__(self) -> None:
        self.path: list[dict[str, Any]] = []

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Keeps where the method starts; a search and a solve start nowhere."""
        if "lr" in pl_module.hparams:
            self._keep(trainer, pl_module)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Keeps where the epoch led."""
        self._keep(trainer, pl_module)

    def _keep(self, trainer: Trainer, model: LinearModel) -> None:
        data: XYDataModule = trainer.datamodule  # type: ignore[attr-defined]
        loss = _mean_squared_error(model, data)
        if math.isfinite(loss):
            bias = None if model.b is None else model.b.tolist()
            self.path.append({"weights": model.w.tolist(), "bias": bias, "loss": loss})


def _mean_squared_error(model: LinearModel, data: XYDataModule) -> float:
    total, mass = 0.0, 0.0
    with torch.no_grad():
        for x, y, *weight in data.train_pass():
            total += squared_error_sums(x, y, model.w, model.b, *weight)[0].item()
            mass += model.mass((x, y, *weight)).item() * y.shape[1]
    return total / mass


def compare(
    data: dict[str, Any] | None = None,
    lr: float = 0.01,
    epochs: int = 100,
    at: Numbers = None,
    bias: bool = False,
    batch_size: int = 1,
    seed: int = 0,
    accelerator: str = "cpu",
    folder: str | Path = "lightning_logs/compare",
    methods: str | list[str] | None = None,
    config: list[str] | None = None,
    seeds: list[int] | None = None,
) -> Path:
    """Trains several methods on the same data and reports them side by side.

    Every method starts from the notes' own settings: the search, gradient descent and stochastic gradient
    descent compute in float64, as Python does, back-propagation and linear regression in float32, as
    PyTorch does. The squared errors are summed in the notes' fifth program; on other data than theirs, the
    mean is taken, so that the same learning rate suits all.

    Args:
        data: Arguments of `XYDataModule`. Default: the textbook's three points.
        lr: Learning rate of all methods that have one.
        epochs: Epochs to train; the search needs one.
        at: The features to predict at, (D,). Default: the notes' x = 4, or the first row.
        bias: Whether the first four methods have a bias too; linear regression always has.
        batch_size: Rows per update of the two methods that take single rows in the notes.
        seed: Seed of the random starting values of linear regression.
        accelerator: Where to train, as in Lightning's Trainer.
        folder: Where to make the folder `version_N` of this comparison.
        methods: Which methods, of ExhaustiveSearch, GradientDescent, StochasticGradientDescent,
            Backpropagation, LinearRegression and LeastSquares. Default: the first five; none beside configs.
        config: Configs of `linlight fit` that take part, each with its method, epochs, batch size and type.
        seeds: Train what depends on chance once with each of these. Default: `seed` alone.

    Returns:
        The folder, with `compare.json`, `compare.png`, `compare.svg`, the page `compare.html`, and a run
        folder for each method.

    Raises:
        InputError: If the data or a setting cannot be used.
    """
    data = dict(data or {})
    if data.get("standardize"):
        raise InputError(
            "paths are drawn in the data's own units: leave out standardize, or use linlight sweep"
        )
    if data.get("stream"):
        raise InputError("compare draws the rows and holds them in memory: leave out stream")
    if epochs < 1:
        raise InputError(f"epochs must be at least 1, got {epochs}")
    if seed < 0:
        raise InputError(f"seed must be at least 0, got {seed}")
    try:
        Trainer(accelerator=accelerator, devices=1, logger=False, enable_checkpointing=False)
    except (ValueError, MisconfigurationException) as error:
        raise InputError(f"accelerator {accelerator!r} cannot be used: {error}") from error
    known = by_name(lr, bias, batch_size, total=data.get("x") is None and data.get("path") is None)
    names = (() if config else THE_FIVE) if methods is None else methods
    contenders = choose(names, known) + [from_config(path) for path in config or []]
    contenders = with_seeds(contenders, seeds or [])
    if not contenders:
        raise InputError(f"there is nothing to compare: name --methods, of {', '.join(known)}, or --config")
    # Everything that can be wrong is tried before a folder is made.
    modules = [XYDataModule(**(data | contender.data)) for contender in contenders]
    models = [contender.make() for contender in contenders]
    modules[0].check_targets()
    example = modules[0].example if at is None else as_matrix(at, "at", torch.float64).reshape(1, -1)
    if example.shape[1] != modules[0].features:
        raise InputError(f"at has {example.shape[1]} numbers, the data have {modules[0].features} features")

    root = new_folder(Path(folder))
    with removed_on_failure(root):
        results = []
        for contender, model, module in zip(contenders, models, modules, strict=True):
            seed_everything(seed if contender.seed is None else contender.seed)
            run = root / contender.name.replace(",", "").replace(" ", "_").replace("-", "")
            until = contender.epochs or epochs
            results.append(_train(contender.name, model, module, until, example, accelerator, run))
        ground = make_ground(results, modules[0])
        save_figure(comparison(results, ground), root / "compare")
        write_page(results, modules[0], ground, root / "compare.html")
        write_json(
            root / "compare.json",
            {
                "rows": modules[0].train_size,
                "features": modules[0].features,
                "lr": lr,
                "at": example[0].tolist(),
                "methods": [asdict(result) for result in results],
            },
        )
    print(table(results, example))
    return root


def _train(
    name: str,
    model: LinearModel,
    data: XYDataModule,
    epochs: int,
    example: Tensor,
    accelerator: str,
    run: Path,
) -> Result:
    recorder, summary = PathRecorder(), RunSummary()
    trainer = Trainer(
        accelerator=accelerator,
        devices=1,
        max_epochs=epochs,
        log_every_n_steps=1,
        num_sanity_val_steps=0,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=str(run),
        logger=TensorBoardLogger(run, name="", version="", default_hp_metric=False),
        callbacks=[Explain(quiet=True), Dashboard(), recorder, summary, LastCheckpoint()],
    )
    result = Result(name, type(model).__name__, run_label(model, data).replace(",", ", "))
    try:
        trainer.fit(model, data)
    except InputError as error:  # one that diverges does not spoil the others
        result.error = str(error)
    result.path, result.epochs, result.steps = recorder.path, trainer.current_epoch, trainer.global_step
    if result.error is None:
        result.weights = model.w.tolist()
        result.bias = None if model.b is None else model.b.tolist()
        result.loss = _mean_squared_error(model, data)
        result.prediction = model(example.to(model.w))[0].tolist()
        result.seconds = summary.summary["seconds"]
    return result


def table(results: list[Result], example: Tensor) -> str:
    """The results as a table within 80 columns.

    Args:
        results: What the methods did.
        example: Where they predict, (1, D).
    """
    at = f"x = {example[0, 0]:g}" if example.shape[1] == 1 else "the given x"
    lines = [f"{'method':<27} {'epochs':>6} {'w':>8} {'b':>8} {'loss':>8} {'prediction':>10} {'seconds':>7}"]
    notes = [f"loss: mean squared error; prediction: at {at}"]
    if any(r.weights and (len(r.weights) > 1 or len(r.weights[0]) > 1) for r in results):
        notes.append("(n): n numbers, which are in compare.json")
    for r in results:
        if r.error is not None:
            lines.append(f"{r.name:<27} {r.epochs:>6}  gave up, see below")
            notes.append(f"{r.name}: {r.error.replace('--model.lr', '--lr')}")
            continue
        weights = [w for row in r.weights or [] for w in row]
        lines.append(
            f"{r.name:<27} {r.epochs:>6} {_short(weights):>8} {_short(r.bias):>8} {r.loss:>8.2g} "
            f"{_short(r.prediction):>10} {r.seconds:>7.2f}"
        )
    return "\n".join([*lines, *(line for note in notes for line in textwrap.wrap(note, 80))])


def _short(numbers: list[float] | None) -> str:
    if numbers is None:
        return "-"
    if len(numbers) > 1:
        return f"({len(numbers)})"
    text = f"{numbers[0]:.6g}"
    return text if len(text) <= 8 else f"{numbers[0]:.2g}"
