"""The folder of a run: chosen or made anew for each, removed where the run fails."""

import errno
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, Trainer
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger

from linlight.errors import InputError


def new_folder(parent: Path) -> Path:
    """Makes `parent/version_0`, or the first higher number that is free.

    Two runs that start together get two folders: making the folder is what takes the number.
    """
    parent.mkdir(parents=True, exist_ok=True)
    taken = [int(p.name[8:]) for p in parent.glob("version_*") if p.name[8:].isdigit()]
    version = max(taken, default=-1) + 1
    while True:
        folder = parent / f"version_{version}"
        try:
            folder.mkdir(parents=True)  # a run that fails may take the parent away
        except FileExistsError:
            version += 1
        else:
            return folder


@contextmanager
def removed_on_failure(folder: Path | None, keep: Callable[[], bool] = lambda: False) -> Iterator[None]:
    """Removes a run's folder where the run fails, unless there is something in it worth keeping.

    Args:
        folder: The folder, or None on the processes that write nothing.
        keep: Says, once the run has failed, whether to keep it.

    Raises:
        InputError: If the disk is full.
    """
    try:
        yield
    except BaseException as error:
        if folder is not None and not keep():
            shutil.rmtree(folder)
            if folder.parent.parent.name == "lightning_logs":  # another folder may be the user's own
                with suppress(OSError):  # there are other runs in it
                    folder.parent.rmdir()
        if folder is not None and isinstance(error, OSError) and error.errno == errno.ENOSPC:
            raise InputError(
                f"the disk is full, there is no space left for the run's folder {folder_name(folder)}: free "
                "some, or run where there is more"
            ) from error
        raise


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Writes a JSON file in one move: a reader finds all of it or none."""
    draft = path.with_name(path.name + ".part")
    draft.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    draft.replace(path)


def fresh(path: Path) -> Path:
    """Returns a path to write to: a link there is removed, and what it leads to stays as it is."""
    if path.is_symlink():
        path.unlink()
    return path


def folder_name(path: str | os.PathLike[str]) -> str:
    """A folder as the user would type it: relative to where they are, if it lies below."""
    path = Path(path).absolute()
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


class RunFolder(Callback):
    """Chooses the folder of a run's files: its logger's, or a fresh `lightning_logs/METHOD/version_N`.

    Args:
        path: The folder, where it is already known.
        quiet: Whether to print nothing; else the last line names a folder that was chosen here.

    Attributes:
        path: The folder, once a fit or a prediction has begun.
    """

    def __init__(self, path: Path | None = None, quiet: bool = False) -> None:
        self.path = path
        self._is_given = path is not None
        self._quiet = quiet

    def setup(self, trainer: Trainer, pl_module: Any, stage: str) -> None:
        """Chooses it, the same on all processes; predictions go into the folder of the training before."""
        if stage != "fit" and (stage != "predict" or self.path is not None) and not self._is_given:
            return
        if not self._is_given:
            logger = trainer.logger
            if isinstance(logger, CSVLogger | TensorBoardLogger) and logger.log_dir is not None:
                self.path = Path(logger.log_dir)
            elif trainer.is_global_zero:
                root = Path(trainer.default_root_dir) / "lightning_logs"
                self.path = new_folder(root / type(pl_module).__name__)
        self.path = trainer.strategy.broadcast(self.path)

    def teardown(self, trainer: Trainer, pl_module: Any, stage: str) -> None:
        """Prints it."""
        if stage in ("fit", "predict") and trainer.is_global_zero and not (self._is_given or self._quiet):
            assert self.path is not None
            print(f"run: {folder_name(self.path)}")


def run_folder(trainer: Trainer) -> Path:
    """The folder that a run's files go to; without a `RunFolder`, the Trainer's `default_root_dir`."""
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
    chosen = next((one.path for one in callbacks if isinstance(one, RunFolder)), None)
    return Path(trainer.default_root_dir) if chosen is None else chosen
