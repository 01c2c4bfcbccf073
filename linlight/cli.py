"""`fit`, `validate`, `test` and `predict`, by LightningCLI."""

import logging
import shutil
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentError, Namespace
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.fabric.utilities.rank_zero import rank_zero_only
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.cli import (
    LightningArgumentParser,
    LightningCLI,
    LRSchedulerTypeTuple,
    SaveConfigCallback,
)
from torch.optim import Optimizer

from linlight import predictions
from linlight.audit import Audit
from linlight.base import LinearModel
from linlight.checkpoint import arguments_from_checkpoint, typed
from linlight.dashboard import Dashboard, TensorBoardLogger
from linlight.data import XYDataModule
from linlight.errors import InputError
from linlight.explain import Explain
from linlight.main import fail
from linlight.messages import no_method, one_line
from linlight.run_folder import LastCheckpoint, RunSummary, describe, folder_name, new_folder, write_json
from linlight.trace import Trace


def _rank() -> int:
    """This process's rank, known before there is a Trainer."""
    return getattr(rank_zero_only, "rank", 0)


class SaveConfig(SaveConfigCallback):
    """Writes `config.yaml`, from which the run can be repeated, into the run's folder."""

    def save_config(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Called once, on rank 0."""
        path = Path(trainer.default_root_dir) / "config.yaml"
        self.parser.save(self.config, path, skip_none=False, overwrite=True, multifile=False)


def _as_dict(value: Namespace | None) -> dict[str, Any] | None:
    return None if value is None else value.as_dict()


class Cli(LightningCLI):
    """LightningCLI for the methods of linlight.

    Args:
        args: The command (`fit`, …) and its options.
    """

    def __init__(self, args: Sequence[str]) -> None:
        self._command = args[0]
        self.run_folder: Path | None = None
        self.summary: dict[str, Any] = {}
        super().__init__(
            LinearModel,
            XYDataModule,
            args=list(args),
            subclass_mode_model=True,
            seed_everything_default=0,
            save_config_callback=SaveConfig,
            save_config_kwargs={"save_to_log_dir": False},
            trainer_defaults={
                "max_epochs": 100,
                "devices": 1,
                "use_distributed_sampler": False,  # the data module deals out the rows
                "num_sanity_val_steps": 0,
                "enable_progress_bar": False,
                "enable_model_summary": False,
            },
            parser_kwargs={"exit_on_error": False, self._command: {"exit_on_error": False}},
            # Here the optimizer is made when the weights exist, and a checkpoint keeps plain arguments.
            auto_configure_optimizers=False,
            load_from_checkpoint_support=False,
        )

    def subcommands(self) -> dict[str, set[str]]:  # type: ignore[override]
        """The one command that was typed; to set up the parsers of all takes four times as long."""
        return {self._command: LightningCLI.subcommands()[self._command]}

    # Parsing --------------------------------------------------------------------------------------------

    def add_core_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Adds `--trainer`, `--model` (which a checkpoint can stand for) and `--data`."""
        parser.add_lightning_class_args(Trainer, "trainer")
        parser.set_defaults({f"trainer.{key}": value for key, value in self.trainer_defaults.items()})
        parser.add_lightning_class_args(LinearModel, "model", subclass_mode=True, required=False)
        parser.add_lightning_class_args(XYDataModule, "data")

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Adds `--optimizer` and `--lr_scheduler`, which `LinearRegression` takes, and `--trace`."""
        for key, base in (("optimizer", Optimizer), ("lr_scheduler", LRSchedulerTypeTuple)):
            bases = base if isinstance(base, tuple) else (base,)
            parser.add_subclass_arguments(
                bases, key, instantiate=False, fail_untyped=False, skip={"params", "optimizer"}
            )
            parser.link_arguments(key, f"model.init_args.{key}", compute_fn=_as_dict)
        if self._command == "fit":
            parser.add_argument("--trace", type=bool, default=False, help="Print what the notes print.")
            parser.add_argument("--audit", type=bool, default=False, help="Check the first gradients.")
            parser.add_argument(
                "--stop_at_se",
                type=float | None,
                default=None,
                help="Stop within so many standard errors of the optimum, such as 0.01.",
            )

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parses, with what a checkpoint says of itself standing before what was typed."""
        words = list(args[1:])
        path = typed(words, "--ckpt_path")
        if path is not None:
            words = [*arguments_from_checkpoint(path, words), *words]
        try:
            self.config = parser.parse_args([self._command, *words])
        except ArgumentError as error:
            actions = self._subcommand_parsers[self._command]._actions
            options = [option for action in actions for option in action.option_strings]
            raise InputError(one_line(str(error), options)) from error
        config = self.config[self._command]
        if config.get("model") is None:
            raise InputError(no_method())
        name = config.model.class_path.rpartition(".")[2]
        for key in ("optimizer", "lr_scheduler"):
            if config.get(key) and key not in config.model.init_args:
                raise InputError(
                    f"{name} moves its weights by hand and takes no --{key}: set --model.lr, "
                    "or use --model LinearRegression"
                )

    def _parse_ckpt_path(self) -> None:
        """Does nothing: Lightning's would let the checkpoint override what was typed (#21455)."""

    # Running --------------------------------------------------------------------------------------------

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Makes the Trainer with the run's fresh folder as its `default_root_dir`."""
        config = self._get(self.config_init, "trainer")
        root = Path(config["default_root_dir"] or ".") / "lightning_logs" / type(self.model).__name__
        if _rank() == 0:  # only rank 0 writes
            root = self.run_folder = new_folder(root)
        callbacks = [Dashboard(), LastCheckpoint(), RunSummary()]
        if self._command == "fit":
            # First, so that the others find what it measured.
            callbacks.insert(0, Explain(self._get(self.config_init, "stop_at_se")))
        if self._get(self.config_init, "trace", default=False):
            callbacks.append(Trace())
        if self._get(self.config_init, "audit", default=False):
            callbacks.append(Audit())
        config["callbacks"] = [*(config["callbacks"] or []), *callbacks]
        if config["logger"] in (None, True):
            config["logger"] = TensorBoardLogger(root, name="", version="", default_hp_metric=False)
        with self._discarding_failures():
            return super().instantiate_trainer(default_root_dir=str(root), **kwargs)

    def _run_subcommand(self, subcommand: str) -> None:
        with self._discarding_failures():
            super()._run_subcommand(subcommand)

    @contextmanager
    def _discarding_failures(self) -> Iterator[None]:
        """Removes the run's folder where nothing came of the run; a training that had begun keeps its own."""
        try:
            yield
        except BaseException:
            trainer = getattr(self, "trainer", None)
            began = trainer is not None and trainer.state.fn == "fit" and trainer.global_step > 0
            if self.run_folder is not None and not began:
                shutil.rmtree(self.run_folder)
            raise

    def after_fit(self) -> None:
        """Says what was found."""
        for callback in self.trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, RunSummary):
                self.summary = callback.summary
        if _rank() == 0:
            s = self.summary
            report = self.model.report()
            if report:
                print(report)
            print(
                f"{s['method']}: {equation(s)}, loss {s['train_loss']:.6g} on {s['rows']} rows "
                f"after {s['epochs']} epochs, {s['steps']} steps"
            )

    def _after_evaluation(self) -> None:
        rows = len(self.datamodule.x)
        metrics = {name: value.item() for name, value in self.trainer.callback_metrics.items()}
        self.summary = describe(self.model, rows) | metrics
        self._write_summary()

    after_validate = after_test = _after_evaluation

    def predict(self, **kwargs: Any) -> None:
        """Writes `predictions.csv` and shows its beginning."""
        batches: Any = self.trainer.predict(**kwargs)
        table = predictions.gather(batches)
        self.summary = describe(self.model, len(table))
        if _rank() != 0:
            return
        assert self.run_folder is not None
        predictions.write_csv(table, self.run_folder / "predictions.csv")
        for x, y_hat in zip(self.datamodule.x[:10].tolist(), table[:10].tolist(), strict=True):
            print("x =", *x, "-> prediction", *y_hat)
        if len(table) > 10:
            print(f"... {len(table)} rows in {folder_name(self.run_folder)}/predictions.csv")
        self._write_summary()

    @rank_zero_only
    def _write_summary(self) -> None:
        assert self.run_folder is not None
        write_json(self.run_folder / "summary.json", self.summary)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps to itself what Lightning tells a developer, and the warnings meant for its own code."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.WARNING)
    with warnings.catch_warnings():
        # https://github.com/Lightning-AI/pytorch-lightning/issues/21326
        warnings.filterwarnings("ignore", message=r".*LeafSpec.*is deprecated", category=FutureWarning)
        # Lightning asks for an empty list where there is no validation, and warns of it.
        warnings.filterwarnings("ignore", message="Total length of `list` across ranks is zero")
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


def run(args: Sequence[str]) -> None:
    """Runs a command; see `linlight.main.main`."""
    cli: Cli | None = None
    try:
        with _quiet():
            cli = Cli(args)
    except (InputError, MisconfigurationException) as error:
        fail(error)
    if cli.run_folder is not None:
        print(f"run: {folder_name(cli.run_folder)}")


def equation(summary: dict[str, Any]) -> str:
    """The fitted model of a summary as a line of mathematics, as long as it stays short."""
    weights, bias = summary["weights"], summary["bias"]
    if len(weights) > 1 or len(weights[0]) > 4:
        return f"{len(weights[0])} features, {len(weights)} targets"
    names = ["x"] if len(weights[0]) == 1 else [f"x_{i}" for i in range(len(weights[0]))]
    terms = [f"{w:.6g} {name}" for w, name in zip(weights[0], names, strict=True)]
    terms += [] if bias is None else [f"{bias[0]:.6g}"]
    return "y = " + " + ".join(terms).replace("+ -", "- ")
