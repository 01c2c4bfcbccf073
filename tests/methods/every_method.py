"""Run by `test_processes.py` on several processes: every method, its losses, weights and predictions."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch
from conftest import quiet_trainer
from lightning.pytorch import Trainer
from pyarrow import csv, parquet

from linlight import XYDataModule
from linlight.methods.backpropagation import Backpropagation
from linlight.methods.base import LinearModel
from linlight.methods.exhaustive_search import ExhaustiveSearch
from linlight.methods.gradient_descent import GradientDescent
from linlight.methods.least_squares import LeastSquares
from linlight.methods.linear_regression import LinearRegression
from linlight.training.predictions import PredictionWriter

METHODS: dict[str, Any] = {
    "ExhaustiveSearch": lambda: ExhaustiveSearch(bias=True, step=0.5),
    "GradientDescent": lambda: GradientDescent(lr=0.05, bias=True),
    "Backpropagation": lambda: Backpropagation(lr=0.05, bias=True),
    "LinearRegression": lambda: LinearRegression(lr=0.05, w0=1.0),
    "sum": lambda: LinearRegression(lr=0.005, w0=1.0, criterion=torch.nn.MSELoss(reduction="sum")),
}
# A batch of one row leaves all processes but one without any.
BATCHES: list[tuple[int | None, bool]] = [(5, True), (1, False)]


def run(root: Path, nodes: int, devices: int) -> dict[str, Any]:
    """Fits, validates, tests and predicts with every method."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(23, 1, generator=generator, dtype=torch.float64)
    y = 2 * x + 0.5 + 0.1 * torch.randn(23, 1, generator=generator, dtype=torch.float64)
    weight = torch.rand(23, generator=generator, dtype=torch.float64) + 0.5

    def trainer_of(callbacks: list[Any]) -> Trainer:
        return quiet_trainer(
            devices=devices,
            num_nodes=nodes,
            strategy="ddp" if devices * nodes > 1 else "auto",
            max_epochs=3,
            use_distributed_sampler=False,
            num_sanity_val_steps=0,
            default_root_dir=root,
            callbacks=callbacks,
        )

    results = {}
    for name, make in METHODS.items():
        for batch_size, shuffle in BATCHES:
            trainer = trainer_of([PredictionWriter()])
            data = XYDataModule(
                x, y, batch_size=batch_size, shuffle=shuffle, val_fraction=0.3, dtype="float64"
            )
            if batch_size == 5:
                data.rows.weight = weight
            results[f"{name} {batch_size} {shuffle}"] = all_of(trainer, make(), data)
    return results | streams(root, trainer_of, x, y)


def all_of(trainer: Trainer, model: LinearModel, data: XYDataModule) -> dict[str, Any]:
    """Fits, tests and predicts."""
    trainer.fit(model, data)
    steps = trainer.global_step
    metrics = {key: value.item() for key, value in trainer.callback_metrics.items()}
    metrics["final_loss"] = model.train_metrics()["train_loss"]
    trainer.test(model, data, verbose=False)
    metrics["test_loss"] = trainer.callback_metrics["test_loss"].item()
    trainer.predict(model, data, return_predictions=False)
    found = {
        "w": model.w.tolist(),
        "b": None if model.b is None else model.b.tolist(),
        "rows": model.rows,
        "metrics": metrics,
        # Only one process writes them.
        "predictions": (Path(trainer.default_root_dir) / "predictions.csv").read_text()
        if trainer.is_global_zero
        else "",
    }
    # A stream's pieces, one step each, are shared out; batches are not.
    return found if data.streamed and data.batch_size is None else found | {"steps": steps}


def streams(root: Path, trainer_of: Any, x: torch.Tensor, y: torch.Tensor) -> dict[str, Any]:
    """The same of rows that are read block by block; each process has a copy of the file."""
    copy = os.environ.get("RANK", "0")
    frame = {"x": x[:, 0].numpy(), "y": y[:, 0].numpy()}
    parquet.write_table(pa.table(frame), root / f"{copy}.parquet", row_group_size=3)
    csv.write_csv(pa.table(frame), root / f"{copy}.csv")
    cases: dict[str, tuple[Any, dict[str, Any]]] = {
        "LeastSquares": (LeastSquares, {}),
        "ExhaustiveSearch": (lambda: ExhaustiveSearch(bias=True), {}),
        "reduced": (lambda: GradientDescent(bias=True), {"reduce": True}),
        "GradientDescent": (lambda: GradientDescent(bias=True), {"batch_size": 5, "shuffle": True}),
        "LinearRegression": (lambda: LinearRegression(w0=0.5), {"batch_size": 5}),
    }
    results = {}
    for kind in ("parquet", "csv"):
        for name, (make, settings) in cases.items():
            trainer = trainer_of([PredictionWriter()])
            data = XYDataModule(
                path=str(root / f"{copy}.{kind}"),
                stream=True,
                window=6,
                val_fraction=0.3,
                dtype="float64",
                **settings,
            )
            results[f"stream {kind} {name}"] = all_of(trainer, make(), data)
    return results


if __name__ == "__main__":
    out, nodes, devices = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    found = run(out.parent, nodes, devices)
    if torch.distributed.get_rank() == 0:
        out.write_text(json.dumps(found))
    torch.distributed.destroy_process_group()  # left to the interpreter's end, gloo now and then aborts it
