"""What a CSV file is not, although it can be read: checks of its first lines."""

import re
from collections.abc import Sequence

from linlight.errors import InputError

MOST_COLUMNS = 2**17


def check_separated(file: str, names: Sequence[str]) -> None:
    """Raises where the only column's name holds what separates fields elsewhere."""
    found = re.search("[;,\t|]", names[0]) if len(names) == 1 else None
    if found:
        raise InputError(
            f"{file} has one column, {names[0][:80]!r}: separate the fields by commas, and write decimals "
            f"with points, or add --data.delimiter {found[0]!r}, and where it has them --data.decimal ','"
        )


def check_remarks(file: str, lines: Sequence[str], skipped: int) -> None:
    """Raises where a CSV begins with remarks."""
    remarks = next((i for i, line in enumerate(lines) if not line.startswith(("#", "%"))), 0)
    if remarks:
        raise InputError(
            f"{file} begins with a remark, {lines[0][:80]!r}: leave it out, or add "
            f"--data.skip_rows {skipped + remarks}"
        )


def check_columns(file: str, rows: bytes, delimiter: str) -> None:
    """Raises where a CSV has more columns than pyarrow can read."""
    columns = rows[: rows.find(b"\n")].count(delimiter.encode()) + 1
    if columns > MOST_COLUMNS:
        raise InputError(
            f"{file} has {columns:,} columns, and a CSV may have {MOST_COLUMNS:,}: exchange rows and "
            "columns, or store the numbers as a .npy"
        )


def check_header(file: str, names: Sequence[str]) -> None:
    """Raises where a CSV has no header."""
    numbers = [re.fullmatch(r"\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\s*", name) for name in names]
    # Whole numbers alone can be names: of years, or of an array's columns.
    if names and all(numbers) and not all(name.strip().isdigit() for name in names):
        raise InputError(
            f"{file} has no header, for its first line is numbers, {','.join(names)[:60]!r}: put names "
            "there, or add --data.header false, which names the columns 0, 1, …"
        )
