"""A source of rows: what rows in memory and a stream have in common."""

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from linlight.functional.standardize import Standardizer
from linlight.functional.statistic import Moments

SHOWN = 10


class ProcessInfo(NamedTuple):
    """Where a loader runs.

    Attributes:
        rank: This process.
        world_size: Number of processes.
        device: Where its batches go.
        dtype: The type of their numbers; None: as they are.
    """

    rank: int = 0
    world_size: int = 1
    device: torch.device = torch.device("cpu")
    dtype: torch.dtype | None = None


@dataclass(frozen=True)
class Batching:
    """How a training epoch delivers its rows.

    Attributes:
        batch_size: Rows per batch over all processes; None: all rows, or as they are read.
        shuffle: Whether to visit the rows in a new order each epoch.
        batches_per_step: Batches that come at once; where more than one, an item is `Batches`.
        in_blocks: Whether rows may come in any batches where no size is given: they are only added up.
    """

    batch_size: int | None = None
    shuffle: bool = False
    batches_per_step: int = 1
    in_blocks: bool = False


@dataclass
class Predicted:
    """The predictions of one process for one batch.

    Attributes:
        first: Where it begins in the table: it covers all rows from there up to `end`, also those left out.
        end: Where the next begins.
        rows: The rows' numbers, (B,).
        ids: Their id columns, a pyarrow table, or None.
        values: The predictions, (B, T).
        x: The features of the first few, (up to 10, D).
    """

    first: int
    end: int
    rows: np.ndarray
    ids: Any
    values: Tensor
    x: Tensor


class Source(Protocol):
    """Rows, divided into those for `train`, `val` and `test`.

    Methods with a `place` must be called by every process.
    """

    chunk_rows: int | None
    """Rows that are read at a time; None where they are in memory."""
    dtype: torch.dtype
    """The type of the numbers as they were given."""

    @property
    def weighted(self) -> bool:
        """Whether rows have weights."""

    def check_rounding(self, names: list[str]) -> None:
        """Reports, once, the columns, features before targets, that float32 is too coarse for.

        Raises:
            InputError: If a number is beyond float32; of a stream, once it is read.
        """

    @property
    def is_surveyed(self) -> bool:
        """Whether this is a stream whose statistic is known, because it has been read for it."""

    @property
    def dropped(self) -> bool:
        """Whether rows were left out, as far as they have been read."""

    def fingerprint(self) -> tuple[float, ...]:
        """Numbers by which other rows are recognised as different."""

    def known_sizes(self) -> dict[str, int]:
        """Rows for `training`, `validation` and `test`, as far as they are known by now."""

    def train_size(self, place: ProcessInfo) -> int:
        """Number of rows to train on."""

    def moments(self, place: ProcessInfo) -> Moments:
        """The statistic of the rows to train on, in their own units, over all processes."""

    def ranges(self, place: ProcessInfo) -> tuple[Tensor, Tensor]:
        """The least and the greatest value of each feature in training, (D,) each."""

    def sample(self, most: int) -> tuple[Tensor, Tensor]:
        """Some of the rows to train on, x (n, D) and y (n, T), spread over all of them."""

    def training(self, place: ProcessInfo, scaling: Standardizer | None, batching: Batching) -> Any:
        """The loader of a training epoch."""

    def in_order(
        self, kind: str, place: ProcessInfo, scaling: Standardizer | None, batch_size: int | None
    ) -> Any:
        """The loader of a pass over the rows of a kind in order; of `all`; or of all to `predict`."""

    def predicted(self, batch: Any, predictions: Tensor) -> Predicted:
        """A batch to `predict` with its predictions, (B, T), and what is known of its rows."""
