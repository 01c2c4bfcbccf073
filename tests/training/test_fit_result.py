"""What a run found, in every form it is shown in."""

import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from conftest import Run

from linlight import load
from linlight.training.fit_result import equation

TABLE = ["--data.x=[[1, 2], [2, 1], [3, 5], [4, 2]]"]
ONE, TWO = "--data.y=[1, 2, 3, 5]", "--data.y=[[1, 3], [2, 1], [3, 2], [5, 2]]"


@pytest.mark.parametrize("y", [ONE, TWO])
@pytest.mark.parametrize(
    "words",
    [
        ["--model=ExhaustiveSearch"],
        ["--model=GradientDescent", "--model.bias=true"],
        ["--model=GradientDescent"],
        ["--model=Backpropagation"],
        ["--model=LinearRegression"],
        ["--model=LeastSquares"],
        ["--model=LeastSquares", "--model.l2=1"],
        ["--model=LeastSquares", "--model.bias=false"],
    ],
)
def test_every_form_holds_the_same_numbers(words: list[str], y: str, linlight: Callable[..., Run]) -> None:
    run = linlight("fit", *words, *TABLE, y, "--trainer.max_epochs=5")
    result = load(run.folder).result
    assert json.loads(result.to_json()) == run.summary
    assert result.line in run.out
    assert result.to_text() in run.out
    frame = result.to_frame()
    weights, bias = run.summary["weights"], run.summary["bias"]
    stacked = weights if bias is None else [[b, *w] for b, w in zip(bias, weights, strict=True)]
    shown = frame["estimate"].to_numpy(dtype=float).reshape(len(stacked), -1)
    np.testing.assert_allclose(shown, stacked, rtol=1e-6)
    names = ["x_0", "x_1"] if bias is None else ["intercept", "x_0", "x_1"]
    assert frame["name"].tolist() == names * len(stacked)
    card = result.to_markdown({"lr": 0.1, "bias": True}, "arrays")
    assert card.startswith(f"# {run.summary['method']}\n")
    assert "| settings | lr 0.1, bias yes |" in card
    assert "arrays: 4 rows to train on, 2 features" in card
    assert card.count("## Coefficients of ") == len(stacked)
    for value in shown.flatten():
        assert f" {value:.6g} |" in card


def test_old_summaries_still_read(linlight: Callable[..., Run]) -> None:
    folder = linlight("fit", "--model=LeastSquares", *TABLE, ONE).folder
    summary: dict[str, Any] = json.loads((folder / "summary.json").read_text())
    new = ("std_errors", "notes", "adjusted_r_squared", "f", "f_p", "f_degrees", "degrees_of_freedom")
    (folder / "summary.json").write_text(json.dumps({k: v for k, v in summary.items() if k not in new}))
    run = load(folder)
    assert "| x_0 |" in run._repr_markdown_()
    assert run.result.to_text() == ""
    assert not math.isnan(run.result.to_frame()["std_error"].iloc[0])


def test_numbers_are_written_one_way(linlight: Callable[..., Run]) -> None:
    numbers = list(range(1200))
    words = [f"--data.x={numbers}", f"--data.y={numbers}", "--model.lr=1e-7", "--trainer.max_epochs=1"]
    rows = linlight("fit", "--model=GradientDescent", *words)
    assert "on 1,200 rows" in rows.out
    assert "1,200 rows to train on" in load(rows.folder).result.to_markdown()


@pytest.mark.parametrize(
    ("targets", "line"),
    [
        (["price"], "price from 5 features"),
        (["a", "b"], "a, b from 5 features"),
        (list("abcdef"), "a, b, c, d and 2 more targets from 5 features"),
    ],
)
def test_a_model_too_long_for_a_line_names_its_targets(targets: list[str], line: str) -> None:
    weights = [[1.0] * 5 for _ in targets]
    assert equation({"weights": weights, "bias": None, "target_names": targets}) == line
