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

from linlight.cli.console import fail, of_file
from linlight.cli.entry_config import from_config
from linlight.cli.fit import Cli
from linlight.cli.learn import learn
from linlight.cli.messages import OUT_OF_MEMORY, command_parser, one_line, out_of_memory, parse
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
        # LightningCLI still calls what jsonargparse has renamed, which is no concern of the user's.
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        # The dashboard logs at least once an epoch, however short.
        warnings.filterwarnings("ignore", message="The number of training batches")
        # A resumed run has a folder of its own; the best of the run before stays where it is.
        warnings.filterwarnings("ignore", message="The dirpath has changed from")
        # What is saved after an update is what is to be saved.
        warnings.filterwarnings("ignore", message="Using ModelCheckpoint with manual optimization")
        # Both say no more than the line with which they are refused.
        warnings.filterwarnings("ignore", message=r"(?s).*AMP with fp16 is not supported on CPU")
        warnings.filterwarnings("ignore", message="reduction: 'mean' divides")
        # config.yaml cannot repeat a callback that is given a function; it says so where it stands.
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
            together = args[0] in SIDE_BY_SIDE
            if args[0] == "learn":
                folder = learn(args[1:], run)
            else:
                folder = _side_by_side(args) if together else _run_cli(args)
    except (InputError, MisconfigurationException) as error:
        _fail_once(error)
    except BrokenPipeError:
        raise  # the reader of our output has gone, which is no error of a file
    except OSError as error:
        _fail_once(of_file(error))
    except (MemoryError, RuntimeError) as error:
        if out_of_memory(error):
            _fail_once(OUT_OF_MEMORY)
        if "gloo" not in str(error):  # which is what processes talk through
            raise
        _fail_once("one of the processes has ended without a word: it was killed, perhaps for want of memory")
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
        return os.environ.get("LOCAL_RANK", "0") == "0"  # they do not know each other: one a machine
    try:
        # What the processes found each other by; there is no public name for it.
        store = distributed.distributed_c10d._get_default_store()
        return int(store.add("linlight/failed", 1)) == 1
    except distributed.DistError:  # it went with the process that failed
        return False


def _run_cli(args: Sequence[str]) -> Path | None:
    try:
        cli = Cli(args)
    except (InputError, MisconfigurationException, OSError):
        raise
    except (ImportError, RuntimeError, TypeError, ValueError) as error:
        if out_of_memory(error):
            raise
        # Nothing of ours has run yet: a class was given an argument that it refuses.
        raise InputError(one_line(str(error))) from error
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
