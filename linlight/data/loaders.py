"""Batches cut from tensors in memory, and what the loaders of a stream share with them."""

import copy
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import SequentialSampler

from linlight.data.prefetch import prefetch
from linlight.data.sources import ProcessInfo
from linlight.errors import InputError


class Batches(Sequence[tuple[Tensor, ...]]):
    """Several batches in one item of a loader, for a training step that updates the weights after each."""

    def __init__(self, batches: Sequence[tuple[Tensor, ...]]) -> None:
        self._batches = batches

    def __len__(self) -> int:
        """Number of batches."""
        return len(self._batches)

    def __getitem__(self, i: Any) -> Any:
        """Batch i."""
        return self._batches[i]

    def to(self, device: torch.device, **options: Any) -> "Batches":
        """Moves them to a device, as Lightning calls it; in a list it would move tensor by tensor."""
        return Batches([tuple(tensor.to(device, **options) for tensor in batch) for batch in self])


class Block(Batches):
    """Consecutive rows as batches of a given size, cut only when they are asked for.

    Cutting a row costs as much as many updates by a compiled kernel, which takes the rows in one piece.

    Args:
        rows: Tensors with the same first dimension, at least 1.
        size: Rows in a batch; the last may have fewer.
    """

    def __init__(self, rows: tuple[Tensor, ...], size: int) -> None:
        self.rows, self.size = rows, size

    def __len__(self) -> int:
        """Number of batches."""
        return -(-len(self.rows[0]) // self.size)

    def __getitem__(self, i: Any) -> Any:
        """Batch i."""
        first = range(len(self))[i] * self.size
        return tuple(tensor[first : first + self.size] for tensor in self.rows)

    def to(self, device: torch.device, **options: Any) -> "Block":
        """Moves them to a device."""
        return Block(tuple(tensor.to(device, **options) for tensor in self.rows), self.size)


GATHERED = 2**22
"""Bytes of rows that are gathered at a time, so that they are still in the cache when they are used."""

MOST_BUFFERS = 4
"""Buffers that are kept: for rows in use, those that come next, those being gathered, and one to spare."""

compiled_gather: dict[torch.dtype, Callable[..., None]] = {}
"""`kernels.gather`, by the rows' type, where a method has loaded numba."""


class RowOrder(SequentialSampler):
    """The order in which an epoch visits the rows: a function of (seed, epoch) alone.

    Lightning calls `set_epoch` on a loader's `sampler` before every epoch. It is a `SequentialSampler`, for
    Lightning takes a loader with any other sampler for one that shuffles.

    Args:
        rows: Number of rows.
        shuffle: Whether to visit them in a new random order each epoch.
        seed: Seed of the random order.
    """

    def __init__(self, rows: int, *, shuffle: bool = False, seed: int = 0) -> None:
        super().__init__(range(rows))
        self.rows = rows
        self.shuffle = shuffle
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Sets the epoch whose order the next iteration uses."""
        self.epoch = epoch

    def permutation(self) -> Tensor | None:
        """The row numbers in this epoch's order, (rows,), or None without shuffling."""
        return permutation(self.rows, self.seed, self.epoch) if self.shuffle else None


def permutation(n: int, *seeds: int) -> Tensor:
    """The numbers 0 to n − 1 in a random order, (n,), that depends on the seeds alone.

    They have 32 bits where that is enough: the same order, drawn and read in half the time.
    """
    # Mixed, so that (seed 0, epoch 1) and (seed 1, epoch 0) differ.
    (state,) = np.random.SeedSequence(seeds).generate_state(1, np.uint64)
    generator = torch.Generator().manual_seed(int(state >> np.uint64(1)))
    return torch.randperm(n, generator=generator, dtype=torch.int32 if n < 2**31 else torch.int64)


class Buffers:
    """Memory for gathered rows, lent again as soon as no tensor holds it.

    Fresh memory would be a fifth of the cost of shuffled batches, for the system clears its pages.
    """

    def __init__(self) -> None:
        self._kept: list[tuple[np.ndarray, weakref.ref[np.ndarray]]] = []  # each with what was lent of it
        self._lock = threading.Lock()

    def lend(self, rows: int, like: Tensor) -> Tensor:
        """A tensor, (rows, columns), of another's columns and type, whose numbers are to be filled in."""
        shape, dtype = (rows, like.shape[1]), like.numpy().dtype
        with self._lock:
            free = (
                i
                for i, (array, lent) in enumerate(self._kept)
                if lent() is None
                and len(array) >= rows
                and (array.shape[1], array.dtype) == (shape[1], dtype)
            )
            i = next(free, len(self._kept))
            array = self._kept[i][0] if i < len(self._kept) else np.empty(shape, dtype)
            view = array[:rows]  # alive as long as a tensor uses its memory
            if i < MOST_BUFFERS:
                self._kept[i : i + 1] = [(array, weakref.ref(view))]
        return torch.from_numpy(view)


def gather_rows(tensor: Tensor, rows: Tensor, buffers: Buffers | None = None) -> Tensor:
    """Copies the rows of a tensor, (N, ...), that `rows`, (n,), names: (n, ...)."""
    if tensor.ndim == 2 and tensor.shape[1] == 1:  # PyTorch copies single numbers faster than rows of one
        return tensor[:, 0].index_select(0, rows)[:, None]
    compiled = compiled_gather.get(tensor.dtype)
    if compiled is None or tensor.device.type != "cpu" or tensor.ndim != 2 or not tensor.is_contiguous():
        return tensor.index_select(0, rows)
    chosen = (
        tensor.new_empty(len(rows), tensor.shape[1]) if buffers is None else buffers.lend(len(rows), tensor)
    )
    compiled(tensor.numpy(), rows.numpy(), chosen.numpy())
    return chosen


def to_device(tensor: Tensor, device: torch.device, dtype: torch.dtype | None = None) -> Tensor:
    """Moves a tensor to a device, and to a type; the host does not wait for the copy to a GPU."""
    if device.type != "cuda" or tensor.device.type != "cpu":
        return tensor.to(device, dtype)
    # From memory that is not pinned, the host would wait, whatever `non_blocking` says.
    return tensor.to(dtype=dtype).pin_memory().to(device, non_blocking=True)


class Resumable:
    """A loader that can resume in the middle of an epoch, after the last batch it yielded.

    Attributes:
        batches: Number of batches in an epoch.
    """

    # Lightning asks every loader that has a sampler for this one too.
    batch_sampler = None
    batches: int

    def __init__(self) -> None:
        self._first = 0  # the batch with which the next iteration begins
        self._given = 0  # batches yielded in this epoch

    def from_the_beginning(self) -> "Resumable":
        """A copy for another pass over the epoch, which leaves this loader's position unchanged."""
        other = copy.copy(self)
        other._first = other._given = 0
        return other

    def settings(self) -> dict[str, int]:
        """The settings, by name, that a saved position depends on."""
        raise NotImplementedError

    def state_dict(self) -> dict[str, int]:
        """Returns the position in the epoch; Lightning keeps it in the checkpoint."""
        return {"batch": self._given % self.batches, **self.settings()}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Makes the next iteration begin with the batch after the last that was yielded.

        Raises:
            InputError: If the settings differ from the checkpoint's.
        """
        for name, value in self.settings().items():
            if state.get(name, value) != value:  # earlier versions did not save all of them
                raise InputError(
                    f"the checkpoint lies in the middle of an epoch with {name} {state[name]}, and now it is "
                    f"{value}: go on with the same data and batches, or from the end of an epoch"
                )
        self._first = self._given = state["batch"]


class BatchLoader(Resumable):
    """Yields batches by slicing whole tensors, on each process its share of every batch.

    A `DataLoader` over a `TensorDataset` fetches single rows and stacks them again, which is tens of times
    slower. `DistributedSampler` repeats rows until the processes have equally many, which changes the
    answer (Lightning-AI/pytorch-lightning#2398); here batch k holds the same rows for any number of
    processes, each of which takes a contiguous part of them, perhaps an empty one.

    Args:
        tensors: Tensors with the same first dimension; a batch is a tuple of their slices.
        batch_size: Rows per batch over all processes.
        part: The numbers of the rows to visit, (n,), on the CPU. Default: all.
        shuffle: Whether to reorder the rows each epoch.
        seed: Seed of the random order.
        place: Where it runs; the tensors are on its device.
        batches_per_step: Batches in an item; where more than one, an item is `Batches`, the last one perhaps
            with fewer.
        passes: How many times an epoch goes over the rows.
    """

    def __init__(
        self,
        tensors: tuple[Tensor, ...],
        batch_size: int,
        *,
        part: Tensor | None = None,
        shuffle: bool = False,
        seed: int = 0,
        place: ProcessInfo = ProcessInfo(),  # noqa: B008
        batches_per_step: int = 1,
        passes: int = 1,
    ) -> None:
        super().__init__()
        self.tensors = tensors
        self.part = part
        self.rows = len(tensors[0]) if part is None else len(part)
        self.batch_size = min(batch_size, self.rows)
        self.place = place
        self.batches_per_step = batches_per_step
        self.passes = passes
        self._of_a_pass = -(-self.rows // self.batch_size)
        self.batches = passes * self._of_a_pass
        self.sampler = RowOrder(self.rows, shuffle=shuffle, seed=seed)
        self._buffers = Buffers()
        self._whole: tuple[Tensor, ...] | None = None  # this process's share, where all batches are the same

    def settings(self) -> dict[str, int]:
        """What a position depends on; counted in whole batches, it holds for any number of processes."""
        sampler = self.sampler
        return {
            "rows": self.rows,
            "batch_size": self.batch_size,
            "updates_per_step": self.batches_per_step,
            "passes": self.passes,
            "shuffle": int(sampler.shuffle),
            "seed": sampler.seed,
        }

    def __len__(self) -> int:
        """Number of items in an epoch, the same on every process."""
        return -(-self.batches // self.batches_per_step)

    def __iter__(self) -> Iterator[Any]:
        """Yields this process's share of each batch, in order."""
        begin, self._first = self._first, 0
        for first, cut in self._ahead(begin):
            for i in range(0, len(cut), self.batches_per_step):
                self._given = min(first + i + self.batches_per_step, self.batches)
                yield cut if self.batches_per_step > 1 else cut[i]

    def _ahead(self, begin: int) -> Iterator[tuple[int, Batches]]:
        """Batches from number `begin` on, several at a time, with the number of the first of them.

        Rows in a random order are gathered many batches at a time, while the batches before are used.
        """
        order = self._order()
        step = self.batches_per_step
        gathered = order is not None and self.place.device.type == "cpu" and self._of_a_pass > 1
        if gathered and step == 1:
            in_a_row = sum(tensor[0].nbytes for tensor in self.tensors)
            step = max(1, GATHERED // max(1, in_a_row * self.batch_size))
        starts = range(begin, self.batches, step)
        cuts = ((first, self._cut(first, min(first + step, self.batches), order)) for first in starts)
        return prefetch(cuts) if gathered and len(starts) > 1 else cuts

    def _order(self) -> Tensor | None:
        """The numbers of the rows in the epoch's order, or None where all rows are visited in their own."""
        order = self.sampler.permutation()
        if order is None:
            order = self.part
        elif self.part is not None:
            order = self.part.index_select(0, order)
        # Moved once an epoch: a GPU would wait for the numbers of each batch.
        return None if order is None else to_device(order, self.tensors[0].device)

    def _cut(self, first: int, end: int, order: Tensor | None) -> Batches:
        """This process's shares of the batches from `first` to before `end`."""
        rank, world_size = self.place[:2]
        if self._of_a_pass == 1 and not self.sampler.shuffle:
            if self._whole is None:
                start, stop = (self.rows * (rank + i) // world_size for i in (0, 1))
                self._whole = self._rows(start, stop, order)
            return Batches([self._whole] * (end - first))
        if world_size == 1 and self.passes == 1:  # the rows are in one piece
            start, stop = first * self.batch_size, min(end * self.batch_size, self.rows)
            return Block(self._rows(start, stop, order), self.batch_size)
        shares = []
        for batch in range(first, end):
            start = batch % self._of_a_pass * self.batch_size
            size = min(self.batch_size, self.rows - start)
            mine = start + size * rank // world_size
            next_one = start + size * (rank + 1) // world_size
            shares.append(self._rows(mine, next_one, order))
        return Batches(shares)

    def _rows(self, start: int, stop: int, order: Tensor | None) -> tuple[Tensor, ...]:
        if order is None:
            return tuple(tensor[start:stop] for tensor in self.tensors)
        return tuple(gather_rows(tensor, order[start:stop], self._buffers) for tensor in self.tensors)
