"""Runs `fit`, `validate`, `test` and `predict`."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from inspect import signature
from pathlib import Path
from typing import Any

from jsonargparse import Namespace
from lightning.fabric.utilities.rank_zero import rank_zero_only
from lightning.fabric.utilities.spike import TrainingSpikeException
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import LambdaCallback, ProgressBar
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger

from linlight.callbacks import PredictionWriter, RunSummary, default_callbacks
from linlight.cli import checks
from linlight.cli.console import out_of_memory
from linlight.cli.explain import one_line
from linlight.cli.help import short_help, wants_short_help
from linlight.cli.remember import find_last, remember
from linlight.cli.schema import MethodCLI
from linlight.data.datamodule import XYDataModule
from linlight.errors import InputError
from linlight.methods import METHODS
from linlight.plain import read_yaml
from linlight.training.fit_result import evaluated
from linlight.training.folder import folder_name, new_folder, removed_on_failure, write_json
from linlight.training.progress import silence
from linlight.training.resume import differences
from linlight.training.run_summary import describe, figures
from linlight.training.settings import run_label
from linlight.training.stopping import EXIT_CODE
from linlight.training.tensorboard import BatchedTensorBoardLogger

EXPECTED = (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)
"""Exceptions of Lightning and torch about arguments that they cannot work with."""
NO_MATTER = {"default_root_dir", "devices", "enable_progress_bar", "logger"}
"""Trainer settings that do not affect results; not reported on resume."""
WORKS = {
    "fit": ("on_train_epoch_start", "on_train_end"),
    "validate": ("on_validation_start",),
    "test": ("on_test_start",),
    "predict": ("on_predict_start",),
}
"""Hooks after which an error is no longer due to the options or the checkpoint."""


def _rank() -> int:
    """This process's rank, known before there is a Trainer."""
    return getattr(rank_zero_only, "rank", 0)


class Cli(MethodCLI):
    """Parses a command's options, makes model, data and Trainer of them, and runs it.

    Attributes:
        run_folder: The run's folder, on rank 0, once there is one.
    """

    def __init__(self, args: Sequence[str]) -> None:
        self.run_folder: Path | None = None
        self._run_summary = RunSummary()
        self._news: list[str] = []  # printed before anything runs
        self._is_stopped = False
        self._works = self._is_unfit = False
        super().__init__(args)

    # Parsing --------------------------------------------------------------------------------------------

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parses, with the settings of a checkpoint as the defaults."""
        if wants_short_help(args[1:]):
            print(short_help(self.options, self.command))
            raise SystemExit(0)
        path = self.given.values.get("ckpt_path")
        if path == "last":
            path = self._last()
        beside = None
        self.options.set_defaults(weights_only=True)
        if path is not None:
            beside = remember(self.options, path, self.command, self.given)
        try:
            config = self.parse()
        except InputError as error:
            if beside is None:
                raise
            raise InputError(f"what was typed does not go with {beside}, which goes on: {error}") from error
        config.ckpt_path = path
        if beside is not None:
            self._report_changes(beside, config)
        if self.command != "fit" and path is None:
            raise InputError(
                f"{self.command} needs a trained model: add --ckpt_path RUN/checkpoints/last.ckpt"
            )
        checks.precision(config, self.given)
        if config.get("model") is None:
            raise InputError(f"no method: add --model with one of {', '.join(METHODS)}")
        if config.quiet and config.get("verbose"):
            raise InputError("quiet and verbose ask for opposite things: leave out one")
        checks.optimizer(config)
        self._news += checks.pass_lr_on(config, self.given)
        if self._news and not config.quiet and _rank() == 0:
            print(*self._news, sep="\n")

    def _last(self) -> str | None:
        """The newest checkpoint, for `last`; without any, a run starts from the beginning."""
        path = find_last(self.given)
        if path is None and not (self.command == "fit" and self.given.gives("model", "config")):
            raise InputError(
                "there is no checkpoint below lightning_logs: run linlight fit with a --model first"
            )
        self._news.append(
            "there is no checkpoint yet: from the beginning" if path is None else f"going on from {path}"
        )
        return path

    def _report_changes(self, before: Path, config: Namespace) -> None:
        """Reports the Trainer settings that differ from those of the resumed run.

        `ResumedSettings` reports those of the method and the data.
        """
        old = read_yaml(before.read_bytes(), str(before))["trainer"]
        for name, was, now in differences(old, config.trainer.as_dict()):
            if name not in NO_MATTER:
                self._news.append(f"trainer.{name} is {now}, where that run had {was}")

    # Making ---------------------------------------------------------------------------------------------

    def _typed(self, name: str) -> Any:
        return self.config[self.command].get(name)

    def _silence(self) -> AbstractContextManager[Any]:
        """Where `quiet` is set, what is printed goes nowhere; warnings too."""
        return silence() if self._typed("quiet") else nullcontext()

    def instantiate_classes(self) -> None:
        """Makes model, data and Trainer."""
        try:
            with self._silence():
                super().instantiate_classes()
        except ValueError as error:  # jsonargparse wraps what the class of an option raises
            raise InputError(one_line(error)) from error

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Makes the Trainer with the run's fresh folder as its `default_root_dir`."""
        config = self.config_init[self.command].trainer
        given = checks.trainer(config, self.model, self.datamodule)
        # A single pass may leave the rows where they are.
        if isinstance(self.datamodule, XYDataModule) and not self.model.single_pass:
            self.datamodule.read()  # bad rows are refused before there is a folder
        root = Path(config["default_root_dir"] or ".") / "lightning_logs" / type(self.model).__name__
        if _rank() == 0:  # only rank 0 writes
            root = self.run_folder = new_folder(root)
        with removed_on_failure(self.run_folder):
            return self._make_trainer(config, given, root, kwargs)

    def _make_trainer(self, config: Any, given: list[Any], root: Path, kwargs: dict[str, Any]) -> Trainer:
        bars = config["enable_progress_bar"] is not False and not config["barebones"]
        typed = self.config_init[self.command]
        options = {name: typed[name] for name in signature(default_callbacks).parameters if name in typed}
        if config["enable_checkpointing"] is False or config["barebones"]:
            options["checkpoint"] = False
        is_given = any(isinstance(callback, ProgressBar) for callback in given)
        callbacks = default_callbacks(root, bar=bars and not is_given, **options)
        (self._run_summary,) = (one for one in callbacks if isinstance(one, RunSummary))
        config["enable_progress_bar"] = bars and (is_given or not typed.quiet)
        works = LambdaCallback(**dict.fromkeys(WORKS[self.command], self._note_that_it_works))
        config["callbacks"] = [*given, works, *callbacks]
        config["logger"] = _placed(config["logger"], self._typed("trainer").logger, root)
        if config["logger"] in (None, True) and not config["barebones"]:
            # TensorBoard names a run after the folders of its events: there the settings tell runs apart.
            label = run_label(self.model, self.datamodule)
            config["logger"] = BatchedTensorBoardLogger(
                root, name="", version="", sub_dir=label, default_hp_metric=False
            )
        trainer = super().instantiate_trainer(default_root_dir=str(root), **kwargs)
        checks.nodes(trainer)
        return trainer

    # Running --------------------------------------------------------------------------------------------

    def execute(self) -> None:
        """Runs the command."""
        with removed_on_failure(self.run_folder, keep=self._is_worth_keeping):
            try:
                with self._silence():
                    LightningCLI._run_subcommand(self, self.command)
            except InputError:
                if self._run_summary.summary and self.run_folder is not None:  # it has diverged, and is kept
                    print(f"run: {folder_name(self.run_folder)}", flush=True)
                raise
            except EXPECTED as error:
                if out_of_memory(error):
                    raise
                if isinstance(error, TrainingSpikeException) or "conditioned on metric" in str(error):
                    message = str(error)
                elif self._works or not (self._typed("ckpt_path") or self._is_all_known()):
                    raise
                else:
                    message = self._reason(error)
                self._is_unfit = True
                raise InputError(message) from error
            except ModuleNotFoundError as error:  # what a callback of Lightning's needs
                raise InputError(str(error)) from error
            except (KeyboardInterrupt, SystemExit):  # Lightning makes the second of the first
                self._is_stopped = True
                self._report_stop()
                # Lightning would end the first of several processes too, were another's exit code not 0.
                raise SystemExit(EXIT_CODE if _rank() == 0 else 0) from None

    def _note_that_it_works(self, trainer: Trainer, *_: Any) -> None:
        """Called when all that was asked for, and all that a checkpoint holds, may have been put to use."""
        first = self._run_summary.first_step
        self._works = self.command != "fit" or trainer.global_step > first

    def _is_all_known(self) -> bool:
        """Whether no code of the user's own runs, whose errors they want to see whole."""
        parts = [self.model, self.datamodule, *self.trainer.callbacks]  # type: ignore[attr-defined]
        return all(type(part).__module__.partition(".")[0] in ("linlight", "lightning") for part in parts)

    def _reason(self, error: Exception) -> str:
        said = " ".join(str(error).split())
        if path := self._typed("ckpt_path"):
            return f"{path} does not go with this {self.command}: {said}"
        used = {"criterion": self.model.criterion, "optimizer": next(iter(self.trainer.optimizers), None)}
        names = " and ".join(f"{key} {type(value).__name__}" for key, value in used.items() if value)
        return f"{type(self.model).__name__} cannot be trained like this, with {names}: {said}"

    def _report_stop(self) -> None:
        if self.run_folder is None:  # not the first of several processes
            return
        is_kept = self._is_worth_keeping()
        if not self._typed("quiet"):
            last = self._last_checkpoint()
            if last.exists():
                print(f"stopped; linlight fit --ckpt_path {folder_name(last)} goes on")
            else:
                print("stopped, and there is no checkpoint to go on from" if is_kept
                      else "stopped: nothing was kept")  # fmt: skip
        if is_kept:
            print(f"run: {folder_name(self.run_folder)}", flush=True)

    def _last_checkpoint(self) -> Path:
        assert self.run_folder is not None
        return self.run_folder / "checkpoints" / "last.ckpt"

    def _is_worth_keeping(self) -> bool:
        """Whether an unfinished run can be resumed, has diverged, or was stopped with what it had logged."""
        began = self.trainer.state.fn == "fit" and self.trainer.global_step > self._run_summary.first_step
        kept = self._last_checkpoint().exists() or bool(self._run_summary.summary)
        return not self._is_unfit and (kept or (began and self._is_stopped))

    def validate(self, **kwargs: Any) -> None:
        """Evaluates the validation rows; `after_validate` prints the result."""
        self.trainer.validate(**kwargs, verbose=False)

    def test(self, **kwargs: Any) -> None:
        """Evaluates the test rows; `after_test` prints the result."""
        self.trainer.test(**kwargs, verbose=False)

    def _after_evaluation(self) -> None:
        data, kind = self.datamodule, {"validate": "val", "test": "test"}[self.command]
        is_set_aside = not isinstance(data, XYDataModule) or data.hparams[f"{kind}_fraction"] > 0
        metrics = figures(self.trainer.callback_metrics)
        summary = describe(self.model, self.model.rows) | metrics
        if _rank() == 0:
            print(evaluated(summary["method"], metrics, summary["rows"], is_set_aside))
        self._write_summary(summary)

    after_validate = after_test = _after_evaluation

    def predict(self, **kwargs: Any) -> None:
        """Writes `predictions.csv` or `.parquet` and shows its beginning."""
        self.trainer.predict(**kwargs | {"return_predictions": False})
        callbacks = self.trainer.callbacks  # type: ignore[attr-defined]
        (writer,) = (one for one in callbacks if isinstance(one, PredictionWriter))
        self._write_summary(describe(self.model, writer.count))

    def _write_summary(self, summary: dict[str, Any]) -> None:
        if self.run_folder is not None:  # it is the first process
            write_json(self.run_folder / "summary.json", summary)


def _placed(logger: Any, settings: Any, root: Path) -> Any:
    """A logger of files that was given no folder, or a list of loggers, made again with the run's.

    Args:
        logger: What the options made.
        settings: The options.
        root: The run's folder.
    """
    if isinstance(logger, list):
        return [_placed(one, of_one, root) for one, of_one in zip(logger, settings, strict=True)]
    if not isinstance(logger, CSVLogger | TensorBoardLogger) or logger.save_dir:
        return logger
    arguments = settings.init_args.as_dict() | settings.get("dict_kwargs", {})
    # Lightning would make folders below the run's own.
    name = "" if arguments["name"] == "lightning_logs" else arguments["name"]
    version = arguments["version"]
    if version is None:  # CSVLogger warns of a folder that holds other files
        version = "csv" if isinstance(logger, CSVLogger) else ""
    return type(logger)(**arguments | {"save_dir": root, "name": name, "version": version})
