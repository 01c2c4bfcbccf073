"""The computational graph of a run, with the numbers of the notes' first update."""

from collections.abc import Callable
from itertools import combinations

import pytest
from conftest import Run
from matplotlib import font_manager
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

import linlight as package
from linlight.runs import graph


def texts(run: Run, theme: str = "light") -> list[str]:
    figure = package.load(run.folder).plot("graph", theme)
    assert isinstance(figure, Figure)
    return [text.get_text() for text in figure.axes[0].texts]


def test_graph_has_the_numbers_of_the_first_update(linlight: Callable[..., Run]) -> None:
    words = ["--model", "Backpropagation", "--data.batch_size", 1, "--trainer.max_epochs", 2]
    shown = texts(linlight("fit", *words))
    assert {"x = 1", "w = 1", "y_pred = 1", "y = 2", "loss = 1", "y_pred = x·w"} <= {*shown}
    assert {"∂loss/∂w = -2", "∂loss/∂y_pred = -2"} <= {*shown}
    assert not any("/∂x" in text or "/∂y " in text or "/∂b" in text for text in shown)


@pytest.mark.parametrize("model", ["ExhaustiveSearch", "GradientDescent", "LinearRegression", "LeastSquares"])
@pytest.mark.parametrize("features", [1, 2, 5])
def test_graph_of_any_method_and_size(linlight: Callable[..., Run], model: str, features: int) -> None:
    x = [[float((i * j) % 7) for j in range(1, features + 1)] for i in range(1, 10)]
    y = [[float(i), float(i % 3)] for i in range(9)]
    step = ["--model.step", 2] if model == "ExhaustiveSearch" else []
    lr = ["--model.lr", 1e-3] if model in ("GradientDescent", "LinearRegression") else []
    run = linlight(
        "fit", "--model", model, *step, *lr, "--data.x", x, "--data.y", y, "--trainer.max_epochs", 2
    )
    shown = texts(run, "dark")
    has_bias = model in ("LinearRegression", "LeastSquares")
    assert any(text.startswith("∂loss/∂b") for text in shown) == has_bias
    assert sum(text.startswith("∂loss/∂w") for text in shown) == 1
    assert any(text.startswith("x = [") for text in shown) == (features > 1)


@pytest.mark.parametrize("features", [1, 2, 3, 5])
def test_nodes_stay_clear_of_the_edge_and_of_each_other(linlight: Callable[..., Run], features: int) -> None:
    x = [[-0.0012345 * (i * j % 7 + 1) for j in range(1, features + 1)] for i in range(1, 10)]
    data = ["--data.x", x, "--data.y", [-0.0054321 * i for i in range(9)]]
    run = linlight("fit", "--model=LinearRegression", *data, "--trainer.max_epochs=1")
    figure = package.load(run.folder).plot("graph")
    assert isinstance(figure, Figure)
    FigureCanvasAgg(figure).draw()  # type: ignore[no-untyped-call]
    patches = [text.get_bbox_patch() for text in figure.axes[0].texts]
    boxes = [patch.get_window_extent() for patch in patches if patch is not None]
    assert len(boxes) == 6
    assert all(figure.bbox.x0 < box.x0 and box.x1 < figure.bbox.x1 for box in boxes)
    assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))
    points = figure.dpi / 72
    assert max(box.width for box in boxes) / points < 2 * 56, "arrows begin 56 points from the middle"


def test_without_a_chinese_font_english_is_drawn_and_that_is_said_once(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(font_manager, "get_font_names", lambda: ["DejaVu Sans"])
    graph.drawable.cache_clear()
    assert [graph.drawable("zh"), graph.drawable("zh"), graph.drawable("en")] == ["en"] * 3
    assert capsys.readouterr().out.count("no Chinese font") == 1
    monkeypatch.setattr(font_manager, "get_font_names", lambda: ["SimHei"])
    graph.drawable.cache_clear()
    assert graph.drawable("zh") == "zh"
    graph.drawable.cache_clear()
