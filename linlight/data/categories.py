"""Categories: text columns whose levels become columns of 0 and 1."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from torch import Tensor

from linlight.data.tables import TableBlock, nearest
from linlight.data.values import texts
from linlight.errors import InputError

MOST_CATEGORIES = 1000
NO_LEVEL, UNSEEN = -1, -2
"""Codes of a row without a value, and with one that no row to train on has."""


@dataclass
class Categories:
    """The categories of a table, by the names of their columns.

    Args:
        levels: The values of each; none where they are not known before the table is read.
        reference: The level of a category that gets no column: the others are measured from it.
        unseen: What becomes of a row with another value: an `error`, or `missing`, to be dropped.
    """

    levels: dict[str, list[str]] = field(default_factory=dict)
    reference: dict[str, str] = field(default_factory=dict)
    unseen: Literal["error", "missing"] = "error"

    def __post_init__(self) -> None:
        """Checks the references."""
        for name in self.reference:
            if name not in self.levels:
                raise InputError(
                    f"reference names {name!r}, which is not among --data.categorical: add it there"
                )
            if self.levels[name]:
                self._check_reference(name)

    def _check_reference(self, name: str) -> None:
        level, levels = self.reference.get(name), self.levels[name]
        if level is not None and level not in levels:
            raise InputError(
                f"column {name!r} has no level {level!r} to be the --data.reference, {name}=LEVEL: "
                f"{nearest(level, levels)}"
            )

    @property
    def unknown(self) -> list[str]:
        """The names of those whose levels are not known."""
        return [name for name, levels in self.levels.items() if not levels]

    def know(self, name: str, levels: set[str]) -> None:
        """Takes the levels of a category, once they are known."""
        self.levels[name] = sorted(levels)
        self._check_reference(name)

    @property
    def columns(self) -> list[tuple[str, str]]:
        """Category and level of each column of 0 and 1; a reference level has none."""
        return [
            (name, level)
            for name, levels in self.levels.items()
            for level in levels
            if self.reference.get(name) != level
        ]

    def coded(self, first: int, bias: bool) -> list[int]:
        """Columns that follow from others by coding alone: a category's columns add up to 1.

        Without a bias that makes a difference only from the second such category on.

        Args:
            first: The number of the first column of 0 and 1 among all features.
            bias: Whether the model has a bias.
        """
        last = {name: i for i, (name, _) in enumerate(self.columns, first)}
        found = [i for name, i in last.items() if name not in self.reference]
        return found if bias else found[1:]

    @property
    def coding(self) -> list[str]:
        """Descriptions of their coding, a line each."""
        return [
            f"coding of {name}: "
            + (
                f"{self.reference[name]!r} is the reference, from which coefficients measure the other levels"
                if name in self.reference
                else "each level has a column, whose coefficient measures it from the mean of all levels; "
                f"--data.reference {name}=LEVEL measures from one of them"
            )
            for name in self.levels
        ]

    def one_hot(self, name: str, codes: np.ndarray, dtype: str) -> np.ndarray:
        """The columns of a category, (rows, columns), of its rows' codes, (rows,)."""
        kept = [i for i, level in enumerate(self.levels[name]) if self.reference.get(name) != level]
        found: np.ndarray = np.eye(len(self.levels[name]), dtype=dtype)[:, kept][codes]
        return found

    def codes(self, block: TableBlock, name: str) -> np.ndarray:
        """The number of each row's level, or `NO_LEVEL` or `UNSEEN`, (rows,)."""
        values = texts(block, name)
        codes = pc.index_in(values, value_set=pa.array(self.levels[name], pa.string()))
        codes = pc.if_else(pc.and_(pc.is_null(codes), pc.is_valid(values)), UNSEEN, codes)
        found: np.ndarray = codes.fill_null(NO_LEVEL).to_numpy(zero_copy_only=False)
        return found

    def check_seen(self, block: TableBlock, name: str, unseen: np.ndarray) -> None:
        """Checks that rows which are used have levels that training has seen, or are to be dropped.

        Args:
            block: The rows.
            name: The category.
            unseen: Which of them are used and have another level, (rows,).

        Raises:
            InputError: If there are any.
        """
        if self.unseen == "error" and unseen.any():
            row = int(unseen.argmax())
            level = texts(block, name)[row].as_py()
            raise InputError(_unseen_level(block.file, name, level, block.first + row))

    def keep_seen(self, coded: Tensor) -> bool:
        """Keeps the levels that rows to train on have.

        Args:
            coded: Their columns of 0 and 1, (n, columns).

        Returns:
            Whether there were others.

        Raises:
            InputError: If the reference level is among those.
        """
        before, columns = dict(self.levels), self.columns
        seen = coded.any(dim=0)
        for name in before:
            own = [i for i, (category, _) in enumerate(columns) if category == name]
            levels = {columns[i][1] for i in own if seen[i]}
            if name in self.reference and not coded[:, own].any(dim=1).all():
                levels.add(self.reference[name])
            self.know(name, levels)
        return self.levels != before


def references(given: Any) -> dict[str, str]:
    """Reference levels by category, from a mapping or from words, `g=a` or `g=a,h=b`."""
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        words = given.split(",") if isinstance(given, str) else given
        given = dict(word.strip().partition("=")[::2] for word in words)
    return {str(name): str(level) for name, level in given.items()}


def check_number_of(levels: set[str], file: str, column: str) -> None:
    """Raises where a column has too many values to be a category."""
    if len(levels) > MOST_CATEGORIES:
        raise InputError(
            f"{file}: column {column!r} has more than {MOST_CATEGORIES} different values: it is "
            "no category, leave it out of --data.categorical"
        )


def _unseen_level(file: str, column: str, level: str, row: int) -> str:
    return (
        f"{file}: column {column!r} holds {level!r} in row {row} (counted from 0), which the training did "
        "not have: leave such rows out by --data.unseen missing, or fit again"
    )
