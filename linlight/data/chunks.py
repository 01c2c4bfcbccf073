"""A table read in chunks, which several processes share out.

From large to small:

- A *part* can be read without the rest: a CSV file, some row groups of Parquet, a slice of an array.
- A *chunk* is at most `chunk_rows` consecutive rows of a part. Processes share out chunks, and rows become
  numbers a chunk at a time.
- In a *turn* each process gets one chunk or none. All processes have equally many turns, so that none waits
  for another for ever.

Of Parquet and arrays, each process reads parts of its own. The lines of a CSV file cannot be found without
reading it: all processes read it, and each converts every world_size-th chunk. In memory are the chunks in
use, one that is read ahead, and what pyarrow holds of a row group while it is read.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, islice

import numpy as np
import torch
from torch import Tensor

from linlight.data.arrays import Rows
from linlight.data.columns import Columns, no_rows
from linlight.data.prefetch import prefetch
from linlight.data.rounding import Rounding
from linlight.data.sources import ProcessInfo
from linlight.data.split import Split
from linlight.data.tables import TableBlock
from linlight.distributed import gather
from linlight.errors import InputError
from linlight.functional.statistic import Moments, empty, merge, moments

CHUNK_ROWS = 2**17
CHUNK_NUMBERS = 2**22
"""Rows and numbers of the largest chunk: enough to keep two cores busy, few enough to hold several."""
SAMPLED_PARTS = 16
"""The number of parts that a sample is taken from."""


@dataclass(frozen=True)
class Chunk:
    """Consecutive rows of a part, before they are numbers."""

    part: int
    number: int  # among the chunks of its part
    first: int  # the number of its first row in the whole table
    blocks: list[TableBlock]

    def __len__(self) -> int:
        """Number of its rows."""
        return sum(len(block.batch) for block in self.blocks)


@dataclass(frozen=True)
class Survey:
    """The findings of one pass over all rows.

    Attributes:
        moments: The statistic of the rows to train on.
        counts: How many of those each chunk has, by part.
        sizes: Rows for `train`, `val` and `test`.
        low: The least value of each feature in training, (D,).
        high: The greatest, (D,).
    """

    moments: Moments
    counts: list[list[int]]
    sizes: dict[str, int]
    low: Tensor
    high: Tensor


class Chunks:
    """The rows of a table, read anew in every pass.

    Whether a row is for training, validation or testing depends on the seed and the row's number alone.

    Args:
        columns: The table's columns.
        window: Rows that may be held at a time.
        split: How rows are divided.

    Attributes:
        parts: The table's parts, in order.
        chunk_rows: Rows of a chunk; the last of a part may have fewer.
        rounding: Where set, what float32 costs is gathered while rows are converted.
        found: What `survey` has found, if it was called.

    Raises:
        InputError: If the table is known to have no rows.
    """

    def __init__(self, columns: Columns, window: int, split: Split) -> None:
        self.columns, self.window, self.split = columns, window, split
        width = len(columns.feature_names) + len(columns.targets) + 1
        self.chunk_rows = max(1, min(window, CHUNK_ROWS, CHUNK_NUMBERS // width))
        self.parts = columns.table.parts(self.chunk_rows)
        # The number of each part's first row, as far as it is known, and of the rows of all parts.
        self.starts: list[int | None] = [None] * (len(self.parts) + 1)
        self._know_start(0, 0)
        if self.rows == 0:
            raise InputError(no_rows(columns.table.name))
        self.rounding: Rounding | None = None
        self.found: Survey | None = None

    @property
    def rows(self) -> int | None:
        """Number of rows in the table, where it is known without reading it."""
        return self.starts[-1]

    def _know_start(self, part: int, start: int) -> None:
        """Records a part's first row, and those that follow from it up to the next CSV file."""
        self.starts[part] = start
        for i, one in enumerate(self.parts[part:], part + 1):
            if one.rows is None:
                break
            start += one.rows
            self.starts[i] = start

    # Who reads what, and when ----------------------------------------------------------------------------

    def schedule(self, order: Sequence[int], rank: int, world_size: int) -> Iterator[Chunk | None]:
        """Reads one process's chunks: one in each turn, or None where there is none for it.

        Args:
            order: The parts to read, by their numbers.
            rank: This process.
            world_size: Number of processes.
        """
        for group in self._groups(order, world_size):
            if self.parts[group[0]].rows is None:
                chunks = self.read(group[0])
                while dealt := list(islice(chunks, world_size)):
                    yield dealt[rank] if rank < len(dealt) else None
            else:
                own = self.read(group[rank]) if rank < len(group) else iter(())
                for _ in range(self._turns(group)):
                    yield next(own, None)
                next(own, None)  # lets the reader see that the file is as it was

    def _groups(self, order: Sequence[int], world_size: int) -> Iterator[list[int]]:
        """Parts that are read at the same time, one by each process; a CSV file by all of them."""
        for is_csv, parts in groupby(order, lambda part: self.parts[part].rows is None):
            run, size = list(parts), 1 if is_csv else world_size
            yield from (run[i : i + size] for i in range(0, len(run), size))

    def _turns(self, group: Sequence[int]) -> int:
        return max(-(-(self.parts[part].rows or 0) // self.chunk_rows) for part in group)

    def turns(self, world_size: int) -> int | None:
        """Number of turns in a pass over all parts, where it is known before they are read."""
        if any(part.rows is None for part in self.parts):
            return None
        return sum(self._turns(group) for group in self._groups(range(len(self.parts)), world_size))

    def readers(self, order: Sequence[int], world_size: int) -> dict[int, int | None]:
        """The process that reads each part; None for a CSV file, whose chunks they take in turn."""
        groups = self._groups(order, world_size)
        own = ((part, rank) for group in groups for rank, part in enumerate(group))
        return {part: None if self.parts[part].rows is None else rank for part, rank in own}

    def read(self, part: int) -> Iterator[Chunk]:
        """Reads a part, chunk by chunk."""
        start = self.starts[part]
        assert start is not None, "parts whose rows are not known beforehand are read in order"
        blocks: list[TableBlock] = []
        number, room = 0, self.chunk_rows
        for block in self.columns.table.read(self.parts[part], self.columns.used):
            at = 0
            while at < len(block.batch):
                taken = replace(block, first=block.first + at, batch=block.batch.slice(at, room))
                blocks.append(taken)
                at += len(taken.batch)
                room -= len(taken.batch)
                if not room:
                    yield Chunk(part, number, start + number * self.chunk_rows, blocks)
                    blocks, number, room = [], number + 1, self.chunk_rows
        if blocks:
            yield Chunk(part, number, start + number * self.chunk_rows, blocks)
        self._know_start(part + 1, start + (number + 1) * self.chunk_rows - room)

    # What is in them -------------------------------------------------------------------------------------

    def convert(self, chunk: Chunk | None) -> Rows:
        """Turns a chunk into numbers; no chunk has no rows.

        Raises:
            InputError: If it holds what cannot be used.
        """
        rows = self.columns.joined(self._converted(chunk), 0 if chunk is None else len(chunk))
        if self.rounding is not None:
            self.rounding.add(rows)
        return rows

    def _converted(self, chunk: Chunk | None) -> Iterator[Rows]:
        if chunk is not None:
            first = chunk.first
            for block in chunk.blocks:
                yield self.columns.convert(block, first)
                first += len(block.batch)

    def chosen(self, rows: Rows, kind: str) -> Tensor | None:
        """The places, (n,), of the rows that are for `train`, `val`, `test` or `all`; None: every row."""
        counted = None if rows.weight is None or bool(rows.weight.all()) else rows.weight.numpy() != 0
        if kind != "all" and self.split.held_back:
            assert rows.numbers is not None
            drawn = self.split.drawn(rows.numbers, kind)
            counted = drawn if counted is None else drawn & counted
        return None if counted is None else torch.from_numpy(np.flatnonzero(counted))

    def tensors(self, rows: Rows, kind: str) -> tuple[Tensor, ...]:
        """x, y and, where there are any, weights of the rows that are for `kind`."""
        assert rows.y is not None
        batch = (rows.x, rows.y) if rows.weight is None else (rows.x, rows.y, rows.weight)
        chosen = self.chosen(rows, kind)
        return batch if chosen is None else tuple(tensor.index_select(0, chosen) for tensor in batch)

    def report(self, kept: int) -> None:
        """Reports, once, what a pass over all rows has lost; every process must call it.

        Args:
            kept: Rows that this process had, without those it dropped.
        """
        self.columns.report(kept, is_share=True)
        if self.rounding is not None:
            self.rounding.say()

    # What one pass finds out -----------------------------------------------------------------------------

    def survey(self, place: ProcessInfo) -> Survey:
        """Reads everything once, each process its share; later calls know the answer.

        Raises:
            InputError: If there are no rows, or the split leaves a kind without any.
        """
        if self.found is None:
            self.found = self._survey(place.rank, place.world_size)
        return self.found

    def _survey(self, rank: int, world_size: int) -> Survey:
        features = len(self.columns.feature_names)
        self.columns.forget()
        sizes = dict.fromkeys(("train", "val", "test"), 0)
        counts: dict[tuple[int, int], int] = {}
        m = empty(features, len(self.columns.targets))
        low = torch.full((features,), math.inf, dtype=torch.float64)
        high = -low
        error = ""
        scheduled = self.schedule(range(len(self.parts)), rank, world_size)
        converted = ((chunk, self.convert(chunk)) for chunk in scheduled if chunk is not None)
        try:
            for chunk, rows in prefetch(converted):
                for kind, fraction in self.split.fractions.items():
                    chosen = self.chosen(rows, kind) if fraction else None
                    sizes[kind] += 0 if chosen is None else len(chosen)
                batch = self.tensors(rows, "train")
                counts[chunk.part, chunk.number] = len(batch[0])
                if len(batch[0]):
                    sizes["train"] += len(batch[0])
                    m = merge([m, moments(*batch)])
                    low = torch.minimum(low, batch[0].amin(0).double())
                    high = torch.maximum(high, batch[0].amax(0).double())
        except InputError as met:
            error = str(met)
        errors = [one for one in gather(error) if one]  # one process alone may meet bad rows
        if errors:
            raise InputError(errors[0])
        self.report(sum(sizes.values()))
        found = gather((sizes, counts, m.state_dict(), low, high))
        total = {kind: sum(one[0][kind] for one in found) for kind in sizes}
        if not any(total.values()):
            raise InputError(no_rows(self.columns.table.name))
        self.split.check(total)
        by_part: list[list[int]] = [[] for _ in self.parts]
        for (part, _), n in sorted(item for one in found for item in one[1].items()):
            by_part[part].append(n)
        return Survey(
            merge([Moments.load(one[2]) for one in found]),
            by_part,
            total,
            torch.stack([one[3] for one in found]).amin(0),
            torch.stack([one[4] for one in found]).amax(0),
        )

    def sample(self, most: int) -> tuple[Tensor, Tensor]:
        """The first rows to train on, x (n, D) and y (n, T), of some parts that lie evenly over all."""
        count = min(len(self.parts), SAMPLED_PARTS, most)
        known = [i for i in range(len(self.parts)) if self.starts[i] is not None]
        parts = [known[i] for i in np.linspace(0, len(known) - 1, count).round().astype(int)]
        found: list[tuple[Tensor, ...]] = []
        for part in dict.fromkeys(parts):
            room = most // count
            for chunk in self.read(part):
                rows = self.convert(chunk)
                y = rows.x.new_empty((len(rows.x), 0)) if rows.y is None else rows.y
                chosen = self.chosen(rows, "train")
                batch = (rows.x, y) if chosen is None else (rows.x[chosen], y[chosen])
                found.append(tuple(tensor[:room] for tensor in batch))
                room -= len(found[-1][0])
                if room <= 0:
                    break
        x, y = (torch.cat(tensors) for tensors in zip(*found, strict=True))
        return x, y
