"""Which columns of a table are features, targets and weights, and their rows as tensors."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from pyarrow import csv
from torch import Tensor

from linlight.arrays import Rows
from linlight.errors import InputError
from linlight.table import Block, Table, is_number, kind, nearest, not_a_number

MOST_CATEGORIES = 1000
_NO_VALUE = pa.array(csv.ConvertOptions().null_values, pa.string())  # such as "", NA, NaN, null


def as_names(names: str | Sequence[str] | None) -> list[str]:
    """Column names from a list, or from one word: `a` or `a,b`."""
    if names is None:
        return []
    return [n.strip() for n in names.split(",")] if isinstance(names, str) else [str(n) for n in names]


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
        dtype: Type of the numbers: float32 or float64.
    """

    table: Table
    features: list[str]
    targets: list[str]
    categories: dict[str, list[str]]
    weight: str | None
    ids: list[str]
    missing: Literal["error", "drop"]
    dtype: str
    dropped: int = field(default=0, init=False)
    lacking: Counter[str] = field(default_factory=Counter, init=False)  # values that were missing, by column

    @property
    def feature_names(self) -> list[str]:
        """A name for each column of x."""
        one_hot = [f"{name}={value}" for name, values in self.categories.items() for value in values]
        return self.features + one_hot

    @property
    def used(self) -> dict[str, pa.DataType]:
        """The columns that are read, and the types in which a CSV's are: text stays as it stands there."""
        weight = [] if self.weight is None else [self.weight]
        texts = dict.fromkeys([*self.categories, *self.ids], pa.string())
        numbers = [*self.features, *self.targets, *weight]
        return texts | dict.fromkeys(numbers, pa.type_for_alias(self.dtype))

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
        lacking = ", ".join(f"{name} {n}" for name, n in (+self.lacking).most_common(8))
        return f"dropped {self.dropped} rows of {self.dropped + kept} that lack a value: {lacking}"

    def read(self) -> Rows:
        """The whole table.

        Raises:
            InputError: If it has no rows, or holds what cannot be used.
        """
        width = len(self.feature_names)
        sizes = [part.rows for part in self.table.wholes()]
        expected = 1024 if None in sizes else sum(n or 0 for n in sizes)
        x, y, weight = (_Growing(expected, n, self.dtype) for n in (width, len(self.targets), 1))
        numbers: list[np.ndarray] = []
        ids: list[pa.RecordBatch] = []
        for rows in self.blocks():
            x.append(rows.x)
            if rows.y is not None:
                y.append(rows.y)
            if rows.weight is not None:
                weight.append(rows.weight[:, None])
            if rows.numbers is not None and self.missing == "drop":
                numbers.append(rows.numbers)
            if rows.ids is not None:
                ids += rows.ids.to_batches()
        if not x.rows:
            raise InputError(no_rows(self.table.name))
        return Rows(
            x.tensor(),
            y.tensor() if self.targets else None,
            weight.tensor()[:, 0] if self.weight is not None else None,
            np.concatenate(numbers) if self.dropped else None,
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
        names = [*self.features, *self.targets, *([] if self.weight is None else [self.weight])]
        codes = {name: self._codes(block, name) for name in self.categories}
        matrix = np.empty((len(block.batch), len(names)), self.dtype)
        if names:
            columns = [_numbers(block, name) for name in names]
            with np.errstate(over="ignore"):  # found below, with its row
                np.stack(columns, axis=1, out=matrix, casting="unsafe")
        keep = self._keep(block, names, matrix, codes)
        if keep is not None:
            matrix, codes = matrix[keep], {name: code[keep] for name, code in codes.items()}
        d, t = len(self.features), len(self.targets)
        x = matrix[:, :d]
        if codes:
            one_hot = [np.eye(len(self.categories[n]), dtype=self.dtype)[code] for n, code in codes.items()]
            x = np.concatenate([x, *one_hot], axis=1)
        if self.weight is not None and (matrix[:, d + t] <= 0).any():
            bad = int(np.flatnonzero(matrix[:, d + t] <= 0)[0])
            at = bad if keep is None else int(np.flatnonzero(keep)[bad])
            raise InputError(
                f"{block.file}: weight {matrix[bad, d + t]:g} in row {block.first + at} (counted from 0) of "
                f"column {self.weight!r}: weights must be positive, leave out the rows that should not count"
            )
        ids = None
        if self.ids:
            ids = pa.Table.from_batches([block.batch.select(self.ids)])
            ids = ids if keep is None else ids.filter(pa.array(keep))
        numbers = np.arange(row, row + len(block.batch))
        return Rows(
            torch.from_numpy(x),
            torch.from_numpy(matrix[:, d : d + t]) if t else None,
            torch.from_numpy(matrix[:, d + t]) if self.weight is not None else None,
            numbers if keep is None else numbers[keep],
            ids,
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
            value = float(_numbers(block, names[j])[i])
            remedy = "correct or remove such rows"
            if np.isfinite(value):
                remedy = f"it overflows {self.dtype}, use --data.dtype float64"
            raise InputError(
                f"{block.file}: column {names[j]!r} holds {value:g} in row {block.first + i} "
                f"(counted from 0): {remedy}"
            )
        holes = {name: np.isnan(matrix[:, j]) for j, name in enumerate(names)}
        holes |= {name: code < 0 for name, code in codes.items()}
        missing = np.zeros(len(block.batch), bool)
        for name, hole in holes.items():
            if hole.any() and self.missing == "error":
                raise InputError(
                    f"{block.file}: column {name!r} has no value in row {block.first + int(hole.argmax())} "
                    "(counted from 0): fill it in, or leave such rows out by --data.missing drop"
                )
            missing |= hole
            self.lacking[name] += int(hole.sum())
        self.dropped += int(missing.sum())
        return ~missing if missing.any() else None

    def _codes(self, block: Block, name: str) -> np.ndarray:
        """The number of each row's category, −1 for none, (rows,)."""
        values = _texts(block, name)
        codes = pc.index_in(values, value_set=pa.array(self.categories[name], pa.string()))
        unknown = pc.and_(pc.is_null(codes), pc.is_valid(values))
        row = pc.index(unknown, True).as_py()
        if row >= 0:
            raise InputError(
                f"{block.file}: column {name!r} holds {values[row].as_py()!r} in row {block.first + row} "
                f"(counted from 0), which the training did not have: leave such rows out, or fit again"
            )
        found: np.ndarray = codes.fill_null(-1).to_numpy(zero_copy_only=False)
        return found


def _numbers(block: Block, name: str) -> np.ndarray:
    """A column's numbers, (rows,), NaN where there is none."""
    column = block.batch[name]
    if not pa.types.is_integer(column.type) and not pa.types.is_floating(column.type):
        if not is_number(column.type):
            found = next((i for i, v in enumerate(column) if v.is_valid and not _may_be_number(v.as_py())), 0)
            raise InputError(not_a_number(block.file, name, block.first + found, column[found].as_py()))
        column = column.cast(pa.float64())
    numbers: np.ndarray = column.to_numpy(zero_copy_only=False)
    return numbers


def _texts(block: Block, name: str) -> pa.Array:
    """A column's texts, (rows,), null where there is none: empty, or spelled as in a column of numbers."""
    texts = block.batch[name].cast(pa.string())
    return pc.if_else(pc.is_in(texts, value_set=_NO_VALUE), pa.scalar(None, pa.string()), texts)


def _may_be_number(value: object) -> bool:
    """Whether a text among numbers would have been read as one, or as none."""
    try:
        float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return value in _NO_VALUE.to_pylist()
    return True


class _Growing:
    """A matrix that grows by rows without being copied: the system moves its pages.

    Args:
        expected: Its rows, as far as they are known beforehand.
        columns: Its columns.
        dtype: Type of its numbers.
    """

    def __init__(self, expected: int, columns: int, dtype: str) -> None:
        self._array = np.empty((expected, columns), dtype)
        self.rows = 0

    def append(self, block: Tensor) -> None:
        end = self.rows + len(block)
        if end > len(self._array):  # by little only: NumPy fills with zeros what it adds
            rows = max(end, len(self._array) * 33 // 32)
            self._array.resize((rows, self._array.shape[1]), refcheck=False)
        self._array[self.rows : end] = block.numpy()
        self.rows = end

    def tensor(self) -> Tensor:
        self._array.resize((self.rows, self._array.shape[1]), refcheck=False)
        return torch.from_numpy(self._array)


def choose(
    table: Table,
    *,
    features: Any,
    target: Any,
    weight: str | None,
    categorical: Any,
    ids: Any,
    missing: Literal["error", "drop"],
    dtype: str,
) -> tuple[Columns, dict[str, str], str]:
    """Decides which columns of a table are what; see `XYDataModule` for the arguments.

    Returns:
        The columns; those left out, with the reason; and why there is no target, or "".

    Raises:
        InputError: If a column that is named is not there, or cannot serve.
    """
    types = table.types
    if len(types) == 1 and re.search("[;\t|]", next(iter(types))):
        raise InputError(
            f"{table.name} has one column, {next(iter(types))!r}: separate the fields by commas, or by tabs "
            "in a .tsv"
        )
    targets, id_names = as_names(target), as_names(ids)
    given = categorical if isinstance(categorical, Mapping) else dict.fromkeys(as_names(categorical))
    chosen = as_names(features)
    weights = [] if weight is None else [weight]
    named = {"features": chosen, "categorical": list(given), "weight": weights, "id": id_names}
    for option, names in named.items():
        absent = [name for name in names if name not in types]
        if absent:
            raise InputError(
                f"{table.name} has no column {', '.join(map(repr, absent))}, which is named as {option}: "
                f"{nearest(absent[0], list(types))}"
            )
    no_target = ""
    if not targets:
        targets = [name for name in types if re.fullmatch(r"y(_\d+)?", name)]
        no_target = "" if targets else f"name the column of {table.name} to learn: --data.target NAME"
    absent = [name for name in targets if name not in types]
    if absent:
        no_target = (
            f"{table.name} has no column {absent[0]!r}, which is named as target: "
            f"{nearest(absent[0], list(types))}"
        )
        targets = []
    taken = {*targets, *given, *id_names, *weights}
    left_out: dict[str, str] = {}
    if not chosen:
        chosen = [name for name in types if name not in taken and is_number(types[name])]
        left_out = {n: kind(types[n]) for n in types if n not in taken and not is_number(types[n])}
    both = [name for name in chosen if name in {*targets, *weights}]
    if both:
        raise InputError(f"column {both[0]!r} is a feature and also the target or weight: name it once")
    chosen = [name for name in chosen if name not in given]
    for name in [*chosen, *targets, *weights]:
        if not is_number(types[name]):
            _refuse_text(table, name)
    if not chosen and not given:
        for name in left_out:
            _refuse_text(table, name)
        raise InputError(f"{table.name} has no numeric column besides the target: name --data.features")
    categories = {n: given[n] or _categories(table, n, missing) for n in given}
    return Columns(table, chosen, targets, categories, weight, id_names, missing, dtype), left_out, no_target


def _refuse_text(table: Table, name: str) -> None:
    for block in table.blocks({name: pa.float64()}):
        _numbers(block, name)


def _categories(table: Table, name: str, missing: str) -> list[str]:
    """The values of a text column, sorted."""
    found: set[str] = set()
    for block in table.blocks({name: pa.string()}):
        found |= set(pc.unique(_texts(block, name)).to_pylist())
        if len(found) > MOST_CATEGORIES:
            raise InputError(
                f"column {name!r} has more than {MOST_CATEGORIES} different values: it is no category, "
                "leave it out of --data.categorical"
            )
    return sorted(value for value in found if value is not None)
