"""CSV files: their dialect, cuts between rows, parsing by pyarrow, and what is wrong with them, and where."""

import re
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv, fs

from linlight.data.csv_checks import check_columns, check_header, check_remarks, check_separated
from linlight.data.prefetch import prefetch
from linlight.data.tables import BLOCK_ROWS, Block, ColumnSpec, Part, not_a_number
from linlight.errors import InputError

CSV_ENDINGS = (".csv", ".tsv", ".txt")
COMPRESSED = {".gz": "gzip", ".bz2": "bz2", ".zst": "zstd", ".lz4": "lz4", ".zip": None}
"""Endings of compressed files, and pyarrow's name of the codec."""
CSV_BYTES = 2**23
"""Bytes that are parsed at once: enough for all cores, few enough to be held some times."""
BYTES_OF_A_COLUMN = 2**8
"""Bytes of each column that pyarrow converts at a time, at the least."""
LONGEST_ROW = 2**30
"""Bytes; a longer row is a quote that is never closed, and is not gathered to the end of the file."""
MARK = b"\xef\xbb\xbf"  # which some write before UTF-8
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
        """Options to part fields and rows; where nothing is quoted, pyarrow finds rows in less time."""
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
        self._types: dict[str, pa.Schema] = {}
        self._na_values = pa.array(dialect.missing_texts(), pa.string())

    def schema(self, file: str) -> pa.Schema:
        """The columns' names, and the types that the first rows have."""
        if file not in self._types:
            with self._rows_of(file) as rows, self._explaining(file, {}):
                # The first block of a long header holds nothing else.
                first = b"".join(islice(rows, 2))
                check_columns(file, first, str(self.dialect.parse_options(file).delimiter))
                with _reader(first) as stream:
                    schema = _in_one_block_if_need_be(
                        lambda read: self._schema_of(file, stream, read),
                        csv.ReadOptions(**self._reading(None)),
                        stream,
                    )
                if self.dialect.header:
                    check_header(file, schema.names)
                else:
                    schema = pa.schema([field.with_name(str(i)) for i, field in enumerate(schema)])
            self._types[file] = schema
        return self._types[file]

    def _schema_of(self, file: str, stream: Any, read: csv.ReadOptions) -> pa.Schema:
        convert = self.dialect.convert_options()
        with csv.open_csv(stream, read, self.dialect.parse_options(file), convert) as reader:
            return reader.schema

    def parts(self, file: str, rows: int | None) -> list[Part]:
        """The file: it cannot be divided, and how many rows it has is known when it has been read."""
        return [Part(file)]

    def id_type(self, column: pa.DataType) -> pa.DataType:
        """The type of a column that predictions are written with: text, as it stands there."""
        return pa.string()

    def read(self, part: Part, columns: Mapping[str, ColumnSpec]) -> Iterator[Block]:
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
                    yield Block(file, first, batch, self._na_values)
                    first += len(batch)

    def _tables(self, file: str, types: Mapping[str, pa.DataType]) -> Iterator[pa.Table]:
        # pyarrow's streaming reader takes twice as long, because it parses on one core.
        convert = self.dialect.convert_options(column_types=dict(types), include_columns=list(types))
        names = self.schema(file).names
        header = None if self.dialect.header else names
        with self._rows_of(file) as rows:
            for i, chunk in enumerate(prefetch(rows)):
                options = csv.ReadOptions(**self._reading(header) if i == 0 else {"column_names": names})
                # Each column costs in each block: of a wide table the usual MiB would be few rows.
                options.block_size = max(options.block_size, BYTES_OF_A_COLUMN * len(names))
                parse = self.dialect.parse_options(file, quoted=b'"' in chunk)
                with _reader(chunk) as stream:
                    yield _in_one_block_if_need_be(
                        lambda read, s=stream, p=parse: csv.read_csv(s, read, p, convert), options, stream
                    )

    def _reading(self, names: Sequence[str] | None) -> dict[str, Any]:
        """Options to read the first rows, the header perhaps among them."""
        if names is not None:
            return {"skip_rows": self.dialect.skip_rows, "column_names": names}
        return {
            "skip_rows": self.dialect.skip_rows,
            "autogenerate_column_names": not self.dialect.header,
        }

    # Bytes ----------------------------------------------------------------------------------------------

    @contextmanager
    def _open(self, file: str) -> Iterator[Any]:
        """The file's bytes in UTF-8, whatever it is compressed and encoded by."""
        codec = COMPRESSED.get(PurePosixPath(file.lower()).suffix)
        if not file.lower().endswith(".zip"):
            with self.filesystem.open_input_stream(file, compression=codec) as stream:
                yield self._transcoded(stream)
            return
        with self.filesystem.open_input_file(file) as stored, zipfile.ZipFile(stored) as archive:
            members = archive.namelist()
            if len(members) != 1:
                raise InputError(f"{file} holds {len(members)} files: it must hold one CSV, unpack it")
            with archive.open(members[0]) as member:
                yield self._transcoded(member)

    def _transcoded(self, stream: Any) -> Any:
        encoding = self.dialect.encoding
        if encoding.lower().replace("_", "-") in ("utf-8", "utf8", "utf-8-sig"):
            return stream
        native = stream if isinstance(stream, pa.NativeFile) else pa.PythonFile(stream, "r")
        return pa.transcoding_input_stream(native, encoding, "utf-8")

    @contextmanager
    def _rows_of(self, file: str) -> Iterator[Iterator[bytes]]:
        with self._open(file) as stream:
            yield _whole_rows(stream, self.dialect.parse_options(file).delimiter, file)

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
                    check_remarks(file, begin, dialect.skip_rows)
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


def _reader(rows: bytes) -> pa.BufferReader:
    """A stream of rows in pyarrow's own memory.

    Its threads may still hold a block when Python ends. To let go of Python's own bytes they would wait for
    the interpreter, which ends the process by a signal.
    """
    copy = pa.BufferOutputStream()
    copy.write(rows)
    return pa.BufferReader(copy.getvalue())


def _in_one_block_if_need_be(read: Any, options: csv.ReadOptions, stream: Any) -> Any:
    """Reads, and again as one block where a row is longer than pyarrow's blocks."""
    try:
        return read(options)
    except pa.ArrowInvalid as error:
        if not stream.size() or not re.search("straddling|block size|Empty CSV file or block", str(error)):
            raise
        stream.seek(0)
        options.block_size = stream.size() + 1
        return read(options)


def _whole_rows(stream: Any, delimiter: str, file: str) -> Iterator[bytes]:
    """A file's bytes in UTF-8, cut where a row ends."""
    held, size = stream.read(len(MARK)).removeprefix(MARK), CSV_BYTES
    while read := stream.read(size):
        held += read
        end = _end_of_rows(held, delimiter)
        if end:
            yield held[:end]
            held, size = held[end:], CSV_BYTES
        elif len(held) > LONGEST_ROW:
            start = held[:60].decode(errors="replace")
            raise InputError(f"{file} has a row of more than 1 GiB, {start!r}…: a quote may not be closed")
        else:  # a long row is not looked through for each part of it
            size = max(CSV_BYTES, len(held))
    if held:
        end = _end_of_rows(held + b"\n", delimiter)
        if end <= len(held):
            start = held[end : end + 60].decode(errors="replace")
            raise InputError(f"{file} has a quote that is never closed, in the row that begins {start!r}")
        yield held


def _end_of_rows(held: bytes, delimiter: str) -> int:
    """Where the last row that is whole ends in bytes that begin with a row; 0 where none is."""
    if b'"' not in held:
        return held.rfind(b"\n") + 1
    letters = np.frombuffer(held, np.uint8)
    quotes = np.flatnonzero(letters == ord('"'))
    # A quote begins a quoted field, or ends one, in turn; another one within a field is a letter as any.
    opening = quotes[::2]
    before = letters[opening - 1]
    if not ((opening == 0) | np.isin(before, [ord(letter) for letter in f'\r\n"{delimiter}'])).all():
        pattern = rb'(?:^|(?<=[\r\n%b]))"[^"]*(?:""[^"]*)*("|\Z)' % re.escape(delimiter.encode())
        # One that is not closed reaches to the end.
        spans = [(field.start(), field.end() - len(field[1])) for field in re.finditer(pattern, held)]
        quotes = np.array(spans, dtype=np.int64).ravel()
    end = len(held)
    while (end := held.rfind(b"\n", 0, end)) >= 0:
        opened = int(np.searchsorted(quotes, end))
        if opened % 2 == 0:
            return end + 1
        end = int(quotes[opened - 1])  # this one lies within quotes that begin there
    return 0
