"""A table of any size as a source of rows, of which a few chunks are in memory at a time, and its loaders."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from linlight.data.chunks import Chunk, Chunks
from linlight.data.columns import Columns
from linlight.data.loaders import Batches, Block, Resumable, RowOrder, gather_rows, permutation, to_device
from linlight.data.prefetch import prefetch
from linlight.data.rounding import Rounding
from linlight.data.sources import SHOWN, Batching, Predicted, ProcessInfo, Source
from linlight.data.split import NAMES, Split
from linlight.data.tables import changed
from linlight.distributed import gather
from linlight.errors import InputError
from linlight.functional.standardize import Standardizer
from linlight.functional.statistic import Moments


class Stream(Source):
    """The rows of a table, read chunk by chunk in every pass; what one pass found out is kept."""

    def __init__(self, columns: Columns, window: int, split: Split) -> None:
        self.chunks = Chunks(columns, window, split)
        self.dtype = getattr(torch, columns.dtype)
        self.chunk_rows = self.chunks.chunk_rows
        self._columns = columns

    @property
    def weighted(self) -> bool:
        return self._columns.weight is not None

    def check_rounding(self, names: list[str]) -> None:
        if self.chunks.rounding is None:
            self.chunks.rounding = Rounding(names)

    @property
    def is_surveyed(self) -> bool:
        return self.chunks.found is not None

    @property
    def dropped(self) -> bool:
        return self._columns.dropped > 0

    def fingerprint(self) -> tuple[float, ...]:
        return (self._columns.table.size,)

    def known_sizes(self) -> dict[str, int]:
        chunks = self.chunks
        if chunks.found is not None:
            return {NAMES[kind]: n for kind, n in chunks.found.sizes.items() if n}
        all_train = not chunks.split.held_back and not self._columns.may_drop and not self.weighted
        return {"training": chunks.rows} if all_train and chunks.rows is not None else {}

    def train_size(self, place: ProcessInfo) -> int:
        return self.chunks.survey(place).sizes["train"]

    def moments(self, place: ProcessInfo) -> Moments:
        return self.chunks.survey(place).moments

    def ranges(self, place: ProcessInfo) -> tuple[Tensor, Tensor]:
        survey = self.chunks.survey(place)
        return survey.low, survey.high

    def sample(self, most: int) -> tuple[Tensor, Tensor]:
        return self.chunks.sample(most)

    def training(
        self, place: ProcessInfo, scaling: Standardizer | None, batching: Batching
    ) -> "InOrder | Windows":
        if batching.batch_size is None:
            return InOrder(self.chunks, "train", place, scaling)
        return Windows(self.chunks, self.chunks.survey(place).counts, batching, place, scaling)

    def in_order(
        self, kind: str, place: ProcessInfo, scaling: Standardizer | None, batch_size: int | None
    ) -> "InOrder":
        return InOrder(self.chunks, kind, place, scaling)

    def predicted(self, batch: Any, predictions: Tensor) -> Predicted:
        x, numbers, ids, (first, end) = batch
        return Predicted(first, end, numbers.numpy(), ids, predictions.cpu(), x[:SHOWN].cpu())


def _delivered(
    batch: tuple[Tensor, ...], scaling: Standardizer | None, place: ProcessInfo
) -> tuple[Tensor, ...]:
    # Rounded last, so that standardised features lose nothing of what tells rows apart.
    x = batch[0] if scaling is None else scaling.scale(batch[0])
    return tuple(to_device(tensor, place.device, place.dtype) for tensor in (x, *batch[1:]))


class InOrder(Resumable):
    """All rows of one kind in order, a chunk as a batch: for what only adds rows up.

    Args:
        chunks: The table's rows.
        kind: `train`, `val`, `test`, or `all`; or `predict`, whose batches are x, the rows' numbers, (B,),
            their id columns or None, and the range of rows of the table that they are from.
        place: Where it runs.
        scaling: How to standardise the features.
    """

    def __init__(
        self, chunks: Chunks, kind: str, place: ProcessInfo, scaling: Standardizer | None = None
    ) -> None:
        super().__init__()
        self.chunks, self.kind, self.place, self.scaling = chunks, kind, place, scaling
        self._error = ""  # what this process, one of several, has met
        self._length = chunks.turns(place.world_size)

    def settings(self) -> dict[str, int]:
        """A position is a turn, so chunks and processes must be the same. Checkpoints hold these names."""
        chunks = self.chunks
        size, rows = chunks.columns.table.size, chunks.chunk_rows
        return {"size": size, "rows_in_a_piece": rows, "processes": self.place.world_size}

    def state_dict(self) -> dict[str, int]:
        """Returns the position in the pass."""
        return {"batch": self._given, **self.settings()}

    def __len__(self) -> int:
        """Number of batches, the same on every process.

        Raises:
            TypeError: If it is known only after reading, as Lightning expects.
        """
        if self._length is None:
            raise TypeError("how many batches a CSV file has is known when it has been read")
        return self._length

    def __iter__(self) -> Iterator[Any]:
        """Yields this process's batches."""
        begin, self._first = self._first, 0
        kept = 0
        self._error = ""
        if not begin:
            self.chunks.columns.forget()
        chunks = self.chunks.schedule(range(len(self.chunks.parts)), *self.place[:2])
        batches = prefetch(self._batches(islice(chunks, begin, None), begin))
        for turn, (batch, rows) in enumerate(batches, begin):
            kept += rows
            # Where it cannot know the number of batches, Lightning asks for each before it uses the last.
            self._given = turn + 1 if self._length is not None else turn
            if turn + 1 == self._length:  # Lightning does not come back for more
                self._end(kept, whole=not begin)
            yield batch
        if self._length is None:
            self._end(kept, whole=not begin)

    def _end(self, kept: int, *, whole: bool) -> None:
        self._given = 0
        if self.place.world_size > 1:
            errors = [error for error in gather(self._error) if error]
            if errors:
                raise InputError(errors[0])
        if whole:
            self.chunks.report(kept)

    def _batches(self, chunks: Iterator[Chunk | None], begin: int) -> Iterator[tuple[Any, int]]:
        """This process's batches, each with the number of rows that were usable.

        Of several processes, one alone may meet bad rows. The others would wait for it, so it goes on
        through its turns without rows; at the end all of them fail alike.
        """
        left = None if self._length is None else self._length - begin
        try:
            for chunk in chunks:
                left = None if left is None else left - 1
                try:
                    yield self._batch(chunk)
                except InputError as error:
                    if self.place.world_size == 1:
                        raise
                    self._error = self._error or str(error)
                    yield self._batch(None)
        except InputError as error:
            if self.place.world_size == 1 or left is None:
                raise
            self._error = self._error or str(error)
            for _ in range(left):
                yield self._batch(None)

    def _batch(self, chunk: Chunk | None) -> tuple[Any, int]:
        rows = self.chunks.convert(chunk)
        if self.kind == "predict":
            span = (0, 0) if chunk is None else (chunk.first, chunk.first + len(chunk))
            (x,) = _delivered((rows.x,), self.scaling, self.place)
            return (x, torch.from_numpy(rows.numbers), rows.ids, span), len(rows.x)
        return _delivered(self.chunks.tensors(rows, self.kind), self.scaling, self.place), len(rows.x)


@dataclass(frozen=True)
class _Window:
    """Consecutive chunks whose rows are shuffled together."""

    chunks: list[tuple[int, int, int]]  # part, number in the part, rows
    first: int  # where its first row stands in the epoch

    @property
    def end(self) -> int:
        return self.first + self.rows

    @property
    def rows(self) -> int:
        return sum(rows for _, _, rows in self.chunks)


class Windows(Resumable):
    """Batches of a size over all processes.

    Batch k holds the same rows whatever the number of processes; each process has those of them that lie
    in its chunks, which may be none. Shuffled, an epoch visits the parts (files and row groups) in a new
    random order, and the rows of each window of chunks in a new random order.

    Args:
        chunks: The table's rows.
        counts: How many rows to train on each chunk has, by part.
        batching: How rows are batched.
        place: Where it runs.
        scaling: How to standardise the features.
    """

    def __init__(
        self,
        chunks: Chunks,
        counts: Sequence[Sequence[int]],
        batching: Batching,
        place: ProcessInfo,
        scaling: Standardizer | None = None,
    ) -> None:
        super().__init__()
        self.chunks, self.counts, self.place, self.scaling = chunks, counts, place, scaling
        self.batches_per_step = batching.batches_per_step
        self.rows = sum(map(sum, counts))
        self.batch_size = min(batching.batch_size or self.rows, self.rows)
        self.batches = -(-self.rows // self.batch_size)
        self.sampler = RowOrder(self.rows, shuffle=batching.shuffle, seed=chunks.split.seed)

    def settings(self) -> dict[str, int]:
        """A position is counted in whole batches, so it holds for any number of processes."""
        return {
            "rows": self.rows,
            "batch_size": self.batch_size,
            "updates_per_step": self.batches_per_step,
            "shuffle": int(self.sampler.shuffle),
            "seed": self.sampler.seed,
            "window": self.chunks.window,
        }

    def __len__(self) -> int:
        """Number of items in an epoch, the same on every process."""
        return -(-self.batches // self.batches_per_step)

    def __iter__(self) -> Iterator[Any]:
        """Yields this process's share of each batch, in order."""
        begin, self._first = self._first, 0
        for first, cut in self._cuts(begin):
            self._given = first + len(cut)
            yield cut if self.batches_per_step > 1 else cut[0]

    def _cuts(self, begin: int) -> Iterator[tuple[int, Batches]]:
        """This process's shares of the batches from `begin` on, as many as go into an item."""
        held: tuple[Tensor, ...] | None = None  # rows of an item that is not complete
        places = np.empty(0, np.int64)
        batch, step = begin, self.batches_per_step
        windows = [window for window in self._windows() if window.end > begin * self.batch_size]
        for window, (own, own_places) in zip(windows, prefetch(self._read(windows)), strict=True):
            held = own if held is None else tuple(torch.cat(pair) for pair in zip(held, own, strict=True))
            places = np.concatenate([places, own_places])
            if window.end == self.rows:
                end = self.batches
            else:  # whole items only, counted from where the iteration began
                end = window.end // self.batch_size
                end -= (end - batch) % step
            if end <= batch:
                continue
            # Where each batch begins among this process's rows.
            cuts = np.searchsorted(places, np.arange(batch, end + 1) * self.batch_size)
            for first in range(batch, end, step):
                yield first, self._cut(held, cuts[first - batch : first - batch + step + 1])
            held = tuple(tensor[cuts[-1] :] for tensor in held)
            places, batch = places[cuts[-1] :], end

    def _cut(self, rows: tuple[Tensor, ...], cuts: np.ndarray) -> Batches:
        if self.place.world_size == 1:
            return Block(tuple(tensor[cuts[0] : cuts[-1]] for tensor in rows), self.batch_size)
        shares = pairwise(cuts.tolist())
        return Batches([tuple(tensor[start:stop] for tensor in rows) for start, stop in shares])

    def _windows(self) -> list[_Window]:
        windows, chunks, rows, first = [], [], 0, 0
        for part in self._order():
            for number, count in enumerate(self.counts[part]):
                chunks.append((part, number, count))
                rows += count
                if rows >= self.chunks.window:
                    windows.append(_Window(chunks, first))
                    first, chunks, rows = first + rows, [], 0
        return [*windows, _Window(chunks, first)] if rows else windows

    def _order(self) -> Sequence[int]:
        n = len(self.counts)
        return permutation(n, *self._seeds()).tolist() if self.sampler.shuffle else range(n)

    def _seeds(self, *more: int) -> tuple[int, ...]:
        return self.sampler.seed, self.sampler.epoch, *more

    def _read(self, windows: list[_Window]) -> Iterator[tuple[tuple[Tensor, ...], np.ndarray]]:
        """For each window this process's rows in the order of the epoch, and their places in it."""
        rank, world_size = self.place[:2]
        order = list(dict.fromkeys(part for window in windows for part, _, _ in window.chunks))
        readers = self.chunks.readers(order, world_size)
        scheduled = self.chunks.schedule(order, rank, world_size)
        for window in windows:
            # Rows by their places in the window, before it is shuffled.
            mine, tensors, first = np.zeros(window.rows, bool), [self._tensors(None)], 0
            for part, number, count in window.chunks:
                reader = readers[part]
                if (number % world_size if reader is None else reader) == rank:
                    own = (c for c in scheduled if c is not None and (c.part, c.number) == (part, number))
                    batch = self._tensors(next(own, None))
                    if len(batch[0]) != count:
                        raise InputError(changed(self.chunks.parts[part].file))
                    tensors.append(batch)
                    mine[first : first + count] = True
                first += count
            batch = tuple(torch.cat(column) for column in zip(*tensors, strict=True))
            places = np.flatnonzero(mine)
            if self.sampler.shuffle:
                # The row that stands at each place of the shuffled window.
                shuffled = permutation(window.rows, *self._seeds(window.first)).numpy()
                places = np.flatnonzero(mine[shuffled])
                rows = (np.cumsum(mine) - 1)[shuffled[places]]
                batch = tuple(gather_rows(tensor, torch.from_numpy(rows)) for tensor in batch)
            yield _delivered(batch, self.scaling, self.place), places + window.first

    def _tensors(self, chunk: Chunk | None) -> tuple[Tensor, ...]:
        return self.chunks.tensors(self.chunks.convert(chunk), "train")
