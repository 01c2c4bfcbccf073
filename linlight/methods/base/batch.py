"""The batches that a method takes: (x, y), [x, y], or either with the rows' weights as a third."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from linlight.data.loaders import Batches, Block
from linlight.errors import InputError

Batch = tuple[Tensor, ...]
"""x (B, D) and y (B, T), followed by the rows' weights (B,) where they have any."""


def as_batch(item: Any) -> Batch:
    """A batch of any loader as (x, y) or (x, y, weights).

    Args:
        item: A tuple or list of x, (B, D) or (B,), y, (B, T) or (B,), and perhaps weights, (B,) or (B, 1).

    Raises:
        InputError: If it is something else.
    """
    if not (isinstance(item, tuple | list) and 2 <= len(item) <= 3 and all(map(torch.is_tensor, item))):
        raise InputError(f"a batch must be (x, y) or (x, y, weights), all tensors, not {_kind(item)}")
    x, y, *weight = item
    if x.ndim == 2 and y.ndim == 2 and not weight:
        return x, y
    x, y = (t[:, None] if t.ndim == 1 else t for t in (x, y))
    return (x, y, *(w.reshape(len(x)) for w in weight))


def as_batches(item: Any) -> list[Batch]:
    """The batches of a training step: one, or several where a loader hands out several at once."""
    return [as_batch(one) for one in item] if isinstance(item, Batches) else [as_batch(item)]


def features_of(item: Any) -> Tensor:
    """x, (B, D), of a batch to predict, whatever else is in it."""
    x: Tensor = item[0] if isinstance(item, tuple | list) else item
    return x[:, None] if x.ndim == 1 else x


def total_weight(batch: Batch) -> Tensor:
    """The number of rows of a batch, or the sum of their weights, ()."""
    return batch[2].sum() if len(batch) > 2 else torch.tensor(len(batch[0]), device=batch[0].device)


def in_one_piece(item: Any) -> list[Batch]:
    """The rows of a training step, as one batch where they lie together in memory."""
    return [item.rows] if isinstance(item, Block) else as_batches(item)


def scalar_like(tensor: Tensor, number: float | Tensor) -> Tensor:
    """A number as a tensor, (), of another tensor's type and on its device, without waiting for a GPU."""
    return number.to(tensor) if isinstance(number, Tensor) else tensor.new_full((), number)


def mean_over(losses: list[Tensor], weights: Sequence[float | Tensor]) -> Tensor:
    """The mean loss over the rows of several batches, from that of each, (), and its weight."""
    if len(losses) == 1:
        return losses[0]
    w = torch.stack([scalar_like(losses[0], one) for one in weights])
    return torch.stack(losses) @ w / w.sum().clamp(min=torch.finfo(w.dtype).tiny)


def _kind(item: Any) -> str:
    if isinstance(item, tuple | list):
        return f"a {type(item).__name__} of {', '.join(type(one).__name__ for one in item) or 'nothing'}"
    return f"a {type(item).__name__}"
