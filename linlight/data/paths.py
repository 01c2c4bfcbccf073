"""A table by its path: one file, or those of a folder or pattern, read as one."""

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

import pyarrow as pa
from fsspec.implementations.arrow import ArrowFSWrapper
from pyarrow import fs

from linlight.data.csv import CSV_ENDINGS, Csv, Dialect, ending, is_csv
from linlight.data.csv_bytes import COMPRESSED
from linlight.data.parquet import PARQUET_ENDINGS, Parquet
from linlight.data.tables import (
    ARRAY_ENDINGS,
    Arrays,
    ColumnSpec,
    Part,
    Table,
    TableBlock,
    changed,
    of_pandas,
    reading,
    types_by_name,
)
from linlight.distributed import say
from linlight.errors import InputError
from linlight.text import count


def open_table(source: Any, dialect: Dialect = Dialect()) -> Table:  # noqa: B008
    """Opens a table by its path, or takes one in memory.

    Args:
        source: A path, pattern or URI, or a pandas or pyarrow table.
        dialect: How a CSV is written.

    Raises:
        InputError: If there is nothing there that can be read.
    """
    if isinstance(source, pa.Table):
        return Table(source, "the table")
    if not isinstance(source, str) and not hasattr(source, "__fspath__"):
        if hasattr(source, "columns") and hasattr(source, "iloc"):  # pandas, which need not be installed
            return Table(of_pandas(source), "the table")
        raise InputError(
            f"path must be a path or a pandas or pyarrow table, got {type(source).__name__}: "
            "give arrays as x and y"
        )
    path = str(source)
    if path.lower().endswith(ARRAY_ENDINGS):
        with reading(path):
            return Arrays(path)
    files = Files(path, dialect)
    if len(files.files) > 1:
        say(f"{path}: {count(len(files.files), 'file')}")
    return files


class Files(Table):
    """Files that together are a table, one after the other in the order of their names.

    Args:
        path: A file, a folder, a pattern such as `data/*.parquet`, or a URI of one.
        dialect: How those that are CSV are written.
    """

    keeps_type = False

    def __init__(self, path: str, dialect: Dialect = Dialect()) -> None:  # noqa: B008
        self.name = path
        self.filesystem, self.files = find(path)
        self._csv, self._parquet = Csv(self.filesystem, dialect), Parquet(self.filesystem)
        self._stamps: dict[str, tuple[Any, Any]] = {}  # size and time of each file, when it was first read
        self._types: dict[str, dict[str, pa.DataType]] = {}
        with reading(self.files[0]):
            self.types = self._types_of(self.files[0])

    def _format(self, file: str) -> Csv | Parquet:
        return self._csv if is_csv(file) else self._parquet

    def _types_of(self, file: str) -> dict[str, pa.DataType]:
        if file not in self._types:
            schema = self._format(file).schema(file)
            self._types[file] = types_by_name(schema.names, schema.types, file)
        return self._types[file]

    @property
    def size(self) -> int:
        """The files' bytes together."""
        return sum(self._stamp(file)[0] for file in self.files)

    def id_type(self, column: str) -> pa.DataType:
        """The type in which a file of predictions repeats a column: for a CSV text, else the first file's."""
        return pa.string() if is_csv(self.files[0]) else self.types[column]

    def parts(self, rows: int | None = None) -> list[Part]:
        """The files, those of Parquet divided between row groups; a CSV file cannot be divided."""
        found: list[Part] = []
        for file in self.files:
            with reading(file):
                self._stamps.setdefault(file, self._stamp(file))
                found += self._format(file).parts(file, rows)
        return found

    def read(self, part: Part, columns: Mapping[str, ColumnSpec]) -> Iterator[TableBlock]:
        """The rows of a part in order, block by block; see `Table.read`."""
        file = part.file
        with reading(file):
            before = self._stamps.setdefault(file, self._stamp(file))
            present = self._types_of(file)
            for column in columns:
                if column not in present:
                    raise InputError(f"{file} has no column {column!r}, which {self.files[0]} has")
            yield from self._format(file).read(part, columns)
            if self._stamp(file) != before:
                raise InputError(changed(file))

    def _stamp(self, file: str) -> tuple[Any, Any]:
        info = self.filesystem.get_file_info(file)
        return info.size, info.mtime


def _filesystem(path: str) -> tuple[fs.FileSystem, str]:
    if "://" not in path:
        return fs.LocalFileSystem(), path
    uri = path
    if path.startswith(("gs://", "gcs://")) and "retry_limit_seconds" not in path:
        uri += f"{'&' if '?' in path else '?'}retry_limit_seconds=20"  # of Google's own 15 minutes
    try:
        try:
            filesystem, root = fs.FileSystem.from_uri(uri)
        except pa.ArrowInvalid:
            import fsspec  # which knows more schemes than pyarrow

            other, root = fsspec.core.url_to_fs(path)
            filesystem = fs.PyFileSystem(fs.FSSpecHandler(other))
    except (OSError, ValueError, ImportError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{path} cannot be opened: {reason[:300]}") from error
    return filesystem, root


def _matching(filesystem: fs.FileSystem, pattern: str) -> list[str]:
    """The files that a pattern stands for in a shell."""
    is_relative = isinstance(filesystem, fs.LocalFileSystem) and not os.path.isabs(pattern)
    # fsspec finds nothing where a pattern begins with a wildcard.
    rooted = f"./{pattern}" if is_relative else pattern
    found = ArrowFSWrapper(filesystem).glob(rooted, detail=True)
    return [file.removeprefix("./") for file, info in found.items() if info["type"] == "file"]


def _any_hidden(names: Iterable[str]) -> bool:
    return any(name.startswith((".", "_")) for name in names)


def find(path: str) -> tuple[fs.FileSystem, list[str]]:
    """The files that a path, a folder or a pattern stands for, sorted, and where they are.

    Raises:
        InputError: If there are none.
    """
    filesystem, root = _filesystem(path)
    known = (*CSV_ENDINGS, *PARQUET_ENDINGS)
    with reading(path):
        info = filesystem.get_file_info(root)
        if info.type == fs.FileType.File:
            if ending(root) not in known:
                raise InputError(
                    f"the ending of {path} is unknown: it must be one of "
                    f"{', '.join((*known, *ARRAY_ENDINGS))}, a CSV's also with {', '.join(COMPRESSED)}"
                )
            return filesystem, [root]
        names = PurePosixPath(root).parts
        first = next((i for i, name in enumerate(names) if re.search(r"[*?\[]", name)), len(names))
        if info.type == fs.FileType.Directory:
            infos = filesystem.get_file_info(fs.FileSelector(root, recursive=True))
            found, first = [one.path for one in infos if one.is_file], len(names)
        elif first < len(names):
            found = _matching(filesystem, root)
        else:
            raise InputError(f"there is no file {path}: check --data.path")
    asked = names[first:]
    # Unless the pattern asks for them, copies that a notebook keeps and notes next to data are left out.
    wanted = [end for end in known if end != ".txt" or (asked and ending(asked[-1]) == ".txt")]
    files = sorted(
        file
        for file in found
        if ending(file) in wanted
        and (_any_hidden(asked) or not _any_hidden(PurePosixPath(file).parts[first:]))
    )
    if not files:
        raise InputError(f"{path} has no files that end in {', '.join(wanted)}: check --data.path")
    return filesystem, files
