"""What `linlight inspect` says of data, against NumPy and statsmodels."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_diabetes
from statsmodels.stats.outliers_influence import variance_inflation_factor

from linlight.cli.inspect import inspect
from linlight.cli.main import main
from linlight.data.datamodule import XYDataModule


def test_figures_of_diabetes() -> None:
    x, y = load_diabetes(return_X_y=True, scaled=False)
    data = XYDataModule(x, y, dtype="float64")
    lines = inspect(data)
    assert all(len(line) <= 80 for line in lines if not line.startswith("advice"))
    assert lines[0].startswith("442 rows, 10 features, 1 target;")
    design = np.column_stack([np.ones(len(x)), x])
    for j in range(10):
        row = lines[4 + j].split()
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
    assert "x_1 = x_0" in advice
    few = "\n".join(inspect(XYDataModule(x[:3], a[:3])))
    assert "3 rows do not determine 6 coefficients: use l2" in few
    c = generator.normal(size=60)
    near = "\n".join(inspect(XYDataModule(np.column_stack([a, a + 1e-3 * b, c]), b, dtype="float64")))
    assert "nearly collinear, with large standard errors: x_0, x_1\n" in near


def test_on_the_command_line(tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JSONARGPARSE_DEPRECATION_WARNINGS", "off")
    main(["inspect", "--bias", "false"])
    assert "0.2143" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())
    with pytest.raises(SystemExit):
        main(["inspect", "--data.xx", "3"])
    assert "did you mean --data.x?" in capsys.readouterr().err


def test_a_table_that_lacks_values_is_inspected_all_the_same(
    tmp_path: Path, capsys: Any, monkeypatch: Any
) -> None:
    monkeypatch.setenv("JSONARGPARSE_DEPRECATION_WARNINGS", "off")
    (tmp_path / "holes.csv").write_text("a,b,y\n1,5,2\n,6,3\n3,,4\n4,9,\n5,2,7\n,4,5\n6,1,8\n7,3,8\n")
    main(["inspect", f"--data.path={tmp_path / 'holes.csv'}"])
    out = capsys.readouterr().out
    assert "dropped 4 rows of 8 that lack a value: a 2, b 1, y 1\n" in out
    assert "4 rows, 2 features, 1 target; rows that lack a value are left out" in out
    assert "no value is missing" not in out


def test_without_a_bias_columns_are_compared_about_zero() -> None:
    generator = np.random.default_rng(5)
    x = np.column_stack([generator.normal(size=(80, 2)), 3 + 0.01 * generator.normal(size=(80, 2))])

    def about_zero(x: Any, j: int) -> float:
        squares = np.linalg.lstsq(np.delete(x, j, axis=1), x[:, j], rcond=None)[1][0]
        return float((x[:, j] ** 2).sum() / squares)

    lines = inspect(XYDataModule(x, x[:, 0], dtype="float64"), bias=False)
    found = [float(line.split()[-1]) for line in lines[4:8]]
    np.testing.assert_allclose(found, [about_zero(x, j) for j in range(4)], rtol=1e-3)
    assert any("nearly collinear, with large standard errors: x_2, x_3" in line for line in lines)
    assert "advice: leave out a column: x is zero" in inspect(
        XYDataModule([0.0, 0.0], [1.0, 2.0]), bias=False
    )


def test_a_large_column_does_not_hide_the_epochs_that_the_others_need() -> None:
    generator = np.random.default_rng(6)
    x = generator.normal(size=(80, 3)) * [1.0, 1.0, 1e12]
    y = x[:, 0] - x[:, 1] + generator.normal(size=80)
    text = "\n".join(inspect(XYDataModule(x, y, dtype="float64")))
    assert "standardise the features before descent" in text
    constant = "\n".join(inspect(XYDataModule(x, np.ones(80), dtype="float64")))
    assert "advice: the target y is constant: there is nothing to learn" in constant


@pytest.mark.parametrize("bias", [True, False])
def test_which_models_are_spoken_of(capsys: Any, monkeypatch: Any, bias: bool) -> None:
    monkeypatch.setenv("JSONARGPARSE_DEPRECATION_WARNINGS", "off")
    expected = {
        True: "models: y = w x + b, with a bias; --bias false is for those without one",
        False: "models: y = w x, without a bias; --bias true is for those with one",
    }[bias]
    word = str(bias).lower()
    main(["inspect", "--bias", word])
    assert expected in capsys.readouterr().out.splitlines()
    main(["sweep", "--bias", word, "--lr", "[0.01]", "--epochs", "2", "--batch_size", "[3]"])
    assert expected in capsys.readouterr().out.splitlines()


def test_large_numbers_are_written_one_way() -> None:
    lines = inspect(XYDataModule(np.arange(2000.0), np.arange(2000.0) ** 2, dtype="float64"))
    assert lines[0].startswith("2,000 rows, 1 feature, 1 target;")
