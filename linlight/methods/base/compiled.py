"""The updates of `GradientDescent` by a compiled kernel, where they are many: the same to rounding."""

import math
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from linlight.data.loaders import Block, compiled_gather
from linlight.distributed import say
from linlight.methods.base.batch import as_batch
from linlight.methods.base.optim import ManualSGD

if TYPE_CHECKING:
    from linlight.methods.base.by_hand import ByHandModel

Kernel = Callable[..., float]

MANY_UPDATES = 10_000
"""Updates of a run from which on a kernel is worth half a second to import; one of PyTorch's costs 50 µs."""

MANY_AN_EPOCH = 1000
"""Updates an epoch from which on earlier versions took it, whose checkpoints do not say so."""

MOST_ROWS = 2**14
"""Rows in a batch up to which a kernel, which adds up one by one, is as exact as PyTorch, and faster."""

MOST_TARGETS = 8
"""The most targets for which it is faster than matrix products."""

BLOCK_BYTES = 2**23
"""Bytes of rows that a training step takes at most: they stay in the cache from gathering to use."""

BLOCK_ROWS = 2**16
"""Rows that a training step takes at most: after each the loss is looked at."""


def kernel_for(model: "ByHandModel", taken: bool | None = None) -> Kernel | None:
    """The kernel that takes a model's updates, None where PyTorch does.

    Args:
        model: The model, of a Trainer.
        taken: Whether the run that is gone on with took it. Default: there is none, and it is taken where
            updates are many.
    """
    trainer, data = model.trainer, model._data()
    if trainer.world_size > 1 or trainer.strategy.root_device.type != "cpu":
        return None
    if data is None or data.batch_size is None or data.reduce or model.w.shape[0] > MOST_TARGETS:
        return None
    if data.batches < 2 or data.batch_size > MOST_ROWS:
        return None
    epochs = trainer.max_epochs if trainer.max_epochs is not None and trainer.max_epochs >= 0 else math.inf
    if not (data.batches * epochs >= MANY_UPDATES if taken is None else taken):
        return None
    return _load(model.w.dtype)


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


def rows_at_once(model: "ByHandModel") -> int:
    """Rows that a training step by the kernel takes."""
    in_a_row = sum(model.w.shape) * model.w.element_size()
    return max(1, min(BLOCK_ROWS, BLOCK_BYTES // in_a_row))


def compiled_step(model: "ByHandModel", kernel: Kernel, item: Any) -> Tensor:
    """Updates the weights after every batch of an item, and returns the mean loss over its rows.

    The kernel takes all updates but the last, which is the optimizer's, as Lightning and its hooks know it.
    """
    rows, size = (item.rows, item.size) if isinstance(item, Block) else (as_batch(item), len(item[0]))
    x, y, *weight = (tensor.contiguous().numpy() for tensor in rows)
    none = np.empty(0, x.dtype)
    w, b = model.w, model.b
    grad_w, grad_b = torch.empty_like(w.detach()), w.new_empty(len(w))
    optimizer: ManualSGD = model.optimizers().optimizer  # type: ignore[union-attr, assignment]
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
        x.dtype.type(optimizer.param_groups[0]["lr"]),
    )
    w.grad = grad_w
    if b is not None:
        b.grad = grad_b
    model.count_updates(-(-len(x) // size) - 1)
    model.step()
    return w.new_tensor(error / (mass * len(w)))
