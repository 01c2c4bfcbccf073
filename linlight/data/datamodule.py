"""`XYDataModule`: the arguments that users and the command line see, and what they mean."""

import copy
import inspect
from typing import Any, Literal

import torch

import linlight.noise  # noqa: F401
from linlight.data.arrays import Numbers, TableLike
from linlight.data.base import RowsDataModule
from linlight.data.opened import OpenedNumbers, OpenedTable
from linlight.data.split import Split
from linlight.errors import InputError

CHOICES = {
    "dtype": ("float32", "float64", None),
    "weight_kind": ("precision", "frequency"),
    "unseen": ("error", "missing"),
    "missing": ("error", "drop"),
}
OF_A_TABLE = ("target", "features", "categorical", "weight", "id")


class XYDataModule(RowsDataModule):
    """Wraps x/y data: the textbook's three points unless others are given.

    Rows are split at random, by `seed` alone, into training, validation and test rows; what the fractions
    leave is for training. Without a split, `validate` and `test` use every row. `predict` always does.

    A table is held in memory, or with `stream` read anew in every pass, a few blocks at a time. Each row of a
    stream is drawn for training, validation or testing by itself, so the fractions hold nearly.

    Args:
        x: Features, (N,) or (N, D): lists, NumPy arrays, tensors. Default: the textbook's 1, 2, 3.
        y: Targets, (N,) or (N, T). Default: the textbook's 2, 4, 6.
        batch_size: Rows per update, over all processes together. Default: all rows.
        shuffle: Whether each epoch visits the training rows in a new random order.
        val_fraction: Fraction of the rows kept for validation.
        test_fraction: Fraction of the rows kept for testing.
        seed: Seed of the split and of the shuffling.
        dtype: Type of the numbers: float32 or float64. Default: the data's own, which is float64 for tables,
            lists and integers; arrays, tensors and DataFrames of float32 stay float32.
        path: Instead of x and y, a table: a CSV (plain or compressed), Parquet, .npy or .npz file, a folder
            or pattern of CSV or Parquet files, a URI of one; in Python also a pandas or pyarrow table.
        target: The table's column to predict, or several. Default: `y`, or `y_0`, `y_1`, ….
        features: The columns to predict from. Default: every other numeric column.
        categorical: Text columns to predict from too; each of their values becomes a column of 0 and 1.
        weight: The column of row weights, 0 or more; a row of weight 0 is left out, but for predictions.
        id: Columns that a file of predictions repeats; those of a CSV as text, unchanged.
        missing: What to do about a row without a value: `error`, or `drop` it.
        updates_per_step: Batches that a by-hand method takes in one training step; the weights are still
            updated after each, but callbacks run less often. Default: as many as make Lightning's cost per
            step small, where nothing counts steps. With `reduce` there is one batch only, and an epoch goes
            over it this many times; for every method, by default once.
        standardize: Whether to train on features of mean 0 and standard deviation 1. linlight's models, their
            predictions and the summary are in the data's own units all the same; any other module gets
            standardised features in every stage, see `standardizer`.
        reduce: Whether to train on a few rows that have the same mean squared error as all of them for
            every model, so that an epoch costs the same whatever the number of rows.
        stream: Whether to read the table block by block in every pass, instead of holding it in memory.
            Default: where a method makes a single pass over a large table, all of which is trained on.
        window: Rows of a stream that are in memory at a time, and within which it is shuffled.
        delimiter: What separates the fields of a CSV. Default: a comma, in a .tsv a tab.
        decimal: What separates decimals in a CSV.
        encoding: The encoding of a CSV, such as cp1252 or utf-16.
        header: Whether a CSV's first row holds the columns' names; else they are 0, 1, ….
        skip_rows: Lines of a CSV before that.
        unseen: What to do about a row whose category has a value that no row to train on has: `error`, or
            take it for `missing`, and drop it.
        reference: A category's level that gets no column, from which the coefficients of the others are
            measured: `plan=basic`. Default: every level has a column.
        weight_kind: What weights mean. `precision`: a row's error has the variance σ²/weight, as in R's `lm`
            and statsmodels' WLS. `frequency`: a whole number of equal rows that a row stands for, in
            standard errors and degrees of freedom too.
        na_values: The texts of a CSV that stand for no value, as the empty one does. Default: NA, NaN, null
            and the like; [] for none.

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
        dtype: Literal["float32", "float64"] | None = None,
        path: TableLike = None,
        target: str | list[str] | None = None,
        features: str | list[str] | None = None,
        categorical: str | list[str] | dict[str, list[str]] | None = None,
        weight: str | None = None,
        id: str | list[str] | None = None,
        missing: Literal["error", "drop"] = "error",
        standardize: bool = False,
        updates_per_step: int | None = None,
        reduce: bool = False,
        stream: bool | None = None,
        window: int = 2**18,
        delimiter: str | None = None,
        decimal: str = ".",
        encoding: str = "utf-8",
        header: bool = True,
        skip_rows: int = 0,
        na_values: str | list[str] | None = None,
        weight_kind: Literal["precision", "frequency"] = "precision",
        unseen: Literal["error", "missing"] = "error",
        reference: str | dict[str, str] | None = None,
    ) -> None:
        settings = dict(locals())  # the arguments by their names
        _check(settings)
        split = Split(seed, val_fraction, test_fraction)
        opened = OpenedNumbers(x, y, split) if path is None else OpenedTable(path, settings, split)
        super().__init__(opened, settings)
        # A checkpoint remembers data given as plain lists, so that `--ckpt_path` alone can go on or
        # predict; arrays and tensors stay out, for they would break `weights_only=True` and could be large.
        plain = (("x", x, list | None), ("y", y, list | None), ("path", path, str | None))
        ignored = [name for name, value, kind in plain if not isinstance(value, kind)]
        # Where Lightning looks for the frame itself, it ties a knot that keeps the rows until the next
        # garbage collection.
        self.save_hyperparameters(logger=False, ignore=ignored, frame=inspect.currentframe())
        self._keep_for_predictions()
        if path is None:  # the numbers are in memory, and are checked at once
            self.read()

    def sharing_rows(
        self, batch_size: int | None = None, shuffle: bool = False, standardize: bool = False, dtype: str = ""
    ) -> "XYDataModule":
        """A data module of the same rows, which are not read again, that batches them in its own way.

        Args:
            batch_size: Rows per update. Default: all rows.
            shuffle: Whether each epoch visits them in a new random order.
            standardize: Whether to train on standardised features.
            dtype: Type of the numbers: float32 or float64. Default: the same.

        Raises:
            InputError: If a setting cannot be used, or a number does not fit into the type.
        """
        _check_batch_size(batch_size)
        _ = self._statistics  # which is shared
        other = copy.copy(self)
        other._hparams = copy.copy(self.hparams)
        for name, value in {"batch_size": batch_size, "shuffle": shuffle, "standardize": standardize}.items():
            other.hparams[name] = value
            setattr(other, name, value)
        for made in ("example", "standardizer"):
            other.__dict__.pop(made, None)
        other._dtype_is_asked = self._dtype_is_asked or bool(dtype)
        other._use(getattr(torch, dtype) if dtype else self.dtype)
        return other


def _check_batch_size(batch_size: int | None) -> None:
    """Checks a number of rows per update; None stands for all."""
    if batch_size is not None and batch_size < 1:
        raise InputError(f"batch_size must be at least 1, got {batch_size}")
    if batch_size is not None and batch_size >= 2**31:
        raise InputError(f"batch_size must be below 2**31, got {batch_size}: leave it out for all rows")


def _check(given: dict[str, Any]) -> None:
    """Checks each argument of `XYDataModule`, and that none contradicts another."""
    batch_size, window, updates = given["batch_size"], given["window"], given["updates_per_step"]
    val, test = given["val_fraction"], given["test_fraction"]
    _check_batch_size(batch_size)
    for name, fraction in (("val_fraction", val), ("test_fraction", test)):
        if not 0 <= fraction < 1:
            raise InputError(f"{name} must be at least 0 and below 1, got {fraction}")
    if val + test >= 1:
        raise InputError(
            f"val_fraction {val} and test_fraction {test} leave no rows to train on: "
            "their sum must be below 1"
        )
    if given["seed"] < 0:
        raise InputError(f"seed must be at least 0, got {given['seed']}")
    for name, choices in CHOICES.items():
        if given[name] not in choices:
            raise InputError(f"{name} must be {choices[0]} or {choices[1]}, got {given[name]!r}")
    if given["reduce"] and batch_size is not None:
        raise InputError("reduce stands for all rows in one batch: leave out batch_size")
    if given["stream"] and given["path"] is None:
        raise InputError("stream reads a table block by block: give one as path, or leave it out")
    if window < 1:
        raise InputError(f"window must be at least 1 row, got {window}")
    if updates is not None and updates < 1:
        raise InputError(f"updates_per_step must be at least 1, got {updates}")
    if given["path"] is None:
        for name in OF_A_TABLE:
            if given[name] is not None:
                raise InputError(f"{name} names a column of a table: give the table as path")
    elif given["x"] is not None or given["y"] is not None:
        raise InputError("path is given with x or y: give one or the other")
    if given["stream"] and batch_size is not None and batch_size > window:
        raise InputError(f"batch_size {batch_size} does not fit into the window, {window:,} rows: raise it")
