"""What the processes tell each other: whether they hold the same weights, and what each has seen."""

from typing import TypeVar

import torch
from lightning.pytorch import Trainer
from torch import Tensor, distributed

from linlight.functional.statistic import Moments, merge

T = TypeVar("T")


def gather(mine: T) -> list[T]:
    """What every process has, in the order of their ranks; every process must call it."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return [mine]
    everyone: list[T | None] = [None] * distributed.get_world_size()
    distributed.all_gather_object(everyone, mine)
    return everyone  # type: ignore[return-value]


def merge_over_processes(mine: Moments) -> Moments:
    """The statistic of all processes' rows, equal to the bit on all of them; every process must call it."""
    return merge([Moments.load(state) for state in gather(mine.cpu().state_dict())])


def check_replicas(trainer: Trainer, *tensors: Tensor) -> None:
    """Compares tensors over all processes, bit for bit; every process must call it.

    A by-hand update whose gradient was not added up over the processes lets them drift apart without a
    word (Lightning-AI/pytorch-lightning#9237). Each process sends a number per tensor, not the tensor.

    Raises:
        RuntimeError: If they differ: the method is at fault, not its data.
    """
    bits = {4: torch.int32, 8: torch.int64}
    sums = []
    for tensor in tensors:
        number = tensor.detach().flatten().view(bits[tensor.element_size()]).long()
        # Weighted by place, so that numbers that changed places differ too; it wraps around alike everywhere.
        sums.append((number * torch.arange(1, len(number) + 1, device=number.device)).sum())
    mine = torch.stack(sums)
    # The largest, and the negative of the smallest, over the processes.
    most: Tensor = trainer.strategy.reduce(torch.stack([mine, -mine]), reduce_op="max")
    if bool((most[0] != -most[1]).any()):
        raise RuntimeError(
            f"the processes hold different weights after epoch {trainer.current_epoch}: the training step "
            "must add its sums up over all processes, see `LinearModel.sum_over_processes`"
        )
