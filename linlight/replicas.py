"""Whether all processes hold the same weights."""

import torch
from lightning.pytorch import Trainer
from torch import Tensor


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
