"""The one exception that means: the input must change, not the program; and what was probably meant."""

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """Something the user gave cannot be used.

    Its message is one line that names what is wrong, where, and the remedy. The command line prints
    that line alone and exits with code 2.
    """


def near(word: str, choices: Iterable[str]) -> str | None:
    """Which of some names was probably meant, if any: `GradientDescent` by `gradientdescnt`."""
    lower = {choice.lower(): choice for choice in choices}
    found = difflib.get_close_matches(word.lower(), lower, n=1)
    return lower[found[0]] if found else None
