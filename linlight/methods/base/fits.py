"""Whether a model, its data and a checkpoint belong together, checked before anything is computed."""

from typing import Any

import torch
from lightning.pytorch import Trainer

from linlight.data.datamodule import XYDataModule
from linlight.data.loaders import Batches
from linlight.errors import InputError
from linlight.methods.base.batch import as_batch
from linlight.methods.base.linear import LinearModule


def check_data(model: LinearModule, data: XYDataModule, stage: str) -> None:
    """Checks that a method can do with data what a stage asks for.

    Raises:
        InputError: If it cannot, with the remedy.
    """
    if stage != "predict":
        data.check_targets()
        if data.reduce:
            model.check_reducible()
    if stage != "fit":
        return
    if data.streamed and not (data.reduce or data.batch_size):
        model.check_streamable()
    if data.standardize and model.b is None:
        raise InputError("standardize centres the features, so the model needs a bias: --model.bias true")


def sizes_of_first_batch(trainer: Trainer) -> tuple[int, int, torch.dtype]:
    """The number of features and targets, and the type of numbers, of the first batch to train on.

    Raises:
        InputError: If the loader has no batch.
    """
    # There is no public way to the loader before Lightning has set it up, which is after this.
    loader = trainer.fit_loop._data_source.dataloader()
    with torch.random.fork_rng(devices=[]):  # the training shuffles as it would have
        batch = next(iter(loader), None)
    if batch is None:
        raise InputError("the loader has no batch to take the number of features from")
    x, y, *_ = as_batch(batch[0] if isinstance(batch, Batches) else batch)
    return x.shape[1], y.shape[1], x.dtype if x.is_floating_point() else torch.get_default_dtype()


def check_sizes(model: LinearModule, data: XYDataModule) -> None:
    """Checks that the data have the features and targets of a model's weights.

    Raises:
        InputError: If they have others.
    """
    if model.w.shape[1] != data.features:
        raise InputError(
            f"the model has {model.w.shape[1]} features and the data have {data.features}: "
            "give the features it was trained on, in the same order"
        )
    check_targets(data, model.w.shape[0])


def check_targets(data: XYDataModule, targets: int) -> None:
    """Checks that the data, if they have targets, have as many as a model.

    Raises:
        InputError: If they have more or fewer.
    """
    if data.targets not in (None, targets):
        raise InputError(
            f"the model has {targets} targets and the data have {data.targets}: "
            "give the targets it was trained on, in the same order"
        )


def check_columns(checkpoint: dict[str, Any], data: XYDataModule) -> None:
    """Checks that a table's columns are those that a checkpoint's weights belong to.

    Raises:
        InputError: If one is another.
    """
    learned = checkpoint.get("columns")
    if learned is None or not data.is_table:
        return
    present = {"feature": data.feature_names, "target": data.target_names if data.targets else []}
    for kind, names in present.items():
        for i, (was, now) in enumerate(zip(learned[kind], names, strict=False)):
            if was != now:
                raise InputError(
                    f"{kind} {i} (counted from 0) is {was!r} in the checkpoint and {now!r} in the data: "
                    "leave out --data.features, --data.categorical and --data.target, which it remembers"
                )


def check_units(checkpoint: dict[str, Any], data: XYDataModule) -> None:
    """Checks that a training goes on in the units in which it began.

    Raises:
        InputError: If its features were standardised and no longer are, or the other way round.
    """
    standardized = "standardized" in checkpoint
    if data.standardize != standardized:
        raise InputError(
            f"the checkpoint was trained {'with' if standardized else 'without'} standardize, which makes "
            f"its steps others: set standardize to {str(standardized).lower()}"
        )
