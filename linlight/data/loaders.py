"""Batches cut from tensors that are already in memory."""

import copy
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
    """Several batches handed out at once, for a step that updates the weights after each of them."""

    def __init__(self, batches: Sequence[tuple[Tensor, ...]]) -> None:
        self._batches = batches

    def __len__(self) -> int:
        """Number of batches."""
        return len(self._batches)

    def __getitem__(self, i: Any) -> Any:
        """Batch i."""
        return self._batches[i]

    def to(self, device: torch.device, **options: Any) -> "Batches":
        """The same on a device; Lightning calls it, and would look through a list one by one."""
        return Batches([tuple(tensor.to(device, **options) for tensor in batch) for batch in self])


class Block(Batches):
    """Consecutive rows as batches of a size, cut when they are asked for.

    To cut a row costs as much as many updates by a compiled kernel, which takes the rows as they are.

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
        """The same on a device."""
        return Block(tuple(tensor.to(device, **options) for tensor in self.rows), self.size)


GATHERED = 2**22
"""Bytes of rows that are gathered at a time, so that they are still in the cache when they are used."""


compiled_gather: dict[torch.dtype, Callable[..., None]] = {}
"""A compiled way to gather rows, by their type, where a method has numba at hand; see `kernels.gather`."""


class RowOrder(SequentialSampler):
    """The order in which an epoch visits the rows: a function of (seed, epoch) alone.

    Lightning calls `set_epoch` on the `sampler` of a loader before every epoch, and takes a loader whose
    sampler is of another type for one that shuffles.

    Args:
        rows: Number of rows.
        shuffle: Whether to visit them in a new random order each epoch, or as they come.
        seed: Seed of the random order.
    """

    def __init__(self, rows: int, *, shuffle: bool = False, seed: int = 0) -> None:
        super().__init__(range(rows))
        self.rows = rows
        self.shuffle = shuffle
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Chooses the epoch whose order the next iteration uses."""
        self.epoch = epoch

    def permutation(self) -> Tensor | None:
        """The row numbers in order, (rows,), or None where they are visited as they come."""
        return permutation(self.rows, self.seed, self.epoch) if self.shuffle else None


def permutation(n: int, *seeds: int) -> Tensor:
    """The numbers 0 to n − 1 in a random order, (n,), that the seeds alone decide.

    They are of 32 bits where that is enough: the same numbers, drawn and read in half the time.
    """
    # Mixed, so that (seed 0, epoch 1) and (seed 1, epoch 0) differ.
    (state,) = np.random.SeedSequence(seeds).generate_state(1, np.uint64)
    generator = torch.Generator().manual_seed(int(state >> np.uint64(1)))
    return torch.randperm(n, generator=generator, dtype=torch.int32 if n < 2**31 else torch.int64)


def gather_rows(tensor: Tensor, rows: Tensor) -> Tensor:
    """The rows of a tensor, (N, ...), with some numbers, (n,): (n, ...)."""
    if tensor.ndim == 2 and tensor.shape[1] == 1:  # PyTorch copies numbers faster than rows of one
        return tensor[:, 0].index_select(0, rows)[:, None]
    compiled = compiled_gather.get(tensor.dtype)
    if compiled is None or tensor.device.type != "cpu" or tensor.ndim != 2 or not tensor.is_contiguous():
        return tensor.index_select(0, rows)
    chosen = tensor.new_empty(len(rows), tensor.shape[1])
    compiled(tensor.numpy(), rows.numpy(), chosen.numpy())
    return chosen


def to_device(tensor: Tensor, device: torch.device, dtype: torch.dtype | None = None) -> Tensor:
    """A tensor on a device, and of a type; the host does not wait for a GPU that copies it."""
    if device.type != "cuda" or tensor.device.type != "cpu":
        return tensor.to(device, dtype)
    # From memory that is not pinned, the copy would be waited for whatever `non_blocking` says.
    return tensor.to(dtype=dtype).pin_memory().to(device, non_blocking=True)


class Resumable:
    """A loader that can go on in the middle of an epoch, at the batch after the last it has handed out.

    Attributes:
        batches: Number of batches in an epoch.
    """

    # Lightning asks every loader that has a sampler for this one too.
    batch_sampler = None
    batches: int

    def __init__(self) -> None:
        self._first = 0  # the batch with which the next iteration begins
        self._given = 0  # batches handed out in this epoch

    def from_the_beginning(self) -> "Resumable":
        """The same batches for another pass over the epoch, which leaves this loader's position as it is."""
        other = copy.copy(self)
        other._first = other._given = 0
        return other

    def settings(self) -> dict[str, int]:
        """The settings, by name, under which a saved position holds."""
        raise NotImplementedError

    def state_dict(self) -> dict[str, int]:
        """Returns the position in the epoch; Lightning keeps it in the checkpoint."""
        return {"batch": self._given % self.batches, **self.settings()}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Makes the next iteration begin with the batch after the last that was handed out.

        Raises:
            InputError: If the batches of the checkpoint were others.
        """
        for name, value in self.settings().items():
            if state.get(name, value) != value:  # an older version did not know all of them
                raise InputError(
                    f"the checkpoint lies in the middle of an epoch with {name} {state[name]}, and now it is "
                    f"{value}: go on with the same data and batches, or from the end of an epoch"
                )
        self._first = self._given = state["batch"]


class BatchLoader(Resumable):
    """Yields batches by slicing whole tensors, each process its share of every batch.

    A `DataLoader` over a `TensorDataset` fetches row by row and stacks them again, which is tens of times
    slower. `DistributedSampler` repeats rows until the processes have equally many, which changes the
    answer (Lightning-AI/pytorch-lightning#2398); here batch k holds the same rows whatever the number of
    processes, each takes a contiguous part of them, and a part may be empty.

    Args:
        tensors: Tensors with the same first dimension; a batch is a tuple of their slices.
        batch_size: Rows per batch over all processes.
        part: The numbers of the rows to visit, (n,), on the CPU. Default: all.
        shuffle: Whether to reorder the rows each epoch.
        seed: Seed of the reordering.
        place: Where it runs; the tensors are on its device.
        batches_per_step: Batches handed out at once; where more than one, an item is `Batches`, the last of
            what is left.
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
        self._whole: tuple[Tensor, ...] | None = None  # this process's share, where it is ever the same

    def settings(self) -> dict[str, int]:
        """A position is counted in whole batches, so it holds for any number of processes."""
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
        """What `_cut` makes from batch `begin` on, with the number of its first batch.

        Rows in a random order are gathered many batches at a time, while those before are used.
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
        """The numbers of the rows in the order of the epoch; None: all, as they come."""
        order = self.sampler.permutation()
        if order is None:
            order = self.part
        elif self.part is not None:
            order = self.part.index_select(0, order)
        # Once an epoch: a GPU would wait for the numbers of each batch.
        return None if order is None else to_device(order, self.tensors[0].device)

    def _cut(self, first: int, end: int, order: Tensor | None) -> Batches:
        """This process's shares of the batches from `first` to before `end`."""
        rank, world_size = self.place[:2]
        if self._of_a_pass == 1 and not self.sampler.shuffle:
            if self._whole is None:
                start, stop = (self.rows * (rank + i) // world_size for i in (0, 1))
                self._whole = self._rows(start, stop, order)
            return Batches([self._whole] * (end - first))
        if world_size == 1 and self.passes == 1:  # taken at once, then divided
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
        return tuple(gather_rows(tensor, order[start:stop]) for tensor in self.tensors)
