"""What the documents say is run: their commands, their Python, and the lines of code that they quote."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import ROOT, Run
from notes_programs import PROGRAMS

from linlight.cli.main import main

DOCUMENTS = sorted(path for path in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
SKIPPED = ("gpu", "two_proc")  # their machines are not everywhere


def text_of(*names: str) -> str:
    return "\n".join((ROOT / name).read_text(encoding="utf-8") for name in names)


def commands() -> Iterator[str]:
    """The commands in the documents' `bash` blocks, each once."""
    for path in DOCUMENTS:
        for block in re.findall(r"```bash\n(.*?)```", path.read_text(encoding="utf-8"), re.DOTALL):
            yield from (line.partition("  #")[0].strip() for line in block.splitlines())


@pytest.fixture(scope="module")
def real_tables(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The tables that the documents' own lines put in place."""
    lines = re.findall(r"^(?:python -c|cp) .*$", text_of("docs/tables.md"), re.MULTILINE)
    assert len(lines) == 2
    folder = tmp_path_factory.mktemp("tables")
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    subprocess.run(["bash", "-ec", "\n".join(lines)], cwd=folder, check=True, env=os.environ | {"PATH": path})
    return list(folder.iterdir())


RUN_HERE = sorted(
    {
        line
        for line in commands()
        if line.startswith("linlight ") and not any(word in line for word in SKIPPED)
    }
)


@pytest.mark.parametrize("command", RUN_HERE)
def test_command_runs(
    linlight: Callable[..., Run], command: str, real_tables: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JSONARGPARSE_DEPRECATION_WARNINGS", "off")
    Path("configs").symlink_to(ROOT / "configs")
    for real in real_tables:
        Path(real.name).symlink_to(real)
    words = shlex.split(command)[1:]
    people = [("name", "city", "age", "income"), *((f"p{i}", "ABC"[i % 3], i, 100 + i * i) for i in range(9))]
    Path("people.csv").write_text("".join(",".join(map(str, row)) + "\n" for row in people))
    Path("new.csv").write_text("name,city,age\nq,B,30\n")
    if any(word.startswith("RUN") for word in words):
        table = "--model LeastSquares --data.path people.csv --data.target income --data.categorical city"
        textbook = ["--config", "configs/gradient_descent.yaml"]
        run = linlight("fit", *(table.split() if "new.csv" in words else textbook))
        words = [word.replace("RUN", str(run.folder)) for word in words]
    if words[0] == "inspect":  # prints, and leaves no folder
        main(words)
        return
    out = linlight(*words).out
    if "flights.csv.zip" in words:  # whose result is shown
        assert out[: out.index("LeastSquares: arr_delay from 6 features")] in text_of("docs/tables.md")


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ("README.md", "compare"),
        ("README.zh-CN.md", "compare"),
        (
            "docs/notes.md",
            "compare --methods LinearRegression --optimizers SGD,Adam,Adagrad,Rprop --lr 0.01",
        ),
        ("docs/notes.md", "fit --config configs/gradient_descent.yaml --trace true --lang en"),
        ("docs/notes.md", "fit --config configs/backpropagation.yaml --trace true --lang en"),
        ("docs/notes.zh-CN.md", "fit --config configs/gradient_descent.yaml --trace true --lang zh"),
        ("docs/notes.zh-CN.md", "fit --config configs/backpropagation.yaml --trace true --lang zh"),
        ("docs/tables.md", "fit --model LeastSquares --data.x [1,2,3,4] --data.y [2,4,5,9]"),
        ("docs/lightning.md", "fit --model GradientDescent --data.dtype float64"),
    ],
)
def test_output_is_what_is_shown(linlight: Callable[..., Run], document: str, words: str) -> None:
    Path("configs").symlink_to(ROOT / "configs")
    shown = {
        line
        for block in re.findall(r"```text\n(.*?)```", text_of(document), re.DOTALL)
        for line in block.splitlines()
    }
    # Times differ from run to run, and the last digits of what is 0 but for rounding from machine to machine.
    printed = [
        re.sub(r" +\S+ +\S+$", "", line) if words.startswith("compare") else line
        for line in linlight(*words.split()).out.splitlines()
    ]
    shown = {re.sub(r" +\S+ +\S+$", "", line) if words.startswith("compare") else line for line in shown}
    assert len(shown.intersection(printed)) >= 3


def test_each_line_of_the_notes_stands_beside_ours() -> None:
    for name in ("docs/notes.md", "docs/notes.zh-CN.md"):
        tables = re.split(r"(?m)^## \d", text_of(name))[1:]
        assert len(tables) == len(PROGRAMS)
        for table, program in zip(tables, PROGRAMS.values(), strict=True):
            rows = re.findall(r"(?m)^\| `(.*?)` \| `(.*?)` \| `(\S+\.py)` \|$", table)
            assert [theirs for theirs, *_ in rows] == [line.strip() for line in program.strip().splitlines()]
            for _, ours, file in rows:
                assert ours in (ROOT / "linlight" / file).read_text(), f"{name}: {ours} is not in {file}"


@pytest.mark.parametrize("name", ["README", "docs/notes"])
def test_chinese_is_beside_english(name: str) -> None:
    english, chinese = text_of(f"{name}.md"), text_of(f"{name}.zh-CN.md")
    headings = [len(re.findall(r"(?m)^##? ", text)) for text in (english, chinese)]
    assert headings[0] == headings[1]
    for term in ("穷举法", "梯度下降", "随机梯度下降", "反向传播", "损失函数", "计算图"):
        assert term in chinese
    prose = re.sub(r"```.*?```|`[^`\n]*`|\]\(.*?\)", "", chinese, flags=re.DOTALL)
    assert not re.search(r"[\u4e00-\u9fff][,;:?!]|[,;:?!][\u4e00-\u9fff]", prose)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([^)#\s]+)\)", text):
        assert "://" in link or (path.parent / link).exists(), link
    for file in re.findall(r"`((?:linlight|tests|benchmarks|configs|docs)/[\w/.-]+)`", text):
        assert (ROOT / file).exists(), file


def test_python_runs(linlight: Callable[..., Run], capsys: pytest.CaptureFixture[str]) -> None:
    blocks = re.findall(r"```python\n(.*?)```", text_of("README.md", "docs/lightning.md"), re.DOTALL)
    usage, opened, method, momentum, automatic, *others = blocks
    exec(usage, {"__name__": "readme"})
    assert "1.9999444396553017\n" in capsys.readouterr().out
    linlight("fit", "--config", ROOT / "configs" / "gradient_descent.yaml")
    exec(opened, {"__name__": "readme"})
    assert "GradientDescent: y = 1.99994 x" in capsys.readouterr().out
    assert Path("loss.png").stat().st_size > 10_000
    Path("my_module.py").write_text(method + momentum + automatic)
    words = ["--model", "my_module.SignDescent", "--trainer.max_epochs", 300]
    assert linlight("fit", *words).summary["weights"][0][0] == pytest.approx(2, abs=0.02)
    words = ["--model", "my_module.Momentum", "--trainer.max_epochs"]
    straight, half = linlight("fit", *words, 8), linlight("fit", *words, 3)
    resumed = linlight("fit", *words, 8, "--ckpt_path", half.checkpoint)  # its velocity comes back
    assert resumed.summary["weights"] == straight.summary["weights"]
    words = ["--model", "my_module.Adagrad", "--model.lr", 1, "--trainer.max_epochs", 300]
    assert linlight("fit", *words).summary["weights"][0][0] == pytest.approx(2, abs=0.02)
    for block in others:
        exec(block, {"__name__": "readme"})
