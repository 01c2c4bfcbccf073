"""`linlight sweep`: where methods converge, and theory's border."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Run
from matplotlib.text import Text
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from linlight.experiments.sweep import Cell, heat_map

Linlight = Callable[..., Run]


def cells(run: Run) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((run.folder / "sweep.json").read_text())["runs"]
    return found


def test_the_border_is_where_theory_draws_it(linlight: Linlight) -> None:
    words = ["--bias=false", "--methods=GradientDescent,LinearRegression", "--batch_size=[1, 3]"]
    run = linlight("sweep", *words, "--lr=[0.05, 0.2, 0.202, 0.207, 0.213, 0.216]", "--epochs=400")
    found = cells(run)
    assert len(found) == 2 * 2 * 6
    bounds = {cell["batch_size"]: cell["largest_stable_step"] for cell in found}
    assert bounds == {1: pytest.approx(0.2040, abs=5e-5), 3: pytest.approx(3 / 14)}
    for cell in found:
        assert cell["diverged"] == (cell["lr"] > bounds[cell["batch_size"]]), cell
        assert (cell["gap"] is None) == cell["diverged"]
    whole = next(cell for cell in found if (cell["batch_size"], cell["lr"]) == (3, 0.05))
    # (1 − 0.1·14/3)^2k first comes below a millionth
    assert whole["epochs_to_tolerance"] == next(k for k in range(99) if (1 - 0.1 * 14 / 3) ** (2 * k) <= 1e-6)
    assert max(map(len, run.out.splitlines())) <= 80
    assert run.out.count("3 of 6") == run.out.count("1 of 6") == 2
    assert (run.folder / "sweep.png").read_bytes().startswith(b"\x89PNG")


def test_the_picture_has_a_square_for_every_run() -> None:
    runs = [
        Cell("GradientDescent", b, lr, 0.2, lr > 0.2, None if lr > 0.2 else lr, 3)
        for b in (1, 8)
        for lr in (0.1, 0.4)
    ]
    figure = heat_map(runs, 10)
    axes = figure.axes[0]
    crossed = [square.get_xy() for square in axes.patches if square.get_hatch()]  # type: ignore[attr-defined]
    assert len(axes.patches) == 4
    assert crossed == [(0.5, -0.5), (0.5, 0.5)]
    border = np.array([line.get_xdata() for line in axes.lines])
    np.testing.assert_allclose(border, 0.5)  # 0.2 is half way between 0.1 and 0.4, as logarithms
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0.1", "0.4"]
    figure.draw_without_rendering()
    box = figure.axes[1].yaxis.label.get_window_extent()
    assert box.y0 >= 0
    assert box.y1 <= figure.bbox.y1


def test_a_border_that_is_not_on_the_map_is_said_to_be_outside() -> None:
    runs = [
        Cell("GradientDescent", b, lr, bound, False, lr, 3)
        for b, bound in ((1, 0.01), (8, 0.2))
        for lr in (0.1, 0.4)
    ]
    figure = heat_map(runs, 10)
    axes = figure.axes[0]
    assert [list(line.get_xdata()) for line in axes.lines] == [[0.5, 0.5]]  # type: ignore[arg-type]
    legend = axes.get_legend()
    assert legend is not None
    assert legend.get_texts()[0].get_text().endswith("outside these rates for batches of 1")
    figure.draw_without_rendering()
    (title,) = (text for text in axes.findobj(Text) if text.get_text() == "GradientDescent")
    assert not title.get_window_extent().overlaps(legend.get_window_extent())


def test_learning_rates_and_sizes_by_themselves(linlight: Linlight) -> None:
    Path("t.csv").write_text("x,y\n" + "\n".join(f"{i % 7},{2 * (i % 7) + i % 3}" for i in range(70)))
    run = linlight("sweep", "--data.path=t.csv", "--data.standardize=true", "--epochs=3")
    found = cells(run)
    assert sorted({cell["batch_size"] for cell in found}) == [2, 5, 18, 70]
    whole = [cell for cell in found if cell["batch_size"] == 70]
    bound = whole[0]["largest_stable_step"]
    assert whole[0]["lr"] == pytest.approx(bound / 100, rel=1e-2)
    assert whole[-1]["lr"] == pytest.approx(3 * bound, rel=1e-2)
    # Each run that arrived can be sorted by its figures.
    events = [path for path in run.folder.rglob("events.*") if path.parent.name.startswith("lr=")]
    assert len({path.parent for path in events}) == len(found)
    (arrived,) = run.folder.glob(f"GradientDescent/lr={whole[2]['lr']:g},*batch=all,data=t")
    assert "final/gap" in EventAccumulator(str(arrived)).Reload().Tags()["scalars"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--methods=GradientDecent,LinearRegression"], "did you mean GradientDescent"),
        (["--methods=LeastSquares"], "'LeastSquares' is no method with a learning rate"),
        (["--lr=[0.1, -1]"], "lr must be a list of positive numbers"),
        (["--lr=[]"], "lr must be a list of positive numbers"),
        (["--batch_size=[0]"], "batch_size must be a list of whole numbers from 1"),
        (["--epochs=0"], "epochs must be at least 1"),
        (["--data.standardize=true", "--bias=false"], "GradientDescent has none: set --bias true"),
        (["--data.path=nope.csv"], "there is no file nope.csv"),
        (["--folder=file/below"], "Not a directory: file/below"),
        (["--seed=-1"], "a seed must be a whole number from 0 to 4294967295, got -1"),
        (["--data.reduce=true"], "reduce leaves a single batch: leave out reduce"),
        (["--accelerator=abacus"], "accelerator 'abacus' cannot be used"),
    ],
)
def test_refused_in_one_line(words: list[str], message: str, refused: Callable[..., str]) -> None:
    Path("file").touch()
    assert message in refused("sweep", *words)
    assert not list(Path().rglob("sweep.json"))


def test_a_method_without_an_optimum_is_refused(
    refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("absolute.py").write_text(
        "import torch\nfrom linlight import LinearRegression\n\n\nclass Absolute(LinearRegression):\n"
        '    """Own."""\n\n    def __init__(self, lr: float = 0.01) -> None:\n'
        "        super().__init__(lr=lr, criterion=torch.nn.L1Loss())\n"
    )
    monkeypatch.syspath_prepend(".")
    words = ["--methods=absolute.Absolute", "--lr=[0.01]", "--batch_size=[3]", "--epochs=2"]
    assert "Absolute has no optimum to measure the gap to" in refused("sweep", *words)
    assert not Path("lightning_logs", "sweep").exists()
