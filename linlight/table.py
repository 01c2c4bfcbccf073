"""Tables: CSV, Parquet and NumPy files, DataFrames. pyarrow reads them; this says where they are."""

import fnmatch
import re
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads
from pyarrow import csv, fs

from linlight.errors import InputError

CSV_ENDINGS = (".csv", ".tsv", ".txt")
COMPRESSED = (".gz", ".bz2", ".zst", ".lz4", ".zip")
PARQUET_ENDINGS = (".parquet", ".pq")
ARRAY_ENDINGS = (".npy", ".npz")
BLOCK_ROWS = 2**14  # rows that stay within the processor's cache while columns become rows


@dataclass(frozen=True)
class Block:
    """Consecutive rows of a table: where they come from, and their columns."""

    file: str
    first: int  # the number of its first row in `file`
    batch: pa.RecordBatch


@dataclass(frozen=True)
class Part:
    """What can be read without the rest: a file, some row groups of a Parquet file, a slice of a table."""

    file: str
    first: int = 0  # the number of its first row in `file`
    rows: int | None = None  # where this is known before it is read
    groups: tuple[int, ...] | None = None  # row groups, where it is not the whole file


class Table:
    """A table in memory: pandas, pyarrow, or NumPy columns.

    Args:
        table: The columns.
        name: What to call it in a message.
    """

    def __init__(self, table: pa.Table, name: str) -> None:
        self.name = name
        self.types: dict[str, pa.DataType] = _types(table.schema, name)
        self._table = table

    @property
    def size(self) -> int:
        """Something that another table of the same name will hardly have the same of."""
        return len(self._table)

    def wholes(self) -> list[Part]:
        """The table as as few parts as can be, in order."""
        return [Part(self.name, rows=len(self._table))]

    def parts(self, rows: int) -> list[Part]:
        """The table as parts of about so many rows, in order; a CSV file cannot be divided."""
        total = sum(part.rows or 0 for part in self.wholes())
        return [Part(self.name, first, min(rows, total - first)) for first in range(0, total, rows)]

    def read(self, part: Part, columns: Sequence[str], number: pa.DataType, *, lean: bool) -> Iterator[Block]:
        """The rows of a part in order, block by block.

        Args:
            part: The part.
            columns: The columns wanted.
            number: The type in which a CSV's numbers are parsed.
            lean: Whether to hold only a few blocks at a time, rather than read ahead as fast as can be.
        """
        first = part.first
        for batch in self._slice(part, columns).to_batches(max_chunksize=BLOCK_ROWS):
            yield Block(self.name, first, batch)
            first += len(batch)

    def _slice(self, part: Part, columns: Sequence[str]) -> pa.Table:
        return self._table.select(columns).slice(part.first, part.rows)

    def blocks(self, columns: Sequence[str], number: pa.DataType, *, lean: bool) -> Iterator[Block]:
        """All rows in order, block by block; see `read`."""
        for part in self.wholes():
            yield from self.read(part, columns, number, lean=lean)


class Files(Table):
    """Files of one kind that together are a table, one after the other in the order of their names.

    Args:
        path: A file, a folder, a pattern such as `data/*.parquet`, or a URI of one.
    """

    def __init__(self, path: str) -> None:
        self.name = path
        self.filesystem, root = _filesystem(path)
        self.files = _find(self.filesystem, root, path)
        self._stamps: dict[str, tuple[Any, Any]] = {}  # size and time of each file, when it was first read
        self._types: dict[str, dict[str, pa.DataType]] = {}
        self._fragments: dict[str, Any] = {}  # with what was read of their metadata
        with _reading(self.files[0]):
            self.types = self._types_of(self.files[0])

    def _types_of(self, file: str) -> dict[str, pa.DataType]:
        if file not in self._types:
            self._types[file] = _types(self._schema(file), file)
        return self._types[file]

    def _schema(self, file: str) -> pa.Schema:
        if _is_csv(file):
            with self._open_csv(file) as stream, self._explaining(file, ()):
                return csv.open_csv(stream, parse_options=_parse(file)).schema
        return self.fragment(file).physical_schema

    @contextmanager
    def _open_csv(self, file: str) -> Iterator[Any]:
        if not file.lower().endswith(".zip"):
            with self.filesystem.open_input_stream(file) as stream:  # decompresses by the name's ending
                yield stream
            return
        with self.filesystem.open_input_file(file) as stored, zipfile.ZipFile(stored) as archive:
            members = archive.namelist()
            if len(members) != 1:
                raise InputError(f"{file} holds {len(members)} files: it must hold one CSV, unpack it")
            with archive.open(members[0]) as stream:
                yield stream

    def fragment(self, file: str) -> Any:
        """A Parquet file as pyarrow's dataset sees it: its schema, its row groups."""
        if file not in self._fragments:
            # Without the check a damaged page is read as other numbers; few files have checksums, but then.
            checked = pads.ParquetFragmentScanOptions(page_checksum_verification=True)
            parquet = pads.ParquetFileFormat(default_fragment_scan_options=checked)
            self._fragments[file] = parquet.make_fragment(file, self.filesystem)
        return self._fragments[file]

    @property
    def size(self) -> int:
        """The files' bytes together."""
        return sum(self._stamp(file)[0] for file in self.files)

    def wholes(self) -> list[Part]:
        """The files."""
        return [Part(file) for file in self.files]

    def parts(self, rows: int) -> list[Part]:
        """The files, those of Parquet divided between row groups."""
        found = []
        for file in self.files:
            if _is_csv(file):
                found.append(Part(file))
                continue
            with _reading(file):
                self._stamps.setdefault(file, self._stamp(file))
                first, groups, held = 0, [], 0
                for group in self.fragment(file).row_groups:
                    groups.append(group.id)
                    held += group.num_rows
                    if held >= rows:
                        found.append(Part(file, first, held, tuple(groups)))
                        first, groups, held = first + held, [], 0
                if held:
                    found.append(Part(file, first, held, tuple(groups)))
        return found

    def read(self, part: Part, columns: Sequence[str], number: pa.DataType, *, lean: bool) -> Iterator[Block]:
        """The rows of a part in order, block by block; see `Table.read`."""
        file = part.file
        with _reading(file):
            before = self._stamps.setdefault(file, self._stamp(file))
            present = self._types_of(file)
            for column in columns:
                if column not in present:
                    raise InputError(f"{file} has no column {column!r}, which {self.files[0]} has")
            first = part.first
            for batch in self._batches(part, columns, number, lean=lean):
                yield Block(file, first, batch)
                first += len(batch)
            if self._stamp(file) != before:
                raise InputError(f"{file} changed while it was read: use a copy that nothing writes to")

    def _stamp(self, file: str) -> tuple[Any, Any]:
        info = self.filesystem.get_file_info(file)
        return info.size, info.mtime

    def _batches(
        self, part: Part, columns: Sequence[str], number: pa.DataType, *, lean: bool
    ) -> Iterator[pa.RecordBatch]:
        file = part.file
        if not _is_csv(file):
            fragment = self.fragment(file)
            if part.groups is not None:
                fragment = fragment.subset(row_group_ids=list(part.groups))
            ahead = {"batch_readahead": 2, "fragment_readahead": 1} if lean else {}
            yield from fragment.to_batches(columns=list(columns), batch_size=BLOCK_ROWS, **ahead)
            return
        types = {name: number for name in columns if is_number(self.types[name])}
        options = csv.ConvertOptions(column_types=types, include_columns=list(columns))
        with self._open_csv(file) as stream, self._explaining(file, columns):
            if lean:
                yield from csv.open_csv(stream, parse_options=_parse(file), convert_options=options)
                return
            # Twice as fast as the streaming reader, because it parses on all cores.
            table = csv.read_csv(stream, parse_options=_parse(file), convert_options=options)
        batches = table.to_batches(max_chunksize=BLOCK_ROWS)[::-1]
        del table
        while batches:  # each is let go as soon as it has been used
            yield batches.pop()

    @contextmanager
    def _explaining(self, file: str, columns: Sequence[str]) -> Iterator[None]:
        try:
            yield
        except pa.ArrowInvalid as error:
            if "Empty CSV" in str(error):
                raise
            raise InputError(self._explain(file, str(error), columns)) from error

    def _explain(self, file: str, message: str, columns: Sequence[str]) -> str:
        """Finds the row that pyarrow, which reads many at once, could not name."""
        value = re.search(r"conversion error to \w+: invalid value '(.*)'", message, re.DOTALL)
        if value is None:
            with self._open_csv(file) as stream:
                try:
                    csv.read_csv(stream, csv.ReadOptions(use_threads=False, block_size=2**20), _parse(file))
                except pa.ArrowInvalid as error:
                    message = str(error).removeprefix("CSV parse error: ").replace("Row #", "line ")
            return f"{file} is not a table: {message}: every row must have as many fields as the header"
        numbers = [name for name in columns if is_number(self.types[name])]
        options = csv.ConvertOptions(
            column_types=dict.fromkeys(numbers, pa.string()), include_columns=numbers
        )
        first = 0
        with self._open_csv(file) as stream:
            for batch in csv.open_csv(stream, parse_options=_parse(file), convert_options=options):
                for name in numbers:
                    row = pc.index(batch[name], value[1]).as_py()
                    if row >= 0:
                        return not_a_number(file, name, first + row, value[1])
                first += len(batch)
        return f"{file} holds {value[1]!r}, which is not a number"


def not_a_number(file: str, column: str, row: int, value: object) -> str:
    """What to say of a text where a number should be."""
    return (
        f"{file}: column {column!r} holds {value!r} in row {row} (counted from 0), which is not a number: "
        f"correct it, leave the column out of --data.features, or add it to --data.categorical"
    )


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


def kind(column: pa.DataType) -> str:
    """What to call a column's type."""
    is_text = pa.types.is_string(column) or pa.types.is_large_string(column) or pa.types.is_dictionary(column)
    return "text" if is_text else str(column)


def open_table(source: Any) -> Table:
    """Opens a table by its path, or takes one in memory.

    Args:
        source: A path, pattern or URI, or a pandas or pyarrow table.

    Raises:
        InputError: If there is nothing there that can be read.
    """
    if isinstance(source, pa.Table):
        return Table(source, "the table")
    if not isinstance(source, str) and not hasattr(source, "__fspath__"):
        if hasattr(source, "columns") and hasattr(source, "iloc"):  # pandas, which need not be installed
            table = pa.Table.from_pandas(source, preserve_index=False)
            return Table(table.rename_columns([str(name) for name in source.columns]), "the table")
        raise InputError(
            f"path must be a path or a pandas or pyarrow table, got {type(source).__name__}: "
            "give arrays as x and y"
        )
    path = str(source)
    if path.lower().endswith(ARRAY_ENDINGS):
        with _reading(path):
            return _Arrays(path)
    return Files(path)


class _Arrays(Table):
    """A `.npy` or `.npz` file: columns `0`, `1`, … of an array, or `name`, `name_0`, … of a named one."""

    def __init__(self, path: str) -> None:
        self.name = path
        loaded = np.load(path, mmap_mode="r")  # a .npz cannot be mapped, and is read as it is used
        arrays = {"": loaded} if isinstance(loaded, np.ndarray) else dict(loaded)
        self._columns: dict[str, np.ndarray] = {}
        for name, array in arrays.items():
            if array.ndim not in (1, 2) or array.dtype.kind not in "biuf":
                raise InputError(
                    f"{path}: {name or 'the array'} is {array.ndim}-dimensional of type {array.dtype}: "
                    "it must hold numbers in one or two dimensions, (rows, columns)"
                )
            if array.ndim == 1:
                self._columns[name or "0"] = array
            else:
                prefix = f"{name}_" if name else ""
                self._columns |= {f"{prefix}{i}": array[:, i] for i in range(array.shape[1])}
        lengths = {name: len(column) for name, column in self._columns.items()}
        if len(set(lengths.values())) > 1:
            raise InputError(f"{path}: its arrays have different numbers of rows: {lengths}")
        self._rows = next(iter(lengths.values()))
        self.types = {name: pa.from_numpy_dtype(c.dtype) for name, c in self._columns.items()}

    @property
    def size(self) -> int:
        """Its rows."""
        return self._rows

    def wholes(self) -> list[Part]:
        """Slices, so that a file that is mapped into memory is not copied there at once."""
        starts = range(0, self._rows, 2**18)
        return [Part(self.name, first, min(2**18, self._rows - first)) for first in starts]

    def _slice(self, part: Part, columns: Sequence[str]) -> pa.Table:
        rows = slice(part.first, part.first + (part.rows or 0))
        return pa.table({name: np.ascontiguousarray(self._columns[name][rows]) for name in columns})


def _types(schema: pa.Schema, file: str) -> dict[str, pa.DataType]:
    for i, name in enumerate(schema.names):
        if name in schema.names[:i]:
            raise InputError(f"{file} has two columns named {name!r}: rename one")
    return dict(zip(schema.names, schema.types, strict=True))


def _is_csv(file: str) -> bool:
    name = PurePosixPath(file.lower())
    return (name.with_suffix("") if name.suffix in COMPRESSED else name).suffix in CSV_ENDINGS


def _parse(file: str) -> csv.ParseOptions:
    return csv.ParseOptions(delimiter="\t" if ".tsv" in file.lower() else ",")


def _filesystem(path: str) -> tuple[fs.FileSystem, str]:
    if "://" not in path:
        return fs.LocalFileSystem(), path
    try:
        filesystem, root = fs.FileSystem.from_uri(path)
    except OSError as error:
        raise InputError(f"{path} cannot be opened: {error}") from error
    except pa.ArrowInvalid:
        import fsspec  # which knows more schemes than pyarrow

        try:
            other, root = fsspec.core.url_to_fs(path)
        except (ValueError, ImportError) as error:
            raise InputError(f"{path} cannot be opened: {error}") from error
        filesystem = fs.PyFileSystem(fs.FSSpecHandler(other))
    return filesystem, root


def _find(filesystem: fs.FileSystem, root: str, path: str) -> list[str]:
    """The files that a path, a folder or a pattern stands for, sorted."""
    known = (*CSV_ENDINGS, *PARQUET_ENDINGS)
    with _reading(path):
        info = filesystem.get_file_info(root)
        if info.type == fs.FileType.File:
            if not _is_csv(root) and not root.lower().endswith(PARQUET_ENDINGS):
                raise InputError(
                    f"the ending of {path} is unknown: it must be one of "
                    f"{', '.join((*known, *ARRAY_ENDINGS))}, a CSV's also with {', '.join(COMPRESSED)}"
                )
            return [root]
        pattern = root if re.search(r"[*?\[]", root) else None
        if info.type == fs.FileType.NotFound and pattern is None:
            raise InputError(f"there is no file {path}: check --data.path")
        base = root if pattern is None else re.split(r"[*?\[]", root)[0].rpartition("/")[0]
        selector = fs.FileSelector(base or ("/" if root.startswith("/") else "."), recursive=True)
        found = [f.path.removeprefix("./") for f in filesystem.get_file_info(selector) if f.is_file]
    files = sorted(
        file
        for file in found
        if (_is_csv(file) or file.lower().endswith(PARQUET_ENDINGS))
        and not PurePosixPath(file).name.startswith((".", "_"))
        and (pattern is None or fnmatch.fnmatchcase(file, pattern.removeprefix("./")))
    )
    if not files:
        raise InputError(f"{path} has no files that end in {', '.join(known)}: check --data.path")
    return files


@contextmanager
def _reading(file: str) -> Iterator[None]:
    """Names the file in what goes wrong while it is read."""
    try:
        yield
    except InputError:
        raise
    except PermissionError as error:
        raise InputError(f"{file} may not be read: change its permissions") from error
    except FileNotFoundError as error:
        raise InputError(f"there is no file {file}: check --data.path, and that nothing moves it") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{file} is not in UTF-8: save it in that encoding") from error
    except (pa.ArrowException, OSError, EOFError, ValueError, zipfile.BadZipFile) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{file} cannot be read, it is damaged, cut short or empty: {reason}") from error


def nearest(name: str, names: Mapping[str, Any] | Sequence[str]) -> str:
    """The name that was probably meant, as a hint."""
    import difflib

    near = difflib.get_close_matches(name, list(names), n=1, cutoff=0.5)
    return f"did you mean {near[0]!r}?" if near else f"there are {', '.join(map(repr, list(names)[:20]))}"
