"""Residuals and pictures of a limited run are of the rows that it saw."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from linlight import load
from linlight.runs.pictures import _View
from linlight.runs.run_page import _content

SEEN, ALL = 35, 200
LIMITS = {
    "batches": "--trainer.limit_train_batches=7",
    "overfit": "--trainer.overfit_batches=7",
    "steps": "--trainer.max_steps=7",
}


@pytest.fixture
def table() -> tuple[str, np.ndarray]:
    """A line up to the last row that is seen, and beyond it another."""
    x = np.random.default_rng(0).normal(size=ALL) + 1
    y = np.where(np.arange(ALL) < SEEN, x, 500 - 100 * x) + 0.1 * np.cos(np.arange(ALL))
    rows = np.column_stack([x, y])
    Path("t.csv").write_text("x,y\n" + "\n".join(f"{a!r},{b!r}" for a, b in rows.tolist()) + "\n")
    return "t.csv", rows


def histogram(folder: Path) -> Any:
    events = EventAccumulator(str(next(folder.rglob("events.*")).parent), size_guidance={"histograms": 0})
    events.Reload()
    (name,) = [tag for tag in events.Tags()["histograms"] if tag.startswith("residuals")]
    return name, events.Histograms(name)[-1].histogram_value


def fit(linlight: Any, method: str, *words: str, path: str = "t.csv") -> Any:
    of = ["--data.dtype=float64", "--data.batch_size=5", "--trainer.max_epochs=2"]
    return linlight("fit", f"--model={method}", f"--data.path={path}", *of, *words).folder


CASES = [
    *(("LinearRegression", limit, more) for limit in LIMITS for more in ((), ("--data.standardize=true",))),
    *((method, "batches", ()) for method in ("GradientDescent", "Backpropagation", "LeastSquares")),
    ("LinearRegression", "batches", ("--data.stream=true",)),
    ("ExhaustiveSearch", "batches", ()),
]


@pytest.mark.filterwarnings("ignore::lightning.fabric.utilities.warnings.PossibleUserWarning")
@pytest.mark.parametrize(("method", "limit", "more"), CASES)
def test_a_limited_run_shows_the_rows_it_saw(
    method: str, limit: str, more: tuple[str, ...], linlight: Callable[..., Any], table: Any
) -> None:
    path, rows = table
    folder = fit(linlight, method, LIMITS[limit], *more, path=path)
    run = load(folder)
    assert run.summary["rows"] == SEEN
    w, b = run.summary["weights"][0][0], (run.summary["bias"] or [0.0])[0]
    x, y = rows[:SEEN].T
    expected = y - (w * x + b)
    name, shown = histogram(folder)
    assert name == "residuals"
    assert shown.num == SEEN
    assert (shown.min, shown.max) == pytest.approx((expected.min(), expected.max()), rel=1e-6)
    view = _View(run, "light")
    np.testing.assert_allclose(view.rows[1][:, 0] - view.rows[2][:, 0], expected, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(view.seen.moments.mean, rows[:SEEN].mean(0))
    assert view.seen.moments.rows == SEEN
    page = _content(run)
    np.testing.assert_allclose(page["rows"], rows[:SEEN])
    assert page["optimum"][0] == pytest.approx(np.polyfit(x, y, 1)[0] if page["bias"] else x @ y / (x @ x))


def test_rows_taken_at_random_are_said_not_to_be_known(linlight: Callable[..., Any], table: Any) -> None:
    folder = fit(linlight, "LinearRegression", LIMITS["batches"], "--data.shuffle=true", path=table[0])
    assert histogram(folder)[1].num == SEEN  # these were at hand
    remark = "(of all 200 rows: the run saw 35 of them, at random)"
    figures: Any = load(folder).plot()
    assert remark in figures["residuals"].axes[0].get_title()
    assert remark in figures["loss"].axes[0].get_title()
    assert figures["epochs"].axes[0].get_title() == "loss by epoch"  # the run's own losses
    assert remark in figures["fit"].axes[0].get_legend().get_texts()[0].get_text()


def test_of_a_whole_run_nothing_is_said(linlight: Callable[..., Any], table: Any) -> None:
    figures: Any = load(fit(linlight, "LinearRegression", "--data.shuffle=true", path=table[0])).plot()
    assert figures["residuals"].axes[0].get_title() == "residuals"
