"""`linlight compare`: the README's main job."""

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import ROOT, Run

from linlight.cli.main import main
from linlight.data.columns import Columns
from linlight.data.datamodule import XYDataModule
from linlight.experiments.compare_pictures import comparison, place, surface_of
from linlight.experiments.results import Result, table
from linlight.runs.style import line_style
from linlight.text import display_width

Linlight = Callable[..., Run]
NAMES = [
    "exhaustive search",
    "gradient descent",
    "stochastic gradient descent",
    "back-propagation",
    "linear regression",
]


def methods(run: Run) -> dict[str, dict[str, Any]]:
    content = json.loads((run.folder / "compare.json").read_text())
    return {method["name"]: method for method in content["methods"]}


def results_of(run: Run) -> list[Result]:
    return [Result(**method) for method in methods(run).values()]


def test_compare_is_the_five_configs_side_by_side(linlight: Linlight) -> None:
    compared = methods(linlight("compare"))
    assert list(compared) == NAMES
    for name, method in compared.items():
        config = ROOT / "configs" / f"{name.replace(' ', '_').replace('-', '')}.yaml"
        summary = linlight("fit", "--config", config).summary
        for key in ("method", "weights", "bias", "epochs", "steps"):
            assert method[key] == summary[key], (name, key)


def test_table_picture_and_runs(linlight: Linlight) -> None:
    run = linlight("compare")
    assert max(map(len, run.out.splitlines())) <= 80
    assert [line[:27].rstrip() for line in run.out.splitlines()[1:6]] == NAMES
    assert (run.folder / "compare.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (run.folder / "compare.svg").read_text()
    for name in NAMES:
        folder = run.folder / name.replace(" ", "_").replace("-", "")
        assert list(folder.glob("events*"))
        assert (folder / "checkpoints" / "last.ckpt").exists()


def test_path_of_gradient_descent(linlight: Linlight) -> None:
    path = methods(linlight("compare", "--epochs", 2))["gradient descent"]["path"]
    assert [point["weights"][0][0] for point in path] == pytest.approx(
        [1, 1.0933333333333333, 1.1779555555555556]
    )
    assert [point["loss"] for point in path] == pytest.approx(
        [14 / 3, 14 / 3 * (1 - 0.02 * 14 / 3) ** 2, 3.153688], rel=1e-4
    )


def test_prediction_where_asked(linlight: Linlight) -> None:
    method = methods(linlight("compare", "--at", "10"))["exhaustive search"]
    assert method["prediction"] == [20.0]


def test_other_data_and_a_method_that_gives_up(linlight: Linlight) -> None:
    run = linlight(
        "compare", "--data.x", "[[1,2],[2,1],[3,5],[4,2]]", "--data.y", "[1,2,3,5]", "--lr", 0.2,
        "--epochs", 400,
    )  # fmt: skip
    compared = methods(run)
    assert "is above 0.06401, the largest stable step" in compared["linear regression"]["error"]
    assert compared["linear regression"]["weights"] is None
    assert compared["exhaustive search"]["error"] is None
    assert len(compared["exhaustive search"]["weights"][0]) == 2
    assert "gave up, see below" in run.out


def test_losses_count_rows_as_often_as_their_weights_say(linlight: Linlight, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("y,x,n\n2,1,1\n5,2,3\n6,3,2\n")
    data = ["--data.path=t.csv", "--data.weight=n"]
    expected = linlight("fit", "--model=GradientDescent", *data, "--trainer.max_epochs=5").summary
    run = linlight("compare", *data, "--methods=GradientDescent", "--epochs=5", "--lr=0.01")
    (found,) = json.loads((run.folder / "compare.json").read_text())["methods"]
    assert found["loss"] == pytest.approx(expected["train_loss"], rel=1e-6)


def test_contours_hold_the_paths_of_several_features(linlight: Linlight) -> None:
    rows = "--data.x", "[[1,2],[2,1],[3,5],[4,2]]", "--data.y", "[1,2,3,5]"
    results = results_of(linlight("compare", *rows, "--lr", 0.01, "--epochs", 20))
    data = XYDataModule([[1, 2], [2, 1], [3, 5], [4, 2]], [1, 2, 3, 5], dtype="float64")
    ground = surface_of(results, data)
    assert ground is not None
    x, y = ground.limits()
    for result in results:
        for point in result.path:
            a, b = place(ground, point)
            assert x[0] <= a <= x[1]
            assert y[0] <= b <= y[1]
    design = np.column_stack([np.ones(4), data.x])
    best = np.linalg.lstsq(design, data.y.numpy()[:, 0], rcond=None)[0]  # type: ignore[union-attr]
    assert ground.land.lowest == pytest.approx(tuple(best[1:]))
    labels = [line.get_label() for line in comparison(results, data, ground).axes[0].lines]
    assert labels == ["the optimum", *NAMES]


def drawn(results: list[Result], data: XYDataModule) -> Any:
    """The axes with the paths."""
    return comparison(results, data, surface_of(results, data)).axes[0]


def test_weights_of_rows_bend_the_curve(linlight: Linlight) -> None:
    Path("t.csv").write_text("y,x,n\n2,1,1\n5,2,3\n6,3,20\n")
    words = ["--data.path=t.csv", "--data.weight=n", "--methods=GradientDescent", "--epochs=5"]
    results = results_of(linlight("compare", *words, "--lr=0.01"))
    axes = drawn(results, XYDataModule(path="t.csv", weight="n", dtype="float64"))
    curve, _, path = axes.lines  # the second is the optimum
    w = curve.get_xdata()[:, None]
    errors = (w * [1, 2, 3] - [2, 5, 6]) ** 2 @ [1, 3, 20] / 24
    np.testing.assert_allclose(curve.get_ydata(), errors)
    height = np.interp(path.get_xdata(), curve.get_xdata(), curve.get_ydata())
    np.testing.assert_allclose(path.get_ydata(), height, rtol=0.01)
    assert w.min() > 0.5  # about the path, not the notes' 0 to 4


def test_a_bias_has_an_axis_of_its_own(linlight: Linlight) -> None:
    words = ["--bias=true", "--methods=GradientDescent,LinearRegression", "--epochs=5"]
    results = results_of(linlight("compare", *words, "--lr=0.01"))
    axes = drawn(results, XYDataModule(dtype="float64"))
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("w", "b")
    assert axes.lines[1].get_ydata()[-1] == results[0].path[-1]["bias"][0]


def test_standardised_paths_are_in_the_datas_own_units(linlight: Linlight) -> None:
    Path("t.csv").write_text("a,b,y\n" + "\n".join(f"{i},{100 + i * i},{3 * i + i % 3}" for i in range(12)))
    words = ["--data.path=t.csv", "--data.standardize=true", "--bias=true", "--lr=0.1", "--epochs=3000"]
    found = methods(linlight("compare", *words, "--methods=GradientDescent,LeastSquares"))
    descent, exact = found.values()
    np.testing.assert_allclose(descent["path"][-1]["weights"], exact["weights"], rtol=1e-4, atol=1e-8)
    np.testing.assert_allclose(descent["path"][-1]["bias"], exact["bias"], rtol=1e-4)
    assert descent["path"][-1]["weights"] == descent["weights"]
    assert descent["loss"] == descent["path"][-1]["loss"] == pytest.approx(exact["loss"], rel=1e-6)


def test_who_gave_up_has_not_arrived(linlight: Linlight) -> None:
    results = results_of(linlight("compare", "--lr=5", "--methods=GradientDescent,LinearRegression"))
    assert all(r.descends and r.path[-1]["loss"] > 100 * r.path[0]["loss"] for r in results)
    data = XYDataModule(dtype="float64")
    ground = surface_of(results, data)
    assert ground is not None
    for axes in comparison(results, data, ground).axes:
        labels = axes.get_legend_handles_labels()[1]
        assert labels[-2:] == ["gradient descent (gave up)", "linear regression (gave up)"]
    low, high = ground.limits()[0]
    for result in results:
        assert low <= place(ground, result.path[0])[0] <= high


def test_names_that_matplotlib_would_read(linlight: Linlight) -> None:
    Path("t.csv").write_text(
        "co$t,pri$e,人口,y\n" + "\n".join(f"{i},{i * i % 7},{i % 2},{i}" for i in range(9))
    )
    words = ["--data.path=t.csv", "--methods=GradientDescent,LeastSquares", "--epochs=2", "--lr=0.001"]
    run = linlight("compare", *words)
    assert "<svg" in (run.folder / "compare.svg").read_text()
    words = ["--data.path=t.csv", "--pictures=true", "--trainer.max_epochs=2", "--model.lr=0.001"]
    run = linlight("fit", "--model=GradientDescent", *words)
    assert (run.folder / "pictures" / "fit.png").exists()


def test_the_table_is_read_once(linlight: Linlight, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("t.csv").write_text("a,y\n1,2\n2,3\n3,5\n4,4\n5,7\n")
    read: list[str] = []
    reading = Columns.read

    def counted(columns: Columns) -> Any:
        read.append("t.csv")
        return reading(columns)

    monkeypatch.setattr(Columns, "read", counted)
    for command in ("compare", "sweep"):
        linlight(command, "--data.path=t.csv", "--epochs=2")
        assert read == ["t.csv"], command
        read.clear()


def test_the_table_is_read_aloud_once(linlight: Linlight) -> None:
    Path("t.csv").write_text("a,name,y\n1,p,2\n2,q,3\n3,r,5\n")
    for command in ("compare", "sweep"):
        assert linlight(command, "--data.path=t.csv", "--epochs=2").out.count("left out of the features") == 1


def row(name: str, value: float) -> Result:
    return Result(name, "", "", 3, 3, [[value]], [value], 1.0, [value], 0.5)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (1.234567, "1.23457"),
        (-1234.5678, "-1234.57"),
        (-0.0123456, "-0.01235"),
        (1234567.0, "1.23e+06"),
        (-1.23456e-9, "-1.2e-09"),
    ],
)
def test_as_many_digits_as_the_column_holds(value: float, shown: str) -> None:
    assert table([row("m", value)], torch.ones(1, 1)).splitlines()[1].split()[2] == shown


def test_where_is_said_in_full() -> None:
    assert "at x = 1000001" in table([row("m", 1.0)], torch.tensor([[1000001.0]], dtype=torch.float64))


def test_names_of_wide_letters_leave_the_columns_in_place() -> None:
    names = ["gradient descent", "梯度下降", "梯度下降法" * 6 + "甲", "梯度下降法" * 6 + "乙"]
    lines = table([row(name, 1.0) for name in names], torch.ones(1, 1)).splitlines()[:7]
    assert {display_width(line) for line in lines if line not in names} == {80}
    assert set(names[2:]) < set(lines)  # whole, on lines of their own
    assert len({line[:15] for line in lines}) == 5


def test_epochs_are_whole(linlight: Linlight) -> None:
    results = results_of(linlight("compare", "--methods=GradientDescent,LinearRegression", "--epochs=2"))
    figure = comparison(results, XYDataModule(dtype="float64"), None)
    figure.draw_without_rendering()
    ticks = figure.axes[0].get_xticks()
    np.testing.assert_array_equal(ticks, ticks.round())


def test_eight_lines_are_told_apart() -> None:
    looks = [line_style(i, 8) for i in range(8)]
    assert len({(look["color"], look["linestyle"]) for look in looks}) == 8
    widths = [look["linewidth"] for look in looks]
    assert widths == sorted(widths, reverse=True)


def test_only_the_exact_answer(linlight: Linlight) -> None:
    run = linlight("compare", "--methods=LeastSquares")  # without a warning of an empty legend
    assert list(methods(run)) == ["least squares"]


def test_stopped_from_the_keyboard(
    linlight: Linlight, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("linlight.training.diagnostics.Diagnostics.on_train_epoch_end", interrupt)
    before = signal.getsignal(signal.SIGINT)
    for command in ("compare", "sweep"):
        with pytest.raises(SystemExit, match="130"):
            main([command, "--methods=GradientDescent"])
        assert capsys.readouterr().out == "stopped: nothing was kept\n"
        assert not Path("lightning_logs", command).exists()
    signal.signal(signal.SIGINT, before)
