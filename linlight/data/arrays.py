"""Numbers in any container, checked once and turned into tensors."""

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jsonargparse.typing import register_type
from torch import Tensor

from linlight.errors import InputError
from linlight.plain import read_yaml

_FLOATS = {torch.bfloat16: torch.float32}  # NumPy has no such type

if TYPE_CHECKING:
    Numbers = Any
    TableLike = Any
else:

    class Numbers:
        """Numbers in one or two dimensions: lists, NumPy arrays, tensors, DataFrames.

        For the command line it is a type of its own: of an option typed `Any`, jsonargparse makes an object
        of whatever class a config names.
        """

    TableLike = str | None
    """A path, or in Python a pandas or pyarrow table; the command line takes a path alone."""

    # What is no text passes as it is. A key of its own, or it is looked for in linlight while that imports.
    register_type(
        Numbers,
        serializer=lambda numbers: numbers,
        deserializer=lambda text: read_yaml(text, "the list of numbers"),
        type_check=lambda value, _: not isinstance(value, str),
        uniqueness_key=("linlight", "Numbers"),
    )


@dataclass
class Rows:
    """Rows as tensors.

    Attributes:
        x: Features, (N, D).
        y: Targets, (N, T), or None where there are none.
        weight: How many times each row counts, (N,), or None for once.
        numbers: The rows' numbers in their table, (N,), or None where they are 0, 1, ….
        ids: A pyarrow table of the columns that predictions are written with, or None.
    """

    x: Tensor
    y: Tensor | None
    weight: Tensor | None = None
    numbers: np.ndarray | None = None
    ids: Any = None


def common_type(types: Iterable[np.dtype]) -> torch.dtype:
    """The type that holds numbers of several types, as NumPy promotes them.

    Integers become float64, and numbers of half precision float32.
    """
    promoted = np.result_type(bool, *types)
    is_single = promoted.kind == "f" and promoted.itemsize <= 4
    return torch.float32 if is_single else torch.float64


def type_of(values: Numbers) -> np.dtype:
    """The type of an array's, a tensor's or a DataFrame's numbers; lists hold Python's, float64."""
    if isinstance(values, Tensor):
        return np.asarray(values.new_empty(0, dtype=_FLOATS.get(values.dtype), device="cpu")).dtype
    if hasattr(values, "columns") and hasattr(values, "dtypes"):
        return np.result_type(bool, *map(_numpy_type, values.dtypes))
    return _numpy_type(getattr(values, "dtype", None))


def _numpy_type(found: Any) -> np.dtype:
    found = getattr(found, "numpy_dtype", found)  # of pandas' types that can lack a value
    return found if isinstance(found, np.dtype) and found.kind in "biuf" else np.dtype(np.float64)


class Growing:
    """A matrix that grows by rows without being copied: the system moves its pages.

    Args:
        expected: Its rows, as far as they are known beforehand.
        columns: Its columns.
        dtype: Type of its numbers.
    """

    def __init__(self, expected: int, columns: int, dtype: str) -> None:
        self._array = np.empty((expected, columns), dtype)
        self.rows = 0

    def append(self, block: Tensor) -> None:
        """Adds rows, (n, columns)."""
        end = self.rows + len(block)
        if end > len(self._array):  # by little only: NumPy fills with zeros what it adds
            rows = max(end, len(self._array) * 33 // 32)
            self._array.resize((rows, self._array.shape[1]), refcheck=False)
        self._array[self.rows : end] = block.numpy()
        self.rows = end

    def tensor(self) -> Tensor:
        """All rows, (rows, columns); nothing can be added after."""
        self._array.resize((self.rows, self._array.shape[1]), refcheck=False)
        return torch.from_numpy(self._array)


def as_matrix(values: Numbers, name: str, dtype: torch.dtype) -> Tensor:
    """Turns numbers into a two-dimensional tensor, or names the first that is not one.

    Args:
        values: Numbers in one dimension, taken as one column, or in two, (rows, columns).
        name: What to call them in a message.
        dtype: The tensor's type.

    Returns:
        A tensor of shape (rows, columns); it shares memory with `values` where the type allows.

    Raises:
        InputError: If `values` is empty, ragged, has more than two dimensions, or holds something that
            is not a finite number of `dtype`.
    """
    if isinstance(values, Tensor):
        tensor = values.detach()
    else:
        try:
            array = np.asarray(values)
        except ValueError:
            raise InputError(f"{name} is ragged: {_first_ragged_row(values)}") from None
        if np.ma.is_masked(values):
            array = values.astype(np.float64).filled(np.nan)
        if array.dtype.kind == "O":  # Python's numbers, or a DataFrame of numbers and truth values
            array = _of_objects(array, name)
        if array.dtype.kind not in "biufc":
            raise InputError(f"{name} must hold numbers only, but {_first_non_number(array)}")
        # Read-only, byte-swapped and reversed arrays are legal NumPy and cannot be shared with torch.
        if not array.flags.writeable or not array.dtype.isnative or min(array.strides, default=0) < 0:
            array = array.astype(array.dtype.newbyteorder("="), order="C")
        if array.dtype.kind == "f" and array.dtype.itemsize > 8:  # which torch does not have
            array = array.astype(np.float64)
        tensor = torch.from_numpy(array)
    if tensor.is_complex():
        raise InputError(f"{name} must hold real numbers, but it is complex")
    if tensor.numel() == 0:
        raise InputError(f"{name} is empty: give at least one row")
    if tensor.ndim > 2:
        raise InputError(
            f"{name} has {tensor.ndim} dimensions, {tuple(tensor.shape)}: it must have two, (rows, columns)"
        )
    if tensor.ndim < 2:
        tensor = tensor.reshape(-1, 1)
    converted = tensor.to(dtype)
    # If the sum is finite, so is every number: a twentieth of the time. But a sum may also overflow.
    finite = torch.ones(()) if converted.sum().isfinite() else converted.isfinite()
    if not finite.all():
        row, column = (int(i) for i in (~finite).nonzero()[0])
        value = tensor[row, column].item()
        remedy = (
            "remove or fill in such rows"
            if not np.isfinite(value)
            else f"it overflows {str(dtype).removeprefix('torch.')}, use --data.dtype float64"
        )
        raise InputError(f"{name} has {value} at row {row}, column {column} (counted from 0): {remedy}")
    return converted


def _of_objects(array: np.ndarray, name: str) -> np.ndarray:
    if not any(value is None or isinstance(value, str | bytes) for value in array.flat):
        with contextlib.suppress(TypeError, ValueError, OverflowError):
            return array.astype(np.float64)
    raise InputError(f"{name} must hold numbers only, but {_first_non_number(array)}")


def _first_ragged_row(rows: list[Any]) -> str:
    lengths = [np.size(row) for row in rows]
    row = next((i for i, length in enumerate(lengths) if length != lengths[0]), 0)
    return f"row {row} has {lengths[row]} values and row 0 has {lengths[0]}; every row must have as many"


def _first_non_number(array: np.ndarray) -> str:
    if array.ndim == 0:
        return f"it is {array.item()!r}"
    for index, value in np.ndenumerate(array.astype(object)):
        try:
            float(value)
        except (TypeError, ValueError, OverflowError):
            where = f"row {index[0]}" + "".join(f", column {i}" for i in index[1:])
            return f"{value!r} is at {where} (counted from 0)"
    return f"it is of type {array.dtype}; convert it to float first"


def plain_names(name: str, columns: int, values: Numbers) -> list[str]:
    """Names of columns that were given without any, or a DataFrame's own.

    Args:
        name: What to call them: `x`, or `x_0`, `x_1`, ….
        columns: How many there are.
        values: What they were given as.
    """
    if hasattr(values, "columns"):
        return [str(column) for column in values.columns]
    return [name] if columns == 1 else [f"{name}_{i}" for i in range(columns)]
