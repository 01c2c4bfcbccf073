"""The cost of float32: columns of which it keeps too few digits to tell the rows apart."""

from collections.abc import Sequence

import numpy as np

from linlight.data.arrays import Rows
from linlight.distributed import gather, say
from linlight.errors import InputError

NOTICED = 1e-3
"""Warn where neighbouring float32 numbers lie further apart than this fraction of a column's deviation."""
BLOCK_ROWS = 2**14


class Rounding:
    """Compares the spread of columns with the spacing of float32's numbers, before they are rounded.

    Args:
        names: The columns, features before targets.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.names = list(names)
        self._rows, self._is_said = 0, False
        self._origin = self._unit = np.empty(0)
        self._sum = self._squares = self._largest = np.zeros(len(self.names))

    def add(self, rows: Rows) -> None:
        """Adds rows, in the data's own numbers.

        Raises:
            InputError: If a number is beyond float32.
        """
        for first in () if self._is_said else range(0, len(rows.x), BLOCK_ROWS):
            part = slice(first, first + BLOCK_ROWS)
            block = rows.x[part].numpy()
            if rows.y is not None:
                block = np.concatenate([block, rows.y[part].numpy()], axis=1)
            size = np.abs(block).max(0)
            if (size > np.finfo(np.float32).max).any():
                self._refuse(rows, first, block)
            if not self._rows:  # in units in which no square is beyond float64
                self._unit = np.where(size > 0, size, 1.0)
                self._origin = block[0] / self._unit
            block = block / self._unit - self._origin
            self._rows += len(block)
            self._sum = self._sum + block.sum(0)
            self._squares = self._squares + np.square(block).sum(0)
            self._largest = np.maximum(self._largest, size)

    def _refuse(self, rows: Rows, first: int, block: np.ndarray) -> None:
        i, j = np.argwhere(np.abs(block) > np.finfo(np.float32).max)[0]
        row = first + i if rows.numbers is None else rows.numbers[first + i]
        raise InputError(
            f"column {self.names[j]!r} holds {block[i, j]:g} in row {row} (counted from 0): "
            "it overflows float32, use --data.dtype float64"
        )

    def say(self) -> None:
        """Reports, once, the columns that float32 is too coarse for; every process must call it."""
        if self._is_said:
            return
        self._is_said = True
        found = {name for names in gather(self._coarse()) for name in names}
        if found:
            names = ", ".join(name for name in self.names if name in found)
            say(
                f"float32 is coarse for {names}: its numbers lie more than a thousandth of the column's "
                "standard deviation apart there, use --data.dtype float64"
            )

    def _coarse(self) -> list[str]:
        if not self._rows:
            return []
        mean = self._sum / self._rows
        deviation = np.sqrt(np.maximum(self._squares / self._rows - mean**2, 0.0)) * self._unit
        spacing = np.spacing(self._largest.astype(np.float32)).astype(np.float64)
        coarse = (deviation > 0) & (spacing > NOTICED * deviation)
        return [name for name, is_coarse in zip(self.names, coarse, strict=False) if is_coarse]
