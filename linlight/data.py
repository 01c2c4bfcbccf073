"""x and y, checked once at the door, split, and handed out in batches."""

from functools import cached_property
from typing import Any, Literal

import numpy as np
import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor

from linlight.errors import InputError
from linlight.loader import BatchLoader
from linlight.moments import Moments, moments
from linlight.reduce import reduced

TEXTBOOK_X = [1.0, 2.0, 3.0]
TEXTBOOK_Y = [2.0, 4.0, 6.0]
TEXTBOOK_EXAMPLE = [[4.0]]  # the x at which the notes predict

# Numbers in one or two dimensions: lists, NumPy arrays, tensors, DataFrames. `Any`, because the command
# line reads it as YAML and `as_matrix` then says what is wrong better than a parser of types could.
Numbers = Any


def as_matrix(values: Numbers, name: str, dtype: torch.dtype) -> Tensor:
    """Turns numbers into a two-dimensional tensor, or says exactly which of them is not one.

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
        if array.dtype.kind not in "biuf":
            raise InputError(f"{name} must hold numbers only, but {_first_non_number(array)}")
        # Read-only and byte-swapped arrays are legal NumPy and cannot be shared with torch.
        if not array.flags.writeable or not array.dtype.isnative:
            array = array.astype(array.dtype.newbyteorder("="))
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
    finite = converted.isfinite()
    if not finite.all():
        row, column = (int(i) for i in (~finite).nonzero()[0])
        value = tensor[row, column].item()
        remedy = (
            "remove or fill in such rows"
            if not np.isfinite(value)
            else "it overflows float32, use dtype float64"
        )
        raise InputError(f"{name} has {value} at row {row}, column {column} (counted from 0): {remedy}")
    return converted


def _first_ragged_row(rows: list[Any]) -> str:
    lengths = [np.size(row) for row in rows]
    row = next((i for i, length in enumerate(lengths) if length != lengths[0]), 0)
    return f"row {row} has {lengths[row]} values and row 0 has {lengths[0]}; every row must have as many"


def _first_non_number(array: np.ndarray) -> str:
    if array.ndim == 0:
        return f"it is {array.item()!r}"
    for index, value in np.ndenumerate(array):
        try:
            float(value)
        except (TypeError, ValueError):
            where = f"row {index[0]}" + "".join(f", column {i}" for i in index[1:])
            return f"{value!r} is at {where} (counted from 0)"
    return f"it is of type {array.dtype}; convert it to float first"


class XYDataModule(LightningDataModule):
    """Wraps x/y data: the textbook's three points unless others are given.

    Rows are split at random, by `seed` alone, into training, validation and test rows; what the fractions
    leave is for training. Without a split, `validate` and `test` use every row. `predict` always does.

    Args:
        x: Features, (N,) or (N, D): lists, NumPy arrays, tensors. Default: the textbook's 1, 2, 3.
        y: Targets, (N,) or (N, T). Default: the textbook's 2, 4, 6.
        batch_size: Rows per update, over all processes together. Default: all rows.
        shuffle: Whether each epoch visits the training rows in a new random order.
        val_fraction: Fraction of the rows kept for validation.
        test_fraction: Fraction of the rows kept for testing.
        seed: Seed of the split and of the shuffling.
        dtype: Type of the numbers: float32 or float64.
        reduce: Whether to train on a few rows that have the same mean squared error as all of them for
            every model, so that an epoch costs the same whatever the number of rows.

    Raises:
        InputError: If the data or a setting cannot be used.
    """

    def __init__(
        self,
        x: Numbers = None,
        y: Numbers = None,
        batch_size: int | None = None,
        shuffle: bool = False,
        val_fraction: float = 0.0,
        test_fraction: float = 0.0,
        seed: int = 0,
        dtype: Literal["float32", "float64"] = "float32",
        reduce: bool = False,
    ) -> None:
        super().__init__()
        # A checkpoint remembers data given as plain lists, so that `--ckpt_path` alone can go on or
        # predict; arrays and tensors stay out, for they would break `weights_only=True` and could be large.
        self.save_hyperparameters(
            logger=False,
            ignore=[n for n, v in (("x", x), ("y", y)) if not isinstance(v, list | None)],
        )
        if batch_size is not None and batch_size < 1:
            raise InputError(f"batch_size must be at least 1, got {batch_size}")
        for name, fraction in (("val_fraction", val_fraction), ("test_fraction", test_fraction)):
            if not 0 <= fraction < 1:
                raise InputError(f"{name} must be at least 0 and below 1, got {fraction}")
        if val_fraction + test_fraction >= 1:
            raise InputError(
                f"val_fraction {val_fraction} and test_fraction {test_fraction} leave no rows to train on: "
                "their sum must be below 1"
            )
        if dtype not in ("float32", "float64"):
            raise InputError(f"dtype must be float32 or float64, got {dtype!r}")
        if x is None and y is not None:
            raise InputError("y is given without x: give both")
        if reduce and batch_size is not None:
            raise InputError("reduce stands for all rows in one batch: leave out batch_size")
        self.batch_size = batch_size
        self.reduce = reduce
        self.shuffle = shuffle
        self.seed = seed

        as_dtype = getattr(torch, dtype)
        self.x = as_matrix(TEXTBOOK_X if x is None else x, "x", as_dtype)  # (N, D)
        self.y: Tensor | None = None  # (N, T)
        if x is None or y is not None:
            self.y = as_matrix(TEXTBOOK_Y if y is None else y, "y", as_dtype)
            if len(self.x) != len(self.y):
                raise InputError(
                    f"x has {len(self.x)} rows and y has {len(self.y)}: they must have equally many"
                )
        self._split_rows(val_fraction, test_fraction)
        # A row to predict before and after training, (1, D): the notes' x = 4, or else the first.
        self.example = as_matrix(TEXTBOOK_EXAMPLE, "x", as_dtype) if x is None else self.x[:1]

    def _split_rows(self, val_fraction: float, test_fraction: float) -> None:
        n = len(self.x)
        sizes = {"val": round(n * val_fraction), "test": round(n * test_fraction)}
        for name, fraction in (("val", val_fraction), ("test", test_fraction)):
            if fraction and not sizes[name]:
                raise InputError(
                    f"{name}_fraction {fraction} of {n} rows is less than one row: raise it, or set it to 0"
                )
        if sum(sizes.values()) >= n:
            raise InputError(f"the split leaves no rows to train on: {n} rows are too few for it")
        order = torch.randperm(n, generator=torch.Generator().manual_seed(self.seed))
        test, val, train = order.split([sizes["test"], sizes["val"], n - sum(sizes.values())])
        # Within a part the rows keep the order in which they were given. None means: every row.
        self.train_rows = train.sort().values if len(train) < n else None
        self.val_rows = val.sort().values if len(val) else None
        self.test_rows = test.sort().values if len(test) else None

    @property
    def features(self) -> int:
        """D, the number of features."""
        return self.x.shape[1]

    @property
    def targets(self) -> int | None:
        """T, the number of targets; None where only x is given."""
        return None if self.y is None else self.y.shape[1]

    @property
    def feature_names(self) -> list[str]:
        """A name for each feature, in order."""
        return ["x"] if self.features == 1 else [f"x_{i}" for i in range(self.features)]

    @property
    def target_names(self) -> list[str]:
        """A name for each target, in order."""
        targets = self.targets or 0
        return ["y"] if targets == 1 else [f"y_{i}" for i in range(targets)]

    @property
    def train_size(self) -> int:
        """Number of rows to train on."""
        return len(self.x) if self.train_rows is None else len(self.train_rows)

    @property
    def batches(self) -> int:
        """Number of batches in a training epoch."""
        return -(-self.train_size // (self.batch_size or self.train_size))

    def train_data(self) -> tuple[Tensor, Tensor]:
        """The rows to train on, x and y, (N, D) and (N, T), or those that stand for them.

        Raises:
            InputError: If only x was given.
        """
        if not self.reduce:
            return self._xy(self.train_rows)
        x, y = reduced(self.train_moments)
        return x.to(self.x.dtype), y.to(self.x.dtype)

    @cached_property
    def train_moments(self) -> Moments:
        """The statistic of all rows to train on."""
        return moments(*self._xy(self.train_rows))

    def _xy(self, rows: Tensor | None) -> tuple[Tensor, Tensor]:
        if self.y is None:
            raise InputError("x is given without y: only predict can do without y")
        return (self.x, self.y) if rows is None else (self.x[rows], self.y[rows])

    def _loader(self, tensors: tuple[Tensor, ...], *, shuffle: bool = False) -> BatchLoader:
        rank, world_size = 0, 1
        if self.trainer is not None:
            rank, world_size = self.trainer.global_rank, self.trainer.world_size
            device = self.trainer.strategy.root_device
            if device.type == "mps" and self.x.dtype == torch.float64:
                raise InputError("Apple's MPS has no float64: use --trainer.accelerator cpu or dtype float32")
            # Moved once, so that batches are cut where they are used.
            tensors = tuple(tensor.to(device) for tensor in tensors)
        return BatchLoader(
            tensors,
            self.batch_size or len(tensors[0]),
            shuffle=shuffle,
            seed=self.seed,
            rank=rank,
            world_size=world_size,
        )

    def train_dataloader(self) -> BatchLoader:
        """Batches (x, y) of the training rows."""
        return self._loader(self.train_data(), shuffle=self.shuffle)

    def val_dataloader(self) -> BatchLoader | list[Any]:
        """Batches (x, y) of the validation rows; while fitting without a split, none."""
        if self.val_rows is None and self.trainer is not None and self.trainer.state.fn == "fit":
            return []
        return self._loader(self._xy(self.val_rows))

    def test_dataloader(self) -> BatchLoader:
        """Batches (x, y) of the test rows, of every row without a split."""
        return self._loader(self._xy(self.test_rows))

    def predict_dataloader(self) -> BatchLoader:
        """Batches (x,) of every row."""
        return self._loader((self.x,))
