"""Parses the words after a command, and reads values as plain data."""

import re
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import yaml
from jsonargparse import ArgumentError, ArgumentParser, Namespace, get_loader, set_loader

from linlight.cli.console import COMMANDS
from linlight.cli.explain import explain
from linlight.cli.given import Setting, as_settings
from linlight.errors import InputError
from linlight.methods import own_class
from linlight.plain import check_plain

LOGGERS = ("CSVLogger", "TensorBoardLogger")
"""Lightning's loggers that write files."""

_usual = get_loader("yaml")


def load(text: str) -> Any:
    """Reads a value or a config, as jsonargparse does; it must be plain data."""
    value = _usual(text)
    check_plain(value, "what was given")
    return _completed(value)


set_loader("yaml", load, (yaml.YAMLError,))


def _completed(value: Any) -> Any:
    """A value whose classes are completed; see `_class`."""
    if isinstance(value, list):
        return [_completed(part) for part in value]
    if isinstance(value, str):
        return _class(value) or value
    if not isinstance(value, dict):
        return value
    found = {key: part if key == "class_path" else _completed(part) for key, part in value.items()}
    path = found.get("class_path")
    if isinstance(path, str) and (spec := _class(path)):
        found["class_path"] = spec["class_path"]
        found["init_args"] = spec["init_args"] | (found.get("init_args") or {})
    return found


def _class(path: str) -> dict[str, Any] | None:
    """A class of linlight's that is elsewhere today, or a logger of files, which lacks its folder.

    The logger's empty `save_dir` stands for the run's folder, see `linlight.cli.fit`. Other texts have none.
    """
    name = path.rpartition(".")[2]
    if name in LOGGERS and path in (name, f"lightning.pytorch.loggers.{name}"):
        return {"class_path": path, "init_args": {"save_dir": ""}}
    if not re.fullmatch(r"linlight(\.\w+)+", path):
        return None
    from linlight import callbacks  # which not every command needs

    found = getattr(callbacks, name) if name in callbacks.__all__ else own_class(path)
    if found is None or getattr(sys.modules.get(path.rpartition(".")[0]), name, None) is found:
        return None
    return {"class_path": f"{found.__module__}.{name}", "init_args": {}}


def command_parser(command: str) -> ArgumentParser:
    """A parser of the words after a command, still without options."""
    return ArgumentParser(
        prog=f"linlight {command}", exit_on_error=False, allow_abbrev=False, description=COMMANDS[command]
    )


def parse(
    parser: ArgumentParser,
    words: Sequence[str],
    options: ArgumentParser | None = None,
    given: Iterable[Setting] | None = None,
) -> Namespace:
    """Parses words.

    Args:
        parser: The parser.
        words: The words.
        options: The parser of the command among the words, where `parser` is that of several.
        given: The command's options, where configs among them have been read.

    Raises:
        InputError: In one line, if an option or its value cannot be used.
    """
    try:
        return parser.parse_args(list(words))
    except ArgumentError as error:
        explain(error, options or parser, as_settings(words) if given is None else given)
    except RecursionError as error:
        raise InputError("what was given nests too deeply, or contains itself: no setting does") from error
