"""`linlight learn`: the five programs of the notes, a screen each, and the page that compares them."""

import contextlib
import io
import shlex
import sys
import webbrowser
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

from jsonargparse import ArgumentError, ArgumentParser

from linlight.cli.console import COMMANDS
from linlight.cli.learn_text import SCREENS, WORDS, Screen
from linlight.cli.messages import one_line
from linlight.errors import InputError
from linlight.text import display_width, language, padded, wrapped

WIDTH = 80


class _Ended(Exception):
    """The reader has had enough."""


Command = Callable[[Sequence[str]], None]
"""Runs the words of a command line."""


def learn(args: Sequence[str], run: Command) -> Path | None:
    """Walks through the notes' programs.

    On a terminal it waits for the reader; elsewhere it prints everything at once and opens nothing.

    Args:
        args: The words after the command.
        run: Runs the commands that it shows.

    Returns:
        The folder of the comparison that it ends with; None if the reader ended before.

    Raises:
        InputError: If an option is unknown.
    """
    parser = ArgumentParser(prog="linlight learn", exit_on_error=False, description=COMMANDS["learn"])
    languages = Literal["en", "zh"] | None
    parser.add_argument("--lang", type=languages, help="Of what is explained (default: the locale's).")
    try:
        lang = language(parser.parse_args(list(args)).lang)
    except ArgumentError as error:
        raise InputError(one_line(str(error), parser)) from error
    waits = sys.stdin.isatty() and sys.stdout.isatty()
    try:
        for number, screen in enumerate(SCREENS, start=1):
            _show(number, screen, lang, waits, run)
        return _compare(lang, waits, run)
    except _Ended:
        return None


def _word(key: str, lang: str) -> str:
    return WORDS[key][lang == "zh"]


def _pause(key: str, lang: str, waits: bool) -> None:
    if not waits:
        return
    try:
        answer = input(_word(key, lang) + " ")
    except EOFError:
        raise _Ended from None
    if answer.strip().lower() == "q":
        raise _Ended


def _rule(title: str) -> str:
    return f"== {title} " + "=" * (WIDTH - display_width(title) - 4)


def _show(number: int, screen: Screen, lang: str, waits: bool, run: Command) -> None:
    zh = lang == "zh"
    print(_rule(f"{number}/{len(SCREENS)} {screen.title[zh]}"))
    print(padded(_word("notes", lang), 38) + "linlight")
    for theirs, ours, _ in screen.lines:
        print(padded(theirs, 38) + ours)
    print()
    print("\n    ".join(_command_lines(screen.command)))
    for line in output_of(screen, _output(f"{screen.command} --lang {lang}", run)):
        line = line.expandtabs(4)
        print(*([line] if display_width(line) <= WIDTH else wrapped(line, WIDTH)), sep="\n")
    print()
    print(*wrapped(_word("question", lang) + screen.question[zh], WIDTH), sep="\n")
    _pause("think", lang, waits)
    print(*wrapped(_word("answer", lang) + screen.answer[zh], WIDTH), sep="\n")
    _pause("next", lang, waits)
    print()


def _command_lines(command: str) -> list[str]:
    """A command with its prompt, on as many lines as it needs."""
    lines = ["$"]
    for option in command.replace(" --", "\n--").split("\n"):
        if len(lines[-1]) + len(option) + 3 > WIDTH:
            lines[-1] += " \\"
            lines.append(option)
        else:
            lines[-1] += " " + option
    return lines


def _output(command: str, run: Command) -> list[str]:
    """The lines that a command prints."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        run(shlex.split(command)[1:])
    return out.getvalue().splitlines()


def output_of(screen: Screen, lines: list[str]) -> list[str]:
    """The lines of a command's output that its screen has room for."""
    steps = ("# (", "# then", "# ①", "# ②", "# ③", "# ④", "# 然后")
    kept = [
        line
        for line in lines
        if not line.startswith(("run: ", "optimum: ", "step: ", "gap: "))
        and (not line.startswith("#") or (screen.steps and line.startswith(steps)))
    ]
    first, last = screen.output
    return [*kept[:first], "...", *kept[-last:]]


def _compare(lang: str, waits: bool, run: Command) -> Path:
    """Runs all methods side by side, and opens their page if the reader likes."""
    print(_rule(_word("all", lang)))
    print("$ linlight compare")
    *table, last = _output("linlight compare", run)
    folder = Path(last.removeprefix("run: "))
    page = folder / "compare.html"
    print(*table, "", sep="\n")
    print(*wrapped(_word("page", lang).format(page=page), WIDTH), sep="\n")
    with contextlib.suppress(_Ended):
        _pause("open", lang, waits)
        if waits and not webbrowser.open(page.resolve().as_uri()):
            print(_word("no_browser", lang))
    return folder
