"""The rows of a table as tensors: features, targets, weights, and what is written beside predictions."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch import Tensor

from linlight.data.arrays import Growing, Rows, common_type
from linlight.data.tables import Block, ColumnSpec, Table, is_number, kind, not_a_number, numpy_type
from linlight.distributed import say
from linlight.errors import InputError
from linlight.text import count

REMEDIES = {
    "features": "or leave the column out of --data.features, or add it to --data.categorical",
    "target": "or name another column as --data.target",
    "weight": "or name another column as --data.weight",
}
"""What else can be done than to correct a text where a number should be; a message ends in it."""


NO_LEVEL, UNSEEN = -1, -2
"""Codes of a row without a value, and with one that no row to train on has."""


def no_rows(table: str) -> str:
    """What to say of a table without rows."""
    return f"{table} has no rows that can be used: give at least one"


@dataclass
class Columns:
    """The columns of a table, by their parts.

    Args:
        table: The table.
        features: Numeric columns to learn from.
        targets: Columns to predict.
        categories: For each text column to learn from, its values; each becomes a column of 0 and 1.
        weight: The column of row weights.
        ids: Columns that predictions are written with.
        missing: What a row without a value does: `error`, or `drop`.
        weights_count: Whether weights say how many rows each stands for.
        unseen: What a row whose level is none of `categories` does: `error`, or `missing`, to be dropped.
        reference: The level of a category that has no column of its own.
    """

    table: Table
    features: list[str]
    targets: list[str]
    categories: dict[str, list[str]]
    weight: str | None
    ids: list[str]
    missing: Literal["error", "drop"]
    weights_count: bool = False
    unseen: Literal["error", "missing"] = "error"
    reference: dict[str, str] = field(default_factory=dict)
    dropped: int = field(default=0, init=False)
    lacking: Counter[str] = field(default_factory=Counter, init=False)  # values that were missing, by column

    @property
    def feature_names(self) -> list[str]:
        """A name for each column of x."""
        return self.features + [f"{name}={level}" for name, level in self.levels]

    @property
    def levels(self) -> list[tuple[str, str]]:
        """Category and level of each column of 0 and 1; a reference level has none."""
        return [
            (name, level)
            for name, levels in self.categories.items()
            for level in levels
            if self.reference.get(name) != level
        ]

    def coded(self, bias: bool) -> list[int]:
        """Columns of x that follow from others by coding alone: a category's columns add up to 1.

        Without a bias that makes a difference only from the second such category on.
        """
        last = {name: i for i, (name, _) in enumerate(self.levels, len(self.features))}
        found = [i for name, i in last.items() if name not in self.reference]
        return found if bias else found[1:]

    @property
    def coding(self) -> list[str]:
        """How categories are coded, a line each."""
        told = self.reference
        return [
            f"coding of {name}: "
            + (
                f"{told[name]!r} is the reference, from which a coefficient tells its level"
                if name in told
                else "each level has a column, and a coefficient tells it from the mean of all levels; "
                f"--data.reference {name}=LEVEL tells it from one"
            )
            for name in self.categories
        ]

    def forget_unseen(self, rows: Rows, train: Tensor | None) -> tuple[Tensor, list[int]]:
        """Forgets levels that no row to train on has.

        Args:
            rows: All rows.
            train: The numbers of those to train on. None: all.

        Returns:
            Which rows have such a level, (N,), and the columns of those levels; neither can be used.

        Raises:
            InputError: If there are such rows, and they are not to be taken for rows without a value.
        """
        first = len(self.features)
        seen = (rows.x[:, first:] if train is None else rows.x[train, first:]).any(dim=0)
        absent = [(first + i, *self.levels[i]) for i in (~seen).nonzero()[:, 0].tolist()]
        marked = rows.x[:, [i for i, _, _ in absent]].any(dim=1)
        counted = marked if rows.weight is None else marked & (rows.weight > 0)
        if counted.any():
            row = int(counted.int().argmax())
            name, level = next((name, level) for i, name, level in absent if rows.x[row, i])
            if self.unseen == "error":
                number = row if rows.numbers is None else int(rows.numbers[row])
                raise InputError(unseen_level(self.table.name, name, level, number))
            dropped = count(int(counted.sum()), "row")
            say(f"dropped {dropped} of a level that training has not seen, such as {name} {level}")
        for _, name, level in absent:
            self.categories[name] = [one for one in self.categories[name] if one != level]
        return marked, [i for i, _, _ in absent]

    @property
    def may_drop(self) -> bool:
        """Whether rows may be left out, and are counted then."""
        return self.missing == "drop" or self.unseen == "missing"

    @cached_property
    def dtype(self) -> str:
        """The type of its numbers: float64, or what tables in memory hold, float32."""
        if not self.table.keeps_type:
            return "float64"
        types = (numpy_type(self.table.types[name]) for name in self._remedies())
        return str(common_type(types)).removeprefix("torch.")

    @property
    def used(self) -> dict[str, ColumnSpec]:
        """The columns that are read, and how: a CSV's text stays as it stands there."""
        number = pa.type_for_alias(self.dtype)
        texts = dict.fromkeys([*self.categories, *self.ids], ColumnSpec(pa.string()))
        return texts | {name: ColumnSpec(number, remedy) for name, remedy in self._remedies().items()}

    def _remedies(self) -> dict[str, str]:
        """The columns that are numbers, in order, and what can be done about a text in one."""
        weight = [] if self.weight is None else [self.weight]
        roles = {"features": self.features, "target": self.targets, "weight": weight}
        return {name: REMEDIES[role] for role, names in roles.items() for name in names}

    def blocks(self) -> Iterator[Rows]:
        """The table's rows, block by block."""
        self.forget()
        row = 0
        for block in self.table.blocks(self.used):
            yield self.convert(block, row)
            row += len(block.batch)

    def forget(self) -> None:
        """Counts the rows that are dropped anew."""
        self.dropped = 0
        self.lacking.clear()

    def about_dropped(self, kept: int) -> str:
        """What to say of the rows that were dropped, beside those that were kept."""
        lacking = ", ".join(f"{name} {n:,}" for name, n in (+self.lacking).most_common(8))
        which = f"{count(self.dropped, 'row')} of {self.dropped + kept:,}"
        return f"dropped {which} that {'lacks' if self.dropped == 1 else 'lack'} a value: {lacking}"

    def read(self) -> Rows:
        """The whole table.

        Raises:
            InputError: If it has no rows, or holds what cannot be used.
        """
        width = len(self.feature_names)
        sizes = [part.rows for part in self.table.wholes()]
        expected = 1024 if None in sizes else sum(n or 0 for n in sizes)
        x, y, weight = (Growing(expected, n, self.dtype) for n in (width, len(self.targets), 1))
        places: list[np.ndarray] = []
        ids: list[pa.RecordBatch] = []
        for rows in self.blocks():
            x.append(rows.x)
            if rows.y is not None:
                y.append(rows.y)
            if rows.weight is not None:
                weight.append(rows.weight[:, None])
            if rows.numbers is not None and (self.may_drop or self.weight is not None):
                places.append(rows.numbers)
            if rows.ids is not None:
                ids += rows.ids.to_batches()
        if not x.rows:
            raise InputError(no_rows(self.table.name))
        numbers = np.concatenate(places) if places else None
        return Rows(
            x.tensor(),
            y.tensor() if self.targets else None,
            weight.tensor()[:, 0] if self.weight is not None else None,
            None if numbers is None or numbers[-1] < len(numbers) else numbers,
            pa.Table.from_batches(ids) if self.ids else None,
        )

    def convert(self, block: Block, row: int = 0) -> Rows:
        """Turns a block into tensors.

        Args:
            block: The block.
            row: The number of its first row in the whole table.

        Raises:
            InputError: If it holds what is not a finite number, or lacks a value that may not be missing.
        """
        remedies = self._remedies()
        names = list(remedies)
        codes = {name: self._codes(block, name) for name in self.categories}
        matrix = np.empty((len(block.batch), len(names)), self.dtype)
        if names:
            columns = [numbers(block, name, remedy) for name, remedy in remedies.items()]
            with np.errstate(over="ignore"):  # found below, with its row
                np.stack(columns, axis=1, out=matrix, casting="unsafe")
        keep = self._keep(block, names, matrix, codes)
        if keep is not None:
            matrix, codes = matrix[keep], {name: code[keep] for name, code in codes.items()}
        d, t = len(self.features), len(self.targets)
        x = matrix[:, :d]
        if codes:
            x = np.concatenate([x, *(self._one_hot(name)[code] for name, code in codes.items())], axis=1)
        if self.weight is not None:
            self._check_weights(block, matrix[:, d + t], keep)
        ids = None
        if self.ids:
            ids = self._ids_of(block)
            ids = ids if keep is None else ids.filter(pa.array(keep))
        places = np.arange(row, row + len(block.batch))
        return Rows(
            torch.from_numpy(x),
            torch.from_numpy(matrix[:, d : d + t]) if t else None,
            torch.from_numpy(matrix[:, d + t]) if self.weight is not None else None,
            places if keep is None else places[keep],
            ids,
        )

    def _one_hot(self, name: str) -> np.ndarray:
        """What stands for each level of a category, (levels, columns)."""
        levels = self.categories[name]
        kept = [i for i, level in enumerate(levels) if self.reference.get(name) != level]
        return np.eye(len(levels), dtype=self.dtype)[:, kept]

    def _check_weights(self, block: Block, weights: np.ndarray, keep: np.ndarray | None) -> None:
        for bad, rule in (
            (weights < 0, "weights must be 0 or more"),
            ((weights % 1 != 0) & self.weights_count, "weights that count rows must be whole numbers"),
        ):
            if bad.any():
                row = int(bad.argmax())
                at = row if keep is None else int(np.flatnonzero(keep)[row])
                raise InputError(
                    f"{block.file}: weight {weights[row]:g} in row {block.first + at} (counted from 0) of "
                    f"column {self.weight!r}: {rule}"
                )

    def _keep(
        self, block: Block, names: list[str], matrix: np.ndarray, codes: Mapping[str, np.ndarray]
    ) -> np.ndarray | None:
        """Which rows have every value; None means all."""
        # A sum that is finite costs one pass, and says that every number in it is.
        with np.errstate(over="ignore", invalid="ignore"):
            fine = bool(np.isfinite(matrix.sum())) and all((code >= 0).all() for code in codes.values())
        if fine:
            return None
        for i, j in np.argwhere(np.isinf(matrix))[:1]:
            value = float(numbers(block, names[j], "")[i])
            raise InputError(
                f"{block.file}: column {names[j]!r} holds {value:g} in row {block.first + i} "
                "(counted from 0): correct or remove such rows"
            )
        holes = {name: np.isnan(matrix[:, j]) for j, name in enumerate(names)}
        holes |= {name: code == NO_LEVEL for name, code in codes.items()}
        missing = np.zeros(len(block.batch), bool)
        nothing = np.zeros(len(block.batch), bool)  # rows that count for nothing may lack anything
        if self.weight is not None:
            nothing = matrix[:, names.index(self.weight)] == 0
            nothing &= np.logical_or.reduce([*holes.values(), *(code < 0 for code in codes.values())])
            holes = {name: hole & ~nothing for name, hole in holes.items()}
        for name, hole in holes.items():
            if hole.any() and self.missing == "error":
                raise InputError(
                    f"{block.file}: column {name!r} has no value in row {block.first + int(hole.argmax())} "
                    "(counted from 0): fill it in, or leave such rows out by --data.missing drop"
                )
            missing |= hole
            self.lacking[name] += int(hole.sum())
        for name, code in codes.items():
            unseen = (code == UNSEEN) & ~nothing
            missing |= unseen
            self.lacking[f"{name} (a level that training has not seen)"] += int(unseen.sum())
        self.dropped += int(missing.sum())
        missing |= nothing
        return ~missing if missing.any() else None

    def _ids_of(self, block: Block) -> pa.Table:
        """A block's id columns, in one type whatever the file."""
        found = {}
        for name in self.ids:
            column, wanted = block.batch[name], self.table.id_type(name)
            try:
                found[name] = column if column.type == wanted else column.cast(wanted)
            except pa.ArrowException as error:
                raise InputError(
                    f"{block.file}: column {name!r} is {kind(column.type)}, and {kind(wanted)} in the first "
                    "file: write it as one type, or leave it out of --data.id"
                ) from error
        return pa.table(found)

    def _codes(self, block: Block, name: str) -> np.ndarray:
        """The number of each row's level, `NO_LEVEL` or `UNSEEN` where it has none of them, (rows,)."""
        values = texts(block, name)
        codes = pc.index_in(values, value_set=pa.array(self.categories[name], pa.string()))
        unknown = pc.and_(pc.is_null(codes), pc.is_valid(values))
        row = pc.index(unknown, True).as_py()
        if row >= 0 and self.unseen == "error":
            raise InputError(unseen_level(block.file, name, values[row].as_py(), block.first + row))
        found: np.ndarray = codes.fill_null(NO_LEVEL).to_numpy(zero_copy_only=False)
        return np.where(unknown.to_numpy(zero_copy_only=False), UNSEEN, found) if row >= 0 else found


def unseen_level(file: str, column: str, level: str, row: int) -> str:
    """What to say of a level that no row to train on has."""
    return (
        f"{file}: column {column!r} holds {level!r} in row {row} (counted from 0), which the training did "
        "not have: leave such rows out by --data.unseen missing, or fit again"
    )


def numbers(block: Block, name: str, remedy: str) -> np.ndarray:
    """A column's numbers, (rows,), NaN where there is none.

    Raises:
        InputError: If it does not hold numbers.
    """
    column = block.batch[name]
    if not pa.types.is_integer(column.type) and not pa.types.is_floating(column.type):
        if not is_number(column.type):
            raise InputError(_no_numbers(block, name, remedy))
        column = column.cast(pa.float64())
    found: np.ndarray = column.to_numpy(zero_copy_only=False)
    return found


def _no_numbers(block: Block, name: str, remedy: str) -> str:
    column, example = block.batch[name], ""
    if pa.types.is_temporal(column.type):  # of which Python knows but a few thousand years
        return f"{block.file}: column {name!r} is {kind(column.type)}: store it as numbers, {remedy}"
    for i, value in enumerate(column.to_pylist()):
        try:
            float(value)
        except (TypeError, ValueError):
            if value is not None:
                is_csv = block.na_values is not None
                return not_a_number(block.file, name, block.first + i, value, remedy, is_csv=is_csv)
        else:
            example = example or f", though {value!r} in row {block.first + i} looks like a number"
    return f"{block.file}: column {name!r} is {kind(column.type)}{example}: store it as numbers, {remedy}"


def texts(block: Block, name: str) -> pa.Array:
    """A column's texts, (rows,), null where there is none; in a CSV as it spells that in numbers.

    Raises:
        InputError: If it does not hold texts, or what can be written as such.
    """
    column = block.batch[name]
    try:
        found = column.cast(pa.string())
    except pa.ArrowException as error:
        raise InputError(
            f"{block.file}: column {name!r} is {kind(column.type)}, which cannot be a category: leave it out "
            "of --data.categorical"
        ) from error
    if block.na_values is None:
        return found
    return pc.if_else(pc.is_in(found, value_set=block.na_values), pa.scalar(None, pa.string()), found)
