"""The one exception that means: the input must change, not the program; and what was probably meant."""

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """Input that cannot be used.

    Its message is one line that names what is wrong, where, and the remedy. The command line prints
    that line alone and exits with code 2.
    """


class Diverged(InputError):
    """A training's loss has grown without end; what happened until then is kept."""


def closest_match(word: str, choices: Iterable[str]) -> str | None:
    """Which of some names was probably meant, if any: `GradientDescent` by `gradientdescnt`."""
    lower = {choice.lower(): choice for choice in choices}
    found = difflib.get_close_matches(word.lower(), lower, n=1)
    return lower[found[0]] if found else None


def did_you_mean(word: str, choices: Iterable[str], otherwise: str, prefix: str = "") -> str:
    """Which of some names was probably meant, as a hint; `otherwise` where none is near."""
    meant = closest_match(word, choices)
    return otherwise if meant is None else f"did you mean {prefix}{meant}?"


def nearest_name(word: str, choices: Iterable[str]) -> str:
    """Which of some names was probably meant, as a hint; else all of them."""
    return did_you_mean(word, choices, f"one of {', '.join(choices)}")
