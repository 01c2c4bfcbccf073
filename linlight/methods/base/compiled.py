"""Gradient descent by a compiled kernel, where updates are many: the same weights to rounding."""

import math
from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from linlight.data.loaders import Block, compiled_gather
from linlight.data.memory import Memory
from linlight.distributed import say
from linlight.methods.base.batch import as_batch
from linlight.methods.base.model import LinearModel
from linlight.methods.base.run_rows import our_data

Kernel = Callable[..., float]
Update = TypeVar("Update", bound=Callable[..., Tensor])
COMPILABLE: set[Callable[..., Tensor]] = set()

MANY_UPDATES = 10_000
"""The fewest updates of a run for which a kernel, half a second to import, is used; PyTorch's takes 50 µs."""

MANY_AN_EPOCH = 1000
"""Updates an epoch from which on earlier versions took it, whose checkpoints do not say whether they did."""

MOST_ROWS = 2**14
"""The most rows in a batch for which a kernel, which adds them up one by one, is as exact as PyTorch."""

MOST_TARGETS = 8
"""The most targets for which it is faster than matrix products."""

IN_PLACE = (2**20, 2**27)
"""The most rows and bytes in a training step, after which the loss is looked at."""

GATHERED = (2**16, 2**23)
"""The same for rows that are gathered or read for it: so many stay in the cache until they are used."""


def compilable(update: Update) -> Update:
    """Marks a method's `update` as plain descent of the mean squared error, which the kernel takes as well.

    A subclass with an `update` of its own is without the mark, and so without the kernel.
    """
    COMPILABLE.add(update)
    return update


def kernel_for(model: LinearModel, checkpoint: dict[str, Any] | None = None) -> Kernel | None:
    """The kernel that takes a model's updates, None where PyTorch does.

    Args:
        model: The model, of a Trainer.
        checkpoint: That of the training that goes on, in the same form. Default: none, so that the number
            of updates decides.
    """
    trainer, data = model.trainer, our_data(model.trainer)
    if trainer.world_size > 1 or trainer.strategy.root_device.type != "cpu":
        return None
    if data is None or data.batch_size is None or data.reduce or data.batches < 2:
        return None
    if data.batch_size > MOST_ROWS or model.w.shape[0] > MOST_TARGETS:
        return None
    if getattr(type(model), "update", None) not in COMPILABLE:
        return None
    if checkpoint is not None:
        is_taken = checkpoint.get("compiled", data.batches >= MANY_AN_EPOCH)
    else:
        epochs = math.inf if trainer.max_epochs in (None, -1) else trainer.max_epochs
        is_taken = data.batches * epochs >= MANY_UPDATES
    return _load(model.w.dtype) if is_taken else None


@cache
def _load(dtype: torch.dtype) -> Kernel | None:
    """The kernel, compiled for a type of numbers."""
    try:
        from linlight.functional.kernels import descend, gather

        one = np.ones((1, 1), torch.empty(0, dtype=dtype).numpy().dtype)
        none = np.empty(0, one.dtype)
        kernel: Kernel = descend
        kernel(one, one, none, one.copy(), none, one.copy(), one[0].copy(), 1, 1.0, one.dtype.type(1))
        if not getattr(descend, "signatures", ()):  # NUMBA_DISABLE_JIT
            raise RuntimeError("numba does not compile")
        for number in (np.int32, np.int64):
            gather(one, np.zeros(1, number), one.copy())
    except Exception as error:  # numba is missing, too old for this NumPy, finds no folder for its cache, …
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        say(f"descent is not compiled, and slower: {reason}")
        return None
    compiled_gather[dtype] = gather
    return kernel


def rows_at_once(model: LinearModel) -> int:
    """Rows that a training step by the kernel takes."""
    data = our_data(model.trainer)
    assert data is not None
    in_place = isinstance(data.source, Memory) and not data.shuffle and data.source.part("train") is None
    rows, size = IN_PLACE if in_place else GATHERED
    return max(1, min(rows, size // (sum(model.w.shape) * model.w.element_size())))


def compiled_updates(model: LinearModel, kernel: Kernel, item: Any) -> tuple[Tensor, int]:
    """Updates the weights after every batch of an item but the last.

    The gradient of that is put into `grad`, for a step that Lightning and its hooks see.

    Returns:
        The mean loss over the rows, each at the weights before its update, (); the number of updates.
    """
    rows, size = (item.rows, item.size) if isinstance(item, Block) else (as_batch(item), len(item[0]))
    x, y, *weight = (tensor.contiguous().numpy() for tensor in rows)
    none = np.empty(0, x.dtype)
    w, b = model.w, model.b
    grad_w, grad_b = torch.empty_like(w.detach()), w.new_empty(len(w))
    mass = model.expected_weight(rows)
    error = kernel(
        x,
        y,
        *(weight or [none]),
        w.detach().numpy(),
        none if b is None else b.detach().numpy(),
        grad_w.numpy(),
        grad_b.numpy(),
        size,
        mass / len(x),
        x.dtype.type(model.trainer.optimizers[0].param_groups[0]["lr"]),
    )
    w.grad = grad_w
    if b is not None:
        b.grad = grad_b
    return w.new_tensor(error / (mass * len(w))), -(-len(x) // size)
