"""Levels that training has not seen, coding, and what coding makes redundant."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from conftest import fit

from linlight import LeastSquares, XYDataModule
from linlight.cli.inspect import inspect
from linlight.errors import InputError

WORDS = ["--model=LeastSquares", "--data.path=t.csv", "--data.categorical=g", "--data.dtype=float64"]


def written(rows: int = 60, levels: str = "abc") -> pd.DataFrame:
    generator = np.random.default_rng(0)
    table = pd.DataFrame(
        {"x": generator.normal(size=rows), "g": [levels[i % len(levels)] for i in range(rows)]}
    )
    table["y"] = table.x + table.g.map({"a": 0, "b": 1, "c": 5, "d": 7}) + generator.normal(size=rows)
    table.to_csv("t.csv", index=False)
    return table


def test_a_level_is_told_from_the_reference_or_from_the_mean(linlight: Callable[..., Any]) -> None:
    table = written()
    run = linlight("fit", *WORDS, "--data.reference=g=b")
    expected = smf.ols("y ~ x + C(g, Treatment('b'))", table).fit()
    found = {row["name"]: row for row in run.summary["coefficients"]}
    assert list(found) == ["intercept", "x", "g=a", "g=c"]
    for name, other in (("intercept", "Intercept"), ("x", "x"), ("g=a", "C(g, Treatment('b'))[T.a]")):
        assert found[name]["estimate"] == pytest.approx(expected.params[other], rel=1e-9)
        assert found[name]["std_error"] == pytest.approx(expected.bse[other], rel=1e-9)
    assert run.summary["condition_number"] == pytest.approx(
        np.linalg.cond(np.column_stack([np.ones(60), table.x, table.g == "a", table.g == "c"])), rel=1e-9
    )
    assert "coding of g: 'b' is the reference" in run.out
    predicted = linlight("predict", "--ckpt_path", run.checkpoint, "--data.path=t.csv")
    column = pd.read_csv(predicted.folder / "predictions.csv")["prediction"]
    np.testing.assert_allclose(column, expected.fittedvalues, rtol=1e-6)

    plain = linlight("fit", *WORDS)
    expected = smf.ols("y ~ x + C(g, Sum)", table).fit()
    found = {row["name"]: row for row in plain.summary["coefficients"]}
    assert found["g=a"]["estimate"] == pytest.approx(expected.params["C(g, Sum)[S.a]"], rel=1e-9)
    assert found["g=a"]["std_error"] == pytest.approx(expected.bse["C(g, Sum)[S.a]"], rel=1e-9)
    assert found["intercept"]["std_error"] == pytest.approx(expected.bse["Intercept"], rel=1e-9)
    assert "collinear" not in plain.out
    assert "coding of g: each level has a column" in plain.out
    assert plain.summary["condition_number"] < 20
    assert plain.summary["train_loss"] == pytest.approx(run.summary["train_loss"], rel=1e-10)
    assert not any(
        "leave out a column" in line for line in inspect(XYDataModule(path="t.csv", categorical="g"))
    )
    gradual = linlight(
        "fit", *WORDS[1:], "--model=GradientDescent", "--model.bias=true", "--trainer.max_epochs=2"
    )
    assert "condition number inf" not in gradual.out


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("h=a", "reference names 'h', which is not among --data.categorical"),
        ("g=z", "no level 'z' to be the --data.reference"),
        ({"g": "z"}, "no level 'z'"),
    ],
)
def test_a_reference_that_is_not_there(reference: Any, message: str) -> None:
    written()
    with pytest.raises(InputError, match=message):
        XYDataModule(path="t.csv", categorical="g", reference=reference).read()


@pytest.mark.parametrize("command", ["validate", "test", "predict"])
@pytest.mark.parametrize("stream", [False, True])
def test_a_level_that_training_has_not_seen(
    command: str, stream: bool, linlight: Callable[..., Any], refused: Callable[..., str]
) -> None:
    table = written()
    run = linlight("fit", *WORDS)
    pd.concat([table, table.head(2).assign(g="d")]).to_csv("new.csv", index=False)
    words = [command, "--ckpt_path", run.checkpoint, "--data.path=new.csv", f"--data.stream={stream}".lower()]
    again = linlight(*words, "--data.unseen=missing")
    assert again.summary["rows"] == 60
    assert "dropped 2 rows of 62" in again.out
    assert "g (a level that training has not seen) 2" in again.out
    (run.folder / "summary.json").unlink()
    (again.folder / "summary.json").unlink()
    line = refused(*words)
    assert "'g' holds 'd' in row 60 (counted from 0), which the training did not have" in line
    assert "--data.unseen missing" in line


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("kind", ["val", "test"])
def test_a_level_that_a_split_leaves_out(kind: str, stream: bool) -> None:
    table = written(200)
    options: dict[str, Any] = {f"{kind}_fraction": 0.3, "stream": stream, "dtype": "float64"}
    parts = XYDataModule(path="t.csv", features="x", categorical="g", seed=1, **options)
    if stream:
        from linlight.data.split import uniform

        held_back = np.flatnonzero(uniform(np.arange(200), 1) < 0.3)
    else:
        held_back = parts.source.part(kind).numpy()  # type: ignore[attr-defined]
    table.loc[held_back[:3], "g"] = "d"
    table.to_csv("t.csv", index=False)
    with pytest.raises(InputError, match=f"'g' holds 'd' in row {held_back[0]} .*did not have"):
        fit(
            LeastSquares(),
            XYDataModule(path="t.csv", features="x", categorical="g", seed=1, **options),
            max_epochs=1,
        )
    data = XYDataModule(path="t.csv", features="x", categorical="g", seed=1, unseen="missing", **options)
    assert data.feature_names == ["x", "g=a", "g=b", "g=c"]
    assert data.hparams["categorical"] == {"g": ["a", "b", "c"]}
    model = LeastSquares()
    trainer = fit(model, data, max_epochs=1)
    trained = table.drop(held_back)
    expected = smf.ols("y ~ x + C(g, Sum)", trained).fit()
    assert model.w[0, 0].item() == pytest.approx(expected.params["x"], rel=1e-9)
    evaluate = trainer.validate if kind == "val" else trainer.test
    evaluate(model, data, verbose=False)
    rest = table.loc[held_back[3:]]
    found = trainer.callback_metrics[f"{kind}_loss"].item()
    assert found == pytest.approx(np.mean((expected.predict(rest) - rest.y) ** 2), rel=1e-6)


@pytest.mark.parametrize("stream", [False, True])
def test_a_level_of_rows_that_are_dropped_has_no_column(stream: bool, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("x,g,y\n1,a,1\n2,b,3\n3,a,2\n4,c,\n")
    data = XYDataModule(path="t.csv", categorical="g", missing="drop", stream=stream)
    assert data.feature_names == ["x", "g=a", "g=b"]
    assert sum(len(batch[0]) for batch in data.test_dataloader()) == 3
    weighted = pd.DataFrame({"x": [1, 2, 3, 4], "g": [*"abac"], "y": [1, 3, 2, 9], "w": [1, 1, 1, 0]})
    data = XYDataModule(path=weighted, categorical="g", weight="w", target="y", stream=stream)
    assert data.feature_names == ["x", "g=a", "g=b"]
    assert sum(len(batch[0]) for batch in data.test_dataloader()) == 3


@pytest.mark.parametrize("stream", [False, True])
def test_a_reference_that_the_split_leaves_no_row_to_train_on(stream: bool) -> None:
    from linlight.data.split import uniform

    table = written(200)
    options: dict[str, Any] = {"categorical": "g", "stream": stream, "unseen": "missing"}
    held_back = np.flatnonzero(uniform(np.arange(200), 0) < 0.3)
    if not stream:
        whole: Any = XYDataModule(path="t.csv", val_fraction=0.3, **options)
        held_back = whole.source.part("val").numpy()
    table.loc[held_back[:2], "g"] = "d"
    table.to_csv("t.csv", index=False)
    with pytest.raises(
        InputError, match=r"no level 'd' to be the --data.reference, g=LEVEL: there are 'a', 'b'"
    ):
        XYDataModule(path="t.csv", val_fraction=0.3, reference="g=d", **options).read()
    assert XYDataModule(path="t.csv", reference="g=d", **options).feature_names[1:] == ["g=a", "g=b", "g=c"]
