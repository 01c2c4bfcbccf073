"""Predictions, gathered from all processes in the order of the rows, and written as a table."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, distributed


def gather(batches: list[Tensor]) -> Tensor:
    """Puts the predictions of all processes together, (N, T); every process must call it.

    Args:
        batches: This process's share of the predictions of each batch, (B_r, T).
    """
    shares = [batches]
    if distributed.is_available() and distributed.is_initialized():
        shares = [[] for _ in range(distributed.get_world_size())]
        distributed.all_gather_object(shares, [batch.cpu() for batch in batches])
    # Each batch was dealt out in rank order.
    return torch.cat([share for batch in zip(*shares, strict=True) for share in batch])


def columns(predictions: Tensor, rows: Sequence[int] | None = None, ids: Any = None) -> dict[str, list[Any]]:
    """The columns of a table of predictions: `row`, the id columns, `prediction` or one for each target.

    Args:
        predictions: (N, T).
        rows: The rows' numbers in the input. Default: 0, 1, ….
        ids: A pyarrow table of N rows.
    """
    targets = predictions.shape[1]
    names = ["prediction"] if targets == 1 else [f"prediction_{i}" for i in range(targets)]
    table = {"row": list(range(len(predictions)) if rows is None else map(int, rows))}
    if ids is not None:
        table |= {
            name: column.to_pylist() for name, column in zip(ids.column_names, ids.columns, strict=True)
        }
    return table | dict(zip(names, predictions.T.tolist(), strict=True))


def write(table: dict[str, list[Any]], path: Path) -> None:
    """Writes a `.csv` in full precision, or a `.parquet`."""
    if path.suffix == ".parquet":
        import pyarrow as pa
        from pyarrow import parquet

        parquet.write_table(pa.table(table), path)
        return
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(table)
        writer.writerows(zip(*table.values(), strict=True))
