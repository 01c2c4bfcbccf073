"""Runs a command, quietly, and turns what it refuses into one line."""

import logging
import os
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from jsonargparse import ArgumentParser
from lightning.fabric.utilities.exceptions import MisconfigurationException
from torch import distributed

from linlight.cli.console import fail, line_of, out_of_memory
from linlight.cli.entry_config import from_config
from linlight.cli.explain import one_line
from linlight.cli.fit import Cli
from linlight.cli.learn import learn
from linlight.cli.parsing import command_parser, parse
from linlight.data.datamodule import XYDataModule
from linlight.errors import InputError
from linlight.experiments.compare import compare
from linlight.experiments.sweep import sweep
from linlight.training.folder import folder_name
from linlight.training.stopping import EXIT_CODE


@contextmanager
def _quiet() -> Iterator[None]:
    """Hides Lightning's messages to developers, and the warnings about its own code."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.WARNING)
    with warnings.catch_warnings():
        # LightningCLI still calls what jsonargparse has renamed.
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        # `Charts` logs at least once an epoch, however short.
        warnings.filterwarnings("ignore", message="The number of training batches")
        # A resumed run has a folder of its own; the best checkpoint of the run before stays where it is.
        warnings.filterwarnings("ignore", message="The dirpath has changed from")
        # Here ModelCheckpoint is right to save after an update.
        warnings.filterwarnings("ignore", message="Using ModelCheckpoint with manual optimization")
        # Both are refused in one line that says the same.
        warnings.filterwarnings("ignore", message=r"(?s).*AMP with fp16 is not supported on CPU")
        warnings.filterwarnings("ignore", message="reduction: 'mean' divides")
        # config.yaml cannot repeat a callback that is given a function, and has a note in its place.
        warnings.filterwarnings("ignore", message=r"\s*Unable to serialize instance")
        of_threads, threading.excepthook = threading.excepthook, _of_thread
        try:
            yield
        finally:
            threading.excepthook = of_threads
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


def _of_thread(args: threading.ExceptHookArgs) -> None:
    """Ignores a file error of TensorBoard's writer, which the main thread reports."""
    if not isinstance(args.exc_value, OSError):
        threading.__excepthook__(args)


def run(args: Sequence[str]) -> None:
    """Runs a command; see `linlight.cli.main.main`."""
    try:
        with _quiet():
            if args[0] == "learn":
                folder = learn(args[1:], run)
            elif args[0] in SIDE_BY_SIDE:
                folder = _side_by_side(args)
            else:
                folder = _run_cli(args)
    except MisconfigurationException as error:
        _fail_once(error)
    except Exception as error:
        line = line_of(error)
        if isinstance(error, RuntimeError) and "gloo" in str(error):  # which processes talk through
            line = "one of the processes has ended without a word: it was killed, perhaps for want of memory"
        if line is None:
            raise
        _fail_once(line)
    finally:
        if distributed.is_available() and distributed.is_initialized():
            # Lightning leaves gloo's threads to the end of the interpreter, which they now and then abort.
            distributed.destroy_process_group()
    if folder is not None:
        print(f"run: {folder_name(folder)}")


def _fail_once(error: Exception | str) -> NoReturn:
    """Exits: the first process that fails prints the reason, the others say nothing."""
    if _fails_first():
        fail(error)
    raise SystemExit(2)


def _fails_first() -> bool:
    if not (distributed.is_available() and distributed.is_initialized()):
        return os.environ.get("LOCAL_RANK", "0") == "0"  # not connected yet: one a machine prints
    try:
        # The store by which the processes found each other; it has no public name.
        store = distributed.distributed_c10d._get_default_store()
        return int(store.add("linlight/failed", 1)) == 1
    except distributed.DistError:  # the store ended with the process that failed
        return False


def _run_cli(args: Sequence[str]) -> Path | None:
    try:
        cli = Cli(args)
    except (InputError, MisconfigurationException, OSError):
        raise
    except (ImportError, RuntimeError, TypeError, ValueError) as error:
        if out_of_memory(error):
            raise
        # No training has begun: a class was given an argument that it refuses.
        raise InputError(one_line(error)) from error
    cli.execute()
    return cli.run_folder


SIDE_BY_SIDE: dict[str, Callable[..., Path]] = {"compare": compare, "sweep": sweep}


def side_by_side_options(command: str) -> ArgumentParser:
    """The parser of `linlight compare` or `linlight sweep`."""
    parser = command_parser(command)
    own = {"batch_size"}  # each method's
    parser.add_class_arguments(XYDataModule, "data", instantiate=False, skip=own)
    parser.add_function_arguments(
        SIDE_BY_SIDE[command], skip={"data", "entries"} if command == "compare" else {"data"}
    )
    if command == "compare":
        parser.add_argument("--config", action="append", help="Of linlight fit; may be given several times.")
    return parser


def _side_by_side(args: Sequence[str]) -> Path:
    """Runs `compare` or `sweep`."""
    given = parse(side_by_side_options(args[0]), args[1:]).as_dict()
    if args[0] == "compare":
        given["entries"] = [from_config(path) for path in given.pop("config") or []]
    try:
        return SIDE_BY_SIDE[args[0]](**given)
    except (KeyboardInterrupt, SystemExit):  # Lightning makes the second of the first
        print("stopped: nothing was kept")
        raise SystemExit(EXIT_CODE) from None
