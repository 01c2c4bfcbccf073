"""Which CSV and Parquet files a path, a folder or a pattern stands for."""

import os
import re
from collections.abc import Iterable
from pathlib import PurePosixPath

import pyarrow as pa
from fsspec.implementations.arrow import ArrowFSWrapper
from pyarrow import fs

from linlight.data.tables import reading
from linlight.errors import InputError

CSV_ENDINGS = (".csv", ".tsv", ".txt")
COMPRESSED = (".gz", ".bz2", ".zst", ".lz4", ".zip")
PARQUET_ENDINGS = (".parquet", ".pq")
ARRAY_ENDINGS = (".npy", ".npz")


def ending(file: str) -> str:
    """What a file's name ends in, a CSV's without how it is compressed."""
    name = PurePosixPath(file.lower())
    inner = name.with_suffix("").suffix
    return inner if name.suffix in COMPRESSED and inner in CSV_ENDINGS else name.suffix


def is_csv(file: str) -> bool:
    """Whether a file is a CSV, by its name."""
    return ending(file) in CSV_ENDINGS


def _filesystem(path: str) -> tuple[fs.FileSystem, str]:
    if "://" not in path:
        return fs.LocalFileSystem(), path
    try:
        filesystem, root = fs.FileSystem.from_uri(path)
    except OSError as error:
        raise InputError(f"{path} cannot be opened: {error}") from error
    except pa.ArrowInvalid:
        import fsspec  # which knows more schemes than pyarrow

        try:
            other, root = fsspec.core.url_to_fs(path)
        except (ValueError, ImportError) as error:
            raise InputError(f"{path} cannot be opened: {error}") from error
        filesystem = fs.PyFileSystem(fs.FSSpecHandler(other))
    return filesystem, root


def _matching(filesystem: fs.FileSystem, pattern: str) -> list[str]:
    """The files that a pattern stands for in a shell."""
    is_relative = isinstance(filesystem, fs.LocalFileSystem) and not os.path.isabs(pattern)
    # fsspec finds nothing where a pattern begins with a wildcard.
    rooted = f"./{pattern}" if is_relative else pattern
    found = ArrowFSWrapper(filesystem).glob(rooted, detail=True)
    return [file.removeprefix("./") for file, info in found.items() if info["type"] == "file"]


def _any_hidden(names: Iterable[str]) -> bool:
    return any(name.startswith((".", "_")) for name in names)


def find(path: str) -> tuple[fs.FileSystem, list[str]]:
    """The files that a path, a folder or a pattern stands for, sorted, and where they are.

    Raises:
        InputError: If there are none.
    """
    filesystem, root = _filesystem(path)
    known = (*CSV_ENDINGS, *PARQUET_ENDINGS)
    with reading(path):
        info = filesystem.get_file_info(root)
        if info.type == fs.FileType.File:
            if ending(root) not in known:
                raise InputError(
                    f"the ending of {path} is unknown: it must be one of "
                    f"{', '.join((*known, *ARRAY_ENDINGS))}, a CSV's also with {', '.join(COMPRESSED)}"
                )
            return filesystem, [root]
        names = PurePosixPath(root).parts
        first = next((i for i, name in enumerate(names) if re.search(r"[*?\[]", name)), len(names))
        if info.type == fs.FileType.Directory:
            infos = filesystem.get_file_info(fs.FileSelector(root, recursive=True))
            found, first = [one.path for one in infos if one.is_file], len(names)
        elif first < len(names):
            found = _matching(filesystem, root)
        else:
            raise InputError(f"there is no file {path}: check --data.path")
    asked = names[first:]
    # What nobody meant is left out, unless the pattern asks for it: a notebook's copies, notes beside data.
    wanted = [end for end in known if end != ".txt" or (asked and ending(asked[-1]) == ".txt")]
    files = sorted(
        file
        for file in found
        if ending(file) in wanted
        and (_any_hidden(asked) or not _any_hidden(PurePosixPath(file).parts[first:]))
    )
    if not files:
        raise InputError(f"{path} has no files that end in {', '.join(wanted)}: check --data.path")
    return filesystem, files
