"""The exact answer against statsmodels, NumPy and scikit-learn."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import statsmodels.api as sm
import torch
from conftest import fit
from sklearn.datasets import load_diabetes
from sklearn.linear_model import Ridge

from linlight.cli.main import main
from linlight.data.datamodule import XYDataModule
from linlight.errors import InputError
from linlight.functional.solve import equations, optimum
from linlight.functional.statistic import moments
from linlight.methods.exhaustive_search import ExhaustiveSearch
from linlight.methods.least_squares import LeastSquares
from linlight.training.fit_result import FitResult


def solved(x: Any, y: Any, batch_size: int | None = None, **arguments: Any) -> LeastSquares:
    model = LeastSquares(**arguments)
    trainer = fit(model, XYDataModule(x, y, dtype="float64", batch_size=batch_size), max_epochs=3)
    assert trainer.global_step == 1
    assert trainer.current_epoch == 1
    return model


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("batch_size", "refine"), [(None, None), (None, False), (100, False)])
def test_agrees_with_statsmodels_on_diabetes(
    bias: bool, batch_size: int | None, refine: bool | None, tmp_path: Path
) -> None:
    x, y = load_diabetes(return_X_y=True)
    model = solved(x, y, batch_size=batch_size, bias=bias, refine=refine)
    expected = sm.OLS(y, sm.add_constant(x) if bias else x).fit()
    summary = model.summary()
    table = {
        key: np.array([row[key] for row in summary["coefficients"]][0:]) for key in ("estimate", "t", "p")
    }
    np.testing.assert_allclose(table["estimate"], expected.params, rtol=1e-10)
    np.testing.assert_allclose([c["std_error"] for c in summary["coefficients"]], expected.bse, rtol=1e-10)
    np.testing.assert_allclose(table["t"], expected.tvalues, rtol=1e-10)
    np.testing.assert_allclose(table["p"], expected.pvalues, rtol=1e-9)
    interval = [[c["ci_low"], c["ci_high"]] for c in summary["coefficients"]]
    np.testing.assert_allclose(interval, expected.conf_int(), rtol=1e-9)
    assert summary["r_squared"] == pytest.approx(expected.rsquared, rel=1e-12)
    assert summary["residual_sd"] == pytest.approx(expected.mse_resid**0.5, rel=1e-12)
    assert summary["condition_number"] == pytest.approx(expected.condition_number, rel=1e-10)
    assert summary["rank"] == 10 + bias
    found = model.solution.inferred[0]
    assert found.f == pytest.approx(expected.fvalue, rel=1e-10)
    assert found.f_p == pytest.approx(expected.f_pvalue, rel=1e-8)
    assert found.adjusted == pytest.approx(expected.rsquared_adj, rel=1e-10)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("kind", ["HC0", "HC1", "HC2", "HC3"])
def test_robust_errors_agree_with_statsmodels(kind: Any, bias: bool, tmp_path: Path) -> None:
    x, y = load_diabetes(return_X_y=True)
    model = solved(x, y, batch_size=100, bias=bias, robust=kind, refine=bias)
    design = sm.add_constant(x) if bias else x
    expected = sm.OLS(y, design).fit(cov_type=kind, use_t=True)
    coefficients = model.summary()["coefficients"]
    np.testing.assert_allclose([c["std_error"] for c in coefficients], expected.bse, rtol=1e-10)
    np.testing.assert_allclose([c["p"] for c in coefficients], expected.pvalues, rtol=1e-8)
    assert model.solution.inferred[0].f == pytest.approx(float(expected.fvalue), rel=1e-8)


@pytest.mark.parametrize("kind", [None, "HC0", "HC1", "HC2", "HC3"])
@pytest.mark.parametrize("bias", [True, False])
def test_weighted_fits_agree_with_statsmodels(kind: Any, bias: bool, tmp_path: Path) -> None:
    x, y = load_diabetes(return_X_y=True)
    weight = np.random.default_rng(0).uniform(0.5, 2, len(y))
    columns = {f"x{i}": x[:, i] for i in range(10)} | {"y": y, "weight": weight}
    data = XYDataModule(path=pa.table(columns), weight="weight", dtype="float64", batch_size=100)
    model = LeastSquares(bias=bias, robust=kind)
    fit(model, data, max_epochs=1)
    robust = {} if kind is None else {"cov_type": kind, "use_t": True}
    expected = sm.WLS(y, sm.add_constant(x) if bias else x, weights=weight).fit(**robust)
    summary = model.summary()
    for name, column in (("estimate", expected.params), ("std_error", expected.bse), ("t", expected.tvalues)):
        np.testing.assert_allclose([c[name] for c in summary["coefficients"]], column, rtol=1e-10)
    assert summary["r_squared"] == pytest.approx(expected.rsquared, rel=1e-10)
    assert model.solution.inferred[0].f == pytest.approx(float(expected.fvalue), rel=1e-8)


def test_several_targets_are_as_many_fits(tmp_path: Path) -> None:
    x, y = load_diabetes(return_X_y=True)
    model = solved(x, np.column_stack([y, np.sqrt(y)]))
    for target, values in enumerate((y, np.sqrt(y))):
        expected = sm.OLS(values, sm.add_constant(x)).fit()
        found = model.summary()["coefficients"][target]
        np.testing.assert_allclose([c["std_error"] for c in found], expected.bse, rtol=1e-10)


@pytest.mark.parametrize("l2", [1e-3, 1.0, 100.0])
def test_ridge_agrees_with_scikit_learn_and_has_no_standard_errors(l2: float, tmp_path: Path) -> None:
    x, y = load_diabetes(return_X_y=True)
    expected = Ridge(alpha=l2, solver="svd").fit(x, y)
    model = solved(x, y, l2=l2)
    np.testing.assert_allclose(model.w[0].detach(), expected.coef_, rtol=1e-9)
    assert model.b is not None
    assert model.b.item() == pytest.approx(expected.intercept_, rel=1e-12)
    assert all(c["std_error"] is None for c in model.summary()["coefficients"])
    assert "biased on purpose" in model.summary()["notes"][0]
    assert model.train_metrics()["train_loss"] == pytest.approx(
        np.mean((expected.predict(x) - y) ** 2), rel=1e-10
    )


def test_names_collinear_columns_and_takes_the_least_norm() -> None:
    generator = torch.Generator().manual_seed(0)
    hour, minute = (torch.randint(0, k, (400, 1), generator=generator).double() for k in (24, 60))
    other = torch.randn(400, 1, generator=generator, dtype=torch.float64) * 1e-12
    x = torch.cat([hour, other, 100 * hour + minute, minute, torch.full_like(hour, 7)], dim=1)
    y = torch.randn(400, 1, generator=generator, dtype=torch.float64)
    m = moments(x, y)
    found = optimum(m, bias=True)
    assert found.rank == 4
    assert found.b is not None
    assert found.condition_number == float("inf")
    words = equations(found, ["hour", "other", "dep", "minute", "c"])
    assert words == ["c is constant", "dep = 100 hour + minute"]
    centred = (x - x.mean(0)).numpy()[:, [0, 2, 3]]
    rest = sm.OLS(y.numpy(), np.column_stack([np.ones(400), hour, minute, other])).fit()
    np.testing.assert_allclose((x @ found.w.T + found.b)[:, 0], rest.fittedvalues, rtol=1e-9, atol=1e-12)
    null = np.linalg.svd(centred)[2][-1]
    assert abs(found.w[0, [0, 2, 3]].numpy() @ null) < 1e-12


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
def test_columns_of_any_size(scale: float) -> None:
    x, y = (torch.as_tensor(a) for a in load_diabetes(return_X_y=True))
    sizes = torch.ones(10, dtype=torch.float64)
    sizes[::2] = scale
    plain, sized = (optimum(moments(x * s, y[:, None]), True) for s in (torch.ones(1), sizes))
    assert sized.rank == 11
    torch.testing.assert_close(sized.w * sizes, plain.w, rtol=1e-10, atol=0)


def test_fewer_rows_than_columns(tmp_path: Path) -> None:
    x, y = np.random.default_rng(0).normal(size=(3, 5)), np.array([1.0, 2.0, 4.0])
    model = solved(x, y)
    expected = np.linalg.lstsq(x - x.mean(0), y - y.mean(), rcond=None)[0]
    np.testing.assert_allclose(model.w[0].detach(), expected, rtol=1e-9)
    summary = model.summary()
    assert summary["rank"] == 3
    assert summary["coefficients"][1]["std_error"] is None
    json.dumps(summary, allow_nan=False)


@pytest.mark.parametrize(
    ("x", "y", "weights", "bias"),
    [
        ([[2.0, 3.0]], [5.0], [[0.0, 0.0]], [5.0]),  # a single row
        ([1.0, 2.0, 4.0], [7.0, 7.0, 7.0], [[0.0]], [7.0]),  # a constant target
        ([[3.0], [3.0], [3.0]], [1.0, 2.0, 3.0], [[0.0]], [2.0]),  # rank zero
    ],
)
@pytest.mark.parametrize("robust", [None, "HC3"])
def test_degenerate_data(x: Any, y: Any, weights: Any, bias: Any, robust: Any, tmp_path: Path) -> None:
    model = solved(x, y, robust=robust)
    assert (len(y) > 1) == (model.summary()["coefficients"][0]["std_error"] is not None)
    torch.testing.assert_close(
        model.w.detach(), torch.tensor(weights, dtype=torch.float64), atol=1e-14, rtol=0
    )
    assert model.b is not None
    assert model.b.tolist() == pytest.approx(bias)
    json.dumps(model.summary(), allow_nan=False)
    names = {"target_names": ["y"], "bias": bias, "rows": len(y)}
    assert all(len(line) <= 80 for line in FitResult(names | model.summary()).to_text().splitlines())


def test_nothing_but_zeros_without_a_bias(tmp_path: Path) -> None:
    model = solved([0.0, 0.0], [1.0, 2.0], bias=False)
    assert model.w.item() == 0
    assert model.summary()["rank"] == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"l2": -1.0}, "l2 must be 0 or a positive"),
        ({"l2": 1.0, "robust": "HC3"}, "drop robust or l2"),
        ({"robust": "HC9"}, "one of HC0, HC1, HC2, HC3"),
    ],
)
def test_refuses(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        LeastSquares(**arguments)


def test_on_the_command_line(tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JSONARGPARSE_DEPRECATION_WARNINGS", "off")
    main(["fit", "--model", "LeastSquares", "--data.x", "[1,2,3,4]", "--data.y", "[3,5,7,10]"])
    out = capsys.readouterr().out
    assert all(len(line) <= 80 for line in out.splitlines())
    assert "intercept" in out
    assert "95 % interval" in out
    run = out.splitlines()[-1].removeprefix("run: ")
    summary = json.loads((tmp_path / run / "summary.json").read_text())
    expected = sm.OLS([3.0, 5, 7, 10], sm.add_constant([1.0, 2, 3, 4])).fit()
    names = [c["name"] for c in summary["coefficients"]]
    assert names == ["intercept", "x"]
    np.testing.assert_allclose([c["p"] for c in summary["coefficients"]], expected.pvalues, rtol=1e-9)
    assert summary["train_loss"] == pytest.approx(expected.ssr / 4, rel=1e-6)


@pytest.mark.parametrize("robust", [None, "HC0", "HC3"])
@pytest.mark.parametrize("bias", [True, False])
def test_the_units_of_the_columns_change_nothing_but_units(robust: Any, bias: bool, tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    x = generator.normal(size=(60, 3))
    y = x @ [1.0, 0.1, -2.0] + 3 + generator.normal(size=60)
    scale = np.array([1e12, 1e-12, 1.0])
    found = [solved(z, y, bias=bias, robust=robust) for z in (x, x * scale)]
    t = [[c["t"] for c in model.summary()["coefficients"]] for model in found]
    np.testing.assert_allclose(t[0], t[1], rtol=1e-10)
    assert found[0].solution.inferred[0].f == pytest.approx(found[1].solution.inferred[0].f, rel=1e-10)


def test_a_constant_column_has_no_weight_whatever_else_is_there(tmp_path: Path) -> None:
    generator = np.random.default_rng(3)
    a, b, c = generator.normal(size=(3, 50))
    far = 1e6 + generator.normal(size=50)
    x = np.column_stack([a, np.full(50, 7.0), b, 2 * a - 3 * b + 1, b + 1e-3 * c, 1e12 * c, far])
    row = solved(x, a + generator.normal(size=50)).summary()["coefficients"][2]
    assert (row["estimate"], row["std_error"], row["t"]) == (0, 0, None)


def test_columns_beyond_the_sums_are_refused(refused: Any) -> None:
    for x, y in (("[1e-306, 2e-306, 3e-306]", "[1, 2, 4]"), ("[1, 2, 3]", "[1e200, 2e200, 4e200]")):
        data = ["--data.dtype", "float64", "--data.x", x, "--data.y", y]
        assert "multiply such columns by a power of ten" in refused("fit", "--model", "LeastSquares", *data)


@pytest.mark.parametrize("size", [1e-200, 1e-100, 1e100, 1e200])
def test_columns_of_any_other_size_are_not(size: float, tmp_path: Path) -> None:
    found = solved([size, 2 * size, 3 * size], [1.0, 2.0, 4.0]).summary()["coefficients"][1]
    assert found["estimate"] * size == pytest.approx(1.5, rel=1e-12)
    assert found["t"] == pytest.approx(27**0.5, rel=1e-12)


def test_its_gap_is_what_the_penalty_and_the_weights_type_cost(tmp_path: Path) -> None:
    x, y = torch.tensor([[1.0], [2.0], [4.0]]), torch.tensor([[1.0], [3.0], [4.0]])
    gaps = [solved(x, y, l2=l2).summary()["gap"] for l2 in (0.0, 1.0)]
    assert 0 <= gaps[0] < 1e-12
    assert gaps[1] > 1e-3


@pytest.mark.parametrize("stream", [[], ["--data.stream=true", "--data.batch_size=2"]])
def test_a_target_in_tiny_units_is_no_constant(stream: list[str], refused: Callable[..., str]) -> None:
    Path("t.csv").write_text("x,y\n1,1e-303\n2,3e-303\n3,2e-303\n")
    message = refused("fit", "--model=LeastSquares", "--data.path=t.csv", *stream)
    assert "targets beyond 1e+140 or below 1e-140, leave float64" in message


@pytest.mark.parametrize(
    "limit", [{"max_time": "00:00:00:00"}, {"max_epochs": 0}, {"limit_train_batches": 0}]
)
def test_where_nothing_was_trained_it_is_said(limit: dict[str, Any]) -> None:
    model = LeastSquares()
    fit(model, XYDataModule(), **limit)
    for asked in (model.summary, model.train_metrics):
        with pytest.raises(InputError, match="LeastSquares has solved nothing yet: fit it"):
            asked()
    search = ExhaustiveSearch()
    fit(search, XYDataModule(), **limit)
    assert search.report() == ""
