"""The page of one run, in a browser: the reader does the descent."""

import json
import re
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Run, needs_browser, opened

from linlight.cli.main import main

X, Y = np.array([1.0, 2.0, 4.0]), np.array([2.0, 3.0, 7.0])
DATA = ["--data.x=[1, 2, 4]", "--data.y=[2, 3, 7]", "--data.dtype=float64", "--model.lr=0.02"]


def moved(name: str, value: float) -> str:
    return f"by('{name}').value = {value}; by('{name}').dispatchEvent(new Event('input'));"


def said(page: str) -> list[float]:
    """The numbers beside the sliders: w, b where there is one, loss, gradient."""
    output = re.search('<output id="now">(.*?)</output>', page)
    assert output is not None
    return [float(number) for number in re.findall(r"-?\d+\.?\d*(?:e[+-]?\d+)?", output[1])]


@needs_browser
@pytest.mark.parametrize("bias", [True, False])
def test_loss_gradient_and_squares_follow(bias: bool, linlight: Callable[..., Run], tmp_path: Path) -> None:
    words = [f"--model.bias={str(bias).lower()}", "--trainer.max_epochs=20", *DATA]
    run = linlight("fit", "--model=GradientDescent", *words)
    out = linlight("plot", run.folder, "--html").out
    assert f"{run.folder}/run.html\n" in out
    page = run.folder / "run.html"
    w, b = 1.25, 0.1 if bias else 0.0
    found = opened(page, tmp_path, moved("w", w) + (moved("b", b) if bias else ""))
    residuals = w * X + b - Y
    gradient = [2 * np.mean(residuals * X), *([2 * np.mean(residuals)] if bias else [])]
    expected = [w, *([b] if bias else []), np.mean(residuals**2), *gradient]
    np.testing.assert_allclose(said(found), expected, rtol=1e-3)
    sides = np.array(re.findall(r'<rect class="square"[^>]* width="([^"]*)" height="([^"]*)"', found), float)
    np.testing.assert_allclose(sides[:, 0], sides[:, 1])  # they are squares
    np.testing.assert_allclose(sides[:, 0] / sides[0, 0], np.abs(residuals / residuals[0]), rtol=1e-6)
    # A step is the program's.
    stepped = opened(page, tmp_path, moved("w", w) + (moved("b", b) if bias else "") + "by('step').click();")
    assert said(stepped)[0] == pytest.approx(w - 0.02 * gradient[0], rel=1e-3)
    # The path is the run's.
    content: dict[str, Any] = json.loads(re.search(r'id="data">(.*?)</script>', page.read_text())[1])  # type: ignore[index]
    assert len(content["path"]) == 21
    assert content["path"][-1][1] == pytest.approx(run.summary["weights"][0][0])
    assert f'max="{20}"' in re.search('<input id="epoch"[^>]*>', found)[0]  # type: ignore[index]


@needs_browser
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("lr", [0.02, 0.5])
def test_a_step_under_a_sum_is_the_runs(
    bias: bool,
    lr: float,
    linlight: Callable[..., Run],
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    words = ["--model=LinearRegression", "--model.criterion=MSELoss", "--model.criterion.reduction=sum"]
    words += [f"--model.bias={str(bias).lower()}", "--trainer.max_epochs=9", *DATA, f"--model.lr={lr}"]
    with pytest.raises(SystemExit, match="2") if lr == 0.5 else nullcontext():
        main(["fit", *words])
    folder = next(Path().glob("lightning_logs/*/version_0"))
    capsys.readouterr()
    linlight("plot", folder, "--html")
    text = (folder / "run.html").read_text()
    content: dict[str, Any] = json.loads(re.search(r'id="data">(.*?)</script>', text)[1])  # type: ignore[index]
    assert content["title"].endswith("; it diverged") == (lr == 0.5)
    page = opened(folder / "run.html", tmp_path, "by('step').click();")
    assert said(page)[: 1 + bias] == pytest.approx(content["path"][1][1 : 2 + bias], rel=1e-3)
    assert 'the squares\' <span id="kind">sum</span>' in page
    ticks = re.findall(r'<text[^>]*text-anchor="(?:middle|end)"[^>]*>(-?[0-9.]+(?:e-?[0-9]+)?)</text>', page)
    assert len(ticks) > 8
    assert max(map(len, ticks)) <= 7, "or neighbours run into each other"


@needs_browser
def test_the_handle_is_dragged(linlight: Callable[..., Run], tmp_path: Path) -> None:
    run = linlight("fit", "--model=LinearRegression", "--trainer.max_epochs=5", *DATA)
    linlight("plot", run.folder, "--html")
    drag = """
      const box = valley.svg.getBoundingClientRect();
      const [x0, y0] = [box.left, box.top];
      const at = (x, y) => ({clientX: x0 + x * box.width, clientY: y0 + y * box.height, pointerId: 1});
      handle.setPointerCapture = () => {};
      handle.hasPointerCapture = () => true;
      handle.dispatchEvent(new PointerEvent("pointerdown", at(0, 0)));
      handle.dispatchEvent(new PointerEvent("pointermove", at(0.5, 0.5)));
    """
    before, after = (said(opened(run.folder / "run.html", tmp_path, script)) for script in ("", drag))
    assert before[:2] != after[:2]
    w, b, loss = after[:3]
    assert loss == pytest.approx(np.mean((w * X + b - Y) ** 2), rel=1e-2)


def test_the_loss_is_that_of_all_rows_and_their_weights(linlight: Callable[..., Run]) -> None:
    rows = "\n".join(f"{i % 17},{3 * (i % 17) + i % 5},{1 + i % 3}" for i in range(600))
    Path("t.csv").write_text(f"x,y</script>,n\n{rows}\n")
    words = ["--data.path=t.csv", "--data.target=y</script>", "--data.weight=n"]
    run = linlight("fit", "--model=LeastSquares", *words)
    linlight("plot", run.folder, "--html")
    text = (run.folder / "run.html").read_text()
    assert text.count("</script>") == 2
    assert set(re.findall(r"https?://[^\"' ]+", text)) == {"http://www.w3.org/2000/svg"}
    content: dict[str, Any] = json.loads(re.search(r'id="data">(.*?)</script>', text)[1])  # type: ignore[index]
    assert len(content["rows"]) == 200
    sums = np.array(content["sums"])
    w, b = run.summary["weights"][0][0], run.summary["bias"][0]
    loss = np.square(w * sums[:, 1] + b * sums[:, 0] - sums[:, 2]).sum() / content["weight"]
    assert loss == pytest.approx(run.summary["train_loss"], rel=1e-6)


def test_more_than_a_plane_is_refused(linlight: Callable[..., Run], refused_plot: Callable[..., str]) -> None:
    run = linlight("fit", "--model=LeastSquares", "--data.x=[[1, 2], [2, 5], [3, 1]]", "--data.y=[1, 2, 4]")
    assert "shows one feature and one target in a plane" in refused_plot(run.folder, "--html")
    assert not (run.folder / "run.html").exists()
    assert not (run.folder / "pictures").exists()


@pytest.fixture
def refused_plot(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    def run(*words: object) -> str:
        with pytest.raises(SystemExit, match="2"):
            main(["plot", *map(str, words)])
        return capsys.readouterr().err

    return run
