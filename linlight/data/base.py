"""What `XYDataModule` does: rows of a source, delivered in batches on any number of processes."""

from functools import cached_property
from typing import Any

import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor

from linlight.data.arrays import Rows
from linlight.data.loaders import BatchLoader
from linlight.data.opened import OpenedNumbers, OpenedTable
from linlight.data.sources import Batching, ProcessInfo, Source
from linlight.data.statistics import Statistics
from linlight.distributed import gather
from linlight.errors import InputError
from linlight.functional.standardize import Standardizer

TEXTBOOK_EXAMPLE = [[4.0]]  # the x at which the notes predict


class RowsDataModule(LightningDataModule):
    """All that `XYDataModule` does once its data are opened.

    They are two classes so that each can be read alone: the subclass is what a user sees, the arguments and
    what they mean; this one is what happens then.

    Args:
        opened: The data.
        settings: The arguments of `XYDataModule`, by name.
    """

    def __init__(self, opened: OpenedNumbers | OpenedTable, settings: dict[str, Any]) -> None:
        super().__init__()
        self.batch_size: int | None = settings["batch_size"]
        self.shuffle: bool = settings["shuffle"]
        self.standardize: bool = settings["standardize"]
        self.reduce: bool = settings["reduce"]
        self.updates_per_step: int | None = settings["updates_per_step"]
        self.weight_kind: str = settings["weight_kind"]
        self.is_table = settings["path"] is not None  # whose columns have names
        self._is_textbook = not self.is_table and settings["x"] is None
        self.has_validation, self.has_test = settings["val_fraction"] > 0, settings["test_fraction"] > 0
        self._opened = opened
        self._source: Source | None = None
        self.target_names = opened.target_names  # one also where there are no targets
        self.targets = opened.targets  # their number
        self._stream: bool | None = settings["stream"]
        self.streamed = bool(self._stream)  # whether every pass reads the rows anew
        self._is_single_pass = False  # whether the next stage is
        self._fits = self._overfits = False  # whether the stage is a fit, and one of the same few batches
        self._process = ProcessInfo()
        self._dtype_is_asked = settings["dtype"] is not None
        self.dtype = opened.dtype if settings["dtype"] is None else getattr(torch, settings["dtype"])
        self.configure_batches()

    # The rows -------------------------------------------------------------------------------------------

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

    def _read(self) -> Source:
        opened = self._opened
        self.streamed = bool(self._stream) or (self._is_single_pass and opened.is_worth_streaming)
        source: Source = opened.stream if self.streamed else opened.memory  # type: ignore[union-attr]
        self._keep_for_predictions()
        self._check_rounding(source)
        return source

    def _keep_for_predictions(self) -> None:
        """Adds to what a checkpoint keeps the type of the numbers, and what columns they came from."""
        self.hparams["dtype"] = str(self.dtype).removeprefix("torch.")
        columns = self._opened.columns
        if columns is not None:
            self.hparams.update(
                features=columns.features,
                target=columns.targets or None,
                categorical=columns.categories.levels or None,
                reference=columns.categories.reference or None,
            )

    def _check_rounding(self, source: Source) -> None:
        if self.dtype == torch.float32 != source.dtype:
            source.check_rounding([*self._opened.feature_names, *(self.target_names if self.targets else [])])

    @property
    def rows(self) -> Rows:
        """The rows in memory.

        Raises:
            InputError: If they are streamed.
        """
        if self._stream:
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
        x = torch.tensor(TEXTBOOK_EXAMPLE) if self._is_textbook else self.source.sample(1)[0]
        return x.to(self.dtype)

    @property
    def feature_names(self) -> list[str]:
        """A name for each feature; where they are a category's levels, which nobody gave, rows are read."""
        if self._opened.columns is not None and self._opened.columns.categories.unknown:
            self.read()
        return self._opened.feature_names

    @property
    def features(self) -> int:
        """D, the number of features."""
        return len(self.feature_names)

    def coded(self, bias: bool) -> list[int]:
        """Features that follow from others by the coding of categories alone; see `optimum`."""
        columns = self._opened.columns
        return [] if columns is None else columns.categories.coded(len(columns.features), bias)

    @property
    def coding(self) -> list[str]:
        """How categories are coded, a line each."""
        return [] if self._opened.columns is None else self._opened.columns.categories.coding

    def check_targets(self) -> None:
        """Raises where there are no targets, or nothing to learn of them."""
        if self.targets is None:
            raise InputError(self._opened.no_targets)
        if self._opened.constant and self._fits:
            raise InputError(self._opened.constant)

    # What a model asks for ------------------------------------------------------------------------------

    def configure_batches(
        self, *, batches_per_step: int = 1, in_blocks: bool = False, own_units: bool = False
    ) -> None:
        """Chooses how the present stage gets its rows; a model calls it in its `setup`.

        Args:
            batches_per_step: Batches that a training step gets at once; where more than one, as `Batches`.
            in_blocks: Whether training rows may come in any batches where no size is given.
            own_units: Whether features come as they are, in spite of `standardize`.
        """
        self.batches_per_step, self._in_blocks, self._own_units = batches_per_step, in_blocks, own_units

    def expect_single_pass(self) -> None:
        """Lets the next stage read a large table block by block, unless its settings need it whole."""
        several = self.has_validation or self.has_test or self.batch_size is not None
        self._is_single_pass = self._stream is None and not (several or self.shuffle or self.reduce)

    def hold_rows(self) -> None:
        """Reads the rows into memory after all, unless `stream` is set."""
        self._source, self._is_single_pass = None, False

    def compute_in(self, dtype: torch.dtype, asked_by: str = "") -> None:
        """Delivers numbers of the type that a model has, unless another was asked for.

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

    def _use(self, dtype: torch.dtype) -> None:
        self.dtype = dtype
        self._keep_for_predictions()
        if self._source is not None:
            self._check_rounding(self._source)

    # Stages ---------------------------------------------------------------------------------------------

    def setup(self, stage: str) -> None:
        """Reads the rows, takes this process's share of them, and checks that others have read the same."""
        self._source, self._is_single_pass = self._read(), False
        self._fits = stage == "fit"
        self.configure_batches()  # until the model, whose `setup` comes later, wants it otherwise
        # The one look at the Trainer: nothing else says which process this is, and it can turn off the
        # shuffling, as `overfit_batches` needs, in loaders of its own only.
        trainer: Any = self.trainer
        self._process, self._overfits = ProcessInfo(), False
        if trainer is not None:
            self._process = ProcessInfo(trainer.global_rank, trainer.world_size, trainer.strategy.root_device)
            self._overfits = trainer.overfit_batches > 0
        if self._process.world_size == 1:
            return
        mine = (self.feature_names, self.target_names, self.source.fingerprint())
        if any(other != mine for other in gather(mine)):
            source = self.hparams.get("path") or "the data"
            raise InputError(
                f"{source} differs from process to process: give every machine the same copy, "
                "that nothing writes to"
            )

    def _place(self, *, own_numbers: bool = False) -> ProcessInfo:
        """Where loaders deliver their rows, in the model's type or the data's own."""
        if self._process.device.type == "mps":  # which has no float64
            if own_numbers:
                return self._process._replace(device=torch.device("cpu"))
            if self.dtype == torch.float64:
                raise InputError("Apple's MPS has no float64: use --trainer.accelerator cpu or dtype float32")
        return self._process._replace(dtype=None if own_numbers else self.dtype)

    # Standardising --------------------------------------------------------------------------------------

    @property
    def scaling(self) -> Standardizer | None:
        """How the features that are delivered are standardised, if they are."""
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

    # Statistics and batches -----------------------------------------------------------------------------

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
    def train_size(self) -> int:
        """Number of rows to train on; a stream is read once to count them."""
        return self.source.train_size(self._place())

    @property
    def passes(self) -> int:
        """How many times a training epoch goes over the rows; more than once only with `reduce`."""
        return (self.updates_per_step or 1) if self.reduce else 1

    @property
    def batches(self) -> int:
        """Number of batches, and so of updates, in a training epoch."""
        return self.passes if self.batch_size is None else -(-self.train_size // self.batch_size)

    def train_dataloader(self) -> Any:
        """Batches (x, y) of the training rows, with the rows' weights where they have any."""
        if self.reduce:
            return self._reduced(batches_per_step=self.batches_per_step, passes=self.passes)
        self.check_targets()
        if self.streamed and self.batch_size is not None:
            self.statistics.check_not_constant(self.statistics.moments)
        shuffle = self.shuffle and not self._overfits
        batching = Batching(self.batch_size, shuffle, self.batches_per_step, self._in_blocks)
        return self.source.training(self._place(own_numbers=self._in_blocks), self.scaling, batching)

    def _reduced(self, **options: Any) -> BatchLoader:
        statistics, place = self.statistics, self._place()
        if self.streamed:
            statistics.check_not_constant(statistics.moments)
        rows = tuple(tensor.to(place.device, self.dtype) for tensor in statistics.stand_in(self.scaling))
        return BatchLoader(rows, len(rows[0]), place=place, **options)

    def train_pass(self) -> Any:
        """The training rows in their order, apart from the training, in blocks whatever the batch size."""
        return self._reduced() if self.reduce else self._in_order("train", None)

    def _in_order(self, kind: str, batch_size: int | None) -> Any:
        if kind != "predict":
            self.check_targets()
        return self.source.in_order(kind, self._place(), self.scaling, batch_size)

    def val_dataloader(self) -> Any:
        """Batches (x, y) of the validation rows; while fitting without a split, none."""
        if not self.has_validation and self._fits:
            return []
        return self._in_order("val" if self.has_validation else "all", self.batch_size)

    def test_dataloader(self) -> Any:
        """Batches (x, y) of the test rows, of every row without a split."""
        return self._in_order("test" if self.has_test else "all", self.batch_size)

    def predict_dataloader(self) -> Any:
        """Batches of every row: x first, and then what tells which rows they are, see `Source.predicted`."""
        return self._in_order("predict", self.batch_size)
