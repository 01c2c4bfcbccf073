"""`linlight compare`: methods on the same data, side by side."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from linlight.callbacks import default_callbacks
from linlight.data.arrays import Numbers, as_matrix
from linlight.data.datamodule import XYDataModule
from linlight.errors import InputError
from linlight.experiments.compare_pictures import comparison, surface_of, write_compare_page
from linlight.experiments.entries import (
    NOTES_LR,
    THE_FIVE,
    Entry,
    Settings,
    as_rates,
    choose,
    known_names,
    shared_data,
    with_seeds,
    with_unique_names,
)
from linlight.experiments.results import result_of, table
from linlight.experiments.trial import as_words, check_biases, check_settings, progress_bar, run_trial
from linlight.methods.base import LinearModel
from linlight.methods.least_squares import LeastSquares
from linlight.runs.style import save_figure
from linlight.training.folder import new_folder, removed_on_failure, write_json


def compare(
    data: dict[str, Any] | None = None,
    lr: float | str | list[float] = NOTES_LR,
    epochs: int = 100,
    at: Numbers = None,
    bias: bool = False,
    batch_size: int = 1,
    seed: int = 0,
    accelerator: str = "cpu",
    folder: str | Path = "lightning_logs/compare",
    methods: str | list[str] | None = None,
    entries: Sequence[Entry] = (),
    seeds: list[int] | None = None,
    optimizers: str | list[str] | None = None,
    criteria: str | list[str] | None = None,
) -> Path:
    """Trains several methods on the same data and reports them side by side.

    Every method starts from the notes' own settings: back-propagation and linear regression compute in
    float32, as PyTorch does, the others in the data's own type, and the squared errors are summed in the
    notes' fifth program. On other data than theirs all take the data's own type; there, at another learning
    rate, or where criteria are named, the mean is taken, so that the same rate suits all.

    Args:
        data: Arguments of `XYDataModule`. Default: the textbook's three points.
        lr: Learning rate of all methods that have one; several, as 0.001,0.01, train each with all of them.
        epochs: Epochs to train; the search needs one.
        at: The features to predict at, (D,). Default: the notes' x = 4, or the first row.
        bias: Whether the methods have a bias that have none by themselves, as the first four; linear
            regression and least squares always have.
        batch_size: Rows per update of the two methods that take single rows in the notes.
        seed: Seed of the random starting values of linear regression.
        accelerator: Where to train, as in Lightning's Trainer.
        folder: Where to make the folder `version_N` of this comparison.
        methods: Which methods: those of linlight by name, with StochasticGradientDescent, which is
            GradientDescent row by row; others by the path of their class, as `my_module.MyMethod`. Default:
            the notes' five; none beside entries.
        entries: Others that take part with settings of their own, as the command line makes them of configs;
            the data may be named in them too, the same for all.
        seeds: Train what depends on chance once with each of these. Default: `seed` alone.
        optimizers: Train the methods that take an optimizer with each of these, as SGD,Adam: classes of
            torch.optim, or others by their path.
        criteria: Train the methods that take a criterion with each of these, as MSELoss,L1Loss: classes of
            torch.nn, or others by their path. Whatever is trained, the mean squared error is compared.

    Returns:
        The folder, with `compare.json`, `compare.png`, `compare.svg`, the page `compare.html`, and a run
        folder for each method.

    Raises:
        InputError: If the data or a setting cannot be used.
    """
    seeds = seeds or []
    data = shared_data(data or {}, entries)
    check_settings(data, epochs, seed, accelerator, seeds)
    optimizers, criteria = _named("optimizers", optimizers), _named("criteria", criteria)
    usual = ("LinearRegression",) if optimizers or criteria else () if entries else THE_FIVE
    rates = as_rates(lr)
    # At the notes' own learning rate their sum is stable; at others all methods get the same loss.
    is_textbook = data.get("x") is None and data.get("path") is None
    total = is_textbook and rates == [NOTES_LR] and not criteria
    settings = Settings(rates, bias, batch_size, total, optimizers, criteria, is_textbook)
    entries = with_seeds([*choose(usual if methods is None else methods, settings), *entries], seeds)
    if not entries:
        raise InputError(
            f"there is nothing to compare: name --methods, of {', '.join(known_names())}, or --config"
        )
    # Everything that can be wrong is tried before a folder is made.
    models = [entry.make() for entry in entries]
    if data.get("standardize"):
        check_biases({entry.name: model for entry, model in zip(entries, models, strict=True)})
    modules = _modules(data, entries, models)
    entries = with_unique_names(entries, models, modules)
    example = modules[0].example if at is None else as_matrix(at, "at", torch.float64).reshape(1, -1)
    if example.shape[1] != modules[0].features:
        raise InputError(f"at has {example.shape[1]} numbers, the data have {modules[0].features} features")

    root = new_folder(Path(folder))
    lengths = [entry.epochs or epochs for entry in entries]
    with removed_on_failure(root):
        results = []
        with progress_bar(sum(lengths)) as bar:
            for entry, model, module, length in zip(entries, models, modules, lengths, strict=True):
                trial = run_trial(
                    entry.name,
                    model,
                    module,
                    epochs=length,
                    seed=seed if entry.seed is None else entry.seed,
                    accelerator=accelerator,
                    folder=root / entry.folder,
                    bar=bar,
                    callbacks=default_callbacks(root / entry.folder, quiet=True),
                    log_every_n_steps=1,
                )
                results.append(result_of(entry.name, trial, module, example))
        ground = surface_of(results, modules[0])
        save_figure(comparison(results, modules[0], ground), root / "compare")
        write_compare_page(results, modules[0], ground, root / "compare.html")
        write_json(
            root / "compare.json",
            {
                "rows": modules[0].train_size,
                "features": modules[0].features,
                "lr": rates[0] if len(rates) == 1 else rates,
                "at": example[0].tolist(),
                "methods": [asdict(result) for result in results],
            },
        )
    remarks = []
    if is_textbook and not (total or criteria) and "LinearRegression" in [one.method for one in results]:
        remarks = ["linear regression takes the mean of the squared errors; the notes' sum suits lr 0.01"]
    print(table(results, example, remarks))
    return root


def _named(option: str, given: str | list[str] | None) -> list[str]:
    """The names of an option, each once."""
    names = list(dict.fromkeys(as_words(given)))
    if given is not None and not names:
        raise InputError(f"{option} names none: leave it out, or name one")
    return names


def _modules(data: dict[str, Any], entries: Sequence[Entry], models: list[LinearModel]) -> list[XYDataModule]:
    """The data of each entry; the rows are read once for all."""
    if data.get("reduce"):
        for entry in entries:
            if entry.data.get("batch_size") is not None:
                raise InputError(
                    f"reduce leaves a single batch, and {entry.name} takes batches of "
                    f"{entry.data['batch_size']}: leave out reduce, or compare methods that take all rows"
                )
    asked = {} if data.get("dtype") is None else {"dtype": data["dtype"]}
    shared = XYDataModule(**(data | {"dtype": None}))
    shared.check_targets()
    return [
        shared.sharing_rows(
            own.get("batch_size"),
            shuffle=own.get("shuffle", False),
            # The exact answer is the same in any units, and takes the data's own.
            standardize=own.get("standardize", False) and not isinstance(model, LeastSquares),
            dtype=own.get("dtype") or "",
        )
        for own, model in zip((data | entry.data | asked for entry in entries), models, strict=True)
    ]
