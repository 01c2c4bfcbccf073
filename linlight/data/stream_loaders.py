"""The loaders of a stream: in order, or in batches of a size, shuffled within windows."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from linlight.data.chunks import Chunk, ChunkedTable, Survey
from linlight.data.loaders import Batches, Block, Resumable, RowOrder, gather_rows, permutation, to_device
from linlight.data.prefetch import prefetch
from linlight.data.sources import Batching, ProcessInfo
from linlight.distributed import gather
from linlight.errors import InputError
from linlight.functional.standardize import Standardizer


def _moved(batch: tuple[Tensor, ...], scaling: Standardizer | None, place: ProcessInfo) -> tuple[Tensor, ...]:
    # Rounded last, so that standardised features lose nothing of what tells rows apart.
    x = batch[0] if scaling is None else scaling.scale(batch[0])
    return tuple(to_device(tensor, place.device, place.dtype) for tensor in (x, *batch[1:]))


class InOrder(Resumable):
    """All rows of one kind in order, in batches as they come: for what only adds them up.

    Args:
        stream: The stream.
        kind: `train`, `val`, `test`, or `all`; or `predict`, whose batches are x, the rows' numbers, (B,),
            their id columns or None, and the range of rows of the table that they are from.
        place: Where it runs.
        scaling: How to standardise the features.
    """

    def __init__(
        self, stream: ChunkedTable, kind: str, place: ProcessInfo, scaling: Standardizer | None = None
    ) -> None:
        super().__init__()
        self.stream, self.kind, self.scaling = stream, kind, scaling
        self.place, self.rank, self.world_size = place, place.rank, place.world_size
        self._error = ""  # what this process met with, of several
        self._length = stream.turns_of_a_pass(self.world_size)

    def settings(self) -> dict[str, int]:
        """A position is a turn, so the pieces and the processes must be the same."""
        size = self.stream.columns.table.size
        return {"size": size, "rows_in_a_piece": self.stream.piece, "processes": self.world_size}

    def state_dict(self) -> dict[str, int]:
        """Returns the position in the pass."""
        return {"batch": self._given, **self.settings()}

    def __len__(self) -> int:
        """Number of batches, the same on every process.

        Raises:
            TypeError: If only reading tells; this is how Lightning knows of it.
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
            self.stream.columns.forget()
        turns = self.stream.turns(range(len(self.stream.parts)), self.rank, self.world_size)
        for turn, (batch, rows) in enumerate(prefetch(self._batches(islice(turns, begin, None))), begin):
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
        if self.world_size > 1:
            errors = [error for error in gather(self._error) if error]
            if errors:
                raise InputError(errors[0])
        if whole:
            self.stream.passed(kept)

    def _batches(self, turns: Iterator[Chunk | None]) -> Iterator[tuple[Any, int]]:
        """This process's batches, each with the number of rows that were usable.

        Of several processes one alone may meet with bad rows. It keeps its turns, without rows, for the
        others would wait for it; at the end all of them fail alike.
        """
        left = None if self._length is None else self._length - self._given
        try:
            for piece in turns:
                left = None if left is None else left - 1
                try:
                    yield self._batch(piece)
                except InputError as error:
                    if self.world_size == 1:
                        raise
                    self._error = self._error or str(error)
                    yield self._batch(None)
        except InputError as error:
            if self.world_size == 1 or left is None:
                raise
            self._error = self._error or str(error)
            for _ in range(left):
                yield self._batch(None)

    def _batch(self, piece: Chunk | None) -> tuple[Any, int]:
        rows = self.stream.convert(piece)
        if self.kind == "predict":
            span = (0, 0) if piece is None else (piece.first, piece.first + len(piece))
            (x,) = _moved((rows.x,), self.scaling, self.place)
            return (x, torch.from_numpy(rows.numbers), rows.ids, span), len(rows.x)
        return _moved(self.stream.tensors(rows, self.kind), self.scaling, self.place), len(rows.x)


@dataclass(frozen=True)
class _Window:
    """Consecutive pieces whose rows are shuffled together."""

    pieces: list[tuple[int, int, int]]  # part, number in the part, rows
    first: int  # where its first row stands in the epoch

    @property
    def rows(self) -> int:
        return sum(rows for _, _, rows in self.pieces)


class Windows(Resumable):
    """Batches of a size over all processes, of a stream that was surveyed.

    Batch k holds the same rows whatever the number of processes; each process has those of them that lie
    in its pieces, which may be none. Shuffled, an epoch visits the parts (files and row groups) in a new
    random order, and the rows of each window of pieces in a new random order.
    """

    def __init__(
        self,
        stream: ChunkedTable,
        survey: Survey,
        batching: Batching,
        place: ProcessInfo,
        scaling: Standardizer | None = None,
    ) -> None:
        super().__init__()
        self.stream, self.survey, self.scaling = stream, survey, scaling
        self.batches_per_step = batching.batches_per_step
        self.place, self.rank, self.world_size = place, place.rank, place.world_size
        self.rows = survey.sizes["train"]
        self.batch_size = min(batching.batch_size or self.rows, self.rows)
        self.batches = -(-self.rows // self.batch_size)
        self.sampler = RowOrder(self.rows, shuffle=batching.shuffle, seed=stream.seed)

    def settings(self) -> dict[str, int]:
        """A position is counted in whole batches, so it holds for any number of processes."""
        return {
            "rows": self.rows,
            "batch_size": self.batch_size,
            "updates_per_step": self.batches_per_step,
            "shuffle": int(self.sampler.shuffle),
            "seed": self.stream.seed,
            "window": self.stream.window,
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
        windows = [w for w in self._windows() if w.first + w.rows > begin * self.batch_size]
        for window, (own, own_places) in zip(windows, prefetch(self._read(windows)), strict=True):
            held = own if held is None else tuple(torch.cat(pair) for pair in zip(held, own, strict=True))
            places = np.concatenate([places, own_places])
            seen = window.first + window.rows
            end = self.batches if seen == self.rows else seen // self.batch_size
            # Whole items only, counted from where the iteration began.
            end = end if seen == self.rows else end - (end - batch) % step
            if end <= batch:
                continue
            # Where each batch begins among this process's rows.
            cuts = np.searchsorted(places, np.arange(batch, end + 1) * self.batch_size)
            for first in range(batch, end, step):
                yield first, self._cut(held, cuts[first - batch : first - batch + step + 1])
            held = tuple(tensor[cuts[-1] :] for tensor in held)
            places, batch = places[cuts[-1] :], end

    def _cut(self, rows: tuple[Tensor, ...], cuts: np.ndarray) -> Batches:
        if self.world_size == 1:
            return Block(tuple(tensor[cuts[0] : cuts[-1]] for tensor in rows), self.batch_size)
        shares = pairwise(cuts.tolist())
        return Batches([tuple(tensor[start:stop] for tensor in rows) for start, stop in shares])

    def _windows(self) -> list[_Window]:
        windows, pieces, rows, first = [], [], 0, 0
        for part in self._order():
            for number, count in enumerate(self.survey.counts[part]):
                pieces.append((part, number, count))
                rows += count
                if rows >= self.stream.window:
                    windows.append(_Window(pieces, first))
                    first, pieces, rows = first + rows, [], 0
        return [*windows, _Window(pieces, first)] if rows else windows

    def _order(self) -> Sequence[int]:
        n = len(self.stream.parts)
        return permutation(n, *self._seeds()).tolist() if self.sampler.shuffle else range(n)

    def _seeds(self, *more: int) -> tuple[int, ...]:
        return self.stream.seed, self.sampler.epoch, *more

    def _read(self, windows: list[_Window]) -> Iterator[tuple[tuple[Tensor, ...], np.ndarray]]:
        """For each window this process's rows in the order of the epoch, and their places in it."""
        needed = dict.fromkeys(part for window in windows for part, _, _ in window.pieces)
        order = list(needed)
        owners = self.stream.owners(order, self.world_size)
        turns = self.stream.turns(order, self.rank, self.world_size)
        for window in windows:
            # Rows by their places in the window, before it is shuffled.
            mine, tensors, first = np.zeros(window.rows, bool), [self._none()], 0
            for part, number, count in window.pieces:
                owner = owners[part]
                if (number % self.world_size if owner is None else owner) == self.rank:
                    own = (p for p in turns if p is not None and (p.part, p.number) == (part, number))
                    batch = self.stream.tensors(self.stream.convert(next(own, None)), "train")
                    if len(batch[0]) != count:
                        file = self.stream.parts[part].file
                        raise InputError(
                            f"{file} changed while it was read: use a copy that nothing writes to"
                        )
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
            yield _moved(batch, self.scaling, self.place), places + window.first

    def _none(self) -> tuple[Tensor, ...]:
        return self.stream.tensors(self.stream.convert(None), "all")
