"""CSV files: their dialect, parsing by pyarrow, and what is wrong with them, and where."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import PurePosixPath
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv, fs

from linlight.data.csv_bytes import COMPRESSED, open_utf8, whole_rows
from linlight.data.prefetch import prefetch
from linlight.data.tables import BLOCK_ROWS, ColumnSpec, Part, TableBlock
from linlight.data.values import not_a_number
from linlight.errors import InputError

T = TypeVar("T")
CSV_ENDINGS = (".csv", ".tsv", ".txt")
CSV_BYTES = 2**23
"""Bytes that are parsed at once: enough for all cores, few enough to hold several times."""
BYTES_OF_A_COLUMN = 2**12
"""Bytes of each column that pyarrow converts at a time, at the least: a call costs as much as many bytes."""
WIDE = 2**13
"""Columns for which that many bytes are parsed at once; for twice as many columns, twice the bytes."""
MOST_COLUMNS = 2**17
NA_VALUES = tuple(csv.ConvertOptions().null_values)
"""Texts that stand for no value unless others are named: "", NA, NaN, null and the like."""


@dataclass(frozen=True)
class Dialect:
    """The dialect of a CSV.

    Attributes:
        delimiter: What separates fields; None for a comma, in a `.tsv` a tab.
        decimal: What separates decimals.
        encoding: The encoding, by Python's name of it.
        header: Whether the first row holds the columns' names; else they are 0, 1, ….
        skip_rows: Lines before that.
        na_values: Texts that stand for no value, or one; the empty one always does. None: `NA_VALUES`.
    """

    delimiter: str | None = None
    decimal: str = "."
    encoding: str = "utf-8"
    header: bool = True
    skip_rows: int = 0
    na_values: Sequence[str] | str | None = None

    def __post_init__(self) -> None:
        """Checks them."""
        delimiter = {"\\t": "\t", "tab": "\t"}.get(self.delimiter or "", self.delimiter)
        object.__setattr__(self, "delimiter", delimiter)
        for name, letter in (("delimiter", delimiter), ("decimal", self.decimal)):
            if letter is not None and (len(letter) != 1 or not letter.isascii() or letter in '"\r\n'):
                raise InputError(f"{name} must be one character, such as ';' or ',', got {letter!r}")
        if delimiter == self.decimal:
            raise InputError(f"delimiter and decimal are both {delimiter!r}: they must differ")
        if self.skip_rows < 0:
            raise InputError(f"skip_rows must be at least 0, got {self.skip_rows}")
        try:
            "".encode(self.encoding)
        except LookupError:
            raise InputError(
                f"encoding {self.encoding!r} is unknown: give one that Python knows, such as cp1252 or utf-16"
            ) from None

    def missing_texts(self) -> list[str]:
        """All texts that stand for no value."""
        given = self.na_values
        if isinstance(given, str):  # `[?]` is a list for everybody but YAML
            listed = re.fullmatch(r"\[(.*)\]", given)
            given = [one.strip(" '\"") for one in listed[1].split(",")] if listed else [given]
        return list(dict.fromkeys(("", *(NA_VALUES if given is None else given))))

    def parse_options(self, file: str, quoted: bool = True) -> csv.ParseOptions:
        """Options to separate fields and rows; where nothing is quoted, pyarrow finds rows in less time."""
        delimiter = self.delimiter or ("\t" if ending(file) == ".tsv" else ",")
        return csv.ParseOptions(delimiter=delimiter, newlines_in_values=quoted)

    def convert_options(self, **options: Any) -> csv.ConvertOptions:
        """Options to convert fields to numbers."""
        return csv.ConvertOptions(null_values=self.missing_texts(), decimal_point=self.decimal, **options)


def ending(file: str) -> str:
    """What a file's name ends in, a CSV's without how it is compressed."""
    name = PurePosixPath(file.lower())
    inner = name.with_suffix("").suffix
    return inner if name.suffix in COMPRESSED and inner in CSV_ENDINGS else name.suffix


def is_csv(file: str) -> bool:
    """Whether a file is a CSV, by its name."""
    return ending(file) in CSV_ENDINGS


class Csv:
    """Reads CSV files."""

    def __init__(self, filesystem: fs.FileSystem, dialect: Dialect) -> None:
        self.filesystem = filesystem
        self.dialect = dialect
        self._schemas: dict[str, pa.Schema] = {}
        self._na_values = pa.array(dialect.missing_texts(), pa.string())

    def schema(self, file: str) -> pa.Schema:
        """The columns' names, and the types that the first rows have."""
        if file not in self._schemas:
            dialect, parse = self.dialect, self.dialect.parse_options(file)
            options = csv.ReadOptions(
                skip_rows=dialect.skip_rows, autogenerate_column_names=not dialect.header
            )
            with self._rows_of(file) as rows, self._explaining(file, {}):
                # The first bytes of a file with a long header hold nothing else.
                first = b"".join(islice(rows, 2))
                _check_columns(file, first, str(parse.delimiter))
                schema = _parse(first, _schema_of, options, parse, dialect.convert_options())
                if dialect.header:
                    _check_header(file, schema.names)
                else:
                    schema = pa.schema([field.with_name(str(i)) for i, field in enumerate(schema)])
            self._schemas[file] = schema
        return self._schemas[file]

    def parts(self, file: str, rows: int | None) -> list[Part]:
        """The file: it cannot be divided, and how many rows it has is known when it has been read."""
        return [Part(file)]

    def read(self, part: Part, columns: Mapping[str, ColumnSpec]) -> Iterator[TableBlock]:
        """The rows of a file in order, block by block."""
        file = part.file
        present = self.schema(file)
        types = {name: wanted.type for name, wanted in columns.items()}
        for name, kind in types.items():
            if pa.types.is_boolean(present.field(name).type) and not pa.types.is_string(kind):
                types[name] = pa.bool_()  # true and false would not be parsed as numbers
        first = 0
        with self._explaining(file, columns):
            for table in self._tables(file, types):
                for batch in table.to_batches(max_chunksize=BLOCK_ROWS):
                    yield TableBlock(file, first, batch, self._na_values)
                    first += len(batch)

    def _tables(self, file: str, types: Mapping[str, pa.DataType]) -> Iterator[pa.Table]:
        # pyarrow's streaming reader takes twice as long, because it parses on one core.
        dialect, names = self.dialect, self.schema(file).names
        convert = dialect.convert_options(column_types=dict(types), include_columns=list(types))
        # Each column costs in each block and in each read: of a wide table the usual bytes are few rows.
        with self._rows_of(file, CSV_BYTES * max(1, len(names) // WIDE)) as rows:
            for i, chunk in enumerate(prefetch(rows)):
                options = csv.ReadOptions(
                    skip_rows=dialect.skip_rows if i == 0 else 0,
                    column_names=None if i == 0 and dialect.header else names,
                )
                options.block_size = max(options.block_size, BYTES_OF_A_COLUMN * len(names))
                parse = dialect.parse_options(file, quoted=b'"' in chunk)
                yield _parse(chunk, csv.read_csv, options, parse, convert)

    @contextmanager
    def _rows_of(self, file: str, least: int | None = None) -> Iterator[Iterator[bytes]]:
        with open_utf8(self.filesystem, file, self.dialect.encoding) as stream:
            delimiter = self.dialect.parse_options(file).delimiter
            yield whole_rows(stream, delimiter, file, CSV_BYTES if least is None else least)

    # What is wrong --------------------------------------------------------------------------------------

    @contextmanager
    def _explaining(self, file: str, columns: Mapping[str, ColumnSpec]) -> Iterator[None]:
        try:
            yield
        except UnicodeDecodeError as error:
            raise InputError(self._not_encoded(file)) from error
        except pa.ArrowInvalid as error:
            if "Empty CSV" in str(error):
                raise
            raise InputError(self._explain(file, str(error), columns)) from error

    def _not_encoded(self, file: str) -> str:
        name = self.dialect.encoding.upper()
        return (
            f"{file} is not in {name}: save it in that encoding, or name its own, as --data.encoding cp1252"
        )

    def _explain(self, file: str, message: str, columns: Mapping[str, ColumnSpec]) -> str:
        """Finds the row that pyarrow, which reads many at once, could not name."""
        if "invalid UTF8" in message:
            return self._not_encoded(file)
        value = re.search(r"conversion error to \w+: invalid value '(.*)'", message, re.DOTALL)
        if value is None:
            return self._not_a_table(file, message)
        numbers = [name for name, wanted in columns.items() if not pa.types.is_string(wanted.type)]
        first = 0
        for table in self._tables(file, dict.fromkeys(numbers, pa.string())):
            for name in numbers:
                row = pc.index(table[name], value[1]).as_py()
                if row >= 0:
                    remedy = columns[name].remedy
                    return not_a_number(file, name, first + row, value[1], remedy, is_csv=True)
            first += len(table)
        return f"{file} holds {value[1]!r}, which is not a number"

    def _not_a_table(self, file: str, message: str) -> str:
        parse, dialect = self.dialect.parse_options(file), self.dialect
        lines = 0
        with self._rows_of(file) as rows:
            for i, chunk in enumerate(rows):
                if i == 0:
                    begin = chunk[: 2**20].decode(errors="replace").splitlines()[dialect.skip_rows :]
                    _check_remarks(file, begin, dialect.skip_rows)
                    check_separated(file, begin[0].split(parse.delimiter) if begin else [])
                # One thread alone counts rows.
                read = csv.ReadOptions(
                    use_threads=False,
                    block_size=max(2**20, len(chunk) + 1),
                    autogenerate_column_names=i > 0,
                    skip_rows=dialect.skip_rows if i == 0 else 0,
                )
                try:
                    csv.read_csv(pa.BufferReader(chunk), read, parse)
                except pa.ArrowInvalid as error:
                    message = str(error).removeprefix("CSV parse error: ")
                    message = re.sub(r"Row #(\d+)", lambda m: f"line {int(m[1]) + lines}", message)  # noqa: B023
                    break
                lines += chunk.count(b"\n")
        message = message if len(message) < 300 else f"{message[:300]}…"
        remedy = "every row must be one line with as many fields as the header"
        return f"{file} is not a table: {message}: {remedy}"


def _schema_of(stream: pa.BufferReader, *options: Any) -> pa.Schema:
    with csv.open_csv(stream, *options) as reader:
        return reader.schema


def _parse(rows: bytes, read: Callable[..., T], options: csv.ReadOptions, *more: Any) -> T:
    """Parses rows by one of pyarrow's readers; again as one block where a row is longer than its blocks."""
    # In pyarrow's own memory: its threads may still hold a block when Python ends. To let go of Python's own
    # bytes they would wait for the interpreter, which ends the process by a signal.
    copy = pa.BufferOutputStream()
    copy.write(rows)
    with pa.BufferReader(copy.getvalue()) as stream:
        try:
            return read(stream, options, *more)
        except pa.ArrowInvalid as error:
            if not rows or not re.search("straddling|block size|Empty CSV file or block", str(error)):
                raise
            stream.seek(0)
            options.block_size = len(rows) + 1
            return read(stream, options, *more)


def check_separated(file: str, names: Sequence[str]) -> None:
    """Raises where the only column's name holds what separates fields elsewhere."""
    found = re.search("[;,\t|]", names[0]) if len(names) == 1 else None
    if found:
        raise InputError(
            f"{file} has one column, {names[0][:80]!r}: separate the fields by commas, and write decimals "
            f"with points, or add --data.delimiter {found[0]!r}, and where it has them --data.decimal ','"
        )


def _check_remarks(file: str, lines: Sequence[str], skipped: int) -> None:
    """Raises where a CSV begins with remarks."""
    remarks = next((i for i, line in enumerate(lines) if not line.startswith(("#", "%"))), 0)
    if remarks:
        raise InputError(
            f"{file} begins with a remark, {lines[0][:80]!r}: leave it out, or add "
            f"--data.skip_rows {skipped + remarks}"
        )


def _check_columns(file: str, rows: bytes, delimiter: str) -> None:
    """Raises where a CSV has more columns than pyarrow can read."""
    columns = rows[: rows.find(b"\n")].count(delimiter.encode()) + 1
    if columns > MOST_COLUMNS:
        raise InputError(
            f"{file} has {columns:,} columns, and a CSV may have {MOST_COLUMNS:,}: exchange rows and "
            "columns, or store the numbers as a .npy"
        )


def _check_header(file: str, names: Sequence[str]) -> None:
    """Raises where a CSV has no header."""
    numbers = [re.fullmatch(r"\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\s*", name) for name in names]
    # Whole numbers alone can be names: of years, or of an array's columns.
    if names and all(numbers) and not all(name.strip().isdigit() for name in names):
        raise InputError(
            f"{file} has no header, for its first line is numbers, {','.join(names)[:60]!r}: put names "
            "there, or add --data.header false, which names the columns 0, 1, …"
        )
