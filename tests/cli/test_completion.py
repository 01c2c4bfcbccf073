"""What a shell completes: commands, options, methods and the values that an option has a choice of."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from linlight.cli.console import COMMANDS
from linlight.cli.main import main
from linlight.methods import METHODS

ASK = """
source ./completion
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_LINE="$*"; COMP_POINT=${#COMP_LINE}
function=$(complete -p linlight | sed 's/.* -F \\([^ ]*\\).*/\\1/')
"$function" linlight "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
printf '%s\\n' "${COMPREPLY[@]}"
"""


def test_bash_completes(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--print_shtab", "bash"])
    Path("completion").write_text(capsys.readouterr().out)

    def completed(*words: str) -> list[str]:
        command = ["bash", "-c", ASK, "bash", "linlight", *words]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()

    assert completed("") == list(COMMANDS)
    for command in ("fit", "validate", "test", "predict"):
        assert completed(command, "--model", "") == list(METHODS)
        assert completed(command, "--ckpt_path", "comp") == ["completion"]
    assert completed("fit", "--model.l")[:2] == ["--model.low", "--model.lr"]
    assert {"Adam", "Adagrad"} <= set(completed("fit", "--optimizer", "Ad"))
    assert "StepLR" in completed("fit", "--lr_scheduler", "Step")
    assert "--data.weight" in completed("compare", "--data.w")
    assert completed("sweep", "--data.dtype", "") == ["float32", "float64"]
    assert completed("predict", "--format", "") == ["csv", "parquet"]
    assert completed("inspect", "--bi") == ["--bias"]
    assert completed("plot", "--ht") == ["--html"]
    assert completed("board", "--po") == ["--port"]
    assert completed("learn", "--lang", "") == ["en", "zh"]


def test_zsh(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--print_shtab=zsh"])
    script = capsys.readouterr().out
    assert script.startswith("#compdef linlight")
    words = script.replace("'", "").replace('"', "")
    assert all(f"{name}:{text}" in words for name, text in COMMANDS.items())
    if shutil.which("zsh"):
        subprocess.run(["zsh", "-n"], input=script, text=True, check=True)


@pytest.mark.parametrize("words", [["--print_shtab"], ["--print_shtab", "tcsh"], ["--print_shtab=tcsh"]])
def test_another_shell(words: list[str], refused: Callable[..., str]) -> None:
    assert "one of bash, zsh" in refused(*words)
