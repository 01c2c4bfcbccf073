"""Predictions, written as they come, once each and in the order of the rows."""

import heapq
from collections.abc import Callable
from contextlib import ExitStack
from csv import writer as csv_writer
from io import StringIO
from pathlib import Path
from typing import Any, Literal

import numpy as np
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from linlight.data.sources import SHOWN, Predicted
from linlight.distributed import gather
from linlight.errors import InputError
from linlight.methods.base.batch import features_of
from linlight.methods.base.run_rows import our_data
from linlight.training.folder import folder_name, run_folder


class PredictionWriter(Callback):
    """Writes `predictions.csv` or `.parquet` batch by batch; what is in memory is a few batches.

    Lightning's `BasePredictionWriter` asks the loader for row numbers of its own kind; ours come with it.

    Args:
        kind: Type of the file: `csv` or `parquet`.
        quiet: Whether to print nothing; else the beginning is shown.

    Attributes:
        count: Number of rows that were predicted, on rank 0.
        beginning: Features and predictions of the first few rows, on rank 0.
    """

    def __init__(self, kind: Literal["csv", "parquet"] = "csv", quiet: bool = False) -> None:
        self.kind = kind
        self._quiet = quiet
        self._begin()
        self._open = ExitStack()
        self._path = Path()

    def _begin(self) -> None:
        self.count = 0
        self.beginning: list[tuple[list[float], list[float]]] = []
        self._is_ordered = True  # whether the rows of a batch are known
        self._next = 0  # the row of the table from which on nothing is written yet
        self._waiting: list[tuple[int, Predicted]] = []
        self._write: Callable[[Any], None] | None = None

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Determines where to write."""
        self._begin()
        self._is_ordered = trainer.world_size == 1 or our_data(trainer) is not None
        if not self._is_ordered and trainer.is_global_zero and not self._quiet:
            print("no file of predictions: several processes share out a loader's rows in no order it tells")
        self._path = run_folder(trainer) / f"predictions.{self.kind}"

    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Gathers a batch from all processes; rank 0 writes what comes next in the table."""
        if not self._is_ordered:
            return
        data = our_data(trainer)
        mine = self._in_order(batch, outputs) if data is None else data.source.predicted(batch, outputs)
        for one in gather(mine):
            if one.end > one.first and trainer.is_global_zero:
                heapq.heappush(self._waiting, (one.first, one))
        while self._waiting and self._waiting[0][0] == self._next:
            self._append(heapq.heappop(self._waiting)[1])

    def _in_order(self, batch: Any, predictions: Tensor) -> Predicted:
        """A batch of a loader that does not tell which rows it has: the next ones."""
        rows = np.arange(self._next, self._next + len(predictions))
        x = features_of(batch)[:SHOWN].cpu()
        return Predicted(self._next, self._next + len(rows), rows, None, predictions.cpu(), x)

    def _append(self, one: Predicted) -> None:
        self._next = one.end
        left = SHOWN - len(self.beginning)
        self.beginning += zip(one.x[:left].tolist(), one.values[:left].tolist(), strict=True)
        self.count += len(one.values)
        table = as_table(one.values, one.rows, one.ids)
        if self._write is None:
            self._write = self._csv(table) if self.kind == "csv" else self._parquet(table)
        self._write(table)

    def _csv(self, first: Any) -> Callable[[Any], None]:
        """Opens a CSV, in which numbers have full precision."""
        from pyarrow import csv

        header = StringIO()
        csv_writer(header, lineterminator="\n").writerow(first.column_names)  # pyarrow's has quotes
        file = self._open.enter_context(self._path.open("wb"))
        file.write(header.getvalue().encode())
        options = csv.WriteOptions(include_header=False)
        writer = csv.CSVWriter(file, _plain(first).schema, write_options=options)
        self._open.enter_context(writer)
        return lambda table: writer.write_table(_plain(table))

    def _parquet(self, first: Any) -> Callable[[Any], None]:
        from pyarrow import parquet

        writer = self._open.enter_context(parquet.ParquetWriter(self._path, first.schema))
        return lambda table: writer.write_table(table)

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Closes the file, and shows how it begins.

        Raises:
            InputError: If there were no rows.
        """
        self._open.close()
        if not (trainer.is_global_zero and self._is_ordered):
            return
        if not self.count:
            raise InputError("there are no rows to predict: give at least one")
        if self._quiet:
            return
        for x, y_hat in self.beginning:
            print("x =", *x, "-> prediction", *y_hat)
        if self.count > len(self.beginning):
            print(f"... {self.count:,} rows in {folder_name(self._path)}")

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Closes the file, which is then removed with its folder."""
        self._open.close()


def as_table(predictions: Tensor, rows: np.ndarray, ids: Any = None) -> Any:
    """A pyarrow table of predictions: `row`, the id columns, `prediction` or one for each target.

    Args:
        predictions: (N, T).
        rows: The rows' numbers in the input.
        ids: A pyarrow table of N rows.
    """
    import pyarrow as pa  # slow to import, and not needed to train on a few numbers

    targets = predictions.shape[1]
    names = ["prediction"] if targets == 1 else [f"prediction_{i}" for i in range(targets)]
    columns = {"row": pa.array(rows, pa.int64())}
    if ids is not None:
        columns |= dict(zip(ids.column_names, ids.columns, strict=True))
    return pa.table(columns | dict(zip(names, predictions.double().numpy().T, strict=True)))


def _plain(table: Any) -> Any:
    """A table with lists, bytes and whatever else a CSV does not have as texts."""
    import pyarrow as pa

    columns = {}
    for name, column in zip(table.column_names, table.columns, strict=True):
        kind = column.type
        views = (pa.string_view(), pa.binary_view())  # pyarrow's CSV writer does not know them
        if pa.types.is_nested(kind) or pa.types.is_binary(kind) or kind in views:
            column = pa.array([None if v is None else str(v) for v in column.to_pylist()], pa.string())
        columns[name] = column
    return pa.table(columns)
