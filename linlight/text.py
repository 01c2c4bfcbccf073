"""Text for a terminal: counted nouns, shortened names, columns, and its language."""

import math
import os
import re
import sys
import unicodedata
from collections import Counter
from collections.abc import Sequence


def count(number: int, noun: str) -> str:
    """A number with its noun in the right form: `1 row`, `2,000,000 rows`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def epochs_in_words(epochs: int | None) -> str:
    """A predicted number of epochs; None is one that is never reached."""
    if epochs is None:
        return "more epochs than anyone has"
    return count(epochs, "epoch") if epochs < 10**6 else f"{epochs:.2g} epochs"


def number(value: float | None, digits: int = 6, width: int | None = None) -> str:
    """A measured number in a few digits, `-` where there is none.

    Args:
        value: The number.
        digits: The most significant digits.
        width: Letters to fit into by leaving out digits, of which two stay. Default: any number.

    Examples:
        >>> [number(value) for value in (1 / 3, 2.0, 1e-12, None)]
        ['0.333333', '2', '1e-12', '-']
        >>> [number(value, width=8) for value in (-0.0123456, 1234567.0)]
        ['-0.01235', '1.23e+06']
    """
    if value is None or math.isnan(value):
        return "-"
    text = f"{value:.{digits}g}"
    if width is None or len(text) <= width or digits <= 2:
        return text
    return number(value, digits - 1, width)


def models(bias: bool) -> str:
    """A line that says whether the models have a bias, and which option asks for the others."""
    if bias:
        return "models: y = w x + b, with a bias; --bias false is for those without one"
    return "models: y = w x, without a bias; --bias true is for those with one"


def display_width(text: str) -> int:
    """The columns that a text takes on a terminal: two for each Chinese, Japanese or Korean letter."""
    wide = sum(unicodedata.east_asian_width(letter) in "WF" for letter in text)
    return len(text) + wide - sum(unicodedata.combining(letter) > 0 for letter in text)


def wrapped(text: str, width: int) -> list[str]:
    """Lines of at most `width` columns, broken at blanks and between Chinese letters.

    Examples:
        >>> wrapped("损失函数是针对一个样本的,MSE 是 mean squared error。", 20)
        ['损失函数是针对一个样', '本的,MSE 是 mean', 'squared error。']
    """
    lines = [""]
    # A word or one Chinese letter, with punctuation that must not begin a line.
    for piece in re.findall(
        r"\s+|(?:[^\s\u2e80-\uffef]+|[\u2e80-\uffef])[\uff0c\u3002\uff1b\uff1a\u3001\uff09]*", text
    ):
        if display_width(lines[-1]) + display_width(piece.rstrip()) > width:
            lines[-1] = lines[-1].rstrip()
            lines.append("")
        lines[-1] += piece if lines[-1] else piece.lstrip()
    return lines


def language(asked: str | None = None) -> str:
    """The language of explanations, `zh` or `en`: the one asked for, or the locale's.

    It is `en` where the terminal cannot print Chinese letters.
    """
    names = (os.environ.get(name) for name in ("LC_ALL", "LC_MESSAGES", "LANG"))
    lang = asked or ("zh" if next(filter(None, names), "").lower().startswith("zh") else "en")
    try:
        "穷".encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        return "en"
    return lang


def padded(text: str, width: int) -> str:
    """A text padded with blanks to `width` columns.

    Examples:
        >>> [padded(name, 6) + "|" for name in ("ab", "人口")]
        ['ab    |', '人口  |']
    """
    return text + " " * (width - display_width(text))


def shortened(names: Sequence[str], width: int) -> list[str]:
    """Shortens names to at most `width` columns, such that they can still be told apart.

    A long name loses its middle; names that would then look alike keep the part in which they differ.

    Examples:
        >>> shortened(["age", "measurement_at_site_1_mm", "measurement_at_site_2_mm"], 13)
        ['age', 'measur…e_1_mm', 'measur…e_2_mm']
    """
    found = [_cut(name, width) for name in names]
    alike = {short for short, times in Counter(found).items() if times > 1}
    for short in alike:
        group = [i for i, one in enumerate(found) if one == short]
        if len({names[i] for i in group}) > 1:
            for i, other in zip(group, _differing([names[i] for i in group], width), strict=True):
                found[i] = other
    return found


def visible(name: str) -> str:
    r"""A name that stays on one line of a terminal: line breaks and control characters are escaped.

    Examples:
        >>> print(visible("height\ncm"))
        height\ncm
    """
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in name)


def _cut(name: str, width: int) -> str:
    name, half = visible(name), (width - 1) // 2
    if display_width(name) <= width:
        return name
    return f"{_begin(name, width - 1 - half)}…{_begin(name[::-1], half)[::-1]}"


def _begin(text: str, width: int) -> str:
    taken = 0
    for i, letter in enumerate(text):
        taken += display_width(letter)
        if taken > width:
            return text[:i]
    return text


def _alike(names: list[str]) -> int:
    """The length of the common prefix of all names."""
    return next(
        (i for i, row in enumerate(zip(*names, strict=False)) if len(set(row)) > 1), min(map(len, names))
    )


def _differing(names: list[str], width: int) -> list[str]:
    start = _alike(names)
    end = _alike([name[start:][::-1] for name in names])
    found = []
    for name in names:
        core = name[start : len(name) - end]
        if display_width(core) > width - 2:
            found.append("…" + _cut(core, width - 2) + "…")
            continue
        # The room that is left goes to what all have in common: first after the difference, then before it.
        letters = (width - 2 - display_width(core)) // (2 if display_width(name) > len(name) else 1)
        after = min(end, letters // 2)
        before = min(start, letters - after)
        last = len(name) - end + after
        found.append(
            f"{'…' if start > before else ''}{name[start - before : last]}{'…' if end > after else ''}"
        )
    if len(set(found)) < len(set(names)):
        digits = len(str(len(names)))
        return [f"{_cut(name, width - digits - 1)}~{i:0{digits}}" for i, name in enumerate(names)]
    return found
