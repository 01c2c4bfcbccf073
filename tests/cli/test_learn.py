"""`linlight learn`: a screen for each program of the notes, then the page."""

import re
import sys
import webbrowser
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

import pytest
from conftest import Run
from notes_programs import PROGRAMS

from linlight.cli.learn import content
from linlight.cli.main import main
from linlight.text import display_width

SCREENS, WORDS = content()["screens"], content()["words"]


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_learn_without_a_terminal(
    linlight: Callable[..., Run], lang: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("there is nobody to answer"))
    monkeypatch.setattr(webbrowser, "open", lambda _: pytest.fail("there is nobody to look"))
    run = linlight("learn", "--lang", lang)
    assert (run.folder / "compare.html").is_file()
    *screens, last = re.split(r"(?m)^== .*\n", run.out)[1:]
    assert len(screens) == len(SCREENS) == len(PROGRAMS) == 5
    for screen, shown in zip(SCREENS, screens, strict=True):
        assert len(shown.strip().splitlines()) <= 23
        assert all(display_width(line) <= 80 for line in shown.splitlines())
        flat = "".join(shown.split())
        for text in (screen["question"], screen["answer"]):
            assert "".join(text[lang].split()) in flat
        assert " ".join(screen["command"].split()[:4]) in shown
    assert "GradientDescent: y = 1.99994 x" in screens[1]
    assert "\n    grad: 1.0 2.0 -2.0\n" in screens[3]
    assert "linear regression" in last


@pytest.mark.parametrize("answers", [["q"], ["", "", "q"], ["end of file"]])
def test_learn_on_a_terminal_ends_when_the_reader_does(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, answers: list[str]
) -> None:
    left = list(answers)

    def reader(prompt: str) -> str:
        answer = left.pop(0)
        if answer == "end of file":
            raise EOFError
        return answer

    monkeypatch.setattr("builtins.input", reader)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    main(["learn", "--lang", "en"])
    out = capsys.readouterr().out
    assert out.count("\n== ") + 1 == (2 if len(answers) == 3 else 1)
    assert out.count("Answer: ") == (1 if len(answers) == 3 else 0)
    assert not left


def test_learn_opens_the_page_if_there_is_a_browser(
    linlight: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = []
    monkeypatch.setattr("builtins.input", lambda _: "")
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setitem(content(), "screens", [])
    monkeypatch.setattr(webbrowser, "open", lambda address: opened.append(address))
    run = linlight("learn", "--lang", "en")
    assert opened == [(run.folder / "compare.html").resolve().as_uri()]
    assert WORDS["no_browser"]["en"] in run.out


def test_learn_refuses_other_options(refused: Callable[..., str]) -> None:
    assert "--lang must be one of 'en', 'zh'" in refused("learn", "--lang", "fr")
    assert "there is no option --lnag: did you mean --lang?" in refused("learn", "--lnag", "zh")


def test_lines_beside_each_other_are_the_notes_and_ours() -> None:
    for screen, program in zip(SCREENS, PROGRAMS.values(), strict=True):
        for theirs, ours, file in screen["lines"]:
            assert theirs.replace("(...)", "(model.parameters(), lr = 0.01)") in program
            assert ours in Path(str(files("linlight") / file)).read_text(), f"{ours} is not in {file}"


def test_both_languages_ask_for_the_same_values() -> None:
    for texts in WORDS.values():
        assert re.findall(r"\{\w+\}", texts["en"]) == re.findall(r"\{\w+\}", texts["zh"])
    source = files("linlight.cli").joinpath("learn.yaml").read_text(encoding="utf-8")
    assert not re.search(r"[\u4e00-\u9fff][,;:?!]|[,;:?!][\u4e00-\u9fff]", source)
