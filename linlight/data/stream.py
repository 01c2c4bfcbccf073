"""Tables of any size, read block by block in every pass, in bounded memory."""

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from linlight.data.chunks import ChunkedTable, Survey
from linlight.data.columns import no_rows
from linlight.data.prefetch import prefetch
from linlight.data.sources import SHOWN, Batching, Predicted, ProcessInfo
from linlight.data.stream_loaders import InOrder, Windows
from linlight.distributed import gather
from linlight.errors import InputError
from linlight.functional.standardize import Standardizer
from linlight.functional.statistic import Moments, empty, merge, moments

SAMPLED_PARTS = 16
"""The number of parts that a sample is taken from."""


class Stream(ChunkedTable):
    """A table's rows, what one pass over them finds out, and the loaders of them."""

    _survey: Survey | None = None

    @property
    def is_surveyed(self) -> bool:
        """Whether the table has been read once for what `survey` tells."""
        return self._survey is not None

    def known_sizes(self) -> dict[str, int]:
        """Rows for training, validation and testing, as far as they are known by now."""
        if self._survey is not None:
            names = {"train": "training", "val": "validation", "test": "test"}
            return {names[kind]: n for kind, n in self._survey.sizes.items() if n}
        whole = not self.split.held_back and not self.columns.may_drop and not self.weighted
        return {"training": self.rows} if whole and self.rows is not None else {}

    # What one pass finds out ----------------------------------------------------------------------------

    def survey(self, place: ProcessInfo) -> Survey:
        """Reads everything once, each process its share; later calls know the answer.

        Raises:
            InputError: If there are no rows, or the split leaves a kind without any.
        """
        if self._survey is None:
            self._survey = self._surveyed(place.rank, place.world_size)
        return self._survey

    def train_size(self, place: ProcessInfo) -> int:
        """Number of rows to train on."""
        return self.survey(place).sizes["train"]

    def moments(self, place: ProcessInfo) -> Moments:
        """The statistic of the rows to train on."""
        return self.survey(place).moments

    def ranges(self, place: ProcessInfo) -> tuple[Tensor, Tensor]:
        """The least and the greatest value of each feature in training, (D,) each."""
        survey = self.survey(place)
        return survey.low, survey.high

    def _surveyed(self, rank: int, world_size: int) -> Survey:
        columns = self.columns
        features, targets = len(columns.feature_names), len(columns.targets)
        columns.forget()
        sizes = dict.fromkeys(("train", "val", "test"), 0)
        counts: dict[tuple[int, int], int] = {}
        m = empty(features, targets)
        low = torch.full((features,), math.inf, dtype=torch.float64)
        high = -low
        error = ""
        turns = self.turns(range(len(self.parts)), rank, world_size)
        converted = ((piece, self.convert(piece)) for piece in turns)
        try:
            for piece, rows in prefetch(converted):
                if piece is None:
                    continue
                for kind, fraction in self.split.fractions.items():
                    chosen = self.chosen(rows, kind) if fraction else None
                    sizes[kind] += 0 if chosen is None else len(chosen)
                batch = self.tensors(rows, "train")
                counts[piece.part, piece.number] = len(batch[0])
                if len(batch[0]):
                    sizes["train"] += len(batch[0])
                    m = merge([m, moments(*batch)])
                    low = torch.minimum(low, batch[0].amin(0).double())
                    high = torch.maximum(high, batch[0].amax(0).double())
        except InputError as met:
            error = str(met)
        errors = [one for one in gather(error) if one]  # one process alone may meet with bad rows
        if errors:
            raise InputError(errors[0])
        found = gather((sizes, counts, m.state_dict(), low, high))
        self._count_dropped(sum(sum(one[0].values()) for one in found))
        total = {kind: sum(one[0][kind] for one in found) for kind in sizes}
        self._check(total)
        self._say_rounding()
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

    def _check(self, sizes: dict[str, int]) -> None:
        total = sum(sizes.values())
        if not total:
            raise InputError(no_rows(self.columns.table.name))
        if not sizes["train"]:
            raise InputError(f"the split leaves no rows to train on: {total:,} rows are too few for it")
        for kind, fraction in self.split.fractions.items():
            if fraction and not sizes[kind]:
                raise InputError(
                    f"{kind}_fraction {fraction} of {total:,} rows came to no row: raise it, or set it to 0"
                )

    def sample(self, most: int) -> tuple[Tensor, Tensor]:
        """Some rows to train on, x (n, D) and y (n, T): the first of some parts that lie evenly over all."""
        count = min(len(self.parts), SAMPLED_PARTS, most)
        known = [i for i in range(len(self.parts)) if self._starts[i] is not None]
        parts = [known[i] for i in np.linspace(0, len(known) - 1, count).round().astype(int)]
        found: list[tuple[Tensor, ...]] = []
        for part in dict.fromkeys(parts):
            room = most // count
            for piece in self._pieces(part):
                rows = self.convert(piece)
                y = rows.x.new_empty((len(rows.x), 0)) if rows.y is None else rows.y
                chosen = self.chosen(rows, "train")
                batch = (rows.x, y) if chosen is None else (rows.x[chosen], y[chosen])
                found.append(tuple(tensor[:room] for tensor in batch))
                room -= len(found[-1][0])
                if room <= 0:
                    break
        x, y = (torch.cat(tensors) for tensors in zip(*found, strict=True))
        return x, y

    # Loaders --------------------------------------------------------------------------------------------

    def training(
        self, place: ProcessInfo, scaling: Standardizer | None, batching: Batching
    ) -> InOrder | Windows:
        """The loader of a training epoch; without a batch size, rows come as they are read."""
        if batching.batch_size is None:
            return InOrder(self, "train", place, scaling)
        return Windows(self, self.survey(place), batching, place, scaling)

    def in_order(
        self, kind: str, place: ProcessInfo, scaling: Standardizer | None, batch_size: int | None
    ) -> InOrder:
        """The loader of a pass over the rows of a kind, or of all, in order and as they are read."""
        return InOrder(self, kind, place, scaling)

    def predicted(self, batch: Any, predictions: Tensor) -> Predicted:
        """A batch to `predict` with its predictions, (B, T), and what is known of its rows."""
        x, numbers, ids, (first, end) = batch
        return Predicted(first, end, numbers.numpy(), ids, predictions.cpu(), x[:SHOWN].cpu())
