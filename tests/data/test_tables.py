"""Tables of every kind give the same data, and bad ones one clear line."""

import bz2
import functools
import gzip
import http.server
import json
import os
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from conftest import fit, quiet_trainer
from pyarrow import parquet

from linlight import ExhaustiveSearch, GradientDescent, LinearRegression, XYDataModule
from linlight.cli.main import main
from linlight.data.paths import Files, open_table
from linlight.data.tables import ColumnSpec, Part
from linlight.errors import InputError
from linlight.methods.backpropagation import Backpropagation
from linlight.methods.base import LinearModel

CSV = "y,a,b,name\n1,2,3.5,u\n4,5,6,v\n7,8,10,u\n"
X = [[2.0, 3.5], [5.0, 6.0], [8.0, 10.0]]


def sources(folder: Path) -> dict[str, str]:
    frame = pd.DataFrame({"y": [1, 4, 7], "a": [2, 5, 8], "b": [3.5, 6, 10], "name": ["u", "v", "u"]})
    table = pa.Table.from_pandas(frame, preserve_index=False)
    (folder / "t.csv").write_text(CSV)
    (folder / "t.csv.gz").write_bytes(gzip.compress(CSV.encode()))
    (folder / "t.csv.bz2").write_bytes(bz2.compress(CSV.encode()))
    for codec, ending in (("zstd", "zst"), ("lz4", "lz4")):
        with pa.CompressedOutputStream(folder / f"t.csv.{ending}", codec) as stream:
            stream.write(CSV.encode())
    with zipfile.ZipFile(folder / "t.csv.zip", "w") as archive:
        archive.writestr("t.csv", CSV)
    (folder / "t.tsv").write_text(CSV.replace(",", "\t"))
    (folder / "t.tsv.gz").write_bytes(gzip.compress(CSV.replace(",", "\t").encode()))
    (folder / "old.tsv").mkdir()
    (folder / "old.tsv" / "t.csv").write_text(CSV)
    parquet.write_table(table, folder / "t.parquet")
    (folder / "parts").mkdir()
    parquet.write_table(table.slice(0, 1), folder / "parts" / "0.parquet")
    parquet.write_table(table.slice(1, 0), folder / "parts" / "1.parquet")  # an empty part
    parquet.write_table(table.slice(1), folder / "parts" / "2.parquet")
    names = [
        *(f"t.csv{ending}" for ending in ("", ".gz", ".bz2", ".zst", ".lz4", ".zip")),
        *("t.tsv", "t.tsv.gz", "old.tsv/t.csv", "t.parquet", "parts", "parts/*.parquet"),
    ]
    return {name: str(folder / name) for name in names} | {"uri": (folder / "t.parquet").as_uri()}


def test_every_kind_of_file_gives_the_same_numbers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, path in sources(tmp_path).items():
        data = XYDataModule(path=path)
        assert data.x.tolist() == X, name
        assert data.y is not None
        assert data.y.tolist() == [[1], [4], [7]], name
        assert data.feature_names == ["a", "b"]
        assert data.target_names == ["y"]
        assert capsys.readouterr().out.count("name (text)") == 1


TREE = ("a.csv", "b.csv", "s/c.csv", "d.txt", "_old/a.csv", ".ipynb_checkpoints/a-checkpoint.csv", "_e.csv")


@pytest.mark.parametrize(
    ("path", "files"),
    {
        "f[6]": ["a.csv", "b.csv", "s/c.csv"],
        "g": ["a.csv", "b.csv", "s/c.csv"],
        "g/*.csv": ["a.csv", "b.csv"],
        "./g/**/*.csv": ["a.csv", "b.csv", "s/c.csv"],
        "*/[bc].csv": ["b.csv"],
        "g/*": ["a.csv", "b.csv"],
        "g/*.txt": ["d.txt"],
        "g/_*/*.csv": ["_old/a.csv"],
        "g/_old": ["_old/a.csv"],
    }.items(),
)
def test_a_folder_or_a_pattern_takes_in_what_is_meant(
    path: str, files: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in TREE:
        file = tmp_path / ("f[6]" if path == "f[6]" else "g") / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(CSV)
    for root in ("", f"{tmp_path}/"):
        table = open_table(root + path)
        assert isinstance(table, Files)
        base = tmp_path / ("f[6]" if path == "f[6]" else "g")
        assert [str((tmp_path / file).relative_to(base)) for file in table.files] == files
        said = f"{root}{path}: {len(files)} files\n" if len(files) > 1 else ""
        assert capsys.readouterr().out == said


def test_tables_in_memory_and_arrays(tmp_path: Path) -> None:
    frame = pd.DataFrame({"y": [1, 4, 7], "a": [2, 5, 8], "b": [3.5, 6, 10]}, index=[5, 6, 7])
    for table in (frame, pa.Table.from_pandas(frame)):
        assert XYDataModule(path=table, features=["a", "b"]).x.tolist() == X
    np.save(tmp_path / "a.npy", frame.to_numpy())
    np.save(tmp_path / "big-endian.npy", frame.to_numpy().astype(">f8"))
    for path in (tmp_path / "a.npy", tmp_path / "big-endian.npy"):
        data = XYDataModule(path=path, target=0)  # type: ignore[arg-type]
        assert data.x.tolist() == X
        assert data.feature_names == ["1", "2"]
    sparse = frame.astype({"a": pd.SparseDtype("float")})
    assert XYDataModule(path=sparse, features=["a", "b"]).x.tolist() == X
    np.savez(tmp_path / "a.npz", x=np.array(X), y=np.array([1.0, 4, 7]))
    data = XYDataModule(path=str(tmp_path / "a.npz"))
    assert data.x.tolist() == X
    assert data.feature_names == ["x_0", "x_1"]
    assert XYDataModule().feature_names == ["x"]
    assert XYDataModule(X, [[1, 2]] * 3).target_names == ["y_0", "y_1"]


def test_a_large_table_crosses_many_blocks(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.standard_normal((50_000, 3)).astype("float32"), columns=["y", "a", "b"])
    frame.to_csv(tmp_path / "t.csv", index=False)
    parquet.write_table(pa.Table.from_pandas(frame), tmp_path / "t.parquet", row_group_size=7_001)
    for name in ("t.csv", "t.parquet"):
        data = XYDataModule(path=str(tmp_path / name), features="a,b")
        assert data.dtype == torch.float64
        assert np.array_equal(data.x.numpy().astype("float32"), frame[["a", "b"]].to_numpy())


def test_predicting_a_table_never_reads_its_target(tmp_path: Path, linlight: Callable[..., Any]) -> None:
    (tmp_path / "t.csv").write_text("a,y\n1,2\n2,4\n3,7\n")
    run = linlight("fit", "--model=LeastSquares", "--data.path=t.csv")
    (tmp_path / "new.csv").write_text("a,y\n4,?\n5,\n")
    assert (
        "-> prediction 9.3" in linlight("predict", "--ckpt_path", run.checkpoint, "--data.path=new.csv").out
    )


def test_features_far_from_zero(linlight: Callable[..., Any]) -> None:
    x = "--data.x=[1000001,1000002,1000003,1000004]"
    words = [x, "--data.y=[2,4,5,9]", "--data.standardize=true", "--model=LinearRegression", "--model.lr=0.1"]
    run = linlight("fit", *words, "--data.dtype=float32")
    assert "predictions are off by up to 0.26" in run.out
    (weights,), (bias,) = run.summary["weights"], run.summary["bias"]
    residuals = np.array([2, 4, 5, 9]) - bias - weights[0] * np.arange(1000001, 1000005)
    assert (residuals**2).mean() == pytest.approx(run.summary["train_loss"], rel=1e-4)
    assert "off by" not in linlight("fit", *words).out


@pytest.mark.parametrize("size", [1, 3, 8, 2**24])
@pytest.mark.parametrize(
    "text",
    {
        "blank lines": "a,b\n1,2\n\n\n\n3,4\n\n\n\n",
        "of Windows": "a,b\r\n1,2\r\n\r\n3,4\r\n",
        "of old Macs": "a,b\r1,2\r3,4\r",
        "without an end": "a,b\n1,2\n3,4",
        "with a mark": "\ufeffa,b\n1,2\n3,4\n",
        "in quotes": '"a","b"\n"1","2"\n"3","4"\n',
    }.values(),
)
def test_a_csv_in_pieces_of_any_size(
    size: int, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("linlight.data.csv.CSV_BYTES", size)
    (tmp_path / "t.csv").write_bytes(text.encode())
    data = XYDataModule(path=tmp_path / "t.csv", target="b")
    assert data.x.tolist() == [[1], [3]]
    assert data.y is not None
    assert data.y.tolist() == [[2], [4]]


def test_text_of_a_csv_stays_as_it_stands_there(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("y,zip,plan\n1,007,01\n2,12,1\n4,3,01\n")
    data = XYDataModule(path=tmp_path / "t.csv", id="zip", categorical="plan")
    assert data.rows.ids["zip"].to_pylist() == ["007", "12", "3"]
    assert data.feature_names == ["plan=01", "plan=1"]


def test_categories_are_found_in_one_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "t.csv").write_text("y,a,b\n1,u,x\n2,v,x\n")
    read, asked = Files.read, []

    def counted(table: Files, part: Part, columns: dict[str, ColumnSpec]) -> Any:
        asked.append(list(columns))
        return read(table, part, columns)

    monkeypatch.setattr(Files, "read", counted)
    data = XYDataModule(path=tmp_path / "t.csv", categorical="a,b")
    assert data.feature_names == ["a=u", "a=v", "b=x"]
    assert asked == [["a", "b"], ["a", "b", "y"]]


def test_what_a_csv_spells_as_no_value_is_text_elsewhere(tmp_path: Path) -> None:
    text = pd.DataFrame({"y": [1, 2, 3], "a": ["NA", None, "u"]})
    text.to_csv(tmp_path / "t.csv", index=False)
    kept = XYDataModule(path=text, categorical="a", missing="drop", target="y")
    assert kept.feature_names == ["a=NA", "a=u"]
    assert kept.x.tolist() == [[1, 0], [0, 1]]
    dropped = XYDataModule(path=tmp_path / "t.csv", categorical="a", missing="drop", id="a")
    assert dropped.feature_names == ["a=u"]
    (tmp_path / "t.csv").write_text("y,a,id\n1,2,NA\n2,3,null\n")
    assert XYDataModule(path=tmp_path / "t.csv", id="id").rows.ids["id"].to_pylist() == ["NA", "null"]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        ([[1, 2], [3.0]], [1, 2, 3]),
        ([["u", "v"], [3]], ["u", "v", "3"]),
        (
            [[1, 2], ["w"]],
            r"1.parquet: column 'id' is text, and int64 in the first file: write it as one type",
        ),
    ],
)
def test_ids_of_one_type_in_all_files(
    ids: list[list[Any]], expected: Any, stream: bool, tmp_path: Path
) -> None:
    for i, values in enumerate(ids):
        table = pa.table({"y": [1, 2][: len(values)], "a": [2, 3][: len(values)], "id": values})
        parquet.write_table(table, tmp_path / f"{i}.parquet")

    def found() -> list[Any]:
        data = XYDataModule(path=tmp_path, features="a", id="id", stream=stream, window=2)
        if not stream:
            return list(data.rows.ids["id"].to_pylist())
        return [value for batch in data.predict_dataloader() for value in batch[2]["id"].to_pylist()]

    if isinstance(expected, list):
        assert found() == expected
    else:
        with pytest.raises(InputError, match=expected):
            found()


def test_a_target_that_is_not_y_beside_a_feature_that_is(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("y,z,a\n1,2,3\n2,3,4\n")
    data = XYDataModule(path=tmp_path / "t.csv", features="y,a")  # as `predict` has it, without a target
    assert data.feature_names == ["y", "a"]
    assert data.targets is None


def test_one_hot(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(CSV)
    data = XYDataModule(path=str(tmp_path / "t.csv"), features="a", categorical="name")
    assert data.feature_names == ["a", "name=u", "name=v"]
    assert data.x.tolist() == [[2, 1, 0], [5, 0, 1], [8, 1, 0]]
    assert data.hparams["categorical"] == {"name": ["u", "v"]}


def test_rows_that_lack_a_value(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(tmp_path / "t.csv")
    Path(path).write_text("y,a\n1,2\n3,\n5,6\n,8\n9,10\n")
    with pytest.raises(InputError, match=r"t.csv: column 'a' has no value in row 1 .*--data.missing drop"):
        XYDataModule(path=path).read()
    data = XYDataModule(path=path, missing="drop")
    assert data.x.tolist() == [[2], [6], [10]]
    assert data.rows.numbers is not None
    assert data.rows.numbers.tolist() == [0, 2, 4]
    assert "dropped 2 rows of 5 that lack a value" in capsys.readouterr().out
    Path(path).write_text("y,a\n1,2\n3,\n5,6\n")
    XYDataModule(path=path, missing="drop").read()
    assert "dropped 1 row of 3 that lacks a value: a 1" in capsys.readouterr().out


BAD: dict[str, tuple[str, dict[str, Any], str]] = {
    "a missing column": ("y,alpha\n1,2\n2,3\n", {"features": "alhpa"}, r"no column 'alhpa'.*mean 'alpha'"),
    "a missing target": ("y,alpha\n1,2\n2,3\n", {"target": "yy"}, r"no column 'yy'.*mean 'y'"),
    "no target": ("z,alpha\n1,2\n2,3\n", {}, r"--data.target"),
    "text among the features": ("y,a\n1,2\n2,x\n", {"features": "a"}, r"'a' holds 'x' in row 1.*not a num"),
    "only text": ("y,a\n1,2\n2,NA\n3,?\n", {}, r"'a' holds '\?' in row 2.*not a num"),
    "semicolons": ("y;a\n1;2\n2;3\n", {"target": "y;a"}, r"one column, 'y;a': separate the fields"),
    "another encoding": ("y,größe\n1,2\n2,3\n", {}, r"bad.csv is not in UTF-8: save it"),
    "ragged rows": ("y,a\n1,2\n3\n", {}, r"bad.csv is not a table: line 3: Expected 2 columns, got 1"),
    "infinity": ("y,a\n1,2\n2,inf\n", {}, r"bad.csv: column 'a' holds inf in row 1"),
    "overflow": (
        "y,a\n1,2\n2,1e300\n",
        {"dtype": "float32"},
        r"column 'a' holds 1e\+300 in row 1 .* it overflows float32, use --data.dtype float64",
    ),
    "a constant target": ("y,a\n1,2\n1,3\n", {}, r"the target 'y' is 1 in every row"),
    "equal names": ("y,a,a\n1,2,3\n", {}, r"2 columns named 'a'"),
    "no rows": ("y,a\n", {}, r"bad.csv has no rows"),
    "an empty file": ("", {}, r"bad.csv cannot be read.*mpty"),
    "too few rows": ("y,a\n1,2\n2,3\n", {"val_fraction": 0.1}, r"0.1 of 2 rows comes to no row"),
    "a weight below zero": ("y,a,w\n1,2,1\n2,3,-1\n", {"weight": "w"}, r"weight -1 in row 1"),
    "a feature that is the target": (
        "y,a\n1,2\n2,3\n",
        {"features": "a,y", "target": "y"},
        r"'y' is .* target and features",
    ),
    "a target that is a category": (
        "y,a\nu,2\nv,3\n",
        {"target": "y", "categorical": "y"},
        r"'y' is named as target and categorical: name it as one",
    ),
    "a target that is the weight": ("y,a\n1,2\n2,3\n", {"target": "y", "weight": "y"}, r"target and weight"),
    "no feature": ("y,w\n1,2\n2,3\n", {"weight": "w"}, r"no column to learn from besides 'w', 'y': add one"),
    "text as target": ("y,a\n1,2\nx,3\n", {}, r"'x' in row 1 .*, or name another column as --data.target$"),
    "text as weight": ("y,a,w\n1,2,1\n2,3,x\n", {"weight": "w"}, r"or name another column as --data.weight$"),
    "late text as weight": (
        "y,a,w\n" + "1,2,1\n" * 2**18 + "2,3,x\n",
        {"weight": "w"},
        r"holds 'x' in row 262144 .* or name another column as --data.weight$",
    ),
    "a name in another case": ("y,B\n1,2\n2,3\n", {"features": "b"}, r"'b' for --data.features: .* mean 'B'"),
    "a feature twice": ("y,a\n1,2\n2,3\n", {"features": "a,a"}, r"'a' is named 2 times as features"),
    "a target twice": ("y,a\n1,2\n2,3\n", {"target": "y,y"}, r"'y' is named 2 times as target"),
    "an id that is in the way": ("y,a,row\n1,2,3\n", {"id": "row"}, r"'row' cannot be an id"),
    "another": ("y,a,prediction\n1,2,3\n", {"id": "prediction"}, r"'prediction' cannot be an id"),
    "latin-1 categories": (
        "y,a\n1,gr\xfcn\n2,rot\n",
        {"categorical": "a"},
        r"bad.csv is not in UTF-8: save it",
    ),
    "latin-1 ids": ("y,a,b\n1,2,gr\xfcn\n2,1,rot\n", {"id": "b"}, r"bad.csv is not in UTF-8: save it"),
    "decimal commas": ("a;b;y\n1,5;2,1;3,4\n", {}, r"one column, 'a;b;y': separate .*decimals with points"),
}


def listed(**columns: list[Any]) -> pa.Table:
    return pa.table({"y": [1, 2], **columns})


def framed(**columns: Any) -> pd.DataFrame:
    return pd.DataFrame({"y": [1, 2], **columns})


IN_MEMORY: dict[str, tuple[Any, dict[str, Any], str]] = {
    "lists": (listed(a=[[1], [2]]), {"categorical": "a"}, r"'a' is list<.*>, which cannot be a category"),
    "structs": (listed(a=[{"b": 1}, {"b": 2}]), {"categorical": "a"}, r"'a' is struct<.*>, which cannot be"),
    "numbers as text": (
        listed(a=["-1.15", "2"]),
        {"features": "a"},
        r"is text, though '-1.15' in row 0 looks",
    ),
    "several types": (framed(a=[1, "x"]), {}, r"column 'a' of the table holds .*'x' with type str.*astype"),
    "equal names": (framed(a=1, b=2).set_axis(["y", "a", "a"], axis=1), {}, r"table has 2 columns named 'a'"),
    "names that become equal": (framed(a=1).set_axis([1, "1"], axis=1), {}, r"table has 2 columns named '1'"),
}


@pytest.mark.parametrize("case", IN_MEMORY)
def test_bad_tables_in_memory(case: str) -> None:
    table, options, message = IN_MEMORY[case]
    with pytest.raises(InputError, match=message):
        XYDataModule(path=table, **options).read()


@pytest.mark.parametrize(
    ("name", "arrays", "message"),
    [
        ("none.npz", {}, "none.npz holds no columns"),
        ("narrow.npy", np.empty((5, 0)), "narrow.npy holds no columns"),
        ("objects.npy", np.array([1, None]), "objects.npy holds Python objects: it must hold numbers"),
        ("objects.npz", {"x": np.array([1, None])}, "objects.npz holds Python objects: it must hold numbers"),
        ("long.npy", np.ones(3, np.longdouble), "of type float128: it must hold numbers"),
        ("equal.npz", {"x": np.ones((9, 2)), "x_0": np.ones(9), "y": np.ones(9)}, "2 columns named 'x_0'"),
    ],
)
def test_bad_arrays(name: str, arrays: Any, message: str, tmp_path: Path) -> None:
    if isinstance(arrays, dict):
        np.savez(tmp_path / name, **arrays)
    else:
        np.save(tmp_path / name, arrays)
    with pytest.raises(InputError, match=message):
        XYDataModule(path=tmp_path / name)


@pytest.mark.parametrize("case", BAD)
def test_bad_tables(case: str, tmp_path: Path) -> None:
    content, options, message = BAD[case]
    (tmp_path / "bad.csv").write_text(content, encoding="latin-1")
    with pytest.raises(InputError, match=message):
        fit(GradientDescent(), XYDataModule(path=str(tmp_path / "bad.csv"), **options), max_epochs=1)


def test_text_beyond_what_the_types_were_guessed_from(tmp_path: Path) -> None:
    rows = [f"{i},{i}.25,{i}.125" for i in range(100_000)]
    rows[90_000] = "1,many,2"
    (tmp_path / "bad.csv").write_text("y,a,b\n" + "\n".join(rows) + "\n")
    with pytest.raises(InputError, match=r"bad.csv: column 'a' holds 'many' in row 90000"):
        XYDataModule(path=str(tmp_path / "bad.csv")).read()


def test_bad_files(tmp_path: Path) -> None:
    for path, message in {
        tmp_path / "no.csv": "there is no file",
        tmp_path / "*.csv": "has no files that end in",
        tmp_path / "a.xls": "the ending of .* is unknown",
        tmp_path / "cut.parquet": "cut.parquet cannot be read",
        tmp_path / "cut.csv.gz": "cut.csv.gz cannot be read",
        tmp_path / "damaged.parquet": "damaged.parquet cannot be read",
    }.items():
        table = pa.table({"y": range(1000), "a": range(1000)})
        parquet.write_table(table, tmp_path / "whole", write_page_checksum=True)
        if path.suffix == ".xls":
            path.write_text("1")
        elif path.name.startswith("cut"):
            whole = tmp_path / "whole"
            if path.suffix == ".gz":
                whole.write_bytes(gzip.compress(CSV.encode() * 1000))
            path.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
        elif path.name.startswith("damaged"):
            content = (tmp_path / "whole").read_bytes()
            path.write_bytes(content[:500] + bytes(20) + content[520:])
        with pytest.raises(InputError, match=message):
            XYDataModule(path=str(path)).read()


def test_a_file_by_http(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(CSV)
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=tmp_path)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        assert XYDataModule(path=f"{address}/t.csv", target="y").x.tolist() == X
        with pytest.raises(InputError, match=r"there is no file http.*no.csv"):
            XYDataModule(path=f"{address}/no.csv")
        server.shutdown()


def test_a_file_that_changes_while_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(CSV)
    for change in (lambda: path.write_text(CSV + "7,8,9,u\n"), path.unlink):
        path.write_text(CSV)
        blocks = open_table(str(path)).blocks({"y": ColumnSpec(pa.float64())})
        next(blocks)
        change()
        with pytest.raises(InputError, match="changed while it was read"):
            list(blocks)


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may read everything")
def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(CSV)
    path.chmod(0)
    with pytest.raises(InputError, match="may not be read: change its permissions"):
        XYDataModule(path=str(path))


@pytest.mark.parametrize("method", [GradientDescent, Backpropagation, LinearRegression, ExhaustiveSearch])
@pytest.mark.parametrize("batch_size", [None, 3])
def test_a_weight_of_k_counts_as_k_rows(
    method: type[LinearModel], batch_size: int | None, tmp_path: Path
) -> None:
    frame = pd.DataFrame({"y": [2.0, 3, 7], "a": [1.0, 2, 3], "k": [1, 2, 3]})
    repeated = frame.loc[frame.index.repeat(frame["k"])]
    losses, weights = [], []
    for table, weight in ((frame, "k"), (repeated, None)):
        data = XYDataModule(path=table, target="y", features="a", weight=weight, dtype="float64")
        data.batch_size = batch_size if weight else None
        model = method(w0=0.5) if method is LinearRegression else method()
        run = quiet_trainer(max_epochs=20)
        run.fit(model, data)
        weights.append(model.w.item())
        losses.append(run.callback_metrics["train_loss"].item())
    assert weights[0] == pytest.approx(weights[1], rel=1e-12)
    assert losses[0] == pytest.approx(losses[1], rel=1e-12)


def test_standardized_training_in_the_datas_own_units(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JSONARGPARSE_DEPRECATION_WARNINGS", "off")  # lightning's own command line uses them
    rng = np.random.default_rng(0)
    x = rng.standard_normal((60, 2)) * [1000, 0.01] + [5000, 3]
    frame = pd.DataFrame(x, columns=["a", "b"]).assign(y=x @ [0.002, 300] + 7, who=range(60))
    frame.to_csv(tmp_path / "t.csv", index=False)
    method = ["--model", "GradientDescent", "--model.bias", "true", "--model.lr", "0.2"]
    data = [f"--data.path={tmp_path / 't.csv'}", "--data.features=a,b", "--data.standardize=true"]
    root = f"--trainer.default_root_dir={tmp_path}"
    main(["fit", *method, *data, "--data.dtype=float64", root, "--trainer.logger=false"])
    run = Path(capsys.readouterr().out.split("run: ")[-1].strip())
    summary = json.loads((run / "summary.json").read_text())
    assert summary["weights"][0] == pytest.approx([0.002, 300], rel=1e-9)
    assert summary["bias"] == pytest.approx([7], rel=1e-8)
    assert summary["feature_names"] == ["a", "b"]

    # A checkpoint alone predicts: from a new table without the target, its columns in another order.
    checkpoint = run / "checkpoints" / "last.ckpt"
    model = GradientDescent.load_from_checkpoint(checkpoint, weights_only=True)
    assert model(torch.from_numpy(x)).detach().numpy()[:, 0] == pytest.approx(frame["y"].to_numpy())
    frame[["who", "b", "a"]].to_csv(tmp_path / "new.csv", index=False)
    new = [f"--ckpt_path={checkpoint}", f"--data.path={tmp_path / 'new.csv'}", root]
    for kind, read in (("csv", pd.read_csv), ("parquet", pd.read_parquet)):
        main(["predict", *new, "--data.id=who", f"--format={kind}"])
        run = Path(capsys.readouterr().out.split("run: ")[-1].strip())
        table = read(run / f"predictions.{kind}")
        assert list(table) == ["row", "who", "prediction"]
        assert table["who"].astype(int).tolist() == list(range(60))
        assert table["prediction"].to_numpy() == pytest.approx(frame["y"].to_numpy())
    frame[["who", "a"]].to_csv(tmp_path / "new.csv", index=False)
    with pytest.raises(SystemExit, match="2"):
        main(["predict", *new])
    assert "new.csv has no column 'b'" in capsys.readouterr().err


@pytest.mark.parametrize("ending", ["csv", "parquet"])
@pytest.mark.parametrize("stream", [False, True])
def test_columns_are_known_before_rows_are_read(
    ending: str, stream: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = pd.DataFrame({"a": [1.0, 2, 3], "b": [0.0, 1, 0], "y": [1.0, 2, 4]})
    frame.to_csv("t.csv", index=False)
    frame.to_parquet("t.parquet")
    read: list[Part] = []
    original = Files.read

    def noted(self: Files, part: Part, columns: Any) -> Any:
        read.append(part)
        return original(self, part, columns)

    monkeypatch.setattr(Files, "read", noted)
    data = XYDataModule(path=f"t.{ending}", stream=stream, val_fraction=0.4)
    assert (data.features, data.targets, data.dtype) == (2, 1, torch.float64)
    assert data.feature_names == ["a", "b"]
    assert data.has_validation
    assert not read
    if not stream:
        data.setup("fit")
        assert len(read) == 1
        assert data.x.shape == (3, 2)
        assert len(read) == 1


@pytest.mark.parametrize("ending", ["csv", "parquet"])
@pytest.mark.parametrize("stream", [False, True])
def test_whole_numbers_beyond_float64_are_told(
    ending: str, stream: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    frame = pd.DataFrame({"n": [2**53 + 1, 5, -3], "m": [2**53 - 1, 1, 2], "y": [1.0, 2, 4]})
    frame.to_csv("t.csv", index=False)
    frame.to_parquet("t.parquet")
    data = XYDataModule(path=f"t.{ending}", stream=stream)
    for _ in range(2):
        assert sum(len(batch[0]) for batch in data.test_dataloader()) == 3
    out = capsys.readouterr().out
    assert out.count("rounded") == out.count("\n") == 1
    assert "to what float64 holds, in n: leave such a column out of --data.features" in out
