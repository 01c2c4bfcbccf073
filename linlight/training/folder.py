"""The folder of a run, the Trainer's `default_root_dir`: made anew for each, removed where the run fails."""

import errno
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

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


def folder_name(path: str | os.PathLike[str]) -> str:
    """A folder as the user would type it: relative to where they are, if it lies below."""
    path = Path(path).absolute()
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
