"""The arguments that a file gives to classes of torch and Lightning: numbers, and texts that stay texts."""

import re
from collections.abc import Iterator
from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from types import NoneType
from typing import Any, Literal, get_args, get_origin

from jsonargparse import ArgumentParser

_OF_TEXT = (str, bool, int, float, timedelta, NoneType)
_CONTAINERS = (list, tuple, dict)


@lru_cache
def parser_of(owner: type) -> ArgumentParser:
    """A parser of a class's arguments, below `of`."""
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(owner, "of", fail_untyped=False)
    return parser


@lru_cache
def types_of(owner: type) -> dict[str, Any]:
    """The types of a class's arguments as the parser sees them, by name."""
    return {
        action.dest.removeprefix("of."): getattr(action, "_typehint", action.type)
        for action in parser_of(owner)._actions
        if action.dest.startswith("of.") and not action.dest.endswith(".help")
    }


def are_plain(owner: type, arguments: Any) -> bool:
    """Whether a class can be made with arguments from a file without importing anything for them.

    Where an argument may be a function or an object, as `lr_lambda` or a learning rate that is a tensor, the
    parser imports what a text with a dot in it names, or reads the file of that name.
    """
    return isinstance(arguments, dict) and _are_of(types_of(owner), arguments, "")


def _are_of(types: dict[str, Any], arguments: dict[str, Any], prefix: str) -> bool:
    for name, value in arguments.items():
        full_name = f"{prefix}{name}"
        if full_name not in types or has_class(value):
            return False
        if isinstance(value, dict) and any(known.startswith(f"{full_name}.") for known in types):
            if not _are_of(types, value, f"{full_name}."):
                return False
        elif not (_stays_text(types[full_name]) or all(map(_is_word, _texts(value)))):
            return False
    return True


def _stays_text(annotation: Any) -> bool:
    origin = get_origin(annotation)
    if origin is None:
        return annotation in (*_OF_TEXT, *_CONTAINERS)
    if origin is Literal:
        return True
    is_known = origin in _CONTAINERS or not isinstance(origin, type) or origin.__name__ == "UnionType"
    return is_known and all(map(_stays_text, get_args(annotation)))


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list | tuple):
        for part in [*value.keys(), *value.values()] if isinstance(value, dict) else value:
            yield from _texts(part)


def _is_word(text: str) -> bool:
    return re.fullmatch(r"[#\w :-]*", text) is not None and not Path(text or "-").is_file()


def has_class(value: Any) -> bool:
    """Whether there is a class among the values of a setting."""
    if isinstance(value, dict):
        return "class_path" in value or any(map(has_class, value.values()))
    return isinstance(value, list | tuple) and any(map(has_class, value))
