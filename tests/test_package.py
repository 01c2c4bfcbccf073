"""The public face of the package, and the files around it."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import requires
from pathlib import Path

import pytest
from conftest import ROOT, Run

import linlight as package
from linlight.cli.main import main

PUBLIC = [
    "Backpropagation",
    "ExhaustiveSearch",
    "GradientDescent",
    "InputError",
    "LeastSquares",
    "LinearModel",
    "LinearRegression",
    "Run",
    "XYDataModule",
    "compare",
    "load",
    "sweep",
]


def test_public_names() -> None:
    assert package.__all__ == PUBLIC
    for name in PUBLIC:
        assert getattr(package, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'nope'"):
        package.nope  # noqa: B018


def test_importing_the_package_is_light() -> None:
    code = "import sys, linlight; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_constraints_pin_every_dependency() -> None:
    pinned = set(re.findall(r"^([\w.-]+)==", (ROOT / "constraints.txt").read_text(), re.MULTILINE))
    named = {re.split(r"[\[<>=;]", line)[0] for line in requires("linlight") or []}
    assert named <= pinned


def readme_commands() -> list[str]:
    blocks = re.findall(r"```bash\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    lines = [line.partition("  #")[0].strip() for block in blocks for line in block.splitlines()]
    return [
        line
        for line in lines
        if line.startswith("linlight ") and "gpu" not in line and "two_proc" not in line
    ]


@pytest.fixture(scope="module")
def real_tables(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The tables that the README's own lines put in place."""
    lines = re.findall(r"^(?:python -c|cp) .*$", (ROOT / "README.md").read_text(), re.MULTILINE)
    folder = tmp_path_factory.mktemp("tables")
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    subprocess.run(["bash", "-ec", "\n".join(lines)], cwd=folder, check=True, env=os.environ | {"PATH": path})
    return list(folder.iterdir())


@pytest.mark.parametrize("command", readme_commands())
def test_readme_command_runs(linlight: Callable[..., Run], command: str, real_tables: list[Path]) -> None:
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
    if "flights.csv.zip" in words:  # whose result the README shows
        assert out[: out.index("LeastSquares: 6 features")] in (ROOT / "README.md").read_text()


def test_readme_python_runs(linlight: Callable[..., Run], capsys: pytest.CaptureFixture[str]) -> None:
    usage, opened, method = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    exec(usage, {"__name__": "readme"})
    assert "1.9999444396553017\n" in capsys.readouterr().out
    linlight("fit", "--config", ROOT / "configs" / "gradient_descent.yaml")
    exec(opened, {"__name__": "readme"})
    assert "GradientDescent: y = 1.99994 x" in capsys.readouterr().out
    assert Path("loss.png").stat().st_size > 10_000
    Path("my_module.py").write_text(method)
    words = ["--model", "my_module.SignDescent", "--trainer.max_epochs", 300]
    assert linlight("fit", *words).summary["weights"][0][0] == pytest.approx(2, abs=0.02)
