"""The options of `fit`, `validate`, `test` and `predict`."""

from typing import Any, Literal

from jsonargparse import Namespace
from lightning.pytorch import Trainer
from lightning.pytorch.cli import LightningArgumentParser, LRSchedulerTypeTuple
from torch.optim import Optimizer

from linlight.data.datamodule import XYDataModule
from linlight.methods import LinearModel
from linlight.training.last_checkpoint import LastCheckpoint

TRAINER = {
    "max_epochs": 100,
    "devices": 1,
    "use_distributed_sampler": False,  # the data module deals out the rows
    "num_sanity_val_steps": 0,
    "enable_model_summary": False,
}
"""Trainer defaults that differ from Lightning's."""


def add_core_arguments(parser: LightningArgumentParser) -> None:
    """Adds `--trainer`, `--model` (which a checkpoint can stand for) and `--data`."""
    parser.add_lightning_class_args(Trainer, "trainer")
    parser.set_defaults({f"trainer.{key}": value for key, value in TRAINER.items()})
    parser.add_lightning_class_args(LinearModel, "model", subclass_mode=True, required=False)
    parser.add_lightning_class_args(XYDataModule, "data")


def add_arguments(parser: LightningArgumentParser, command: str) -> None:
    """Adds `--optimizer` and `--lr_scheduler`, which `LinearRegression` takes, and the command's own."""
    for key, base in (("optimizer", Optimizer), ("lr_scheduler", LRSchedulerTypeTuple)):
        bases = base if isinstance(base, tuple) else (base,)
        parser.add_subclass_arguments(
            bases, key, instantiate=False, fail_untyped=False, skip={"params", "optimizer"}
        )
        parser.link_arguments(key, f"model.init_args.{key}", compute_fn=_as_dict)
    parser.add_argument("--quiet", type=bool, default=False, help="Print only `run:` and errors.")
    if command == "fit":
        parser.add_argument("--verbose", type=bool, default=False, help="Print settings and epochs.")
        parser.add_class_arguments(LastCheckpoint, "checkpoint")
        parser.add_argument("--trace", type=bool, default=False, help="Print what the notes print.")
        languages = Literal["en", "zh"] | None
        parser.add_argument("--lang", type=languages, help="Of what --trace explains (default: locale's).")
        parser.add_argument("--audit", type=bool, default=False, help="Check the first gradients.")
        parser.add_argument(
            "--pictures", type=bool, default=False, help="Draw the run at its end, as linlight plot does."
        )
        parser.add_argument(
            "--stop_at_se",
            type=float | None,
            default=None,
            help="Stop within this many standard errors of the optimum, such as 0.01.",
        )
        parser.add_argument(
            "--on_divergence",
            type=Literal["stop", "continue"],
            default="stop",
            help="Whether a run that diverges stops soon, or goes on as long as there are numbers.",
        )
    if command == "predict":
        kinds = Literal["csv", "parquet"]
        parser.add_argument("--format", type=kinds, default="csv", help="Of the file of predictions.")


def _as_dict(value: Namespace | None) -> dict[str, Any] | None:
    return None if value is None else value.as_dict()
