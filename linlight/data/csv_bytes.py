"""The bytes of a CSV file: decompressed, in UTF-8, and cut where rows end."""

import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import fs

from linlight.errors import InputError

COMPRESSED = {".gz": "gzip", ".bz2": "bz2", ".zst": "zstd", ".lz4": "lz4", ".zip": None}
"""Endings of compressed files, and pyarrow's name of the codec."""
LONGEST_ROW = 2**30
"""Bytes; a longer row is a quote that is never closed, and is not gathered to the end of the file."""
MARK = b"\xef\xbb\xbf"  # which some write before UTF-8


@contextmanager
def open_utf8(filesystem: fs.FileSystem, file: str, encoding: str) -> Iterator[Any]:
    """Opens a file's bytes, whatever it is compressed and encoded by.

    Raises:
        InputError: If it is an archive of several files.
    """
    codec = COMPRESSED.get(PurePosixPath(file.lower()).suffix)
    if not file.lower().endswith(".zip"):
        with filesystem.open_input_stream(file, compression=codec) as stream:
            yield _transcoded(stream, encoding)
        return
    with filesystem.open_input_file(file) as stored, zipfile.ZipFile(stored) as archive:
        members = archive.namelist()
        if len(members) != 1:
            raise InputError(f"{file} holds {len(members)} files: it must hold one CSV, unpack it")
        with archive.open(members[0]) as member:
            yield _transcoded(member, encoding)


def _transcoded(stream: Any, encoding: str) -> Any:
    if encoding.lower().replace("_", "-") in ("utf-8", "utf8", "utf-8-sig"):
        return stream
    native = stream if isinstance(stream, pa.NativeFile) else pa.PythonFile(stream, "r")
    return pa.transcoding_input_stream(native, encoding, "utf-8")


def whole_rows(stream: Any, delimiter: str, file: str, least: int) -> Iterator[bytes]:
    """Cuts bytes in UTF-8 where rows end.

    Args:
        stream: The bytes.
        delimiter: What separates fields.
        file: What to call the file in a message.
        least: Bytes to read at a time; of a longer row, as many as it has.

    Raises:
        InputError: If a quote is never closed.
    """
    held, size = stream.read(len(MARK)).removeprefix(MARK), least
    while read := stream.read(size):
        held += read
        end = _end_of_rows(held, delimiter)
        if end:
            yield held[:end]
            held, size = held[end:], least
        elif len(held) > LONGEST_ROW:
            start = held[:60].decode(errors="replace")
            raise InputError(f"{file} has a row of more than 1 GiB, {start!r}…: a quote may not be closed")
        else:  # a long row is not looked through for each part of it
            size = max(least, len(held))
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
