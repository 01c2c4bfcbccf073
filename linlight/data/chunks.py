"""The rows of a table in chunks, which processes share out, and what one pass over them finds out.

A stream is read in pieces of at most `window` rows. Several processes share them out: of Parquet each reads
row groups of its own; a CSV file, whose lines cannot be found without reading it, all of them read, and each
converts every world_size-th chunk. In memory are a window of rows, a piece read ahead, and what pyarrow holds
of a row group while it is read.

Whether a row is for training, validation or testing depends on the seed and the row's number alone.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from linlight.data.arrays import Rows
from linlight.data.columns import Columns, no_rows
from linlight.data.rounding import Rounding
from linlight.data.sources import Source, Split
from linlight.data.tables import Block
from linlight.distributed import gather, say
from linlight.errors import InputError
from linlight.functional.statistic import Moments

PIECE_ROWS = 2**17
PIECE_NUMBERS = 2**22
"""Rows and numbers of the largest piece: enough to keep two cores busy, few enough to be held some times."""


@dataclass(frozen=True)
class Chunk:
    """Consecutive rows of a stream, before they are numbers."""

    part: int
    number: int  # among the pieces of its part
    first: int  # the number of its first row in the whole table
    blocks: list[Block]

    def __len__(self) -> int:
        """Number of its rows."""
        return sum(len(block.batch) for block in self.blocks)


@dataclass(frozen=True)
class Survey:
    """The findings of one pass over a stream.

    Attributes:
        moments: The statistic of the rows to train on.
        counts: How many of those each piece has, by part.
        sizes: Rows for `train`, `val` and `test`.
        low: The least value of each feature in training, (D,).
        high: The greatest, (D,).
    """

    moments: Moments
    counts: list[list[int]]
    sizes: dict[str, int]
    low: Tensor
    high: Tensor


class ChunkedTable(Source):
    """The rows of a table, read anew in every pass, chunk by chunk; `Stream` has its loaders."""

    def __init__(self, columns: Columns, window: int, split: Split) -> None:
        self.columns = columns
        self.dtype = getattr(torch, columns.dtype)
        self.window = window
        self.seed = split.seed
        self.split = split
        numbers = len(columns.feature_names) + len(columns.targets) + 1
        self.piece = max(1, min(window, PIECE_ROWS, PIECE_NUMBERS // numbers))
        self.parts = columns.table.parts(self.piece)
        # The number of each part's first row, as far as it is known before the parts are read.
        self._starts: list[int | None] = [None] * (len(self.parts) + 1)
        self._know_start(0, 0)
        if self.rows == 0:
            raise InputError(no_rows(columns.table.name))
        self._said_dropped = False
        self._rounding: Rounding | None = None

    @property
    def weighted(self) -> bool:
        """Whether rows have weights."""
        return self.columns.weight is not None

    def check_rounding(self, names: list[str]) -> None:
        """Reports, once, at the end of the first pass, the columns that float32 is too coarse for."""
        if self._rounding is None:
            self._rounding = Rounding(names)

    @property
    def dropped(self) -> bool:
        """Whether rows were left out, as far as the table has been read."""
        return self.columns.dropped > 0

    def fingerprint(self) -> tuple[float, ...]:
        """The size of the table."""
        return (self.columns.table.size,)

    @property
    def rows(self) -> int | None:
        """Number of rows in the table, where it is known without reading it."""
        return self._starts[-1]

    # Reading --------------------------------------------------------------------------------------------

    def turns(self, order: Sequence[int], rank: int, world_size: int) -> Iterator[Chunk | None]:
        """Reads one process's pieces of some parts, in order; None in a turn that has none for it.

        All processes have equally many turns.

        Args:
            order: The parts, by their numbers.
            rank: This process.
            world_size: Number of processes.
        """
        for together in self.rounds(order, world_size):
            rows = [self.parts[part].rows for part in together]
            if rows[0] is None:
                pieces = self._pieces(together[0])
                while dealt := list(islice(pieces, world_size)):
                    yield dealt[rank] if rank < len(dealt) else None
                continue
            mine = self._pieces(together[rank]) if rank < len(together) else iter(())
            for _ in range(max(-(-(n or 0) // self.piece) for n in rows)):
                yield next(mine, None)
            next(mine, None)  # lets it see that the file is as it was

    def rounds(self, order: Sequence[int], world_size: int) -> Iterator[Sequence[int]]:
        """Parts that the processes read side by side, one each; a CSV file they read together."""
        i = 0
        while i < len(order):
            n = 1
            if self.parts[order[i]].rows is not None:
                while n < world_size and i + n < len(order) and self.parts[order[i + n]].rows is not None:
                    n += 1
            yield order[i : i + n]
            i += n

    def owners(self, order: Sequence[int], world_size: int) -> dict[int, int | None]:
        """The process that reads each part; None where they share out its pieces in turn."""
        shared = {}
        for together in self.rounds(order, world_size):
            for rank, part in enumerate(together):
                shared[part] = rank if self.parts[part].rows is not None else None
        return shared

    def turns_of_a_pass(self, world_size: int) -> int | None:
        """How many turns a pass over all parts has, where that is known before they are read."""
        if any(part.rows is None for part in self.parts):
            return None
        count = 0
        for together in self.rounds(range(len(self.parts)), world_size):
            count += max(-(-(self.parts[part].rows or 0) // self.piece) for part in together)
        return count

    def _pieces(self, part: int) -> Iterator[Chunk]:
        columns = self.columns
        start = self._starts[part]
        assert start is not None, "parts whose rows are not known beforehand are read in order"
        held: list[Block] = []
        room, number = self.piece, 0
        for block in columns.table.read(self.parts[part], columns.used):
            at = 0
            while at < len(block.batch):
                taken = block.batch.slice(at, room)
                held.append(Block(block.file, block.first + at, taken))
                at += len(taken)
                room -= len(taken)
                if not room:
                    yield Chunk(part, number, start + number * self.piece, held)
                    held, room, number = [], self.piece, number + 1
        if held:
            yield Chunk(part, number, start + number * self.piece, held)
        self._know_start(part + 1, start + number * self.piece + (self.piece - room))

    def _know_start(self, part: int, start: int) -> None:
        """Records a part's row offset, and those that follow from it up to the next CSV file."""
        self._starts[part] = start
        for i, one in enumerate(self.parts[part:], part + 1):
            if one.rows is None:
                break
            start += one.rows
            self._starts[i] = start

    def convert(self, piece: Chunk | None) -> Rows:
        """Turns a piece into numbers; no piece has no rows.

        Raises:
            InputError: If it holds what cannot be used.
        """
        columns, found, first = self.columns, [], 0
        if piece is not None:
            first = piece.first
            for block in piece.blocks:
                found.append(columns.convert(block, first))
                first += len(block.batch)
        rows = _join(found) if found else _no_rows(columns)
        if self._rounding is not None:
            self._rounding.add(rows)
        return rows

    def chosen(self, rows: Rows, kind: str) -> Tensor | None:
        """Selects the rows for `train`, `val` or `test` by their places, (n,); None: all."""
        counted = None if rows.weight is None or bool(rows.weight.all()) else rows.weight.numpy() != 0
        if kind == "all" or not self.split.held_back:
            return None if counted is None else torch.from_numpy(np.flatnonzero(counted))
        assert rows.numbers is not None
        u = uniform(rows.numbers, self.seed)
        test, held_back = self.split.test, self.split.held_back
        of = {"test": u < test, "val": (u >= test) & (u < held_back), "train": u >= held_back}
        return torch.from_numpy(np.flatnonzero(of[kind] if counted is None else of[kind] & counted))

    def tensors(self, rows: Rows, kind: str) -> tuple[Tensor, ...]:
        """x, y and, where there are any, weights of the rows that are for `kind`."""
        assert rows.y is not None
        batch = (rows.x, rows.y) if rows.weight is None else (rows.x, rows.y, rows.weight)
        chosen = self.chosen(rows, kind)
        return batch if chosen is None else tuple(tensor.index_select(0, chosen) for tensor in batch)

    def _count_dropped(self, kept: int) -> None:
        """Reports, once, how many rows were dropped; every process must call it."""
        if not self.columns.may_drop or self._said_dropped:
            return
        self._said_dropped = True
        columns = self.columns
        everyone = gather((columns.dropped, Counter(columns.lacking)))
        columns.forget()
        for dropped, lacking in everyone:
            columns.dropped += dropped
            columns.lacking += lacking
        if columns.dropped:
            say(columns.about_dropped(kept))

    def passed(self, kept: int) -> None:
        """Records the end of a pass over all rows, and how many this process kept; all must call it."""
        if self.columns.may_drop and not self._said_dropped:
            self._count_dropped(sum(gather(kept)))
        self._say_rounding()

    def _say_rounding(self) -> None:
        self.columns.say_rounded()
        if self._rounding is not None:
            self._rounding.say()


def uniform(numbers: np.ndarray, seed: int) -> np.ndarray:
    """For each whole number another in [0, 1), that looks random and depends on it and the seed alone.

    The mixing is that of SplitMix64: Steele, Lea and Flood, "Fast splittable pseudorandom number
    generators", OOPSLA 2014.

    Args:
        numbers: Whole numbers, (N,).
        seed: The seed.

    Returns:
        (N,) in float64.
    """
    (start,) = np.random.SeedSequence(seed).generate_state(1, np.uint64)
    with np.errstate(over="ignore"):
        z = (numbers.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15) + start
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
    found: np.ndarray = (z >> np.uint64(11)) * 2.0**-53
    return found


def _join(parts: list[Rows]) -> Rows:
    if len(parts) == 1:
        return parts[0]

    def joined(values: list[Any], join: Any) -> Any:
        return None if values[0] is None else join(values)

    return Rows(
        torch.cat([rows.x for rows in parts]),
        joined([rows.y for rows in parts], torch.cat),
        joined([rows.weight for rows in parts], torch.cat),
        joined([rows.numbers for rows in parts], np.concatenate),
        joined([rows.ids for rows in parts], pa.concat_tables),
    )


def _no_rows(columns: Columns) -> Rows:
    dtype = getattr(torch, columns.dtype)
    return Rows(
        torch.empty((0, len(columns.feature_names)), dtype=dtype),
        torch.empty((0, len(columns.targets)), dtype=dtype) if columns.targets else None,
        torch.empty((0,), dtype=dtype) if columns.weight is not None else None,
        np.empty(0, np.int64),
        None,
    )
