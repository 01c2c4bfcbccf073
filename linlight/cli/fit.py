"""`fit`, `validate`, `test` and `predict`, by LightningCLI."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from inspect import signature
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentError, Namespace
from lightning.fabric.utilities.rank_zero import rank_zero_only
from lightning.fabric.utilities.spike import TrainingSpikeException
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import LambdaCallback, ProgressBar
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI

from linlight.callbacks import PredictionWriter, RunSummary, default_callbacks
from linlight.cli import checks, loggers, schema
from linlight.cli.help import short_help, wants_short_help
from linlight.cli.messages import no_method, one_line, out_of_memory
from linlight.cli.remember import Ahead, find_last, look_ahead, remember
from linlight.cli.save_config import SaveConfig
from linlight.data.datamodule import XYDataModule
from linlight.errors import InputError
from linlight.methods.base import LinearModel
from linlight.plain import read_yaml
from linlight.training.fit_result import evaluated
from linlight.training.folder import folder_name, new_folder, removed_on_failure, write_json
from linlight.training.progress import silence
from linlight.training.resume import differences
from linlight.training.run_summary import describe, figures
from linlight.training.stopping import EXIT_CODE
from linlight.training.tensorboard import BatchedTensorBoardLogger, run_label

PARSER = {"exit_on_error": False, "allow_abbrev": False}
USUAL = (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)
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


class Cli(LightningCLI):
    """LightningCLI for the methods of linlight.

    Args:
        args: The command (`fit`, …) and its options.
    """

    def __init__(self, args: Sequence[str]) -> None:
        self._command = args[0]
        self._words = [word for word in args[1:] if word != "all" or "--help" not in args]
        self._ahead = look_ahead(self._words)
        self.run_folder: Path | None = None
        self._run_summary = RunSummary()
        self._stopped = False
        self._going_on = ""
        self._works = self._unfit = False
        super().__init__(
            LinearModel,
            XYDataModule,
            args=list(args),
            subclass_mode_model=True,
            seed_everything_default=0,
            save_config_callback=SaveConfig,
            save_config_kwargs={"save_to_log_dir": False},
            parser_kwargs={**PARSER, self._command: PARSER},
            # Here the optimizer is made when the weights exist, and a checkpoint keeps plain arguments.
            auto_configure_optimizers=False,
            load_from_checkpoint_support=False,
        )

    def subcommands(self) -> dict[str, set[str]]:  # type: ignore[override]
        """The one command that was typed; to set up the parsers of all takes four times as long."""
        return {self._command: LightningCLI.subcommands()[self._command] | {"verbose"}}

    # Parsing --------------------------------------------------------------------------------------------

    def add_core_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Adds `--trainer`, `--model` and `--data`."""
        schema.add_core_arguments(parser, names_data=self._ahead.names_data)

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Adds the other options of the command."""
        self.options: LightningArgumentParser = parser
        schema.add_arguments(parser, self._command)

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parses, with what a checkpoint says of itself as the defaults."""
        if wants_short_help(args[1:]):
            print(short_help(self.options, self._command))
            raise SystemExit(0)
        ahead = self._ahead
        path = ahead.values.get("ckpt_path")
        if path == "last":
            path = self._last(ahead)
        beside = None
        self.options.set_defaults(weights_only=True)
        if path is not None:
            beside = remember(self.options, path, self._command, ahead)
        try:
            config = self._parse([*self._words, *loggers.into_run(ahead)])
        except InputError as error:
            if beside is None:
                raise
            raise InputError(f"what was typed does not go with {beside}, which goes on: {error}") from error
        config.ckpt_path = path
        if beside is not None:
            self._say_changes(beside, config)
        if self._command != "fit" and path is None:
            raise InputError(
                f"{self._command} needs a trained model: add --ckpt_path RUN/checkpoints/last.ckpt"
            )
        checks.precision(config, ahead)
        if config.get("model") is None:
            raise InputError(no_method())
        if config.quiet and config.get("verbose"):
            raise InputError("quiet and verbose ask for opposite things: leave out one")
        if self._going_on and not config.quiet and _rank() == 0:
            print(self._going_on.strip())
        checks.optimizer(config)
        said = checks.pass_lr_on(config, ahead)
        if said and not config.quiet and _rank() == 0:
            print(said)

    def _typed(self, name: str) -> Any:
        return self.config[self._command].get(name)

    def _parse(self, words: list[str]) -> Namespace:
        try:
            self.config = self.parser.parse_args([self._command, *words])
        except ArgumentError as error:
            raise InputError(one_line(str(error), self.options)) from error
        except RecursionError as error:
            raise InputError(
                "what was given nests too deeply, or contains itself: no setting does"
            ) from error
        config: Namespace = self.config[self._command]
        return config

    def _say_changes(self, before: Path, config: Namespace) -> None:
        """Reports the Trainer settings that differ from those of the resumed run.

        The model says so of its own and of the data's.
        """
        old = read_yaml(before.read_bytes(), str(before))["trainer"]
        for name, was, now in differences(old, config.trainer.as_dict()):
            if name not in NO_MATTER:
                self._going_on += f"\ntrainer.{name} is {now}, where that run had {was}"

    def _last(self, ahead: Ahead) -> str | None:
        """The newest checkpoint, for `last`; without any, a run starts from the beginning."""
        path = find_last(ahead)
        if path is None and (self._command != "fit" or not {"model", "config"} & ahead.names):
            raise InputError(
                "there is no checkpoint below lightning_logs: run linlight fit with a --model first"
            )
        self._going_on = (
            "there is no checkpoint yet: from the beginning" if path is None else f"going on from {path}"
        )
        return path

    def _parse_ckpt_path(self) -> None:
        """Does nothing: Lightning's would let the checkpoint override what was typed (#21455)."""

    def instantiate_classes(self) -> None:
        """Makes model, data and trainer; what they refuse reaches the user as they say it."""
        try:
            with self._silence():
                super().instantiate_classes()
        except InputError:
            raise
        except ValueError as error:  # jsonargparse wraps what the class of an option raises
            cause = error.__cause__
            raise cause if isinstance(cause, InputError) else InputError(one_line(str(error))) from error

    # Running --------------------------------------------------------------------------------------------

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Makes the Trainer with the run's fresh folder as its `default_root_dir`."""
        config = self.config_init[self._command].trainer
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
        typed = self.config_init[self._command]
        options = {name: typed[name] for name in signature(default_callbacks).parameters if name in typed}
        if config["enable_checkpointing"] is False or config["barebones"]:
            options["checkpoint"] = False
        is_given = any(isinstance(callback, ProgressBar) for callback in given)
        callbacks = default_callbacks(root, bar=bars and not is_given, **options)
        (self._run_summary,) = (one for one in callbacks if isinstance(one, RunSummary))
        config["enable_progress_bar"] = bars and (is_given or not typed.quiet)
        at_work = LambdaCallback(**dict.fromkeys(WORKS[self._command], self._now_works))
        config["callbacks"] = [*given, at_work, *callbacks]
        config["logger"] = loggers.placed(config["logger"], self._typed("trainer").logger, root)
        if config["logger"] in (None, True) and not config["barebones"]:
            # TensorBoard names a run after the folders of its events: there the settings tell runs apart.
            label = run_label(self.model, self.datamodule)
            config["logger"] = BatchedTensorBoardLogger(
                root, name="", version="", sub_dir=label, default_hp_metric=False
            )
        trainer = super().instantiate_trainer(default_root_dir=str(root), **kwargs)
        checks.nodes(trainer)
        return trainer

    def _now_works(self, trainer: Trainer, *_: Any) -> None:
        """Called when all that was asked for, and all that a checkpoint holds, may have been put to use."""
        first = self._run_summary.first_step
        self._works = self._command != "fit" or trainer.global_step > first

    def _is_all_known(self) -> bool:
        """Whether no code of the user's own runs, whose errors they want to see whole."""
        parts = [self.model, self.datamodule, *self.trainer.callbacks]  # type: ignore[attr-defined]
        return all(type(part).__module__.partition(".")[0] in ("linlight", "lightning") for part in parts)

    def _why_not(self, error: Exception) -> str:
        said = " ".join(str(error).split())
        if path := self._typed("ckpt_path"):
            return f"{path} does not go with this {self._command}: {said}"
        used = {"criterion": self.model.criterion, "optimizer": next(iter(self.trainer.optimizers), None)}
        names = " and ".join(f"{key} {type(value).__name__}" for key, value in used.items() if value)
        return f"{type(self.model).__name__} cannot be trained like this, with {names}: {said}"

    def _run_subcommand(self, subcommand: str) -> None:
        """Does nothing yet: `execute` runs the command once all objects are made."""

    def execute(self) -> None:
        """Runs the command."""
        with removed_on_failure(self.run_folder, keep=self._worth_keeping):
            try:
                with self._silence():
                    super()._run_subcommand(self._command)
            except InputError:
                if self._run_summary.summary and _rank() == 0:  # it has diverged, and is kept
                    assert self.run_folder is not None
                    print(f"run: {folder_name(self.run_folder)}", flush=True)
                raise
            except USUAL as error:
                if out_of_memory(error):
                    raise
                if isinstance(error, TrainingSpikeException) or "conditioned on metric" in str(error):
                    self._unfit = True
                    raise InputError(str(error)) from error
                if self._works or not (self._typed("ckpt_path") or self._is_all_known()):
                    raise
                self._unfit = True
                raise InputError(self._why_not(error)) from error
            except ModuleNotFoundError as error:  # what a callback of Lightning's needs
                raise InputError(str(error)) from error
            except (KeyboardInterrupt, SystemExit):  # Lightning makes the second of the first
                self._stopped = True
                self._say_stopped()
                # Lightning would end the first of several processes too, were another's exit code not 0.
                raise SystemExit(EXIT_CODE if _rank() == 0 else 0) from None

    def _say_stopped(self) -> None:
        if self.run_folder is None:  # not the first of several processes
            return
        folder = folder_name(self.run_folder)
        if not self._typed("quiet"):
            if self._last_checkpoint().exists():
                print(f"stopped; linlight fit --ckpt_path {folder_name(self._last_checkpoint())} goes on")
            elif self._worth_keeping():
                print("stopped, and there is no checkpoint to go on from")
            else:
                print("stopped: nothing was kept")
        if self._worth_keeping():
            print(f"run: {folder}", flush=True)

    def _silence(self) -> AbstractContextManager[Any]:
        """Where `quiet` is set, what is printed goes nowhere; warnings too."""
        return silence() if self._typed("quiet") else nullcontext()

    def _last_checkpoint(self) -> Path:
        assert self.run_folder is not None
        return self.run_folder / "checkpoints" / "last.ckpt"

    def _worth_keeping(self) -> bool:
        """Whether a run that has not finished can go on, has diverged, or was stopped with what it logged."""
        began = self.trainer.state.fn == "fit" and self.trainer.global_step > self._run_summary.first_step
        kept = self._last_checkpoint().exists() or bool(self._run_summary.summary)
        return not self._unfit and (kept or (began and self._stopped))

    def validate(self, **kwargs: Any) -> None:
        """Evaluates the validation rows; `after_validate` says what was found."""
        self.trainer.validate(**kwargs, verbose=False)

    def test(self, **kwargs: Any) -> None:
        """Evaluates the test rows; `after_test` says what was found."""
        self.trainer.test(**kwargs, verbose=False)

    def _after_evaluation(self) -> None:
        data, kind = self.datamodule, {"validate": "val", "test": "test"}[self._command]
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

    @rank_zero_only
    def _write_summary(self, summary: dict[str, Any]) -> None:
        assert self.run_folder is not None
        write_json(self.run_folder / "summary.json", summary)


class OptionsOnly(Cli):
    """The options of a command; nothing is made of them."""

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parses nothing."""
        self.config = {"subcommand": args[0]}

    def _set_seed(self) -> None:
        """Does nothing."""

    def instantiate_classes(self) -> None:
        """Does nothing."""
