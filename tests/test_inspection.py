"""What `linlight inspect` says of data, against NumPy and statsmodels."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_diabetes
from statsmodels.stats.outliers_influence import variance_inflation_factor

from linlight.data import XYDataModule
from linlight.inspection import inspect
from linlight.main import main


def test_figures_of_diabetes() -> None:
    x, y = load_diabetes(return_X_y=True, scaled=False)
    data = XYDataModule(x, y, dtype="float64")
    lines = inspect(data)
    assert all(len(line) <= 80 for line in lines if not line.startswith("advice"))
    assert lines[0].startswith("442 rows, 10 features, 1 targets")
    design = np.column_stack([np.ones(len(x)), x])
    for j in range(10):
        row = lines[3 + j].split()
        assert row[0] == f"x_{j}"
        expected = (
            x[:, j].mean(),
            x[:, j].std(),
            x[:, j].min(),
            x[:, j].max(),
            variance_inflation_factor(design, j + 1),
        )
        np.testing.assert_allclose([float(v) for v in row[1:]], expected, rtol=1e-3)
    text = "\n".join(lines)
    standard = np.column_stack([np.ones(len(x)), (x - x.mean(0)) / x.std(0)])
    before, after = np.linalg.cond(design), np.linalg.cond(standard)
    assert f"condition number {before:.4g}; standardised {after:.4g}" in text
    bound = 2 / np.linalg.eigvalsh(2 / len(x) * design.T @ design)[-1]
    assert f"{bound:.4g}" in text
    assert "standardise the features before descent" in text


def test_advice_names_the_columns() -> None:
    generator = np.random.default_rng(0)
    a, b = generator.normal(size=(2, 60))
    x = np.column_stack([a, a, np.full(60, 7.0), b, b + 1e-3 * a])
    advice = "\n".join(line for line in inspect(XYDataModule(x, a + b)) if line.startswith("advice"))
    assert "x_2 is constant" in advice
    assert "x_0 = 1 x_1" in advice or "x_1 = 1 x_0" in advice
    few = "\n".join(inspect(XYDataModule(x[:3], a[:3])))
    assert "3 rows do not determine 6 coefficients: use l2" in few
    c = generator.normal(size=60)
    near = "\n".join(inspect(XYDataModule(np.column_stack([a, a + 1e-3 * b, c]), b, dtype="float64")))
    assert "nearly collinear, with large standard errors: x_0, x_1\n" in near
    offset = "\n".join(inspect(XYDataModule(a + 1e6, b)))
    assert "use --data.dtype float64: x" in offset


def test_on_the_command_line(tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JSONARGPARSE_DEPRECATION_WARNINGS", "off")
    main(["inspect", "--bias", "false"])
    assert "0.2143" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())
    with pytest.raises(SystemExit):
        main(["inspect", "--data.xx", "3"])
    assert "did you mean --data.x?" in capsys.readouterr().err
