"""Parquet files, which are read by row groups."""

from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa
from pyarrow import fs, parquet

from linlight.data.tables import BLOCK_ROWS, ColumnSpec, Part, TableBlock

PARQUET_ENDINGS = (".parquet", ".pq")
COLUMN_BYTES = 2**17
"""Bytes of a column that are read at once."""


class Parquet:
    """Reads Parquet files."""

    def __init__(self, filesystem: fs.FileSystem) -> None:
        self.filesystem = filesystem
        self._metadata: dict[str, Any] = {}  # what each file says of its columns and row groups

    def _metadata_of(self, file: str) -> Any:
        if file not in self._metadata:
            self._metadata[file] = parquet.read_metadata(file, filesystem=self.filesystem)
        return self._metadata[file]

    def schema(self, file: str) -> pa.Schema:
        """The columns' names and types."""
        return self._metadata_of(file).schema.to_arrow_schema()

    def parts(self, file: str, rows: int | None) -> list[Part]:
        """The file, or divided between row groups into parts of about this many rows."""
        metadata = self._metadata_of(file)
        if rows is None:
            return [Part(file, rows=metadata.num_rows)]
        found: list[Part] = []
        first, groups, held = 0, [], 0
        for group in range(metadata.num_row_groups):
            groups.append(group)
            held += metadata.row_group(group).num_rows
            if held >= rows:
                found.append(Part(file, first, held, tuple(groups)))
                first, groups, held = first + held, [], 0
        if held:
            found.append(Part(file, first, held, tuple(groups)))
        return found

    def read(self, part: Part, columns: Mapping[str, ColumnSpec]) -> Iterator[TableBlock]:
        """The rows of a part in order, block by block."""
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
        first = part.first
        with file:
            for batch in file.iter_batches(BLOCK_ROWS, row_groups=part.groups, columns=list(columns)):
                yield TableBlock(part.file, first, batch)
                first += len(batch)
