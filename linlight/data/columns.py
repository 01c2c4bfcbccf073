"""The rows of a table as tensors: features, targets, weights, and the columns that predictions repeat."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch

from linlight.data.arrays import Growing, Rows, common_type
from linlight.data.categories import NO_LEVEL, UNSEEN, Categories, check_number_of
from linlight.data.tables import ColumnSpec, Table, TableBlock, kind, numpy_type
from linlight.data.values import numbers, texts
from linlight.distributed import gather, say
from linlight.errors import InputError
from linlight.text import count

REMEDIES = {
    "features": "or leave the column out of --data.features, or add it to --data.categorical",
    "target": "or name another column as --data.target",
    "weight": "or name another column as --data.weight",
}
"""The end of a message: remedies other than to correct a text where a number should be."""


WHOLE = 2**53
"""From here on float64 does not hold every whole number."""


def no_rows(table: str) -> str:
    """The message about a table without rows."""
    return f"{table} has no rows that can be used: give at least one"


@dataclass
class Columns:
    """The columns of a table, by their roles.

    Args:
        table: The table.
        features: Numeric columns to learn from.
        targets: Columns to predict.
        categories: Text columns to learn from, whose values become columns of 0 and 1.
        weight: The column of row weights.
        ids: Columns that a file of predictions repeats.
        missing: What to do about a row without a value: `error`, or `drop` it.
        weights_count: Whether weights say how many rows each stands for.
    """

    table: Table
    features: list[str]
    targets: list[str]
    categories: Categories
    weight: str | None
    ids: list[str]
    missing: Literal["error", "drop"]
    weights_count: bool = False
    # What a pass has lost so far, see `report`.
    dropped: int = field(default=0, init=False)
    _lacking: Counter[str] = field(default_factory=Counter, init=False)  # values that were missing, by column
    _rounded: set[str] = field(default_factory=set, init=False)  # columns of too large whole numbers
    _is_reported: bool = field(default=False, init=False)

    @property
    def feature_names(self) -> list[str]:
        """A name for each column of x."""
        return self.features + [f"{name}={level}" for name, level in self.categories.columns]

    def find_levels(self, trains_on: Callable[[np.ndarray], np.ndarray] | None) -> None:
        """Reads the levels that the categories have, where these are not known.

        Args:
            trains_on: Which rows, by their numbers in the table, are trained on, unless they are dropped or
                have the weight 0: only their levels count. None: those of all rows, whatever they lack.
        """
        unknown = {name: set[str]() for name in self.categories.unknown}
        if not unknown:
            return
        only_whole = trains_on is not None and (self.may_drop or self.weight is not None)
        row = 0
        for block in self.table.blocks(
            self.used if only_whole else dict.fromkeys(unknown, ColumnSpec(pa.string()))
        ):
            keep = np.ones(len(block.batch), bool)
            if trains_on is not None:
                keep = trains_on(np.arange(row, row + len(keep)))
            if only_whole:
                keep &= self._counts(block)
            for name, values in unknown.items():
                values |= set(pc.unique(texts(block, name).filter(pa.array(keep))).drop_null().to_pylist())
                check_number_of(values, self.table.name, name)
            row += len(keep)
        for name, values in unknown.items():
            self.categories.know(name, values)

    def _counts(self, block: TableBlock) -> np.ndarray:
        """Which rows lack nothing and have a weight above 0, (rows,)."""
        columns = {name: numbers(block, name, remedy) for name, remedy in self._numeric.items()}
        found: np.ndarray = np.logical_and.reduce([~np.isnan(column) for column in columns.values()])
        for name in self.categories.levels:
            found &= texts(block, name).is_valid().to_numpy(zero_copy_only=False)
        return found if self.weight is None else found & (columns[self.weight] > 0)

    @property
    def may_drop(self) -> bool:
        """Whether rows may be left out, and are counted then."""
        return self.missing == "drop" or self.categories.unseen == "missing"

    @cached_property
    def dtype(self) -> str:
        """The type of its numbers: float64, or what tables in memory hold, float32."""
        if not self.table.keeps_type:
            return "float64"
        types = (numpy_type(self.table.types[name]) for name in self._numeric)
        return str(common_type(types)).removeprefix("torch.")

    @cached_property
    def used(self) -> dict[str, ColumnSpec]:
        """The columns to read, and how: the text of a CSV is not changed."""
        number = pa.type_for_alias(self.dtype)
        texts = dict.fromkeys([*self.categories.levels, *self.ids], ColumnSpec(pa.string()))
        return texts | {name: ColumnSpec(number, remedy) for name, remedy in self._numeric.items()}

    @cached_property
    def _numeric(self) -> dict[str, str]:
        """The columns that are numbers, in order, and what can be done about a text in one."""
        weight = [] if self.weight is None else [self.weight]
        roles = {"features": self.features, "target": self.targets, "weight": weight}
        return {name: REMEDIES[role] for role, names in roles.items() for name in names}

    def forget(self) -> None:
        """Counts the rows that are dropped anew."""
        self.dropped = 0
        self._lacking.clear()

    def report(self, kept: int, *, is_share: bool) -> None:
        """Reports, once, the rows dropped and the digits lost in a pass; every process must call it.

        Args:
            kept: Rows that were not dropped.
            is_share: Whether this process has read a share of the rows, and not all of them.
        """
        if self._is_reported:
            return
        self._is_reported = True
        found = gather((self.dropped, self._lacking, self._rounded, kept))
        shares = found if is_share else found[:1]
        self.dropped = sum(dropped for dropped, *_ in shares)
        self._lacking = sum((lacking for _, lacking, *_ in shares), Counter())
        if self.dropped:
            rows = self.dropped + sum(kept for *_, kept in shares)
            lacking = ", ".join(f"{name} {n:,}" for name, n in self._lacking.most_common(8))
            lack = "lacks" if self.dropped == 1 else "lack"
            say(f"dropped {count(self.dropped, 'row')} of {rows:,} that {lack} a value: {lacking}")
        rounded = set[str]().union(*(names for _, _, names, _ in found))
        if rounded:
            say(
                f"whole numbers from {WHOLE:,} on are rounded, to what float64 holds, in "
                f"{', '.join(name for name in self.table.types if name in rounded)}: leave such a column out "
                "of --data.features, or name it in --data.categorical or --data.id"
            )

    def read(self) -> Rows:
        """Reads the whole table.

        Raises:
            InputError: If it has no rows, or holds what cannot be used.
        """
        sizes = [part.rows for part in self.table.parts()]
        expected = 1024 if None in sizes else sum(n or 0 for n in sizes)
        self.forget()
        rows = self.joined(self._blocks(), expected)
        if not len(rows.x):
            raise InputError(no_rows(self.table.name))
        numbers = rows.numbers
        if numbers is not None and (not len(numbers) or numbers[-1] < len(numbers)):  # none was left out
            rows.numbers = None
        return rows

    def _blocks(self) -> Iterator[Rows]:
        row = 0
        for block in self.table.blocks(self.used):
            rows = self.convert(block, row)
            if not self.may_drop and self.weight is None:
                rows.numbers = None  # which would only be counted through
            yield rows
            row += len(block.batch)

    def joined(self, blocks: Iterable[Rows], expected: int) -> Rows:
        """Joins rows; where there are none, tensors without rows.

        Args:
            blocks: Rows in order, or none at all.
            expected: How many rows there will be, as far as it is known.
        """
        widths = (len(self.features) + len(self.categories.columns), len(self.targets), 1)
        x, y, weight = (Growing(expected, width, self.dtype) for width in widths)
        places = [np.empty(0, np.int64)]
        ids: list[pa.Table] = []
        for rows in blocks:
            x.append(rows.x)
            if rows.y is not None:
                y.append(rows.y)
            if rows.weight is not None:
                weight.append(rows.weight[:, None])
            if rows.numbers is not None:
                places.append(rows.numbers)
            if rows.ids is not None:
                ids.append(rows.ids)
        return Rows(
            x.tensor(),
            y.tensor() if self.targets else None,
            weight.tensor()[:, 0] if self.weight is not None else None,
            np.concatenate(places),
            pa.concat_tables(ids) if ids else None,
        )

    def convert(self, block: TableBlock, row: int = 0) -> Rows:
        """Turns a block, whose first row has this number in the whole table, into tensors.

        Raises:
            InputError: If it holds what is not a finite number, or lacks a value that may not be missing.
        """
        names = list(self._numeric)
        codes = {name: self.categories.codes(block, name) for name in self.categories.levels}
        matrix = np.empty((len(block.batch), len(names)), self.dtype)
        if names:
            columns = [numbers(block, name, remedy) for name, remedy in self._numeric.items()]
            with np.errstate(over="ignore"):  # found below, with its row
                np.stack(columns, axis=1, out=matrix, casting="unsafe")
            self._note_rounded(matrix, names)
        keep = self._keep(block, names, matrix, codes)
        if keep is not None:
            matrix, codes = matrix[keep], {name: code[keep] for name, code in codes.items()}
        d, t = len(self.features), len(self.targets)
        x = matrix[:, :d]
        if codes:
            coded = (self.categories.one_hot(name, code, self.dtype) for name, code in codes.items())
            x = np.concatenate([x, *coded], axis=1)
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

    @cached_property
    def _whole_numbers(self) -> list[int]:
        """The columns of whole numbers of 8 bytes, among those that are numbers."""
        types = [numpy_type(self.table.types[name]) for name in self._numeric]
        return [i for i, one in enumerate(types) if one.kind in "iu" and one.itemsize == 8]

    def _note_rounded(self, matrix: np.ndarray, names: list[str]) -> None:
        for i in self._whole_numbers:
            if np.abs(matrix[:, i]).max(initial=0) >= WHOLE:
                self._rounded.add(names[i])

    def _check_weights(self, block: TableBlock, weights: np.ndarray, keep: np.ndarray | None) -> None:
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
        self, block: TableBlock, names: list[str], matrix: np.ndarray, codes: Mapping[str, np.ndarray]
    ) -> np.ndarray | None:
        """Which rows have every value; None means all."""
        # One pass: if the sum is finite, so is every number.
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
        nothing = np.zeros(len(block.batch), bool)  # rows of weight 0, which may lack anything
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
            self._lacking[name] += int(hole.sum())
        for name, code in codes.items():
            unseen = (code == UNSEEN) & ~nothing
            self.categories.check_seen(block, name, unseen & ~missing)
            self._lacking[f"{name} (a level that training has not seen)"] += int((unseen & ~missing).sum())
            missing |= unseen
        self.dropped += int(missing.sum())
        missing |= nothing
        return ~missing if missing.any() else None

    def _ids_of(self, block: TableBlock) -> pa.Table:
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
