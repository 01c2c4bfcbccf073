"""The rows that a finished run was trained on, which are the first of an epoch where a limit ended it."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from linlight.data.datamodule import XYDataModule
from linlight.data.sources import ProcessInfo
from linlight.functional.statistic import Moments, merge, moments

BLOCK_ROWS = 2**14


@dataclass(frozen=True)
class SeenRows:
    """Some rows that a run saw, and the statistic of all that it saw.

    Attributes:
        x: Features, (n, D).
        y: Targets, (n, T).
        moments: The statistic.
        note: A remark on how many of them x and y are.
        remark: What is to be said where a limited run took its rows at random: these are of all rows then.
    """

    x: Tensor
    y: Tensor
    moments: Moments
    note: str
    remark: str


def seen_rows(data: XYDataModule, rows: int, most: int) -> SeenRows:
    """Finds the rows of a run again.

    Args:
        data: Its data, in their own units.
        rows: How many rows it saw, as its summary says.
        most: The most rows to return; of more, some evenly spaced.
    """
    there = data.train_size
    if rows < there and not data.shuffle:
        spaced = torch.linspace(0, rows - 1, min(rows, most), dtype=torch.float64).round().long()
        chosen, parts, first = [], [], 0
        for x, y, *weight in _first(data, rows):
            parts.append(moments(x, y, *weight))
            here = spaced[(spaced >= first) & (spaced < first + len(x))] - first
            chosen.append((x[here], y[here]))
            first += len(x)
        x, y = (torch.cat(tensors) for tensors in zip(*chosen, strict=True))
        return SeenRows(x, y, merge(parts), _note(len(x), rows), "")
    x, y = data.statistics.sample(most)
    limited = f" (of all {there:,} rows: the run saw {rows:,} of them, at random)" if rows < there else ""
    return SeenRows(x, y, data.statistics.moments, limited or _note(len(x), rows), limited)


def _note(shown: int, rows: int) -> str:
    return "" if shown == rows else f" ({shown:,} of {rows:,} rows)"


def _first(data: XYDataModule, rows: int) -> Iterator[tuple[Tensor, ...]]:
    for item in data.source.in_order("train", ProcessInfo(), None, BLOCK_ROWS):
        block = tuple(tensor[:rows] for tensor in item)
        yield block
        rows -= len(block[0])
        if not rows:
            return
