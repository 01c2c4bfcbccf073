"""Predictions, written as they come, once each and in the order of the rows."""

import csv
import heapq
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from linlight.replicas import gather

SHOWN = 10


@dataclass
class Predicted:
    """The predictions of one process for one batch.

    Attributes:
        first: Where it begins in the table; rows from there up to `end` are dealt with by it.
        end: Where the next begins.
        rows: The rows' numbers, (B,).
        ids: Their id columns, a pyarrow table, or None.
        values: The predictions, (B, T).
        x: The features of the first few, (up to 10, D).
    """

    first: int
    end: int
    rows: Sequence[int]
    ids: Any
    values: Tensor
    x: Tensor


class PredictionWriter(Callback):
    """Writes `predictions.csv` or `.parquet` batch by batch; what is in memory is a few batches.

    Lightning's `BasePredictionWriter` asks the loader for row numbers of its own kind; ours come with it.

    Args:
        kind: Type of the file: `csv` or `parquet`.

    Attributes:
        count: Number of rows that were predicted, on rank 0.
        beginning: Features and predictions of the first few rows, on rank 0.
    """

    def __init__(self, kind: Literal["csv", "parquet"] = "csv") -> None:
        self.kind = kind
        self.count = 0
        self.beginning: list[tuple[list[float], list[float]]] = []
        self._next = 0  # the row of the table from which on nothing is written yet
        self._waiting: list[tuple[int, Predicted]] = []
        self._open = ExitStack()
        self._write: Callable[[dict[str, list[Any]]], None] | None = None
        self._path = Path()

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Knows where to write."""
        self._path = Path(trainer.default_root_dir) / f"predictions.{self.kind}"

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
        mine = trainer.datamodule.predicted(batch, outputs)  # type: ignore[attr-defined]
        for one in gather(mine):
            if one.end > one.first and trainer.is_global_zero:
                heapq.heappush(self._waiting, (one.first, one))
        while self._waiting and self._waiting[0][0] == self._next:
            self._append(heapq.heappop(self._waiting)[1])

    def _append(self, one: Predicted) -> None:
        self._next = one.end
        values = one.values.tolist()
        left = SHOWN - len(self.beginning)
        self.beginning += zip(one.x.tolist()[:left], values[:left], strict=True)
        self.count += len(values)
        table = columns(one.values, one.rows, one.ids)
        if self._write is None:
            self._write = self._csv(table) if self.kind == "csv" else self._parquet(table, one.ids)
        self._write(table)

    def _csv(self, table: dict[str, list[Any]]) -> Callable[[dict[str, list[Any]]], None]:
        """In full precision."""
        file = self._open.enter_context(self._path.open("w", newline="", encoding="utf-8"))
        writer = csv.writer(file)
        writer.writerow(table)
        return lambda table: writer.writerows(zip(*table.values(), strict=True))

    def _parquet(self, table: dict[str, list[Any]], ids: Any) -> Callable[[dict[str, list[Any]]], None]:
        import pyarrow as pa
        from pyarrow import parquet

        fields = [] if ids is None else list(ids.schema)
        own = {name: pa.int64() if name == "row" else pa.float64() for name in table}
        schema = pa.schema(own | {field.name: field.type for field in fields})
        writer = self._open.enter_context(parquet.ParquetWriter(self._path, schema))
        return lambda table: writer.write_table(pa.table(table, schema))

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Closes the file."""
        self._open.close()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Closes the file, which is then removed with its folder."""
        self._open.close()


def columns(predictions: Tensor, rows: Sequence[int], ids: Any = None) -> dict[str, list[Any]]:
    """The columns of a table of predictions: `row`, the id columns, `prediction` or one for each target.

    Args:
        predictions: (N, T).
        rows: The rows' numbers in the input.
        ids: A pyarrow table of N rows.
    """
    targets = predictions.shape[1]
    names = ["prediction"] if targets == 1 else [f"prediction_{i}" for i in range(targets)]
    table = {"row": list(map(int, rows))}
    if ids is not None:
        table |= {
            name: column.to_pylist() for name, column in zip(ids.column_names, ids.columns, strict=True)
        }
    return table | dict(zip(names, predictions.T.tolist(), strict=True))
