"""Rows in memory, and how they are divided."""

from typing import Any

import torch
from torch import Tensor

from linlight.data.arrays import Rows
from linlight.data.loaders import BatchLoader
from linlight.data.rounding import Rounding
from linlight.data.sources import SHOWN, Batching, Predicted, ProcessInfo, Source
from linlight.data.split import NAMES
from linlight.data.statistics import merge_over_processes
from linlight.functional.standardize import Standardizer
from linlight.functional.statistic import Moments, moments

BLOCK_ROWS = 2**16
"""Rows of a batch in a pass where no batch size is given."""
SINGLE_PASS_BYTES = 2**27
"""Bytes of a batch where rows are only added up: large, because the statistic divides it among all cores."""


class Memory(Source):
    """Rows in memory. A split keeps the numbers of its rows, and rows are copied batch by batch.

    Where they are standardised, rounded or moved to a device, all of them are copied once.

    Args:
        rows: The rows.
        parts: The numbers of the rows of each kind, see `Split.divided`.
        seed: Seed of shuffling.
    """

    chunk_rows = None
    is_surveyed = False

    def __init__(self, rows: Rows, parts: dict[str, Tensor | None], seed: int) -> None:
        self.rows, self.dtype = rows, rows.x.dtype
        self._parts, self.seed = parts, seed
        self._copy: tuple[Any, tuple[Tensor, ...]] = (None, ())  # the last copy, and what it is for
        self._rounded = False

    @property
    def weighted(self) -> bool:
        return self.rows.weight is not None

    def check_rounding(self, names: list[str]) -> None:
        if not self._rounded:
            rounding = Rounding(names)
            rounding.add(self.rows)
            rounding.say()
            self._rounded = True

    @property
    def dropped(self) -> bool:
        return self.rows.numbers is not None

    def fingerprint(self) -> tuple[float, ...]:
        tensors = (t for t in (self.rows.x, self.rows.y, self.rows.weight) if t is not None)
        return (len(self.rows.x), *(t.sum(dtype=torch.float64).item() for t in tensors))

    def part(self, kind: str) -> Tensor | None:
        """The numbers of the rows of a kind, in order; None: every row."""
        return self._parts[kind]

    def _size(self, kind: str) -> int:
        part = self._parts[kind]
        return len(self.rows.x) if part is None else len(part)

    def known_sizes(self) -> dict[str, int]:
        return {name: self._size(kind) for kind, name in NAMES.items() if kind in self._parts}

    def train_size(self, place: ProcessInfo) -> int:
        return self._size("train")

    def moments(self, place: ProcessInfo) -> Moments:
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
        blocks = [(x.amin(0), x.amax(0)) for x, *_ in self.in_order("train", ProcessInfo(), None, BLOCK_ROWS)]
        low, high = (torch.stack(ends) for ends in zip(*blocks, strict=True))
        return low.amin(0), high.amax(0)

    def sample(self, most: int) -> tuple[Tensor, Tensor]:
        n = self._size("train")
        chosen = torch.linspace(0, n - 1, min(n, most), dtype=torch.float64).round().long()
        part = self._parts["train"]
        chosen = chosen if part is None else part[chosen]
        assert self.rows.y is not None
        return self.rows.x[chosen], self.rows.y[chosen]

    def training(self, place: ProcessInfo, scaling: Standardizer | None, batching: Batching) -> BatchLoader:
        rows = self.rows.x
        many = max(BLOCK_ROWS, SINGLE_PASS_BYTES // max(1, rows.shape[1] * rows.element_size()))
        size = batching.batch_size or (many if batching.in_blocks else self._size("train"))
        options = {"shuffle": batching.shuffle, "batches_per_step": batching.batches_per_step}
        return self._loader("train", place, scaling, size, **options)

    def in_order(
        self, kind: str, place: ProcessInfo, scaling: Standardizer | None, batch_size: int | None
    ) -> BatchLoader:
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
        """x, y and, where rows have them, weights as they are delivered; the last copy is kept.

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
        x, places = batch[0], batch[1].cpu()
        first, end = (int(places[0]), int(places[-1]) + 1) if len(places) else (0, 0)
        numbers = places if self.rows.numbers is None else torch.from_numpy(self.rows.numbers[first:end])
        ids = None if self.rows.ids is None else self.rows.ids.slice(first, end - first)
        return Predicted(first, end, numbers.numpy(), ids, predictions.cpu(), x[:SHOWN].cpu())
