"""x and y, checked once at the door, split, and handed out in batches."""

import copy
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor

import linlight.noise  # noqa: F401
from linlight.data.arrays import Numbers, Rows, TableLike
from linlight.data.base import RowsDataModule
from linlight.data.opened import OpenedNumbers, OpenedTable
from linlight.data.settings import check_batch_size, check_settings
from linlight.data.sources import Source, Split
from linlight.errors import InputError

TEXTBOOK_EXAMPLE = [[4.0]]  # the x at which the notes predict


class XYDataModule(RowsDataModule):
    """Wraps x/y data: the textbook's three points unless others are given.

    Rows are split at random, by `seed` alone, into training, validation and test rows; what the fractions
    leave is for training. Without a split, `validate` and `test` use every row. `predict` always does.

    A table is held in memory, or with `stream` read anew in every pass, a few blocks at a time. A stream's
    rows go to training, validation or test each by a draw of its own, so the fractions hold nearly. See
    `stream.py`.

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
        id: Columns that predictions are written with; those of a CSV as the text that stands there.
        missing: What to do about a row without a value: `error`, or `drop` it.
        updates_per_step: Batches that a by-hand method takes at once, to update the weights after each of
            them as ever; callbacks then run less often. Default: as many as make Lightning's cost per step
            small, where nothing counts steps. With `reduce` there is one batch only, and an epoch goes over
            it so many times; for every method, by default once.
        standardize: Whether to train on features of mean 0 and standard deviation 1. linlight's models, their
            predictions and the summary are in the data's own units all the same; any other module gets such
            features in every stage, see `standardizer`.
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
        reference: A category's level that gets no column, so that the others are told from it: `plan=basic`.
            Default: every level has a column.
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
        super().__init__()
        # A checkpoint remembers data given as plain lists, so that `--ckpt_path` alone can go on or
        # predict; arrays and tensors stay out, for they would break `weights_only=True` and could be large.
        plain = (("x", x, list | None), ("y", y, list | None), ("path", path, str | None))
        self.save_hyperparameters(logger=False, ignore=[n for n, v, kind in plain if not isinstance(v, kind)])
        check_settings(settings)
        self.batch_size = batch_size
        self.reduce = reduce
        self.shuffle = shuffle
        self.updates_per_step = updates_per_step
        self.standardize = standardize
        self.streamed = self._is_stream = bool(stream)
        self._may_stream = stream is None and not (val_fraction or test_fraction or shuffle or reduce)
        self._once = False  # whether the next stage is a single pass
        self.weight_kind = weight_kind
        self.is_table = path is not None  # whose columns have names
        self.has_validation, self.has_test = val_fraction > 0, test_fraction > 0  # whether rows are kept
        split = Split(seed, val_fraction, test_fraction)
        self._opened = OpenedTable(path, settings, split) if self.is_table else OpenedNumbers(x, y, split)
        self._source: Source | None = None
        self.target_names, self.targets = self._opened.target_names, self._opened.targets  # their number
        self._dtype_is_asked = dtype is not None
        self._use(self._opened.dtype if dtype is None else getattr(torch, dtype))
        self._keep_columns()
        if not self.is_table:  # which is in memory, and is checked at once
            self.read()

    def _keep_columns(self) -> None:
        """Adds what `predict` needs to know to what a checkpoint keeps."""
        columns = self._opened.columns
        if columns is not None:
            self.hparams.update(
                features=columns.features,
                target=columns.targets or None,
                categorical=columns.categories.levels or None,
                reference=columns.categories.reference or None,
            )

    def _use(self, dtype: torch.dtype) -> None:
        self.dtype = dtype
        self.hparams["dtype"] = str(dtype).removeprefix("torch.")  # what a checkpoint goes on with
        if self._source is not None:
            self._check_rounding(self._source)

    def _check_rounding(self, source: Source) -> None:
        if self.dtype == torch.float32 != source.dtype:
            targets = self.target_names if self.targets else []
            source.check_rounding([*self._opened.feature_names, *targets])

    def expect_single_pass(self) -> None:
        """Lets the stage that comes read a large table block by block, unless its settings need it whole."""
        self._once = self._may_stream and self.batch_size is None

    def hold_rows(self) -> None:
        """Reads the rows into memory after all, unless `stream` is set."""
        self._source, self._once = None, False

    def setup(self, stage: str) -> None:
        """Reads the rows, takes this process's share of them, and checks that others have read the same."""
        self._source, self._once = self._read(), False
        super().setup(stage)

    def _read(self) -> Source:
        opened, self.streamed = self._opened, self._is_stream
        if isinstance(opened, OpenedTable):
            self.streamed |= self._once and opened.is_worth_streaming
        source: Source = opened.stream if self.streamed else opened.memory  # type: ignore[union-attr]
        self._keep_columns()
        self._check_rounding(source)
        return source

    @property
    def source(self) -> Source:
        """The rows, which are read when they are first asked for; of a stream, its categories' levels.

        Raises:
            InputError: If a value cannot be used.
        """
        if self._source is None:
            self._source = self._read()
        return self._source

    def read(self) -> None:
        """Reads the rows, if they were not; see `source`."""
        _ = self.source

    @property
    def feature_names(self) -> list[str]:
        """A name for each feature; where they are a category's levels, which nobody gave, rows are read."""
        if self._opened.columns is not None and self._opened.columns.categories.unknown:
            self.read()
        return self._opened.feature_names

    def compute_in(self, dtype: torch.dtype, asked_by: str = "") -> None:
        """Hands out numbers of the type that a model has, unless another was asked for.

        Args:
            dtype: float32 or float64.
            asked_by: The setting of the user's, if any, that asks for it.

        Raises:
            InputError: If two settings ask for different types.
        """
        if asked_by and self._dtype_is_asked and dtype != self.dtype:
            raise InputError(
                f"{asked_by} and --data.dtype {self.hparams['dtype']} contradict each other: leave out one"
            )
        if not self._dtype_is_asked:
            self._dtype_is_asked = bool(asked_by)
            self._use(dtype)

    def sharing_rows(
        self, batch_size: int | None = None, shuffle: bool = False, standardize: bool = False, dtype: str = ""
    ) -> "XYDataModule":
        """A data module of the same rows, which are not read again, that hands them out in its own way.

        Args:
            batch_size: Rows per update. Default: all rows.
            shuffle: Whether each epoch visits them in a new random order.
            standardize: Whether to train on standardised features.
            dtype: Type of the numbers: float32 or float64. Default: the same.

        Raises:
            InputError: If a setting cannot be used, or a number does not fit into the type.
        """
        check_batch_size(batch_size)
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

    def coded(self, bias: bool) -> list[int]:
        """Features that follow from others by the coding of categories alone; see `optimum`."""
        columns = self._opened.columns
        return [] if columns is None else columns.categories.coded(len(columns.features), bias)

    @property
    def coding(self) -> list[str]:
        """How categories are coded, a line each."""
        return [] if self._opened.columns is None else self._opened.columns.categories.coding

    @property
    def rows(self) -> Rows:
        """The rows in memory.

        Raises:
            InputError: If they are streamed.
        """
        if self._is_stream:
            raise InputError("a stream's rows are not in memory: set stream to false")
        self.read()
        return self._opened.memory.rows

    @property
    def x(self) -> Tensor:
        """The features in memory, (N, D)."""
        return self.rows.x

    @property
    def y(self) -> Tensor | None:
        """The targets in memory, (N, T), or None where there are none."""
        return self.rows.y

    @property
    def weighted(self) -> bool:
        """Whether rows have weights."""
        return self.source.weighted

    @cached_property
    def example(self) -> Tensor:
        """The row predicted before and after training, (1, D): the notes' x = 4, or else the first."""
        textbook = self.hparams.get("x", 0) is None and self.hparams.get("path", 0) is None
        x = torch.tensor(TEXTBOOK_EXAMPLE) if textbook else self.source.sample(1)[0]
        return x.to(self.dtype)

    def check_targets(self) -> None:
        """Raises where there are no targets, or nothing to learn of them."""
        if self.targets is None:
            raise InputError(self._opened.no_targets)
        if self._opened.constant and self._fits:
            raise InputError(self._opened.constant)
