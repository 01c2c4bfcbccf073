"""Tables: columns in memory, and NumPy's files. Those of CSV and Parquet are in `paths.py`."""

import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np
import pyarrow as pa

from linlight.errors import InputError, closest_match

BLOCK_ROWS = 2**14
"""Rows of a block: few enough to stay within the processor's cache while columns become rows."""
ARRAY_ENDINGS = (".npy", ".npz")
NUMBERS = "it must hold numbers in one or two dimensions, (rows, columns)"


@dataclass(frozen=True)
class TableBlock:
    """Consecutive rows of a table: where they come from, and their columns."""

    file: str
    first: int  # the number of its first row in `file`
    batch: pa.RecordBatch
    na_values: pa.Array | None = None  # texts that stand for no value, such as NA in a CSV


@dataclass(frozen=True)
class ColumnSpec:
    """How a column is read.

    Attributes:
        type: The type that a column of a CSV is parsed as; in other files it has one.
        remedy: For a message about text where a number should be: what to do other than correct it.
    """

    type: pa.DataType
    remedy: str = ""


@dataclass(frozen=True)
class Part:
    """A part that is read without the rest: a file, some row groups of Parquet, a slice of a table."""

    file: str
    first: int = 0  # the number of its first row in `file`
    rows: int | None = None  # where this is known before it is read
    groups: tuple[int, ...] | None = None  # row groups, where it is not the whole file


class Table:
    """A table in memory: pandas, pyarrow, or NumPy columns."""

    keeps_type = True
    """Whether its numbers keep their type; those of a CSV have none, and of Parquet are float64."""

    def __init__(self, table: pa.Table, name: str) -> None:
        self.name = name
        self.types: dict[str, pa.DataType] = types_by_name(table.schema.names, table.schema.types, name)
        self._table = table

    @property
    def size(self) -> int:
        """Its rows; by its size a table is recognised when it is opened again."""
        return len(self._table)

    def id_type(self, column: str) -> pa.DataType:
        """The type in which a file of predictions repeats a column."""
        return self.types[column]

    def parts(self, rows: int | None = None) -> list[Part]:
        """The table in order, as parts of about this many rows; by default, as few parts as possible."""
        step = rows or max(1, self.size)
        return [Part(self.name, first, min(step, self.size - first)) for first in range(0, self.size, step)]

    def read(self, part: Part, columns: Mapping[str, ColumnSpec]) -> Iterator[TableBlock]:
        """The rows of a part in order, block by block; only a few blocks are in memory at a time."""
        first = part.first
        for batch in self._slice(part, list(columns)).to_batches(max_chunksize=BLOCK_ROWS):
            yield TableBlock(self.name, first, batch)
            first += len(batch)

    def _slice(self, part: Part, columns: Sequence[str]) -> pa.Table:
        return self._table.select(columns).slice(part.first, part.rows)

    def blocks(self, columns: Mapping[str, ColumnSpec]) -> Iterator[TableBlock]:
        """All rows in order, block by block; see `read`."""
        for part in self.parts():
            yield from self.read(part, columns)


def of_pandas(frame: Any) -> pa.Table:
    """The columns of a pandas table.

    Raises:
        InputError: If a column holds what cannot be in one.
    """
    names = [str(name) for name in frame.columns]
    types_by_name(names, frame.dtypes, "the table")
    columns = {}
    for i, name in enumerate(names):
        values = frame.iloc[:, i]
        if hasattr(values, "sparse"):
            values = values.sparse.to_dense()
        try:
            columns[name] = pa.array(values, from_pandas=True)
        except pa.ArrowException as error:
            raise InputError(
                f"column {name!r} of the table holds what cannot be in one column ({error.args[0]}): make it "
                "numbers by pandas.to_numeric, or text by .astype(str)"
            ) from error
    return pa.table(columns)


class Arrays(Table):
    """A `.npy` or `.npz` file: columns `0`, `1`, … of an array, or `name`, `name_0`, … of a named one."""

    def __init__(self, path: str) -> None:
        self.name = path
        names: list[str] = []
        columns: list[np.ndarray] = []
        for name, array in _arrays(path).items():
            if array.ndim not in (1, 2) or array.dtype.kind not in "biuf" or array.dtype.itemsize > 8:
                raise InputError(
                    f"{path}: {name or 'the array'} is {array.ndim}-dimensional of type {array.dtype}: "
                    f"{NUMBERS}"
                )
            if array.ndim == 1:
                names.append(name or "0")
                columns.append(array)
            else:
                names += [f"{name}_{i}" if name else f"{i}" for i in range(array.shape[1])]
                columns.extend(array.T)
        self._columns = types_by_name(names, columns, path)
        lengths = {name: len(column) for name, column in self._columns.items()}
        if not lengths:
            raise InputError(f"{path} holds no columns: {NUMBERS}")
        if len(set(lengths.values())) > 1:
            raise InputError(f"{path}: its arrays have different numbers of rows: {lengths}")
        self._rows = next(iter(lengths.values()))
        self.types = {name: pa.from_numpy_dtype(_native(c)) for name, c in self._columns.items()}

    @property
    def size(self) -> int:
        """Its rows."""
        return self._rows

    def parts(self, rows: int | None = None) -> list[Part]:
        """Slices, so that a file that is mapped into memory is not copied there at once."""
        return super().parts(rows or 2**18)

    def _slice(self, part: Part, columns: Sequence[str]) -> pa.Table:
        rows = slice(part.first, part.first + (part.rows or 0))
        arrays = {name: self._columns[name] for name in columns}
        return pa.table({name: np.ascontiguousarray(a[rows], _native(a)) for name, a in arrays.items()})


def _arrays(path: str) -> dict[str, np.ndarray]:
    """The arrays of a file by their names; the one of a `.npy` has none."""
    if not Path(path).is_file():  # a pipe would keep it waiting
        raise FileNotFoundError
    try:
        if path.lower().endswith(".npy"):
            return {"": np.load(path, mmap_mode="r")}
        with open(path, "rb") as file, np.load(file) as members:  # NumPy leaves a damaged one open
            return dict(members)
    except ValueError as error:
        if "bject" not in str(error):  # NumPy says `Object arrays` or `Python objects`
            raise
        raise InputError(f"{path} holds Python objects: {NUMBERS}") from error


def _native(array: np.ndarray) -> np.dtype:
    """The type of an array's numbers in this machine's byte order, the only one that pyarrow has."""
    return array.dtype.newbyteorder("=")


def is_number(kind: pa.DataType) -> bool:
    """Whether a column of this type holds numbers; a column without any value may."""
    types = pa.types
    return bool(
        types.is_integer(kind)
        or types.is_floating(kind)
        or types.is_boolean(kind)
        or types.is_decimal(kind)
        or types.is_null(kind)
    )


def numpy_type(kind: pa.DataType) -> np.dtype:
    """NumPy's type for a column of numbers; float64 for decimals, and where there is no value."""
    types = pa.types
    known = types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind)
    return np.dtype(kind.to_pandas_dtype() if known else np.float64)


def kind(column: pa.DataType) -> str:
    """The name of a column's type."""
    is_text = pa.types.is_string(column) or pa.types.is_large_string(column) or pa.types.is_dictionary(column)
    return "text" if is_text else str(column)


def types_by_name(names: Sequence[str], types: Sequence[Any], file: str) -> dict[str, Any]:
    """The columns' types by their names, which must be different.

    Raises:
        InputError: If two columns have the same name.
    """
    for name, times in Counter(names).items():
        if times > 1:
            raise InputError(f"{file} has {times} columns named {name!r}: rename all but one")
    return dict(zip(names, types, strict=True))


def changed(file: str) -> str:
    """The message about a file that another program writes to."""
    return f"{file} changed while it was read: use a copy that nothing writes to"


@contextmanager
def reading(file: str) -> Iterator[None]:
    """Turns what goes wrong while a file is read into an `InputError` that names it."""
    try:
        yield
    except InputError:
        raise
    except PermissionError as error:
        raise InputError(f"{file} may not be read: change its permissions") from error
    except FileNotFoundError as error:
        raise InputError(f"there is no file {file}: check --data.path, and that nothing moves it") from error
    except (pa.ArrowException, OSError, EOFError, ValueError, zipfile.BadZipFile) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{file} cannot be read, it is damaged, cut short or empty: {reason}") from error
    except (RuntimeError, SyntaxError, TokenError, MemoryError, OverflowError, zlib.error) as error:
        # An archive that is encrypted or compressed in a way of its own, a header that is no header.
        reason = " ".join(str(error).split())
        raise InputError(f"{file} cannot be read: {reason or type(error).__name__}") from error


def nearest(name: str, names: Sequence[str]) -> str:
    """A hint at the column that was probably meant."""
    meant = closest_match(name, names)
    return f"there are {', '.join(map(repr, names[:20]))}" if meant is None else f"did you mean {meant!r}?"
