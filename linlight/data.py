"""x and y, checked once at the door, split, and handed out in batches."""

from functools import cached_property
from typing import Any, Literal

import numpy as np
import torch
from lightning.fabric.utilities.rank_zero import rank_zero_only
from lightning.pytorch import LightningDataModule
from torch import Tensor

from linlight import scaling
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
        if array.dtype.kind not in "biufc":
            raise InputError(f"{name} must hold numbers only, but {_first_non_number(array)}")
        # Read-only, byte-swapped and reversed arrays are legal NumPy and cannot be shared with torch.
        if not array.flags.writeable or not array.dtype.isnative or min(array.strides, default=0) < 0:
            array = array.astype(array.dtype.newbyteorder("="), order="C")
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
    # A sum that is finite says so of every number, and takes a twentieth of the time; it may also overflow.
    finite = torch.ones(()) if converted.sum().isfinite() else converted.isfinite()
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
    for index, value in np.ndenumerate(array.astype(object)):
        try:
            float(value)
        except (TypeError, ValueError):
            where = f"row {index[0]}" + "".join(f", column {i}" for i in index[1:])
            return f"{value!r} is at {where} (counted from 0)"
    return f"it is of type {array.dtype}; convert it to float first"


def _plain_names(name: str, columns: int, values: Numbers) -> list[str]:
    """Names of columns that were given without any, or a DataFrame's own."""
    if hasattr(values, "columns"):
        return [str(column) for column in values.columns]
    return [name] if columns == 1 else [f"{name}_{i}" for i in range(columns)]


@rank_zero_only
def _say(text: str) -> None:
    print(text)


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
        path: Instead of x and y, a table: a CSV (plain or compressed), Parquet, .npy or .npz file, a folder
            or pattern of CSV or Parquet files, a URI of one; in Python also a pandas or pyarrow table.
        target: The table's column to predict, or several. Default: `y`, or `y_0`, `y_1`, ….
        features: The columns to predict from. Default: every other numeric column.
        categorical: Text columns to predict from too; each of their values becomes a column of 0 and 1.
        weight: The column of row weights: how many times a row counts in the loss.
        id: Columns that predictions are written with.
        missing: What to do about a row without a value: `error`, or `drop` it.
        updates_per_step: Batches that a by-hand method takes at once, to update the weights after each of
            them as ever; callbacks then run less often. Default: as many as make Lightning's cost per step
            small, where nothing counts steps. With `reduce` there is one batch only, and an epoch goes over
            it so many times; for every method, by default once.
        standardize: Whether to train on features of mean 0 and standard deviation 1; the model, its
            predictions and the summary are in the data's own units all the same.
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
        path: Any = None,
        target: str | list[str] | None = None,
        features: str | list[str] | None = None,
        categorical: str | list[str] | dict[str, list[str]] | None = None,
        weight: str | None = None,
        id: str | list[str] | None = None,
        missing: Literal["error", "drop"] = "error",
        standardize: bool = False,
        updates_per_step: int | None = None,
        reduce: bool = False,
    ) -> None:
        super().__init__()
        # A checkpoint remembers data given as plain lists, so that `--ckpt_path` alone can go on or
        # predict; arrays and tensors stay out, for they would break `weights_only=True` and could be large.
        plain = (("x", x, list | None), ("y", y, list | None), ("path", path, str | None))
        self.save_hyperparameters(logger=False, ignore=[n for n, v, kind in plain if not isinstance(v, kind)])
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
        if seed < 0:
            raise InputError(f"seed must be at least 0, got {seed}")
        if dtype not in ("float32", "float64"):
            raise InputError(f"dtype must be float32 or float64, got {dtype!r}")
        if missing not in ("error", "drop"):
            raise InputError(f"missing must be error or drop, got {missing!r}")
        if reduce and batch_size is not None:
            raise InputError("reduce stands for all rows in one batch: leave out batch_size")
        self.batch_size = batch_size
        self.reduce = reduce
        self.shuffle = shuffle
        self.seed = seed
        if updates_per_step is not None and updates_per_step < 1:
            raise InputError(f"updates_per_step must be at least 1, got {updates_per_step}")
        self.updates_per_step = updates_per_step
        self.one_by_one = False  # set by callbacks that look at every batch
        self.standardize = standardize
        self.weight: Tensor | None = None  # (N,)
        self.row_numbers: np.ndarray | None = None  # (N,) where rows of a table were dropped
        self.ids: Any = None  # a pyarrow table of N rows

        as_dtype = getattr(torch, dtype)
        self._constant = ""
        self._no_targets = "x is given without y: only predict can do without y"
        self.y: Tensor | None = None  # (N, T)
        if path is not None:
            if x is not None or y is not None:
                raise InputError("path is given with x or y: give one or the other")
            self._read(path, target, features, categorical, weight, id, missing, dtype)
        else:
            self._take(x, y, as_dtype)
            for name in ("target", "features", "categorical", "weight", "id"):
                if self.hparams[name] is not None:
                    raise InputError(f"{name} names a column of a table: give the table as path")
        self._split_rows(val_fraction, test_fraction)
        # A row to predict before and after training, (1, D): the notes' x = 4, or else the first.
        textbook = x is None and path is None
        self.example = as_matrix(TEXTBOOK_EXAMPLE, "x", as_dtype) if textbook else self.x[:1]
        self._scaling: scaling.Scaling | None = None

    def _take(self, x: Numbers, y: Numbers, dtype: torch.dtype) -> None:
        if x is None and y is not None:
            raise InputError("y is given without x: give both")
        self.x = as_matrix(TEXTBOOK_X if x is None else x, "x", dtype)  # (N, D)
        if x is None or y is not None:
            self.y = as_matrix(TEXTBOOK_Y if y is None else y, "y", dtype)
            if len(self.x) != len(self.y):
                raise InputError(
                    f"x has {len(self.x)} rows and y has {len(self.y)}: they must have equally many"
                )
        self.feature_names = _plain_names("x", self.x.shape[1], x)
        self.target_names = _plain_names("y", 1 if self.y is None else self.y.shape[1], y)

    def _read(
        self,
        path: Any,
        target: Any,
        features: Any,
        categorical: Any,
        weight: str | None,
        ids: Any,
        missing: Literal["error", "drop"],
        dtype: str,
    ) -> None:
        # Three points need no pyarrow, which takes its time to import.
        from linlight.columns import choose
        from linlight.table import open_table

        columns, left_out, self._no_targets = choose(
            open_table(path),
            features=features,
            target=target,
            weight=weight,
            categorical=categorical,
            ids=ids,
            missing=missing,
            dtype=dtype,
        )
        if left_out:
            names = ", ".join(f"{name} ({kind})" for name, kind in left_out.items())
            _say(f"left out of the features, for they are not numbers: {names}")
        rows = columns.read()
        if columns.dropped:
            lacking = ", ".join(f"{name} {n}" for name, n in (+columns.lacking).most_common(8))
            everything = columns.dropped + len(rows.x)
            _say(f"dropped {columns.dropped} rows of {everything} that lack a value: {lacking}")
        self.x, self.y, self.weight = rows.x, rows.y, rows.weight
        self.row_numbers, self.ids = rows.numbers, rows.ids
        for name, column in zip(columns.targets, () if self.y is None else self.y.T, strict=False):
            if len(column) > 1 and bool((column == column[0]).all()):
                # Harmless where it is only compared with: `check_targets` says it to the training.
                self._constant = (
                    f"the target {name!r} is {column[0]:g} in every row: there is nothing to learn"
                )
        self.feature_names, self.target_names = columns.feature_names, columns.targets or ["y"]
        # What `predict` needs to know of the columns it was trained on.
        self.hparams.update(
            features=columns.features, target=columns.targets or None, categorical=columns.categories or None
        )

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
    def train_size(self) -> int:
        """Number of rows to train on."""
        return len(self.x) if self.train_rows is None else len(self.train_rows)

    @property
    def passes(self) -> int:
        """How many times a training epoch goes over the rows; more than once only with `reduce`."""
        return (self.updates_per_step or 1) if self.reduce else 1

    @property
    def batches(self) -> int:
        """Number of batches, and so of updates, in a training epoch."""
        return self.passes * -(-self.train_size // (self.batch_size or self.train_size))

    def check_targets(self) -> None:
        """Makes sure that there is something to learn from, or to compare with.

        Raises:
            InputError: If there are no targets.
        """
        if self.y is None:
            raise InputError(self._no_targets)
        if self._constant and self.trainer is not None and self.trainer.state.fn == "fit":
            raise InputError(self._constant)

    @property
    def scaling(self) -> scaling.Scaling | None:
        """How features are standardised, measured on the training rows: while fitting, if asked for."""
        if not self.standardize or self.trainer is None or self.trainer.state.fn != "fit":
            return None
        if self._scaling is None:
            self._scaling = scaling.fit(self.x if self.train_rows is None else self.x[self.train_rows])
        return self._scaling

    def train_data(self) -> tuple[Tensor, Tensor]:
        """The rows to train on, x and y, (N, D) and (N, T), as the training sees them.

        Raises:
            InputError: If there are no targets.
        """
        x, y, *_ = self.train_batch()
        return x, y

    def train_batch(self) -> tuple[Tensor, ...]:
        """The rows to train on as one batch: x, y and, where rows have weights, those, (N,).

        With `reduce`, the rows that stand for them.
        """
        if not self.reduce:
            return self._batch(self.train_rows)
        x, y = reduced(self.train_moments)
        return x.to(self.x.dtype), y.to(self.x.dtype)

    @cached_property
    def train_moments(self) -> Moments:
        """The statistic of all rows to train on."""
        return moments(*self._batch(self.train_rows))

    def train_pass(self) -> BatchLoader:
        """The batches of the training rows, in the order of the rows, for a look beside the training."""
        return self._loader(self.train_batch())

    def _batch(self, rows: Tensor | None) -> tuple[Tensor, ...]:
        self.check_targets()
        assert self.y is not None
        batch: tuple[Tensor, ...] = (self.x, self.y)
        if self.weight is not None:
            batch = (*batch, self.weight)
        if rows is not None:
            batch = tuple(tensor[rows] for tensor in batch)
        return batch if self.scaling is None else (self.scaling.scale(batch[0]), *batch[1:])

    def _loader(
        self, tensors: tuple[Tensor, ...], *, shuffle: bool = False, together: int = 1, passes: int = 1
    ) -> BatchLoader:
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
            together=together,
            passes=passes,
        )

    def _together(self) -> int:
        """How many batches the training hands out at once."""
        trainer = self.trainer
        if trainer is None or self.one_by_one or not hasattr(trainer.lightning_module, "updates"):
            return 1
        if self.updates_per_step is not None:
            return self.updates_per_step
        # What counts batches would count several as one.
        counted = trainer.max_steps != -1 or trainer.limit_train_batches != 1.0
        if counted or trainer.val_check_interval != 1.0:
            return 1
        together = min(64, 2**14 // (self.batch_size or self.train_size))  # rows that stay in the cache
        return together if together > 1 and self.batches >= 4 * together else 1

    def train_dataloader(self) -> BatchLoader:
        """Batches (x, y) of the training rows."""
        return self._loader(
            self.train_batch(),
            shuffle=self.shuffle and not self.reduce,
            together=self._together(),
            passes=self.passes,
        )

    def val_dataloader(self) -> BatchLoader | list[Any]:
        """Batches (x, y) of the validation rows; while fitting without a split, none."""
        if self.val_rows is None and self.trainer is not None and self.trainer.state.fn == "fit":
            return []
        return self._loader(self._batch(self.val_rows))

    def test_dataloader(self) -> BatchLoader:
        """Batches (x, y) of the test rows, of every row without a split."""
        return self._loader(self._batch(self.test_rows))

    def predict_dataloader(self) -> BatchLoader:
        """Batches (x,) of every row."""
        return self._loader((self.x,))
