"""A column of a block as numbers or as texts, and the message about a text where a number should be."""

import re

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from linlight.data.tables import TableBlock, is_number, kind
from linlight.errors import InputError


def numbers(block: TableBlock, name: str, remedy: str) -> np.ndarray:
    """A column's numbers, (rows,), NaN where there is none.

    Raises:
        InputError: If it does not hold numbers.
    """
    column = block.batch[name]
    if not pa.types.is_integer(column.type) and not pa.types.is_floating(column.type):
        if not is_number(column.type):
            raise InputError(_no_numbers(block, name, remedy))
        column = column.cast(pa.float64())
    found: np.ndarray = column.to_numpy(zero_copy_only=False)
    return found


def _no_numbers(block: TableBlock, name: str, remedy: str) -> str:
    column, example = block.batch[name], ""
    if pa.types.is_temporal(column.type):  # Python has no dates beyond the year 9999
        return f"{block.file}: column {name!r} is {kind(column.type)}: store it as numbers, {remedy}"
    for i, value in enumerate(column.to_pylist()):
        try:
            float(value)
        except (TypeError, ValueError):
            if value is not None:
                is_csv = block.na_values is not None
                return not_a_number(block.file, name, block.first + i, value, remedy, is_csv=is_csv)
        else:
            example = example or f", though {value!r} in row {block.first + i} looks like a number"
    return f"{block.file}: column {name!r} is {kind(column.type)}{example}: store it as numbers, {remedy}"


def not_a_number(file: str, column: str, row: int, value: object, remedy: str, *, is_csv: bool) -> str:
    """The message about a text where a number should be."""
    text, hint = str(value), "correct it"
    if re.fullmatch(r"[-+]?\d{1,3}(,\d{3})+(\.\d*)?", text):
        hint = "write numbers without separators of thousands"
    elif re.fullmatch(r"[-+]?\d+,\d+", text):
        hint = "write decimals with points" + ", or add --data.decimal ','" * is_csv
    elif is_csv:
        hint = f"correct it, or if it stands for no value add --data.na_values {text[:40]!r}"
    where = f"{text[:80]!r} in row {row} (counted from 0)"
    return f"{file}: column {column!r} holds {where}, which is not a number: {hint}, {remedy}"


def texts(block: TableBlock, name: str) -> pa.Array:
    """A column's texts, (rows,), null where there is none; in a CSV as it spells that in numbers.

    Raises:
        InputError: If it does not hold texts, or what can be written as such.
    """
    column = block.batch[name]
    try:
        found = column.cast(pa.string())
    except pa.ArrowException as error:
        raise InputError(
            f"{block.file}: column {name!r} is {kind(column.type)}, which cannot be a category: leave it out "
            "of --data.categorical"
        ) from error
    if block.na_values is None:
        return found
    return pc.if_else(pc.is_in(found, value_set=block.na_values), pa.scalar(None, pa.string()), found)
