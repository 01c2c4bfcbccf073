"""x and y, checked once at the door, split, and handed out in batches."""

import copy
from functools import cached_property
from typing import Any, Literal

import torch
from lightning.fabric.utilities.data import AttributeDict
from lightning.pytorch import LightningDataModule
from torch import Tensor

import linlight.noise  # noqa: F401
from linlight.data.arrays import Numbers, Rows, TableLike
from linlight.data.loaders import BatchLoader
from linlight.data.memory import Memory
from linlight.data.opened import OpenedNumbers, OpenedTable
from linlight.data.predicted import Predicted
from linlight.data.settings import check_batch_size, check_settings
from linlight.data.sources import Batching, ProcessInfo, Source, Split
from linlight.data.statistics import Statistics
from linlight.distributed import gather
from linlight.errors import InputError
from linlight.functional.standardize import Standardizer

TEXTBOOK_EXAMPLE = [[4.0]]  # the x at which the notes predict


class XYDataModule(LightningDataModule):
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
            and statsmodels' WLS. `frequency`: a row stands for so many equal ones, a whole number, in
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
        stream: bool = False,
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
        self.seed = seed
        self.updates_per_step = updates_per_step
        self._fits = self._overfits = False  # whether the stage is a fit, and one of the same few batches
        self._process = ProcessInfo()
        self.hand_out()
        self.standardize = standardize
        self.streamed = stream
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

    def read(self) -> Source:
        """The rows, which are read the first time, or of a stream its categories' levels.

        Raises:
            InputError: If a value cannot be used.
        """
        if self._source is None:
            opened = self._opened
            streamed = self.streamed and isinstance(opened, OpenedTable)
            source: Source = opened.stream if streamed else opened.memory  # type: ignore[union-attr]
            self._keep_columns()
            self._check_rounding(source)
            self._source = source
        return self._source

    @property
    def source(self) -> Source:
        """The same."""
        return self.read()

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
        settings: dict[str, Any] = {"batch_size": batch_size, "shuffle": shuffle, "standardize": standardize}
        other._hparams = AttributeDict({**self.hparams, **settings})
        other.batch_size, other.shuffle, other.standardize = batch_size, shuffle, standardize
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

    def setup(self, stage: str) -> None:
        """Takes its share of the rows, and checks that several processes have read the same."""
        self._fits = stage == "fit"
        self.hand_out()  # until the model, whose `setup` comes later, wants it otherwise
        # The one look at the Trainer: nothing else says which process this is, and it can turn off the
        # shuffling, as `overfit_batches` needs, in loaders of its own only.
        trainer: Any = self.trainer
        self._process, self._overfits = ProcessInfo(), False
        if trainer is not None:
            self._process = ProcessInfo(trainer.global_rank, trainer.world_size, trainer.strategy.root_device)
            self._overfits = trainer.overfit_batches > 0
        self.read()
        if self._process.world_size == 1:
            return
        mine = (self.feature_names, self.target_names, self.source.fingerprint())
        if any(other != mine for other in gather(mine)):
            source = self.hparams.get("path") or "the data"
            raise InputError(
                f"{source} differs from process to process: give every machine the same copy, "
                "that nothing writes to"
            )

    def hand_out(
        self, *, batches_per_step: int = 1, in_blocks: bool = False, own_units: bool = False
    ) -> None:
        """Chooses how a stage gets its rows; a model that wants them in its own way asks in its `setup`.

        Args:
            batches_per_step: Batches that a training step gets at once; where more than one, as `Batches`.
            in_blocks: Whether training rows may come in any batches where no size is given.
            own_units: Whether features come as they are, in spite of `standardize`.
        """
        self.batches_per_step, self._in_blocks, self._own_units = batches_per_step, in_blocks, own_units

    @property
    def rows(self) -> Rows:
        """The rows in memory.

        Raises:
            InputError: If they are streamed.
        """
        if not isinstance(self.source, Memory):
            raise InputError("a stream's rows are not in memory: set stream to false")
        return self.source.rows

    @property
    def x(self) -> Tensor:
        """The features in memory, (N, D)."""
        return self.rows.x

    @property
    def y(self) -> Tensor | None:
        """The targets in memory, (N, T), or None where there are none."""
        return self.rows.y

    @property
    def features(self) -> int:
        """D, the number of features."""
        return len(self.feature_names)

    @property
    def weighted(self) -> bool:
        """Whether rows have weights."""
        columns = self._opened.columns
        return columns is not None and columns.weight is not None

    @cached_property
    def example(self) -> Tensor:
        """A row to predict before and after training, (1, D): the notes' x = 4, or else the first."""
        textbook = self.hparams.get("x", 0) is None and self.hparams.get("path", 0) is None
        x = torch.tensor(TEXTBOOK_EXAMPLE) if textbook else self.source.sample(1)[0]
        return x.to(self.dtype)

    @property
    def train_size(self) -> int:
        """Number of rows to train on; a stream is read once to count them."""
        return self.source.train_size(self._place())

    def known_sizes(self) -> dict[str, int]:
        """Rows for training, validation and testing, without reading a stream to count them."""
        return self.source.known_sizes()

    @property
    def passes(self) -> int:
        """How many times a training epoch goes over the rows; more than once only with `reduce`."""
        return (self.updates_per_step or 1) if self.reduce else 1

    @property
    def batches(self) -> int:
        """Number of batches, and so of updates, in a training epoch."""
        return self.passes if self.batch_size is None else -(-self.train_size // self.batch_size)

    def check_targets(self) -> None:
        """Makes sure that there is something to learn from, or to compare with.

        Raises:
            InputError: If there are no targets.
        """
        if self.targets is None:
            raise InputError(self._opened.no_targets)
        if self._opened.constant and self._fits:
            raise InputError(self._opened.constant)

    @property
    def scaling(self) -> Standardizer | None:
        """How the features that are handed out are standardised, if they are."""
        return self.standardizer if self.standardize and not self._own_units else None

    @cached_property
    def standardizer(self) -> Standardizer:
        """The transform of `standardize`, measured on the training rows; every process must ask for it.

        A checkpoint keeps it. A data module of other rows can be given that of the training's.

        Raises:
            InputError: If these rows are for predictions only.
        """
        if self.targets is None:
            raise InputError(
                "standardize measures the rows to train on, and there are none: predict with a ckpt_path, or "
                "set `standardizer` to that of the data trained on"
            )
        return Standardizer.fit(self.statistics.moments)

    def state_dict(self) -> dict[str, Any]:
        """The transform, for rows that come later."""
        return {} if self.scaling is None else dict(vars(self.scaling))

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes the transform of the training, whatever rows there are now.

        Raises:
            InputError: If it is none of these features.
        """
        held = Standardizer(**state_dict)
        if not held.mean.shape == held.deviation.shape == (self.features,):
            raise InputError(f"the checkpoint's standardisation is not one of {self.features} features")
        self.standardizer = held

    @property
    def statistics(self) -> Statistics:
        """What the rows to train on tell, measured once; every process must ask for the same.

        Raises:
            InputError: If there are no targets.
        """
        self.check_targets()
        self._statistics.place = self._place()
        return self._statistics

    @cached_property
    def _statistics(self) -> Statistics:
        return Statistics(self.source, self.target_names, counts_rows=self.weight_kind == "frequency")

    @property
    def dropped(self) -> bool:
        """Whether rows were left out, as far as the table has been read."""
        return self.source.dropped

    def _place(self, *, own_numbers: bool = False) -> ProcessInfo:
        """Where loaders hand out their rows, in the model's type or the data's own."""
        rank, world_size, device, _ = self._process
        if device.type != "mps":  # which has no float64
            return ProcessInfo(rank, world_size, device, None if own_numbers else self.dtype)
        if own_numbers:
            return ProcessInfo(rank, world_size)
        if self.dtype == torch.float64:
            raise InputError("Apple's MPS has no float64: use --trainer.accelerator cpu or dtype float32")
        return self._process._replace(dtype=self.dtype)

    def train_dataloader(self) -> Any:
        """Batches (x, y) of the training rows, with the rows' weights where they have any."""
        if self.reduce:
            return self._reduced(batches_per_step=self.batches_per_step, passes=self.passes)
        self.check_targets()
        if self.streamed and self.batch_size is not None:
            self.statistics.check_not_constant(self.statistics.moments)
        return self.source.training(
            self._place(own_numbers=self._in_blocks),
            self.scaling,
            Batching(
                self.batch_size, self.shuffle and not self._overfits, self.batches_per_step, self._in_blocks
            ),
        )

    def _reduced(self, **options: Any) -> BatchLoader:
        statistics, place = self.statistics, self._place()
        if self.streamed:
            statistics.check_not_constant(statistics.moments)
        rows = tuple(tensor.to(place.device, self.dtype) for tensor in statistics.stand_in(self.scaling))
        return BatchLoader(rows, len(rows[0]), place=place, **options)

    def train_pass(self) -> Any:
        """The batches of the training rows, in the order of the rows, for a look beside the training."""
        return self._reduced() if self.reduce else self._in_order("train")

    def _in_order(self, kind: str) -> Any:
        if kind != "predict":
            self.check_targets()
        return self.source.in_order(kind, self._place(), self.scaling, self.batch_size)

    def val_dataloader(self) -> Any:
        """Batches (x, y) of the validation rows; while fitting without a split, none."""
        if not self.has_validation and self._fits:
            return []
        return self._in_order("val" if self.has_validation else "all")

    def test_dataloader(self) -> Any:
        """Batches (x, y) of the test rows, of every row without a split."""
        return self._in_order("test" if self.has_test else "all")

    def predict_dataloader(self) -> Any:
        """Batches of every row: x first, and then what tells which rows they are, see `predicted`."""
        return self._in_order("predict")

    def predicted(self, batch: Any, predictions: Tensor) -> Predicted:
        """A batch of `predict_dataloader` with its predictions, (B, T), and what is known of its rows."""
        return self.source.predicted(batch, predictions)
