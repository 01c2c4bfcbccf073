"""Numbers keep the precision that they come in; float32 is asked for, and what it costs is said."""

import json
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from conftest import Run, fit, quiet_trainer
from nist_data import NIST_SETS
from pyarrow import parquet
from test_nist import digits

from linlight import GradientDescent, LeastSquares, LinearRegression, XYDataModule
from linlight.errors import InputError

Linlight = Callable[..., Run]
LIST = [1.0, 2.0, 3.0]
SINGLE, DOUBLE = np.array(LIST, "float32"), np.array(LIST)
COARSE = "float32 is coarse for "


@pytest.mark.parametrize(
    ("x", "y", "dtype"),
    [
        (LIST, LIST, "float64"),
        ([1, 2, 3], [1, 2, 3], "float64"),
        (np.arange(3), np.arange(3), "float64"),
        (torch.arange(3), torch.arange(3), "float64"),
        (SINGLE, SINGLE, "float32"),
        (torch.tensor(LIST), torch.tensor(LIST), "float32"),
        (torch.tensor(LIST).bfloat16(), SINGLE, "float32"),
        (SINGLE.astype("float16"), SINGLE.astype("float16"), "float32"),
        (DOUBLE.astype("longdouble"), DOUBLE, "float64"),
        (SINGLE, DOUBLE, "float64"),
        (SINGLE, LIST, "float64"),
        (SINGLE, np.arange(3), "float64"),
        (SINGLE, np.arange(3, dtype="int8"), "float32"),
        (pd.DataFrame({"a": SINGLE, "b": SINGLE}), SINGLE, "float32"),
        (pd.DataFrame({"a": SINGLE, "b": DOUBLE}), SINGLE, "float64"),
        (pd.DataFrame({"a": SINGLE, "b": SINGLE > 1}), SINGLE, "float32"),
        (pd.DataFrame({"a": SINGLE, "b": pd.array([1, 2, 4], "Int8")}), pd.Series(SINGLE), "float32"),
        (pd.DataFrame({"a": SINGLE, "b": pd.array([1, 2, 4], "Int64")}), SINGLE, "float64"),
        (pd.Series(pd.array(LIST, "Float32")), SINGLE, "float32"),
        ([Decimal("0.1"), Fraction(1, 3), 2], SINGLE, "float64"),
        (np.ma.masked_greater(SINGLE, 5), SINGLE, "float32"),
    ],
)
def test_arrays_keep_what_they_are(x: Any, y: Any, dtype: str) -> None:
    data = XYDataModule(x, y)
    model = LeastSquares()
    fit(model, data)
    assert str(data.dtype) == str(data.x.dtype) == str(model.w.dtype) == f"torch.{dtype}"
    assert data.hparams["dtype"] == dtype
    assert all(t.dtype == data.dtype for t in next(iter(data.test_dataloader())))


@pytest.mark.parametrize(
    "x",
    [
        np.ma.masked_greater(DOUBLE, 2),
        np.ma.masked_greater(np.arange(4)[1:], 2),
        pd.Series(pd.array([1, 2, None], "Int64")),
        pd.DataFrame({"a": pd.array([1.5, 2, None], "Float64"), "b": SINGLE}),
    ],
)
def test_what_has_no_value_is_no_number(x: Any) -> None:
    with pytest.raises(InputError, match="at row 2"):
        XYDataModule(x, LIST)


@pytest.mark.parametrize("kind", ["csv", "parquet", "npy", "frame", "arrow", "mixed"])
@pytest.mark.parametrize("stream", [False, True])
def test_tables(kind: str, stream: bool, tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": SINGLE, "y": SINGLE})
    path: Any = frame
    if kind == "csv":
        path = str(tmp_path / "t.csv")
        frame.to_csv(path, index=False)
    elif kind == "parquet":
        path = str(tmp_path / "t.parquet")
        parquet.write_table(pa.Table.from_pandas(frame), path)
    elif kind == "npy":
        path = str(tmp_path / "t.npy")
        np.save(path, frame.to_numpy())
    elif kind == "arrow":
        path = pa.Table.from_pandas(frame)
    elif kind == "mixed":
        path = frame.assign(a=DOUBLE)
    target = list(XYDataModule(path=path, features=None, target=None).feature_names)[-1]
    data = XYDataModule(path=path, target="y" if kind != "npy" else target, stream=stream)
    wanted = torch.float64 if kind in ("csv", "parquet", "mixed") else torch.float32
    assert data.dtype == wanted
    assert next(iter(data.train_dataloader()))[0].dtype == wanted
    asked = XYDataModule(path=path, target=data.target_names, stream=stream, dtype="float32")
    assert next(iter(asked.train_dataloader()))[1].dtype == torch.float32


@pytest.mark.parametrize("name", NIST_SETS)
@pytest.mark.parametrize("way", ["lists", "csv", "stream", "command", "float32"])
def test_nist_by_the_default_settings(name: str, way: str, linlight: Linlight) -> None:
    nist = NIST_SETS[name]
    x, y = np.asarray(nist.x), np.asarray(nist.y)
    frame = pd.DataFrame({f"x{i}": column for i, column in enumerate(x.T)} | {"y": y})
    frame.to_csv("t.csv", index=False)
    if way == "command":
        bias = f"--model.bias={json.dumps(nist.bias)}"
        found = linlight("fit", "--model", "LeastSquares", bias, "--data.path", "t.csv").summary
    else:
        table: dict[str, Any] = {"stream": way == "stream", "dtype": "float32" if way == "float32" else None}
        data = XYDataModule(x.tolist(), y.tolist()) if way == "lists" else XYDataModule(path="t.csv", **table)
        if way != "stream" and way != "float32":
            assert data.rows.x.numpy().tobytes() == x.tobytes()
        model = LeastSquares(bias=nist.bias)
        fit(model, data)
        found = model.summary()
    wanted = 7 if name == "Filip" else 10
    assert digits([c["estimate"] for c in found["coefficients"]], nist.estimates) >= wanted
    assert digits([c["std_error"] for c in found["coefficients"]], nist.std_errors) >= wanted


METHODS = ["ExhaustiveSearch", "GradientDescent", "Backpropagation", "LinearRegression", "LeastSquares"]


@pytest.fixture
def far(tmp_path: Path) -> Path:
    """A table whose `t` and `y` lie far from zero, beside a column that does not and a constant one."""
    t = 1.7e9 + np.arange(40.0)
    noise = np.random.default_rng(0).normal(size=40)
    table = pd.DataFrame({"t": t, "near": noise, "same": 1e9 + 0.1, "y": 1e8 + np.arange(40) + noise})
    table[["t", "y"]].to_csv(tmp_path / "two.csv", index=False)
    table.to_csv(tmp_path / "far.csv", index=False)
    return tmp_path / "far.csv"


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("stream", [False, True])
def test_every_method_names_the_columns_that_float32_is_coarse_for(
    method: str, stream: bool, far: Path, linlight: Linlight
) -> None:
    words = [
        "fit",
        "--model",
        method,
        "--data.path",
        str(far.with_name("two.csv")),
        "--trainer.max_epochs",
        1,
    ]
    words += ["--model.lr=1e-25"] if method not in ("ExhaustiveSearch", "LeastSquares") else []
    words += ["--data.stream=true"] if stream else []
    words += ["--data.batch_size=8"] if stream and method not in ("ExhaustiveSearch", "LeastSquares") else []
    plain, rounded = linlight(*words).out, linlight(*words, "--data.dtype=float32").out
    assert COARSE not in plain
    assert rounded.count(COARSE) == 1
    assert COARSE + "t, y: " in rounded


def test_every_command_names_them(far: Path, linlight: Linlight, capsys: Any) -> None:
    data = ["--data.path", str(far), "--data.dtype=float32"]
    run = linlight("fit", "--model=LeastSquares", *data)
    assert run.out.count(COARSE) == 1
    assert COARSE + "t, y: " in run.out
    assert "t is constant" not in run.out
    collinear = [line for line in run.out.splitlines() if "collinear" in line]
    assert collinear == ["collinear: same is constant"]  # in truth
    assert run.summary["coefficients"][1]["estimate"] == pytest.approx(1, abs=0.05)
    predicted = linlight("predict", "--ckpt_path", run.checkpoint, "--data.path", str(far)).out
    assert predicted.count(COARSE) == 1
    assert COARSE + "t: " in predicted
    compared = linlight(
        "compare", "--methods=LeastSquares,LinearRegression", "--lr=1e-25", "--epochs=1", *data
    )
    assert compared.out.count(COARSE) == 1
    swept = linlight("sweep", "--methods=GradientDescent", "--epochs=1", "--lr=[1e-25]", *data)
    assert swept.out.count(COARSE) == 1
    from linlight.cli.main import main

    main(["inspect", *data])
    out = capsys.readouterr().out
    assert out.count(COARSE) == 1
    assert "t is constant" not in out


def test_values_beyond_float32(tmp_path: Path, linlight: Linlight, refused: Any) -> None:
    (tmp_path / "t.csv").write_text("x,y\n1e39,3.1\n2,4.9\n3,7.2\n4,8.8\n")
    words = ["fit", "--model=LeastSquares", "--data.path=t.csv"]
    assert "1e+39 in row 0" in refused(*words, "--data.dtype=float32")
    assert linlight(*words).summary["rows"] == 4


def test_standardised_features_are_rounded_last() -> None:
    x, y = 1.7e9 + np.arange(40.0), np.arange(40.0)
    data = XYDataModule(x, y, dtype="float32", standardize=True)
    model = LinearRegression(lr=0.3)
    fit(model, data, max_epochs=60)
    assert model.w.item() == pytest.approx(1, rel=1e-5)


@pytest.mark.parametrize(("precision", "dtype"), [("64-true", "float64"), ("32-true", "float32")])
def test_lightnings_precision_says_the_same(
    precision: str, dtype: str, linlight: Linlight, refused: Any, tmp_path: Path
) -> None:
    asked = f"--trainer.precision={precision}"
    other = {"float32": "float64", "float64": "float32"}[dtype]
    message = refused("fit", "--model=GradientDescent", asked, f"--data.dtype={other}")
    assert message == (
        f"--trainer.precision {precision} and --data.dtype {other} contradict each other: leave out one"
    )
    run = linlight("fit", "--model=GradientDescent", asked, "--data.val_fraction=0.4")
    state = torch.load(run.checkpoint, weights_only=True)
    assert str(state["state_dict"]["linear.weight"].dtype) == f"torch.{dtype}"
    third = linlight("fit", "--model=GradientDescent", f"--data.dtype={other}", "--data.val_fraction=0.4")
    for command in ("validate", "test", "predict"):
        linlight(command, "--ckpt_path", run.checkpoint)
        linlight(command, "--ckpt_path", third.checkpoint, asked)


def test_lightnings_precision_from_python() -> None:
    model = LinearRegression(lr=0.01)
    data = XYDataModule(SINGLE, SINGLE)
    fit(model, data, precision="64-true", max_epochs=2)
    assert model.w.dtype == data.dtype == torch.float64
    with pytest.raises(InputError, match=r"64-true and --data.dtype float32 contradict each other"):
        fit(LinearRegression(), XYDataModule(dtype="float32"), precision="64-true")
    with pytest.raises(InputError, match=r"precision bf16-true is not used here"):
        fit(LinearRegression(), XYDataModule(), precision="bf16-true")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_checkpoint_goes_on_and_predicts_in_its_type(dtype: str, tmp_path: Path) -> None:
    x = np.array(LIST, dtype)
    model = GradientDescent()
    trainer = fit(model, XYDataModule(x, x), max_epochs=3)
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    other = GradientDescent()
    trainer = quiet_trainer(max_epochs=5)
    trainer.fit(other, XYDataModule(LIST, LIST), ckpt_path=tmp_path / "a.ckpt", weights_only=True)
    assert str(other.w.dtype) == f"torch.{dtype}"
    loaded = GradientDescent.load_from_checkpoint(tmp_path / "a.ckpt")
    found: Any = quiet_trainer().predict(loaded, XYDataModule(LIST, LIST))
    assert str(found[0].dtype) == f"torch.{dtype}"
