"""The rows of a run: what an epoch of it sees, where the Trainer limits its batches too."""

import math
from collections.abc import Iterator
from itertools import islice
from typing import Any

import torch
from lightning.pytorch import Trainer
from torch.utils.data import DataLoader, RandomSampler

from linlight.data.arrays import plain_names
from linlight.data.datamodule import XYDataModule
from linlight.data.loaders import Batches, Resumable
from linlight.data.statistics import merge_over_processes
from linlight.errors import InputError
from linlight.functional.statistic import Moments, merge, moments
from linlight.methods.base.batch import Batch, as_batch, as_batches


def our_data(trainer: Trainer | None) -> XYDataModule | None:
    """The data module of a run, where it is ours."""
    data = None if trainer is None else getattr(trainer, "datamodule", None)
    return data if isinstance(data, XYDataModule) else None


def column_names(trainer: Trainer, features: int, targets: int) -> tuple[list[str], list[str]]:
    """The names of features and targets: the data's, or `x`, `y` and the like where the data are not ours."""
    if (data := our_data(trainer)) is not None:
        return data.feature_names, data.target_names
    return plain_names("x", features, None), plain_names("y", targets, None)


def planned_batches(trainer: Trainer) -> float:
    """How many of its loader's batches an epoch of a run sees, infinite where it sees all of them."""
    loader: Any = trainer.train_dataloader
    limit = trainer.num_training_batches
    try:
        return limit if limit < len(loader) else math.inf
    except TypeError:  # a loader that does not know its length
        return limit


def is_same_when_read_again(trainer: Trainer) -> bool:
    """Whether another pass over the loader in the same epoch takes the rows in the same order."""
    loader: Any = trainer.train_dataloader
    return not (isinstance(loader, DataLoader) and isinstance(loader.sampler, RandomSampler))


def is_same_every_epoch(trainer: Trainer) -> bool:
    """Whether the first batches of every epoch are the same rows."""
    shuffles = getattr(getattr(trainer.train_dataloader, "sampler", None), "shuffle", False)
    return is_same_when_read_again(trainer) and not shuffles


def batches_again(trainer: Trainer, seen: float) -> Iterator[Batch]:
    """Reads this process's share of the first batches of an epoch again; the loader keeps its position."""
    loader: Any = trainer.train_dataloader
    if isinstance(loader, Resumable):
        loader = loader.from_the_beginning()
    device = trainer.strategy.root_device
    for item in loader if math.isinf(seen) else islice(loader, int(seen)):
        for batch in as_batches(item):
            yield tuple(tensor.to(device) for tensor in batch)


def moments_again(trainer: Trainer, seen: float) -> Moments:
    """The statistic of the rows of these batches, over all processes; every process must call it."""
    parts = [moments(*batch) for batch in batches_again(trainer, seen)]
    return merge_over_processes(merge(parts))


def sizes_of_first_batch(trainer: Trainer) -> tuple[int, int, torch.dtype]:
    """The number of features and targets, and the type of numbers, of the first batch to train on.

    Raises:
        InputError: If the loader has no batch.
    """
    # Lightning sets loaders up later, and there is no public way to one before.
    loader = trainer.fit_loop._data_source.dataloader()
    with torch.random.fork_rng(devices=[]):  # so that the training shuffles as without this look
        batch = next(iter(loader), None)
    if batch is None:
        raise InputError("the loader has no batch to take the number of features from")
    x, y, *_ = as_batch(batch[0] if isinstance(batch, Batches) else batch)
    return x.shape[1], y.shape[1], x.dtype if x.is_floating_point() else torch.get_default_dtype()
