"""`linlight learn`: the five programs of the notes, a screen each, and the page that compares them."""

import contextlib
import io
import shlex
import sys
import webbrowser
from collections.abc import Callable, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import yaml
from jsonargparse import ArgumentParser

from linlight.cli.parsing import command_parser, parse
from linlight.text import display_width, language, padded, wrapped

WIDTH = 80
STEPS = ("# (", "# then", "# ①", "# ②", "# ③", "# ④", "# 然后")
"""How the lines about the first update begin."""

Command = Callable[[Sequence[str]], None]
"""Runs the words of a command line."""


class _Ended(Exception):
    """Raised where the reader ends the walk."""


@cache
def content() -> dict[str, Any]:
    """The screens and words of `learn.yaml`."""
    found: dict[str, Any] = yaml.safe_load(
        files("linlight.cli").joinpath("learn.yaml").read_text(encoding="utf-8")
    )
    return found


def options() -> ArgumentParser:
    """The parser of `linlight learn`."""
    parser = command_parser("learn")
    languages = Literal["en", "zh"] | None
    parser.add_argument("--lang", type=languages, help="Of what is explained (default: the locale's).")
    return parser


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
    reader = _Reader(language(parse(options(), args).lang), run)
    screens = content()["screens"]
    with contextlib.suppress(_Ended):
        for number, screen in enumerate(screens, start=1):
            reader.show(f"{number}/{len(screens)}", screen)
        return reader.compare()
    return None


class _Reader:
    """Shows the programs in one language, and waits for keys on a terminal."""

    def __init__(self, lang: str, run: Command) -> None:
        self._lang, self._run = lang, run
        self._waits = sys.stdin.isatty() and sys.stdout.isatty()
        self._words = {key: texts[lang] for key, texts in content()["words"].items()}

    def show(self, number: str, screen: dict[str, Any]) -> None:
        """Shows a program: its lines beside ours, what it prints, a question and the answer."""
        print(_rule(f"{number} {screen['title'][self._lang]}"))
        for theirs, ours in [(self._words["notes"], "linlight"), *(line[:2] for line in screen["lines"])]:
            print(padded(theirs, 38) + ours)
        print("\n" + "\n    ".join(_command_lines(screen["command"])))
        for line in output_of(screen, self._output(f"{screen['command']} --lang {self._lang}")):
            self._wrap(line.expandtabs(4))
        print()
        self._wrap(self._words["question"] + screen["question"][self._lang])
        self._pause("think")
        self._wrap(self._words["answer"] + screen["answer"][self._lang])
        self._pause("next")
        print()

    def compare(self) -> Path:
        """Runs all methods side by side, and opens their page if the reader likes."""
        print(_rule(self._words["all"]))
        print("$ linlight compare")
        *table, last = self._output("linlight compare")
        folder = Path(last.removeprefix("run: "))
        page = folder / "compare.html"
        print(*table, "", sep="\n")
        self._wrap(self._words["page"].format(page=page))
        with contextlib.suppress(_Ended):
            self._pause("open")
            if self._waits and not webbrowser.open(page.resolve().as_uri()):
                print(self._words["no_browser"])
        return folder

    def _wrap(self, text: str) -> None:
        print(*([text] if display_width(text) <= WIDTH else wrapped(text, WIDTH)), sep="\n")

    def _pause(self, key: str) -> None:
        if not self._waits:
            return
        try:
            answer = input(self._words[key] + " ")
        except EOFError:
            raise _Ended from None
        if answer.strip().lower() == "q":
            raise _Ended

    def _output(self, command: str) -> list[str]:
        """The lines that a command prints."""
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            self._run(shlex.split(command)[1:])
        return out.getvalue().splitlines()


def _rule(title: str) -> str:
    return f"== {title} " + "=" * (WIDTH - display_width(title) - 4)


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


def output_of(screen: dict[str, Any], lines: list[str]) -> list[str]:
    """The lines of a command's output that its screen shows."""
    kept = [
        line
        for line in lines
        if not line.startswith(("run: ", "optimum: ", "step: ", "gap: "))
        and (not line.startswith("#") or (screen["steps"] and line.startswith(STEPS)))
    ]
    first, last = screen["output"]
    return [*kept[:first], "...", *kept[-last:]]
