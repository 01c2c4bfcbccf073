"""The exception for input that must change, not the program; and hints at what was probably meant."""

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """Input that cannot be used.

    Its message is one line that names what is wrong, where, and the remedy. The command line prints
    that line alone and exits with code 2.
    """


class Diverged(InputError):
    """A training whose loss has grown without end; the run is kept up to there."""


def closest_match(word: str, choices: Iterable[str]) -> str | None:
    """The one of some names that a word probably misspells, as `gradientdescnt` does `GradientDescent`."""
    lower = {choice.lower(): choice for choice in choices}
    found = difflib.get_close_matches(word.lower(), lower, n=1)
    return lower[found[0]] if found else None


def did_you_mean(word: str, choices: Iterable[str], otherwise: str, prefix: str = "") -> str:
    """A hint at the name that was probably meant, or `otherwise` where none is near."""
    meant = closest_match(word, choices)
    return otherwise if meant is None else f"did you mean {prefix}{meant}?"


def nearest_name(word: str, choices: Iterable[str]) -> str:
    """A hint at the name that was probably meant, or a list of all."""
    return did_you_mean(word, choices, f"one of {', '.join(choices)}")
