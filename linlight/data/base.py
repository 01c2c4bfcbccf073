"""Rows of any source, handed to Lightning in batches on any number of processes."""

from functools import cached_property
from typing import Any

import torch
from lightning.pytorch import LightningDataModule

from linlight.data.loaders import BatchLoader
from linlight.data.sources import Batching, ProcessInfo, Source
from linlight.data.statistics import Statistics
from linlight.distributed import gather
from linlight.errors import InputError
from linlight.functional.standardize import Standardizer


class RowsDataModule(LightningDataModule):
    """Hands out the rows of a source; a subclass says which, and sets what is declared here."""

    target_names: list[str]  # one also where there are no targets
    targets: int | None  # their number
    batch_size: int | None
    shuffle: bool
    standardize: bool
    reduce: bool
    updates_per_step: int | None
    weight_kind: str
    dtype: torch.dtype  # of the numbers that are handed out
    streamed: bool  # whether rows are read anew in every pass
    has_validation: bool  # whether rows are kept for it
    has_test: bool

    def __init__(self) -> None:
        super().__init__()
        self._fits = self._overfits = False  # whether the stage is a fit, and one of the same few batches
        self._process = ProcessInfo()
        self.hand_out()

    @property
    def source(self) -> Source:
        """The rows, which are read when they are first asked for."""
        raise NotImplementedError

    @property
    def feature_names(self) -> list[str]:
        """A name for each feature."""
        raise NotImplementedError

    def check_targets(self) -> None:
        """Raises where there is nothing to learn from, or to compare with."""
        raise NotImplementedError

    @property
    def features(self) -> int:
        """D, the number of features."""
        return len(self.feature_names)

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
        return (
            self._reduced() if self.reduce else self._in_order("train", None)
        )  # blocks, whatever the batches

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
