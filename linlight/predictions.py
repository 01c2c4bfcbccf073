"""Predictions, gathered from all processes in the order of the rows, and written as a table."""

import csv
from pathlib import Path

import torch
from torch import Tensor, distributed


def gather(batches: list[Tensor]) -> Tensor:
    """Puts the predictions of all processes together, (N, T); every process must call it.

    Args:
        batches: This process's share of the predictions of each batch, (B_r, T).
    """
    shares = [batches]
    if distributed.is_available() and distributed.is_initialized():
        shares = [[] for _ in range(distributed.get_world_size())]
        distributed.all_gather_object(shares, [batch.cpu() for batch in batches])
    # Each batch was dealt out in rank order.
    return torch.cat([share for batch in zip(*shares, strict=True) for share in batch])


def write_csv(predictions: Tensor, path: Path) -> None:
    """Writes one line a row, in full precision: `row,prediction`, or a column for each target."""
    targets = predictions.shape[1]
    names = ["prediction"] if targets == 1 else [f"prediction_{i}" for i in range(targets)]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["row", *names])
        writer.writerows([i, *row] for i, row in enumerate(predictions.tolist()))
