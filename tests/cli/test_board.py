"""`linlight board` serves the runs on the charts that linlight arranges."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.request import urlopen

import pytest
from conftest import Run

from linlight.cli.main import main


def test_it_prints_the_address_and_serves_the_runs(linlight: Callable[..., Run]) -> None:
    linlight("fit", "--model=GradientDescent", "--trainer.max_epochs=2")
    words = [sys.executable, "-m", "linlight", "board", "--port=0"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            found = re.fullmatch(
                r"TensorBoard: (http://127\.0\.0\.1:\d+/)#custom_scalars \(Ctrl-C stops it\)\n", line
            )
            assert found, line
            with urlopen(f"{found[1]}data/runs", timeout=20) as answer:
                assert json.loads(answer.read()) == ["GradientDescent/version_0/lr=0.01,batch=all"]
            with urlopen(f"{found[1]}data/plugin/custom_scalars/layout", timeout=20) as answer:
                assert json.loads(answer.read())["category"]
        finally:
            process.kill()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere"], "there is no folder nowhere: run linlight fit or linlight compare first"),
        ([], "there is no folder lightning_logs"),
        (["empty"], "nothing below empty was logged"),
        (["--prt=3"], "there is no option --prt: did you mean --port"),
    ],
)
def test_refused_in_one_line(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("empty").mkdir()
    with pytest.raises(SystemExit, match="2"):
        main(["board", *words])
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert message in err
