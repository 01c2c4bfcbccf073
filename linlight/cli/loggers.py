"""Lightning's loggers as options: those that write files do so in the run's folder, unless told where."""

from pathlib import Path
from typing import Any

from jsonargparse import Namespace
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger

from linlight.cli.remember import Ahead

_VERSIONS = {
    "TensorBoardLogger": "",
    "CSVLogger": "csv",
}  # CSVLogger warns of a folder that holds other files


def into_run(ahead: Ahead) -> list[str]:
    """The words that complete `--trainer.logger CSVLogger`: an empty `save_dir` is the run's folder."""
    name = str(ahead.values.get("trainer.logger")).rpartition(".")[2]
    if name not in _VERSIONS or "trainer.logger.save_dir" in ahead.names:
        return []
    usual = {"save_dir": "", "name": "", "version": _VERSIONS[name]}
    words = {f"trainer.logger.{key}": value for key, value in usual.items()}
    return [f"--{key}={value}" for key, value in words.items() if key not in ahead.names]


def placed(logger: Any, given: Any, root: Path) -> Any:
    """A logger that was given no folder, made again with the run's.

    Args:
        logger: What the options made.
        given: The options.
        root: The run's folder.
    """
    is_unplaced = isinstance(logger, CSVLogger | TensorBoardLogger) and not logger.save_dir
    if not is_unplaced or not isinstance(given, Namespace):
        return logger
    return type(logger)(**given.init_args.as_dict() | given.get("dict_kwargs", {}) | {"save_dir": root})
