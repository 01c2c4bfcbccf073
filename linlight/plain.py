"""Values from a file or a command line: plain data, of bounded depth and size."""

from typing import Any

import yaml

from linlight.errors import InputError

DEEPEST = 64
"""Levels of lists and mappings within each other; no setting has more than six."""


def check_plain(value: Any, what: str) -> None:
    """Checks that a value consists of numbers, texts, lists and mappings, and is no larger than it looks.

    Args:
        value: The value.
        what: Its name in a message.

    Raises:
        InputError: If something else is in it, it contains itself, it nests deeper than any setting does, or
            YAML's anchors make it many times as large as what was written.
    """
    sizes: dict[int, int] = {}  # of each container with all that is in it; -1 while that is not known
    met = 0  # values, each once however often it is referred to

    def size(one: Any, depth: int) -> int:
        nonlocal met
        met += id(one) not in sizes
        if one is None or isinstance(one, bool | int | float | str):
            return 1
        if not isinstance(one, list | tuple | dict):
            raise InputError(f"{what} holds {type(one).__name__}, which is no number, text, list or mapping")
        if depth > DEEPEST:
            raise InputError(f"{what} nests more than {DEEPEST} levels deep: no setting does")
        if id(one) not in sizes:
            sizes[id(one)] = -1
            parts = [*one.keys(), *one.values()] if isinstance(one, dict) else one
            sizes[id(one)] = 1 + sum(size(part, depth + 1) for part in parts)
        elif sizes[id(one)] < 0:
            raise InputError(f"{what} contains itself: write out what its anchor stands for")
        return sizes[id(one)]

    written = size(value, 0)
    if written > 100_000 and written > 2 * met:
        raise InputError(f"{what} repeats its anchors until it has {written:.3g} values: write them out")


def read_yaml(text: str | bytes, what: str) -> Any:
    """Reads YAML as plain data; no tag makes an object.

    Raises:
        InputError: If it is not valid, or not plain; see `check_plain`.
    """
    try:
        value = yaml.safe_load(text)
    except RecursionError as error:
        raise InputError(f"{what} nests more than {DEEPEST} levels deep: no setting does") from error
    except (yaml.YAMLError, UnicodeDecodeError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
        said = getattr(error, "problem", None) or " ".join(str(error).split())
        raise InputError(f"{what} is not valid YAML{where}: {said}") from error
    check_plain(value, what)
    return value
