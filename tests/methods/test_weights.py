"""Weights mean one thing, in every method, batch and source, and are said."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from conftest import fit

from linlight import Backpropagation, GradientDescent, LeastSquares, LinearRegression, XYDataModule
from linlight.errors import InputError

KINDS = [None, "HC0", "HC1", "HC2", "HC3"]


def frame(rows: int = 60, seed: int = 0) -> pd.DataFrame:
    generator = np.random.default_rng(seed)
    x = generator.normal(size=(rows, 2))
    y = 1 + x @ [2, -1] + generator.normal(size=rows)
    return pd.DataFrame({"a": x[:, 0], "b": x[:, 1], "y": y, "w": generator.integers(0, 4, rows)})


def solved(table: Any, robust: Any = None, **data: Any) -> dict[str, Any]:
    model = LeastSquares(robust=robust)
    fit(model, XYDataModule(path=table, target="y", features="a,b", dtype="float64", **data), max_epochs=1)
    return model.summary()


def column(summary: dict[str, Any], name: str) -> list[float]:
    return [row[name] for row in summary["coefficients"]]


@pytest.mark.parametrize("robust", KINDS)
@pytest.mark.parametrize("stream", [False, True])
def test_precision_weights_are_those_of_wls_and_0_leaves_out(robust: Any, stream: bool) -> None:
    table = frame()
    used = table[table.w > 0]
    assert len(used) < len(table)
    options = {} if robust is None else {"cov_type": robust, "use_t": True}
    expected = sm.WLS(used.y, sm.add_constant(used[["a", "b"]]), weights=used.w).fit(**options)
    found = solved(table, robust, weight="w", stream=stream)
    np.testing.assert_allclose(column(found, "estimate"), expected.params, rtol=1e-10)
    np.testing.assert_allclose(column(found, "std_error"), expected.bse, rtol=1e-9)
    np.testing.assert_allclose(column(found, "p"), expected.pvalues, rtol=1e-7, atol=1e-300)
    assert found["r_squared"] == pytest.approx(expected.rsquared, rel=1e-10)
    assert found["f"] == pytest.approx(float(expected.fvalue), rel=1e-8)
    assert (found["degrees_of_freedom"], found["observations"]) == (len(used) - 3, len(used))
    assert "weights: precisions" in found["notes"][0]


@pytest.mark.parametrize("robust", KINDS)
@pytest.mark.parametrize("stream", [False, True])
def test_a_frequency_of_k_is_the_row_k_times(robust: Any, stream: bool) -> None:
    table = frame()
    repeated = table.loc[table.index.repeat(table.w)].reset_index(drop=True)
    expected = solved(repeated, robust)
    found = solved(table, robust, weight="w", weight_kind="frequency", stream=stream)
    for name in ("estimate", "std_error", "t", "p", "ci_low", "ci_high"):
        np.testing.assert_allclose(column(found, name), column(expected, name), rtol=1e-8, atol=1e-300)
    for name in ("r_squared", "adjusted_r_squared", "residual_sd", "f"):
        assert found[name] == pytest.approx(expected[name], rel=1e-9)
    assert found["degrees_of_freedom"] == expected["degrees_of_freedom"] == len(repeated) - 3
    assert "weights: they count rows" in found["notes"][0]
    assert f"for {len(repeated)} observations" in found["notes"][0]


@pytest.mark.parametrize("stream", [False, True])
def test_rows_of_weight_0_count_nowhere_but_are_predicted(
    stream: bool, tmp_path: Path, linlight: Callable[..., Any]
) -> None:
    # The target of one is not even there, and would be far off in the other.
    (tmp_path / "t.csv").write_text("a,y,w\n1,2,1\n2,4,1\n3,5,2\n9,,0\n4,100,0\n")
    words = ["--data.path=t.csv", "--data.weight=w", f"--data.stream={stream}".lower()]
    run = linlight("fit", "--model=LeastSquares", *words)
    expected = sm.WLS([2, 4, 5], sm.add_constant([1, 2, 3]), weights=[1, 1, 2]).fit()
    np.testing.assert_allclose(column(run.summary, "estimate"), expected.params, rtol=1e-6)
    assert run.summary["rows"] == 3
    evaluated = linlight("validate", "--ckpt_path", run.checkpoint, "--trainer.logger=false").summary
    assert evaluated["rows"] == 3
    assert evaluated["val_loss"] == pytest.approx(run.summary["train_loss"], rel=1e-5)
    predicted = linlight("predict", "--ckpt_path", run.checkpoint, "--trainer.logger=false")
    assert len(pd.read_csv(predicted.folder / "predictions.csv")) == 5


def test_a_target_that_only_rows_of_weight_0_change_is_constant() -> None:
    table = pd.DataFrame({"a": [1.0, 2, 3], "y": [5.0, 5, 7], "w": [1.0, 2, 0]})
    for stream in (False, True):
        data = XYDataModule(path=table, target="y", weight="w", features="a", stream=stream)
        with pytest.raises(InputError, match="'y' is 5 in every row"):
            fit(LeastSquares(), data, max_epochs=1)
    with pytest.raises(InputError, match="all weights are 0"):
        XYDataModule(path=table.assign(w=0), target="y", weight="w", features="a").read()


@pytest.mark.parametrize(
    ("weights", "kind", "message"),
    [
        ([1, -1, 2], "precision", r"weight -1 in row 1 .*must be 0 or more"),
        ([1, 1.5, 2], "frequency", r"weight 1.5 in row 1 .*must be whole numbers"),
        ([1, 1, 2], "often", "weight_kind must be precision or frequency"),
    ],
)
def test_weights_that_cannot_be(weights: list[float], kind: Any, message: str) -> None:
    table = pd.DataFrame({"a": [1.0, 2, 3], "y": [5.0, 6, 7], "w": weights})
    with pytest.raises(InputError, match=message):
        XYDataModule(path=table, target="y", weight="w", features="a", weight_kind=kind).read()


@pytest.mark.parametrize("make", [GradientDescent, Backpropagation, LinearRegression])
@pytest.mark.parametrize("batch_size", [1, 7, None])
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("together", [1, 3])
def test_a_step_goes_as_far_as_the_rows_weights_say(
    make: Any, batch_size: int | None, stream: bool, together: int
) -> None:
    """A batch of one row would forget its weight, were it divided by it."""
    if stream and batch_size is None:
        batch_size = 60
    table = frame()
    model = make(lr=0.01, bias=True, w0=1.0)
    data = XYDataModule(
        path=table,
        target="y",
        features="a,b",
        weight="w",
        dtype="float64",
        batch_size=batch_size,
        stream=stream,
        updates_per_step=together,
    )
    trainer = fit(model, data, max_epochs=2)
    used = table[table.w > 0]
    x, y = np.column_stack([np.ones(len(used)), used.a, used.b]), used.y.to_numpy()
    w, size = (used.w / used.w.mean()).to_numpy(), batch_size or len(used)
    theta = np.array([0.0, 1, 1])
    losses: list[float] = []
    for _ in range(2):
        losses.clear()
        for first in range(0, len(used), size):
            part = slice(first, first + size)
            error = x[part] @ theta - y[part]
            losses.append((w[part] * error**2).sum())
            theta = theta - 0.01 * 2 * x[part].T @ (w[part] * error) / len(error)
    assert model.b is not None
    np.testing.assert_allclose([model.b.item(), *model.w[0].tolist()], theta, rtol=1e-10)
    assert trainer.callback_metrics["train_loss"].item() == pytest.approx(sum(losses) / len(used), rel=1e-9)


def test_single_rows_of_any_weight_lead_to_the_weighted_optimum() -> None:
    table = frame(200)
    data = XYDataModule(
        path=table, target="y", features="a,b", weight="w", dtype="float64", batch_size=1, shuffle=True
    )
    model = LinearRegression(lr=0.0005, w0=0.0)
    fit(model, data, max_epochs=60)
    used = table[table.w > 0]
    expected = sm.WLS(used.y, sm.add_constant(used[["a", "b"]]), weights=used.w).fit()
    plain = sm.OLS(used.y, sm.add_constant(used[["a", "b"]])).fit()
    found = np.array([model.b.item(), *model.w[0].tolist()])  # type: ignore[union-attr]
    assert np.abs(found - expected.params).max() < 0.2 * np.abs(plain.params - expected.params).max()
    assert math.isfinite(found.sum())


def test_leverage_1_is_named_and_what_depends_on_it_left_out(linlight: Callable[..., Any]) -> None:
    generator = np.random.default_rng(5)
    levels = ["a"] * 10 + ["b"] * 10 + ["c"]
    table = pd.DataFrame({"x": generator.normal(size=21), "g": levels})
    table["y"] = table.x + generator.normal(size=21)
    table.to_csv("t.csv", index=False)
    words = ["--model=LeastSquares", "--data.path=t.csv", "--data.categorical=g", "--data.dtype=float64"]
    classical = linlight("fit", *words).summary
    for kind in ("HC2", "HC3"):
        run = linlight("fit", *words, f"--model.robust={kind}")
        assert f"1 row of leverage 1 is met exactly, so {kind} cannot" in " ".join(run.out.split())
        (line,) = [line for line in run.summary["notes"] if "classical std err" in line]
        errors = {row["name"]: row["std_error"] for row in run.summary["coefficients"]}
        assert [name for name, error in errors.items() if error is None] == ["intercept", "g=a", "g=b", "g=c"]
        known = {row["name"]: row["std_error"] for row in classical["coefficients"]}
        assert f"g=c {known['g=c']:.3g}" in line
        assert run.summary["f"] is None
        # x is determined by the other rows as if the one were not there.
        rest = table[table.g != "c"]
        design = pd.get_dummies(rest.g).assign(x=rest.x).astype(float)
        expected = sm.OLS(rest.y, design).fit(cov_type=kind).bse["x"]
        assert errors["x"] == pytest.approx(expected, rel=1e-9)
    for kind in ("HC0", "HC1"):
        assert "leverage" not in linlight("fit", *words, f"--model.robust={kind}").out


@pytest.mark.parametrize("offset", [0.0, 1e6, -1e15])
def test_r_squared_of_an_exact_fit_is_not_below_0(offset: float) -> None:
    for x in ([0.1, 0.2, 0.3, 0.7], [1.0, 2, 3, 5]):
        for slope in (1e-9, 1.0, 0.1 * 3):
            y = offset + slope * np.array(x)
            model = LeastSquares()
            try:
                fit(model, XYDataModule(x, y.tolist(), dtype="float64"), max_epochs=1)
            except InputError as error:
                assert "in every row" in str(error)  # noqa: PT017
                continue
            found = model.summary()["r_squared"]
            assert found is None or 0 <= found <= 1


@pytest.mark.parametrize("kind", ["HC0", "HC1", "HC2", "HC3"])
@pytest.mark.parametrize("weight", ["none", "precision", "frequency"])
def test_rows_met_exactly_leave_no_robust_f(
    kind: str, weight: str, linlight: Callable[..., Any], tmp_path: Path
) -> None:
    generator = np.random.default_rng(0)
    rows = [
        f"{a},{i == 3:d},{i == 5:d},{1 + i % 3},{y}"
        for i, (a, y) in enumerate(generator.normal(size=(30, 2)))
    ]
    (tmp_path / "exact.csv").write_text("\n".join(["a,g,h,weight,y", *rows]))
    words = [
        "fit",
        "--model=LeastSquares",
        "--data.path=exact.csv",
        "--data.target=y",
        "--data.features=[a,g,h]",
    ]
    if weight != "none":
        words += ["--data.weight=weight", f"--data.weight_kind={weight}"]
    # The covariance of the slopes is singular, whether or not rounding hides it.
    assert linlight(*words, f"--model.robust={kind}").summary["f"] is None
    assert linlight(*words).summary["f"] > 0
