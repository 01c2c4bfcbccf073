"""CSV and Parquet files as one table. pyarrow reads them; this says what is wrong with them, and where."""

import re
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv, fs, parquet

from linlight.data.paths import ARRAY_ENDINGS, ending, find, is_csv
from linlight.data.prefetch import prefetch
from linlight.data.tables import (
    BLOCK_ROWS,
    Arrays,
    Block,
    ColumnSpec,
    Part,
    Table,
    check_separated,
    not_a_number,
    not_utf8,
    reading,
    types_by_name,
)
from linlight.distributed import say
from linlight.errors import InputError
from linlight.text import count

CSV_BYTES = 2**23
"""Bytes of a CSV that are parsed at once: enough for all cores, few enough to be held some times."""
COLUMN_BYTES = 2**17
"""Bytes of a Parquet column that are read at once."""


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
            return Table(_of_pandas(source), "the table")
        raise InputError(
            f"path must be a path or a pandas or pyarrow table, got {type(source).__name__}: "
            "give arrays as x and y"
        )
    path = str(source)
    if path.lower().endswith(ARRAY_ENDINGS):
        with reading(path):
            return Arrays(path)
    files = Files(path)
    if len(files.files) > 1:
        say(f"{path}: {count(len(files.files), 'file')}")
    return files


def _of_pandas(frame: Any) -> pa.Table:
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


class Files(Table):
    """Files of one kind that together are a table, one after the other in the order of their names.

    Args:
        path: A file, a folder, a pattern such as `data/*.parquet`, or a URI of one.
    """

    def __init__(self, path: str) -> None:
        self.name = path
        self.filesystem, self.files = find(path)
        self._stamps: dict[str, tuple[Any, Any]] = {}  # size and time of each file, when it was first read
        self._types: dict[str, dict[str, pa.DataType]] = {}
        self._metadata: dict[str, Any] = {}  # of Parquet files
        with reading(self.files[0]):
            self.types = self._types_of(self.files[0])

    def _types_of(self, file: str) -> dict[str, pa.DataType]:
        if file not in self._types:
            schema = self._schema(file)
            self._types[file] = types_by_name(schema.names, schema.types, file)
        return self._types[file]

    def _schema(self, file: str) -> pa.Schema:
        if is_csv(file):
            with self._open_csv(file) as stream, self._explaining(file, {}):
                return csv.open_csv(stream, parse_options=_separated(file)).schema
        return self._metadata_of(file).schema.to_arrow_schema()

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

    def _metadata_of(self, file: str) -> Any:
        """What a Parquet file says of its columns and row groups."""
        if file not in self._metadata:
            self._metadata[file] = parquet.read_metadata(file, filesystem=self.filesystem)
        return self._metadata[file]

    @property
    def size(self) -> int:
        """The files' bytes together."""
        return sum(self._stamp(file)[0] for file in self.files)

    def id_type(self, column: str) -> pa.DataType:
        """The type of a column that predictions are written with: of a CSV text, or else the first file's."""
        return pa.string() if is_csv(self.files[0]) else self.types[column]

    def wholes(self) -> list[Part]:
        """The files."""
        return [Part(file, rows=None if is_csv(file) else self._rows_of(file)) for file in self.files]

    def _rows_of(self, file: str) -> int:
        with reading(file):
            self._stamps.setdefault(file, self._stamp(file))
            return int(self._metadata_of(file).num_rows)

    def parts(self, rows: int) -> list[Part]:
        """The files, those of Parquet divided between row groups; a CSV file cannot be divided."""
        found = []
        for whole in self.wholes():
            if whole.rows is None:
                found.append(whole)
                continue
            metadata = self._metadata_of(whole.file)
            first, groups, held = 0, [], 0
            for group in range(metadata.num_row_groups):
                groups.append(group)
                held += metadata.row_group(group).num_rows
                if held >= rows:
                    found.append(Part(whole.file, first, held, tuple(groups)))
                    first, groups, held = first + held, [], 0
            if held:
                found.append(Part(whole.file, first, held, tuple(groups)))
        return found

    def read(self, part: Part, columns: Mapping[str, ColumnSpec]) -> Iterator[Block]:
        """The rows of a part in order, block by block; see `Table.read`."""
        file = part.file
        with reading(file):
            before = self._stamps.setdefault(file, self._stamp(file))
            present = self._types_of(file)
            for column in columns:
                if column not in present:
                    raise InputError(f"{file} has no column {column!r}, which {self.files[0]} has")
            first = part.first
            batches = self._parse(file, columns) if is_csv(file) else self._decode(part, columns)
            for batch in batches:
                yield Block(file, first, batch, is_csv(file))
                first += len(batch)
            if self._stamp(file) != before:
                raise InputError(f"{file} changed while it was read: use a copy that nothing writes to")

    def _stamp(self, file: str) -> tuple[Any, Any]:
        info = self.filesystem.get_file_info(file)
        return info.size, info.mtime

    def _decode(self, part: Part, columns: Iterable[str]) -> Iterator[pa.RecordBatch]:
        is_local = isinstance(self.filesystem, fs.LocalFileSystem)
        file = parquet.ParquetFile(
            part.file,
            metadata=self._metadata_of(part.file),
            filesystem=self.filesystem,
            # A disk gives a little of each column at a time; far away each request costs, and all are made
            # at once.
            buffer_size=COLUMN_BYTES if is_local else 0,
            pre_buffer=not is_local,
            # Without the check a damaged page is read as other numbers; few files have checksums, but then.
            page_checksum_verification=True,
        )
        with file:
            yield from file.iter_batches(BLOCK_ROWS, row_groups=part.groups, columns=list(columns))

    def _parse(self, file: str, columns: Mapping[str, ColumnSpec]) -> Iterator[pa.RecordBatch]:
        # pyarrow's streaming reader takes twice as long, because it parses on one core.
        present = self._types_of(file)
        types = {name: wanted.type for name, wanted in columns.items()}
        for name, kind in types.items():
            if pa.types.is_boolean(present[name]) and not pa.types.is_string(kind):
                types[name] = present[name]  # true and false would not be parsed as numbers
        options = csv.ConvertOptions(column_types=types, include_columns=list(columns))
        read = csv.ReadOptions()
        with self._open_csv(file) as stream, self._explaining(file, columns):
            for lines in prefetch(_whole_lines(stream)):
                table = csv.read_csv(pa.BufferReader(lines), read, _separated(file), options)
                yield from table.to_batches(max_chunksize=BLOCK_ROWS)
                read = csv.ReadOptions(column_names=list(present))  # the first line alone is a header

    @contextmanager
    def _explaining(self, file: str, columns: Mapping[str, ColumnSpec]) -> Iterator[None]:
        try:
            yield
        except pa.ArrowInvalid as error:
            if "Empty CSV" in str(error):
                raise
            raise InputError(self._explain(file, str(error), columns)) from error

    def _explain(self, file: str, message: str, columns: Mapping[str, ColumnSpec]) -> str:
        """Finds the row that pyarrow, which reads many at once, could not name."""
        if "invalid UTF8" in message:
            return not_utf8(file)
        value = re.search(r"conversion error to \w+: invalid value '(.*)'", message, re.DOTALL)
        if value is None:
            return self._not_a_table(file, message)
        numbers = [name for name, wanted in columns.items() if not pa.types.is_string(wanted.type)]
        options = csv.ConvertOptions(
            column_types=dict.fromkeys(numbers, pa.string()), include_columns=numbers
        )
        first = 0
        with self._open_csv(file) as stream:
            for batch in csv.open_csv(stream, parse_options=_separated(file), convert_options=options):
                for name in numbers:
                    row = pc.index(batch[name], value[1]).as_py()
                    if row >= 0:
                        return not_a_number(file, name, first + row, value[1], columns[name].remedy)
                first += len(batch)
        return f"{file} holds {value[1]!r}, which is not a number"

    def _not_a_table(self, file: str, message: str) -> str:
        with self._open_csv(file) as stream:
            header = stream.read(CSV_BYTES).splitlines()[0].decode("utf-8-sig")
        check_separated(file, header.split(_separated(file).delimiter))
        options = csv.ReadOptions(use_threads=False, block_size=2**20)  # one thread alone counts lines
        with self._open_csv(file) as stream:
            try:
                csv.read_csv(stream, options, _separated(file))
            except pa.ArrowInvalid as error:
                message = str(error).removeprefix("CSV parse error: ").replace("Row #", "line ")
        remedy = "every row must be one line with as many fields as the header"
        return f"{file} is not a table: {message}: {remedy}"


def _separated(file: str) -> csv.ParseOptions:
    return csv.ParseOptions(delimiter="\t" if ending(file) == ".tsv" else ",")


def _whole_lines(stream: Any) -> Iterator[bytes]:
    """A file's bytes, cut where a line ends."""
    begun = b""
    while read := stream.read(CSV_BYTES):
        lines, end, rest = read.rpartition(b"\n")
        if end:
            yield begun + lines + end
            begun = b""
        begun += rest
    if begun:
        yield begun
