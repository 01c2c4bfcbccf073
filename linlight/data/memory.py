"""Rows in memory, and how they are divided."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from linlight.data.arrays import Rows
from linlight.data.loaders import BatchLoader
from linlight.data.rounding import Rounding
from linlight.data.sources import SHOWN, Batching, Predicted, ProcessInfo, Source, Split
from linlight.data.statistics import merge_over_processes
from linlight.errors import InputError
from linlight.functional.standardize import Standardizer
from linlight.functional.statistic import Moments, moments

BLOCK_ROWS = 2**16
"""Rows that a pass takes at a time where nobody says how many."""
SINGLE_PASS_BYTES = 2**27
"""Rows at a time where they are only added up: many, which the statistic divides among all cores."""


class Memory(Source):
    """Rows in memory, which are copied batch by batch: of a part of them the numbers of its rows are kept.

    Where they are standardised, rounded or moved to a device, all of them are copied once.

    Raises:
        InputError: If a kind of rows would have none.
    """

    piece = None
    is_surveyed = False

    def __init__(self, rows: Rows, split: Split) -> None:
        self.rows, self.dtype = rows, rows.x.dtype
        self.seed = split.seed
        # The numbers of the rows of each kind, in order; None: every row.
        self._parts = _parts(rows, split)
        self._copy: tuple[Any, tuple[Tensor, ...]] = (None, ())  # what the last copy is for, and it
        self._rounded = False

    @property
    def weighted(self) -> bool:
        """Whether rows have weights."""
        return self.rows.weight is not None

    def check_rounding(self, names: list[str]) -> None:
        """Reports, once, the columns that float32 is too coarse for.

        Raises:
            InputError: If a number is beyond it.
        """
        if not self._rounded:
            rounding = Rounding(names)
            rounding.add(self.rows)
            rounding.say()
            self._rounded = True

    @property
    def dropped(self) -> bool:
        """Whether rows of the table were left out."""
        return self.rows.numbers is not None

    def fingerprint(self) -> tuple[float, ...]:
        """The number of rows, and the sums of their numbers."""
        tensors = (t for t in (self.rows.x, self.rows.y, self.rows.weight) if t is not None)
        return (len(self.rows.x), *(t.sum(dtype=torch.float64).item() for t in tensors))

    def part(self, kind: str) -> Tensor | None:
        """The numbers of the rows of a kind, in order; None: every row."""
        return self._parts[kind]

    def leave_out(self, rows: Tensor, columns: list[int]) -> None:
        """Leaves out rows, marked in (N,), that none is trained on, and columns of x."""
        stays, held = ~rows, self.rows
        kept_columns = [i for i in range(held.x.shape[1]) if i not in set(columns)]
        numbers = np.arange(len(rows)) if held.numbers is None else held.numbers
        self.rows = Rows(
            held.x[stays][:, kept_columns],
            None if held.y is None else held.y[stays],
            None if held.weight is None else held.weight[stays],
            numbers[stays.numpy()] if rows.any() else held.numbers,
            None if held.ids is None else held.ids.filter(stays.tolist()),
        )
        place = stays.cumsum(0) - 1
        for kind, part in self._parts.items():
            self._parts[kind] = None if part is None else place[part[stays[part]]]

    def _size(self, kind: str) -> int:
        part = self._parts[kind]
        return len(self.rows.x) if part is None else len(part)

    def known_sizes(self) -> dict[str, int]:
        """Rows for training, validation and testing."""
        names = {"val": "validation", "test": "test"}
        kept = {name: self._size(kind) for kind, name in names.items() if kind in self._parts}
        return {"training": self._size("train"), **kept}

    def train_size(self, place: ProcessInfo) -> int:
        """Number of rows to train on."""
        return self._size("train")

    def moments(self, place: ProcessInfo) -> Moments:
        """The statistic of the rows to train on; each process reads its share."""
        n = self._size("train")
        first, last = (n * (place.rank + i) // place.world_size for i in (0, 1))
        on_device = place.device.type != "cpu" and place.dtype in (None, self.dtype)
        x, y, *weight = self._tensors(place if on_device else ProcessInfo(), None)
        part = self._parts["train"]
        if part is not None:
            chosen = part[first:last].to(x.device)
            return merge_over_processes(moments(x, y, *weight, rows=chosen))
        return merge_over_processes(moments(*(tensor[first:last] for tensor in (x, y, *weight))))

    def ranges(self, place: ProcessInfo) -> tuple[Tensor, Tensor]:
        """The least and the greatest value of each feature in training, (D,) each."""
        blocks = [(x.amin(0), x.amax(0)) for x, *_ in self.in_order("train", ProcessInfo(), None, BLOCK_ROWS)]
        low, high = (torch.stack(ends) for ends in zip(*blocks, strict=True))
        return low.amin(0), high.amax(0)

    def sample(self, most: int) -> tuple[Tensor, Tensor]:
        """Some of the rows to train on, x (n, D) and y (n, T), evenly spread."""
        n = self._size("train")
        chosen = torch.linspace(0, n - 1, min(n, most), dtype=torch.float64).round().long()
        part = self._parts["train"]
        chosen = chosen if part is None else part[chosen]
        assert self.rows.y is not None
        return self.rows.x[chosen], self.rows.y[chosen]

    def training(self, place: ProcessInfo, scaling: Standardizer | None, batching: Batching) -> BatchLoader:
        """The loader of a training epoch."""
        rows = self.rows.x
        many = max(BLOCK_ROWS, SINGLE_PASS_BYTES // max(1, rows.shape[1] * rows.element_size()))
        size = batching.batch_size or (many if batching.in_blocks else self._size("train"))
        options = {"shuffle": batching.shuffle, "batches_per_step": batching.batches_per_step}
        return self._loader("train", place, scaling, size, **options)

    def in_order(
        self, kind: str, place: ProcessInfo, scaling: Standardizer | None, batch_size: int | None
    ) -> BatchLoader:
        """The loader of a pass over the rows of a kind, or of all, in order."""
        size = batch_size or BLOCK_ROWS
        if kind == "predict":
            x = self.rows.x if scaling is None else scaling.scale(self.rows.x)
            x = x.to(place.device, place.dtype)
            numbers = torch.arange(len(x), device=place.device)
            return BatchLoader((x, numbers), size, seed=self.seed, place=place)
        return self._loader(kind, place, scaling, size)

    def _loader(
        self, kind: str, place: ProcessInfo, scaling: Standardizer | None, batch_size: int, **options: Any
    ) -> BatchLoader:
        tensors = self._tensors(place, scaling)
        return BatchLoader(
            tensors, batch_size, part=self._parts[kind], seed=self.seed, place=place, **options
        )

    def _tensors(self, place: ProcessInfo, scaling: Standardizer | None) -> tuple[Tensor, ...]:
        """x, y and, where rows have them, weights as they are handed out; a copy is kept for all who ask.

        x is standardised before it is rounded, so that it loses nothing of what tells its rows apart.
        """
        rows = self.rows
        assert rows.y is not None
        tensors = (rows.x, rows.y) if rows.weight is None else (rows.x, rows.y, rows.weight)
        if scaling is None and place.device == rows.x.device and place.dtype in (None, self.dtype):
            return tensors
        wanted = (place.device, place.dtype, scaling)
        if self._copy[0] != wanted:
            x = tensors[0] if scaling is None else scaling.scale(tensors[0])
            self._copy = wanted, tuple(t.to(place.device, place.dtype) for t in (x, *tensors[1:]))
        return self._copy[1]

    def predicted(self, batch: Any, predictions: Tensor) -> Predicted:
        """A batch to `predict` with its predictions, (B, T), and what is known of its rows."""
        x, places = batch[0], batch[1].cpu()
        first, end = (int(places[0]), int(places[-1]) + 1) if len(places) else (0, 0)
        numbers = places if self.rows.numbers is None else torch.from_numpy(self.rows.numbers[first:end])
        ids = None if self.rows.ids is None else self.rows.ids.slice(first, end - first)
        return Predicted(first, end, numbers.numpy(), ids, predictions.cpu(), x[:SHOWN].cpu())


def _parts(rows: Rows, split: Split) -> dict[str, Tensor | None]:
    """The numbers of the rows of each kind, in order, None for every row; those of weight 0 are in none."""
    counted = None
    if rows.weight is not None and not rows.weight.all():
        counted = rows.weight.nonzero()[:, 0]
    n = len(rows.x) if counted is None else len(counted)
    if not n:
        raise InputError("all weights are 0: there are no rows to train on")
    if not split.held_back:
        return {"all": counted, "train": counted}
    sizes = {kind: round(n * fraction) for kind, fraction in split.fractions.items()}
    for kind, fraction in split.fractions.items():
        if fraction and not sizes[kind]:
            raise InputError(
                f"{kind}_fraction {fraction} of {n} rows is less than one row: raise it, or set it to 0"
            )
    rest = n - sum(sizes.values())
    if rest <= 0:
        raise InputError(f"the split leaves no rows to train on: {n} rows are too few for it")
    order = torch.randperm(n, generator=torch.Generator().manual_seed(split.seed))
    order = order if counted is None else counted[order]
    test, val, train = order.split([sizes["test"], sizes["val"], rest])
    # Within a part the rows keep the order in which they were given.
    parts = {"train": train, "val": val, "test": test}
    return {"all": counted} | {kind: part.sort().values for kind, part in parts.items() if len(part)}
