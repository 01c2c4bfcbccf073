"""A finished run in TensorBoard: its final figures, card, residuals and graph."""

import math
from typing import Any

import torch
from lightning.pytorch import Trainer
from tensorboard.compat.proto.attr_value_pb2 import AttrValue
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.graph_pb2 import GraphDef
from tensorboard.compat.proto.node_def_pb2 import NodeDef
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData
from torch import Tensor
from torch.utils.tensorboard.summary import hparams

from linlight.data.datamodule import XYDataModule
from linlight.methods.base import LinearModel
from linlight.methods.base.run_rows import batches_again
from linlight.methods.base.training_loss import run_batches
from linlight.training.fit_result import FitResult
from linlight.training.settings import (
    data_settings,
    in_a_word,
    method_settings,
    source_name,
    yes_or_no,
)
from linlight.training.tensorboard import tensorboards

FINAL = (
    *("train_loss", "gap", "val_loss"),
    *(f"{rows}_{name}" for rows in ("train", "val") for name in ("rmse", "mae", "r2")),
    *("condition_number", "epochs", "steps", "seconds"),
)
"""The columns of results in the HParams table."""
FIRST = ("method", "optimizer", "lr", "batch", "criterion")
"""The first columns of settings in it."""
FEWEST_RESIDUALS = 30
"""The fewest rows that are worth a histogram."""
MOST_RESIDUALS = 10_000
"""The most rows in a histogram; of more it shows an evenly spaced sample, as its name says."""


def show_results(trainer: Trainer, model: LinearModel, data: XYDataModule, summary: dict[str, Any]) -> None:
    """Writes a finished run into TensorBoard; only rank 0 calls it."""
    for logger in tensorboards(trainer):
        final = {f"final/{name}": _number(summary.get(name)) for name in FINAL}
        writer, step = logger.experiment, trainer.global_step
        settings = _table_settings(trainer, model, data, summary)
        logger.hparams.update(settings)
        logger.log_metrics(final, 0)
        for part in hparams(settings, final):  # as `log_hyperparams` does, with the columns in their order
            writer.file_writer.add_summary(_with_first_columns(part))
        of_method = in_a_word(method_settings(model))
        writer.add_text("card", FitResult(summary).to_markdown(of_method, source_name(data)), step)
        if (of := summary["rows"]) >= FEWEST_RESIDUALS:
            found = residuals(trainer, model, data)
            name = "residuals" if len(found) == of else f"residuals_of_{len(found)}_rows_of_{of}"
            writer.add_histogram(name, found.numpy(), step, bins=64)
        writer.file_writer.add_event(
            Event(graph_def=graph(model, data.batch_size or summary["rows"]).SerializeToString())
        )


def _with_first_columns(summary: Summary) -> Summary:
    """Puts `FIRST` before the other settings, of which TensorBoard's table shows five unasked.

    It sorts settings by name, after those that are marked as different between runs.
    """
    plugin = summary.value[0].metadata.plugin_data
    content = HParamsPluginData.FromString(plugin.content)
    if content.HasField("experiment"):
        for info in content.experiment.hparam_infos:
            info.differs = info.name in FIRST
        plugin.content = content.SerializeToString()
    return summary


def _table_settings(
    trainer: Trainer, model: LinearModel, data: XYDataModule, summary: dict[str, Any]
) -> dict[str, Any]:
    # TensorBoard takes the columns of its table from one run and never shows keys that others add
    # (tensorflow/tensorboard#3371), so every method logs the same; NaN stands for "has none".
    optimizer = trainer.optimizers[0] if trainer.optimizers else None
    settings = {
        "method": type(model).__name__,
        "optimizer": type(optimizer).__name__,
        "lr": math.nan if optimizer is None else optimizer.defaults.get("lr", math.nan),
        "criterion": type(model.criterion).__name__ + "-sum" * model.loss_is_total,
        "bias": model.b is not None,
        **data_settings(data),
        "batch": data.batch_size or summary["rows"],
        "rows": summary["rows"],
        "features": summary["features"],
    }
    return {name: yes_or_no(value) for name, value in settings.items()}


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)


@torch.no_grad()
def residuals(trainer: Trainer, model: LinearModel, data: XYDataModule) -> Tensor:
    """Targets minus predictions for some rows of the run, in the targets' own units, (n, T)."""
    seen = run_batches(trainer)
    if math.isfinite(seen) and not data.reduce:  # with several processes, this one's share
        found = torch.cat(
            [y.to(model.w) - model(x.to(model.w)) for x, y, *_ in batches_again(trainer, seen)]
        ).cpu()
        spaced = torch.linspace(0, len(found) - 1, min(len(found), MOST_RESIDUALS), dtype=torch.float64)
        return found[spaced.round().long()]
    x, y = data.statistics.sample(MOST_RESIDUALS)
    w, b = (None if p is None else p.cpu() for p in model.original_units())
    assert w is not None
    y_hat = torch.nn.functional.linear(x.to(w), w, b)
    return y.to(y_hat) - y_hat


def graph(model: LinearModel, rows: int) -> GraphDef:
    """The model's graph: features and weights to the prediction, and with the targets to the loss.

    It is made by hand: `SummaryWriter.add_graph` needs `torch.jit.trace`, which is deprecated, warns, and
    takes longer than training on three points.
    """
    targets, features = model.w.shape
    nodes: list[tuple[str, str, tuple[str, ...], tuple[int, ...]]] = [
        ("x", "Placeholder", (), (rows, features)),
        ("linear/w", "Parameter", (), (targets, features)),
        ("linear/matmul", "MatMul", ("x", "linear/w"), (rows, targets)),
    ]
    if model.b is not None:
        nodes += [
            ("linear/b", "Parameter", (), (targets,)),
            ("linear/add", "Add", ("linear/matmul", "linear/b"), (rows, targets)),
        ]
    nodes += [
        ("y", "Placeholder", (), (rows, targets)),
        ("loss", type(model.criterion).__name__, (nodes[-1][0], "y"), ()),
    ]
    return GraphDef(node=[_node(*node) for node in nodes])


def _node(name: str, op: str, inputs: tuple[str, ...], shape: tuple[int, ...]) -> NodeDef:
    sizes = TensorShapeProto(dim=[TensorShapeProto.Dim(size=size) for size in shape])
    shapes = AttrValue(list=AttrValue.ListValue(shape=[sizes]))
    return NodeDef(name=name, op=op, input=inputs, attr={"_output_shapes": shapes})
