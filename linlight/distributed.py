"""What the processes tell each other: whether they hold the same weights, and what each has seen."""

from typing import TypeVar

import torch
from lightning.fabric.utilities.rank_zero import rank_zero_only
from lightning.pytorch import Trainer
from torch import Tensor, distributed

T = TypeVar("T")


@rank_zero_only
def say(text: str) -> None:
    """Prints a line to the user, once over all processes."""
    print(text)


def gather(mine: T) -> list[T]:
    """What every process has, in the order of their ranks; every process must call it."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return [mine]
    everyone: list[T | None] = [None] * distributed.get_world_size()
    distributed.all_gather_object(everyone, mine)
    return everyone  # type: ignore[return-value]


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
