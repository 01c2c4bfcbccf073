"""A CSV of any size and dialect reads as it does when small, or is refused by one line that helps."""

import csv
import gzip
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from linlight import XYDataModule
from linlight.data.paths import open_table
from linlight.data.tables import ColumnSpec
from linlight.errors import InputError

CASES = {
    "semi_dec": "x;y\n1,5;3,1\n2,5;4,9\n3,5;7,2\n4,5;8,8\n",
    "thousands": 'x,y\n"1,500",3.1\n"2,500",4.9\n"3,500",7.2\n"4,500",8.8\n',
    "comment": "# made by lab\nx,y\n1,3.1\n2,4.9\n",
    "remarks": "# made by lab, on a day\n# in 2020\nx,y\n1,3.1\n2,4.9\n",
    "nohead": "1,3.1\n2,4.9\n3,7.2\n4,8.8\n",
    "cp1252": "größe,y\n1,3.1\n2,4.9\n",
    "utf16": "größe,y\n1,3.1\n2,4.9\n",
    "qmark": "x,z,y\n1,?,3.1\n2,5,4.9\n3,6,7.2\n4,2,8.8\n5,9,11.5\n",
    "pipes": "x|y\n1|3.1\n2|4.9\n",
    "tabs": "x\ty\n1\t3.1\n2\t4.9\n",
    "german": "x;y\n1,5;3,1\n?;4,9\n3,5;7,2\n",
}
ENCODED = {"cp1252": "cp1252", "utf16": "utf-16"}


def written(case: str, folder: Path) -> Path:
    path = folder / f"{case}.csv"
    path.write_bytes(CASES[case].encode(ENCODED.get(case, "utf-8")))
    return path


@pytest.mark.parametrize(
    ("case", "message"),
    {
        "semi_dec": r"one column, 'x;y'.*--data.delimiter ';'.*--data.decimal ','",
        "thousands": r"'x' holds '1,500' in row 0 .*without separators of thousands",
        "comment": r"begins with a remark, '# made by lab': leave it out, or add --data.skip_rows 1$",
        "remarks": r"begins with a remark, '# made.*--data.skip_rows 2$",
        "nohead": r"no header, for its first line is numbers, '1,3.1'.*--data.header false",
        "cp1252": r"not in UTF-8: save it in that.*--data.encoding cp1252",
        "qmark": r"'z' holds '\?' in row 0 \(counted from 0\), which is not a number.*--data.na_values '\?'",
    }.items(),
)
def test_a_dialect_is_refused_by_a_line_that_helps(case: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        XYDataModule(path=written(case, tmp_path))


@pytest.mark.parametrize(
    ("case", "options", "x"),
    [
        ("semi_dec", {"delimiter": ";", "decimal": ","}, [[1.5], [2.5], [3.5], [4.5]]),
        ("comment", {"skip_rows": 1}, [[1], [2]]),
        ("remarks", {"skip_rows": 2}, [[1], [2]]),
        ("nohead", {"header": False, "target": "1"}, [[1], [2], [3], [4]]),
        ("cp1252", {"encoding": "cp1252"}, [[1], [2]]),
        ("utf16", {"encoding": "utf-16"}, [[1], [2]]),
        ("qmark", {"na_values": "?", "missing": "drop"}, [[2, 5], [3, 6], [4, 2], [5, 9]]),
        ("qmark", {"na_values": "[?]", "missing": "drop"}, [[2, 5], [3, 6], [4, 2], [5, 9]]),
        ("pipes", {"delimiter": "|"}, [[1], [2]]),
        ("tabs", {"delimiter": "\\t"}, [[1], [2]]),
        ("german", {"delimiter": ";", "decimal": ",", "na_values": ["?"], "missing": "drop"}, [[1.5], [3.5]]),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_a_dialect_is_read_by_its_options(
    case: str, options: dict[str, Any], x: list[list[float]], stream: bool, tmp_path: Path
) -> None:
    data = XYDataModule(path=written(case, tmp_path), stream=stream, **options)
    found = [row for batch in data.predict_dataloader() for row in batch[0].tolist()]
    assert found == x
    if case in ENCODED:
        assert data.feature_names == ["größe"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"delimiter": ";;"}, "delimiter must be one character"),
        ({"delimiter": ",", "decimal": ","}, "both ','"),
        ({"encoding": "klingon"}, "encoding 'klingon' is unknown"),
        ({"skip_rows": -1}, "skip_rows must be at least 0"),
    ],
)
def test_a_dialect_that_cannot_be(options: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        XYDataModule(path=written("comment", tmp_path), **options)


def test_which_texts_stand_for_no_value(tmp_path: Path, linlight: Callable[..., Any]) -> None:
    (tmp_path / "t.csv").write_text("x,c,y\n1,NA,3.1\n2,NA,4.9\n3,ZA,7.2\n4,ZA,8.8\n5,ZA,11\n6,,12\n")
    with pytest.raises(InputError, match=r"'c' has no value in row 0"):
        XYDataModule(path="t.csv", categorical="c").read()
    with pytest.raises(InputError, match=r"'c' has no value in row 5"):
        XYDataModule(path="t.csv", categorical="c", na_values=[]).read()
    words = ["--data.categorical=c", "--data.na_values=[]", "--data.missing=drop"]
    run = linlight("fit", "--model=LeastSquares", "--data.path=t.csv", *words)
    assert run.summary["feature_names"] == ["x", "c=NA", "c=ZA"]
    assert run.summary["rows"] == 5
    (tmp_path / "new.csv").write_text("x,c\n7,NA\n")  # the checkpoint knows it
    assert "prediction" in linlight("predict", "--ckpt_path", run.checkpoint, "--data.path=new.csv").out


@pytest.mark.parametrize("stream", [False, True])
def test_a_category_without_a_value_is_no_level(stream: bool, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("x,c,y\n1,NA,3\n2,u,5\n3,v,7\n4,u,8\n")
    data = XYDataModule(path="t.csv", categorical="c", missing="drop", stream=stream)
    found = [row for batch in data.test_dataloader() for row in batch[0].tolist()]
    assert data.feature_names == ["x", "c=u", "c=v"]
    assert found == [[2, 1, 0], [3, 0, 1], [4, 1, 0]]


def test_a_column_that_nobody_named_is_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("", "Unnamed: 0", "__index_level_0__"):
        (tmp_path / "t.csv").write_text(f"{name},a,y\n0,3,1\n1,4,2\n2,5,2\n")
        assert XYDataModule(path="t.csv").feature_names == ["a"]
        assert capsys.readouterr().out.count(f"left out column {name!r}") == 1
        assert XYDataModule(path="t.csv", features=[name, "a"]).feature_names == [name, "a"]
        assert XYDataModule(path="t.csv", features=f"{name},a").feature_names == [name, "a"]
        assert capsys.readouterr().out == ""
    (tmp_path / "t.csv").write_text("a,y,\n3,1,\n4,2,\n")
    assert XYDataModule(path="t.csv").feature_names == ["a"]


def hostile_rows(rows: int, seed: int) -> tuple[str, list[list[str]]]:
    """A CSV whose fields hold line breaks, quotes and delimiters, some rows quoted and some not."""
    draw = random.Random(seed)
    texts = ["", "plain", 'a "word"', "two\nlines", 'x,\n"y"\n', "\n\n", '5" pipe', ",", "ü\r\n", '"', '""']
    found = [[str(i), draw.choice(texts), f"{draw.random():.3f}", draw.choice(texts)] for i in range(rows)]
    lines = ["i,s,y,t\n"]
    for row in found:
        quoted = ['"' + field.replace('"', '""') + '"' for field in row]
        bare = [
            f if draw.random() < 0.5 and not set(f) & set('",\r\n') else q
            for f, q in zip(row, quoted, strict=True)
        ]
        if row[1] == '5" pipe' and draw.random() < 0.5:
            bare[1] = row[1]  # a quote within a field that is not quoted is a letter
        lines.append(",".join(bare) + "\n")
    return "".join(lines), found


@pytest.mark.parametrize("size", [1, 7, 64, 1000, 2**23])
@pytest.mark.parametrize("seed", range(3))
def test_a_cut_never_falls_within_quotes(
    size: int, seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text, rows = hostile_rows(200, seed)
    (tmp_path / "t.csv").write_bytes(text.encode())
    assert list(csv.reader(text.splitlines(keepends=True)))[1:] == rows
    monkeypatch.setattr("linlight.data.csv.CSV_BYTES", size)
    data = XYDataModule(path="t.csv", features="i", id="s,t")
    assert data.x[:, 0].tolist() == list(range(200))
    assert data.rows.ids["s"].to_pylist() == [row[1] for row in rows]
    assert data.rows.ids["t"].to_pylist() == [row[3] for row in rows]
    assert data.y is not None
    np.testing.assert_allclose(data.y[:, 0], [float(row[2]) for row in rows], rtol=1e-6)


@pytest.mark.parametrize("stream", [False, True])
def test_quoted_line_breaks_in_a_file_of_many_blocks(stream: bool, tmp_path: Path) -> None:
    note = '"' + "a line\n" * 20 + '"'
    rows = 140_000  # of 150 bytes each: 20 MB
    (tmp_path / "t.csv").write_text("x,note,y\n" + "".join(f"{i},{note},{i % 7}\n" for i in range(rows)))
    data = XYDataModule(path="t.csv", stream=stream)
    assert sum(float(batch[0].double().sum()) for batch in data.predict_dataloader()) == rows * (rows - 1) / 2


def test_a_field_or_a_header_longer_than_a_block(tmp_path: Path) -> None:
    long = "word " * 4_000_000  # 20 MB
    (tmp_path / "t.csv").write_text(f'x,note,y\n1,short,2\n2,"{long}",3\n3,{long},5\n4,,6\n')
    assert XYDataModule(path="t.csv").x[:, 0].tolist() == [1, 2, 3, 4]
    (tmp_path / "t.csv").write_text(f'x,"{long}",y,z\n1,2,2,u\n2,4,3,v\n3,1,5,u\n')
    assert XYDataModule(path="t.csv").feature_names == ["x", long]


def test_more_columns_than_a_csv_may_have(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(",".join(f"c{i}" for i in range(2**17 + 1)) + "\n" + "1," * 2**17 + "1\n")
    with pytest.raises(InputError, match=r"t.csv has 131,073 columns, and a CSV may have 131,072: exchange"):
        XYDataModule(path="t.csv").read()


def test_a_wide_csv_is_not_cut_into_blocks_of_a_few_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each column costs in each block, so a table of twice the columns has no more blocks."""
    monkeypatch.setattr("linlight.data.csv.CSV_BYTES", 2**21)
    blocks = []
    for columns in (2**13, 2**14, 2**15):
        names = [f"c{i}" for i in range(columns)]
        (tmp_path / "t.csv").write_text(",".join(names) + "\n" + (",".join("1" * columns) + "\n") * 140)
        table = open_table("t.csv")
        blocks.append(len(list(table.blocks(dict.fromkeys(names, ColumnSpec(pa.float64()))))))
    assert blocks[0] <= 4
    assert max(blocks) == blocks[0]


@pytest.mark.parametrize("size", [16, 2**23])
def test_a_quote_that_is_never_closed(size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("linlight.data.csv.CSV_BYTES", size)
    (tmp_path / "t.csv").write_text('x,t,y\n1,a,2\n2,"never closed,3\n' + "3,c,5\n" * 20)
    with pytest.raises(InputError, match="a quote that is never closed, in the row that begins '2,\"never"):
        XYDataModule(path="t.csv").read()


@pytest.mark.parametrize("name", ["T.CSV.GZ", "t.Csv.gz", "T.CSV"])
def test_endings_in_upper_case(name: str, tmp_path: Path) -> None:
    content = b"x,y\n1,2\n2,3\n"
    (tmp_path / name).write_bytes(gzip.compress(content) if name.lower().endswith("gz") else content)
    assert XYDataModule(path=name).x.tolist() == [[1], [2]]


@pytest.mark.parametrize("size", [64, 2**23])
def test_a_row_that_is_wrong_is_named_by_its_line(
    size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("linlight.data.csv.CSV_BYTES", size)
    lines = ["x,y"] + [f"{i},{i % 5}" for i in range(100)]
    lines[70] = "1,2,3"
    (tmp_path / "t.csv").write_text("\n".join(lines) + "\n")
    with pytest.raises(InputError, match=r"t.csv is not a table: line 71: Expected 2 columns, got 3"):
        XYDataModule(path="t.csv").read()
    lines[70] = "1,two"
    (tmp_path / "t.csv").write_text("\n".join(lines) + "\n")
    with pytest.raises(InputError, match=r"column 'y' holds 'two' in row 69"):
        XYDataModule(path="t.csv").read()


@pytest.mark.parametrize("second_row", ["1,2", "1,oops"])
def test_python_ends_while_pyarrow_still_holds_the_rows(second_row: str) -> None:
    # A refusal is often the last that happens: threads of pyarrow's that then need the interpreter end the
    # process by a signal, in more than half of the runs.
    Path("t.csv").write_text(f"x,y\n{second_row}\n" + "1.5,2.5\n" * 200_000)
    program = (
        "import pyarrow as pa\n"
        "from linlight.data.paths import open_table\n"
        "from linlight.data.tables import ColumnSpec\n"
        "next(open_table('t.csv').blocks(dict.fromkeys('xy', ColumnSpec(pa.float64(), 'correct it'))))\n"
    )
    for _ in range(4):
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
        assert done.returncode == (1 if second_row == "1,oops" else 0), done.stderr
