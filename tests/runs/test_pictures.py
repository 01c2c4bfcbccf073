"""A finished run opens again, and its pictures show what happened."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import fit
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from linlight import ExhaustiveSearch, Run, XYDataModule, load
from linlight.cli.main import main
from linlight.functional.descent import parabola
from linlight.functional.loss_surface import landscape, make_surface, of_target
from linlight.functional.solve import optimum
from linlight.functional.statistic import moments
from linlight.runs.search_curve import search_curve
from linlight.runs.style import THEMES


@pytest.fixture
def table() -> Callable[[int, int], str]:
    def write(features: int, targets: int = 1) -> str:
        generator = torch.Generator().manual_seed(features)
        x = torch.randn(60, features, generator=generator)
        noise = 0.1 * torch.randn(60, targets, generator=generator)
        y = x.sum(1, keepdim=True) * torch.arange(1, targets + 1) + 1 + noise
        names = [f"x{i}" for i in range(features)] + [f"y_{i}" for i in range(targets)]
        rows = [",".join(map(str, row)) for row in torch.cat([x, y], 1).tolist()]
        Path(f"{features}_{targets}.csv").write_text("\n".join([",".join(names), *rows]))
        return f"{features}_{targets}.csv"

    return write


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("targets", "target"), [(1, 0), (2, 0), (2, 1)])
@pytest.mark.parametrize("chosen", [(0,), (2,), (1, 3), (2, 0)])
def test_the_landscape_has_the_others_at_their_best(
    chosen: tuple[int, ...], targets: int, target: int, weighted: bool
) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(50, 3, generator=generator, dtype=torch.float64) + 1
    noise = torch.randn(50, targets, generator=generator, dtype=torch.float64)
    y = x.sum(1, keepdim=True) + noise * torch.arange(1, targets + 1)
    weights = torch.rand(50, generator=generator, dtype=torch.float64) if weighted else torch.ones(50)
    m = of_target(moments(x, y, weights if weighted else None), target)
    shape = parabola(m, optimum(m, True))
    axes = [np.array([-1.0, 0.5, 2.0])[: 3 - k] for k in range(len(chosen))]
    found = landscape(shape, chosen, axes)
    root = np.sqrt(weights.numpy())
    design = np.column_stack([np.ones(50), x]) * root[:, None]
    rest = [i for i in range(4) if i not in chosen]
    for at in np.ndindex(*(len(axis) for axis in axes)):
        values = np.array([axis[i] for axis, i in zip(axes, at, strict=True)])
        left = y[:, target].numpy() * root - design[:, chosen] @ values
        best = np.linalg.lstsq(design[:, rest], left, rcond=None)[0]
        expected = np.sum((left - design[:, rest] @ best) ** 2) / weights.sum().item()
        assert found.losses[at[::-1]] == pytest.approx(expected, rel=1e-10)
    assert found.lowest == pytest.approx(tuple(shape.theta[0, list(chosen)]))


def test_of_several_targets_the_first_ones_own_error_is_drawn(
    linlight: Callable[..., Any], table: Callable[..., str]
) -> None:
    run = load(linlight("fit", "--model=LeastSquares", f"--data.path={table(1, 3)}").folder)
    x, y = run.data.x.numpy(), run.data.y.numpy()  # type: ignore[union-attr]
    ground = make_surface(run.data.statistics.moments, run.data.feature_names, True, np.zeros((1, 2)))
    left = np.linalg.lstsq(np.column_stack([np.ones(len(x)), x]), y[:, :1], rcond=None)[1]
    assert ground.shape.lowest == pytest.approx(left[0] / len(x), rel=1e-5)


def test_the_textbooks_path_lies_on_its_curve(linlight: Callable[..., Any]) -> None:
    words = ["--model", "GradientDescent", "--data.dtype", "float64", "--trainer.max_epochs", "30"]
    run = load(linlight("fit", *words).folder)
    axes: Any = run.plot("loss").axes[0]  # type: ignore[union-attr]
    curve, path, end = axes.lines
    w = path.get_xdata()
    expected = 2 - (1 - 0.02 * 14 / 3) ** np.arange(31)
    np.testing.assert_allclose(w, expected, rtol=1e-15)
    np.testing.assert_allclose(path.get_ydata(), 14 / 3 * (2 - w) ** 2, rtol=1e-9)
    np.testing.assert_allclose(curve.get_ydata(), 14 / 3 * (2 - curve.get_xdata()) ** 2, atol=1e-9)
    assert end.get_xdata()[0] == w[-1]
    assert axes.get_xlabel() == "w"


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize(
    ("method", "features", "targets", "names"),
    [
        ("GradientDescent", 1, 1, "loss fit residuals epochs graph"),
        ("LinearRegression", 2, 1, "loss fit residuals epochs graph"),
        ("Backpropagation", 10, 1, "loss fit residuals epochs graph"),
        ("LinearRegression", 2, 3, "loss fit residuals epochs graph"),
        ("ExhaustiveSearch", 1, 1, "loss fit residuals graph"),
        ("LeastSquares", 10, 1, "loss fit residuals coefficients graph"),
        ("LeastSquares", 2, 2, "loss fit residuals coefficients graph"),
    ],
)
def test_every_method_has_its_pictures(
    method: str,
    features: int,
    targets: int,
    names: str,
    theme: str,
    linlight: Callable[..., Any],
    table: Callable[..., str],
) -> None:
    path = f"--data.path={table(features, targets)}"
    run = load(linlight("fit", "--model", method, path, "--trainer.max_epochs=5").folder)
    figures = run.plot(theme=theme)
    assert isinstance(figures, dict)
    assert " ".join(figures) == names
    ground: Any = figures["fit"].get_facecolor()
    dark = np.mean(ground[:3]) < 0.5
    assert dark == (theme == "dark")
    x, y = run.data.x.numpy(), run.data.y.numpy()  # type: ignore[union-attr]
    y_hat = run.model(run.data.x).detach().numpy()
    offsets = [np.asarray(dots.get_offsets()) for dots in figures["fit"].axes[0].collections]
    for target, drawn in enumerate(offsets):
        shown = x[:, 0] if features == 1 else y[:, target]
        other = y[:, target] if features == 1 else y_hat[:, target]
        np.testing.assert_allclose(drawn, np.column_stack([shown, other]), rtol=1e-5, atol=1e-5)
    if "coefficients" in figures:
        rows = run.summary["coefficients"] if targets == 1 else run.summary["coefficients"][0]
        estimates = sorted(abs(row["estimate"]) * x[:, i].std() for i, row in enumerate(rows[1:]))
        dots = figures["coefficients"].axes[0].lines[0].get_xdata()
        np.testing.assert_allclose(np.abs(dots), estimates, rtol=1e-5)


def test_a_standardized_path_is_in_the_datas_own_units(
    linlight: Callable[..., Any], table: Callable[..., str]
) -> None:
    words = ["--model=GradientDescent", "--model.bias=true", "--model.lr=0.3", "--data.standardize=true"]
    run = load(linlight("fit", *words, f"--data.path={table(1)}", "--trainer.max_epochs=40").folder)
    lines: Any = run.plot("loss").axes[1].lines  # type: ignore[union-attr]
    (path,) = (line for line in lines if line.get_label() == "after each epoch")
    b = run.model.b
    assert b is not None
    assert path.get_xdata()[-1] == pytest.approx(run.model.w.item(), rel=1e-5)
    assert path.get_ydata()[-1] == pytest.approx(b.item(), rel=1e-5)


def test_drawn_at_the_end_of_the_run(linlight: Callable[..., Any]) -> None:
    found = linlight("fit", "--model=LinearRegression", "--pictures=true", "--trainer.max_epochs=3")
    names = {
        f"{name}{theme}"
        for name in ("loss", "fit", "residuals", "epochs", "graph")
        for theme in ("", "-dark")
    }
    assert {path.name for path in (found.folder / "pictures").iterdir()} == {
        f"{name}.{ending}" for name in names for ending in ("png", "svg")
    }
    events = EventAccumulator(str(next(found.folder.rglob("events.*")).parent)).Reload()
    assert {f"pictures/{name}" for name in ("loss", "fit", "residuals", "epochs", "graph")} <= set(
        events.Tags()["images"]
    )
    printed = linlight("plot", found.folder, "--to", "here").out
    assert "here/loss.png" in printed
    assert Path("here/loss-dark.svg").exists()


@pytest.mark.parametrize("method", ["GradientDescent", "LinearRegression"])
def test_a_diverged_run_is_drawn_as_well_and_once(
    method: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[Run] = []
    save = Run.save_pictures

    def counted(run: Run) -> list[Path]:
        drawn.append(run)
        return save(run)

    monkeypatch.setattr(Run, "save_pictures", counted)
    with pytest.raises(SystemExit, match="2"):
        main(["fit", f"--model={method}", "--model.lr=0.5", "--pictures=true"])
    out, error = capsys.readouterr()
    folder = Path(out.splitlines()[-1].removeprefix("run: "))
    assert {"loss.png", "epochs-dark.svg"} <= {path.name for path in (folder / "pictures").iterdir()}
    assert error.startswith("linlight: error: the loss grows without end")
    assert len(drawn) == 1


def test_a_resumed_run_shows_what_came_before(linlight: Callable[..., Any]) -> None:
    words = ["--model=GradientDescent", "--data.dtype=float64", "--trainer.max_epochs"]
    whole = load(linlight("fit", *words, 9).folder).history
    first = linlight("fit", *words, 5)
    resumed = load(linlight("fit", "--ckpt_path", first.checkpoint, "--trainer.max_epochs=9").folder)
    assert whole is not None
    assert resumed.history is not None
    np.testing.assert_array_equal(resumed.history.epoch, range(10))
    np.testing.assert_array_equal(resumed.history.theta, whole.theta)
    for name, losses in whole.losses.items():
        np.testing.assert_array_equal(resumed.history.losses[name], losses)
    figures: Any = resumed.plot()
    assert figures["epochs"].axes[0].get_title() == "loss by epoch"


def test_a_run_of_an_earlier_version_shows_its_end(linlight: Callable[..., Any]) -> None:
    run = load(linlight("fit", "--model=GradientDescent", "--trainer.max_epochs=5").folder)
    (run.folder / "history.csv").unlink()
    assert run.history is None
    assert list(run.plot()) == ["loss", "fit", "residuals", "graph"]  # type: ignore[arg-type]


def test_no_line_where_a_log_axis_has_none(linlight: Callable[..., Any]) -> None:
    words = ["fit", "--model=GradientDescent", "--trainer.max_epochs=3"]
    for y, found in (("[2, 4, 6]", ["training"]), ("[2, 4, 7]", ["training", "the optimum's"])):
        figure: Any = load(linlight(*words, "--data.x=[1, 2, 3]", f"--data.y={y}").folder).plot("epochs")
        assert figure.axes[0].get_legend_handles_labels()[1] == found
        figure.draw_without_rendering()
        for axes in figure.axes:
            np.testing.assert_array_equal(axes.get_xticks(), axes.get_xticks().round())


def test_the_gap_is_not_squeezed_by_what_theory_foretells(linlight: Callable[..., Any]) -> None:
    words = ["--model=GradientDescent", "--model.lr=0.1", "--trainer.max_epochs=300"]  # float32
    axes: Any = load(linlight("fit", *words).folder).plot("epochs").axes[1]  # type: ignore[union-attr]
    actual, predicted = (np.asarray(line.get_ydata()) for line in axes.lines)
    lowest = actual[actual > 0].min()
    assert predicted.min() < 1e-6 * lowest
    assert axes.get_ylim()[0] == pytest.approx(lowest / 1000)


def test_residuals_on_the_line_are_about_their_mean(linlight: Callable[..., Any]) -> None:
    words = ["--model=GradientDescent", "--trainer.max_epochs=1", "--data.x=[1, 2, 3, 4]"]
    run = load(linlight("fit", *words, "--data.y=[12, 14, 15, 19]").folder)  # no bias, and one epoch
    right: Any = run.plot("residuals").axes[1]  # type: ignore[union-attr]
    heights = np.asarray(right.collections[0].get_offsets())[:, 1]
    assert heights.mean() == pytest.approx(0, abs=1e-6)
    assert heights.std() == pytest.approx(1)


def test_the_end_is_seen_at_the_optimum(linlight: Callable[..., Any]) -> None:
    run = load(
        linlight("fit", "--model=LeastSquares", "--data.x=[1, 2, 3, 4]", "--data.y=[2, 4, 5, 9]").folder
    )
    lines: Any = run.plot("loss").axes[1].lines  # type: ignore[union-attr]
    ring, end = lines
    assert (ring.get_label(), end.get_label()) == ("the optimum", "the end")
    assert end.get_markersize() < ring.get_markersize()
    assert ring.get_markerfacecolor() == "none"


def test_long_names_fit(linlight: Callable[..., Any]) -> None:
    names = [f"a_long_name_of_the_measurement_at_site_{i}_in_square_metres" for i in range(3)]
    target = "the_target_" + "of_which_much_is_said_" * 4
    rows = ["1,2,3,1", "2,1,5,2", "3,5,1,4", "4,2,2,3", "5,3,1,6", "6,1,1,9"]
    Path("t.csv").write_text("\n".join([",".join([*names, target]), *rows]))
    words = ["fit", "--model=LeastSquares", "--data.path=t.csv", f"--data.target={target}"]
    run = linlight(*words)
    table = [line[:13] for line in run.out.splitlines()]
    assert len({line for line in table if "…" in line}) == 3
    figure: Any = load(run.folder).plot("coefficients")
    figure.draw_without_rendering()
    for text in (figure.axes[0].xaxis.label, figure.axes[0].title):
        box = text.get_window_extent()
        assert box.x0 >= 0
        assert box.x1 <= figure.bbox.x1
    assert len({tick.get_text() for tick in figure.axes[0].get_yticklabels()}) == 3


def test_the_search_over_two_parameters_is_a_surface(linlight: Callable[..., Any]) -> None:
    words = ["--model=ExhaustiveSearch", "--model.bias=true", "--data.y=[3, 5, 7]", "--data.x=[1, 2, 3]"]
    search = ExhaustiveSearch(bias=True)
    fit(search, XYDataModule([1, 2, 3], [3, 5, 7], dtype="float64"), max_epochs=1)
    figure: Any = search_curve(search, ["y"])
    solid, flat = figure.axes[:2]
    assert (solid.name, solid.get_xlabel(), solid.get_ylabel()) == ("3d", "w", "b")
    for axes in (solid, flat):  # the lowest is marked in both
        marked = axes.lines[0].get_data_3d() if axes is solid else axes.lines[0].get_data()
        assert [float(value[0]) for value in marked[:2]] == pytest.approx([2.0, 1.0])
    # Every candidate is where it belongs: row by b, column by w.
    w, b = np.meshgrid(np.linspace(0, 4, 41), np.linspace(-2, 2, 41))
    expected = np.mean([(w * x + b - y) ** 2 for x, y in ((1, 3), (2, 5), (3, 7))], axis=0)
    np.testing.assert_allclose(flat.images[0].get_array(), expected, atol=1e-12)
    assert (linlight("fit", *words).folder / "loss_curve.svg").exists()


def test_a_path_on_the_surface_has_its_losses(linlight: Callable[..., Any]) -> None:
    words = ["--model=GradientDescent", "--model.bias=true", "--trainer.max_epochs=20"]
    run = load(linlight("fit", *words).folder)
    solid: Any = run.plot("loss").axes[0]  # type: ignore[union-attr]
    ring, path, _ = solid.lines
    w, b, losses = path.get_data_3d()
    expected = np.mean([(w * x + b - 2 * x) ** 2 for x in (1, 2, 3)], axis=0)
    np.testing.assert_allclose(losses, expected, rtol=1e-6)
    assert [float(value[0]) for value in ring.get_data_3d()[:2]] == pytest.approx([2, 0], abs=1e-9)


def test_one_weight_says_what_the_bias_is(linlight: Callable[..., Any]) -> None:
    run = load(linlight("fit", "--model=GradientDescent", "--trainer.max_epochs=2").folder)
    figure: Any = run.plot("loss")
    assert figure.axes[0].lines[0].get_label() == "mean squared error at b = 0"


def test_pictures_of_a_long_run_are_in_tensorboard_unasked(
    linlight: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for seconds, found in ((1e9, set()), (0.0, {"loss", "fit", "residuals", "epochs", "graph"})):
        monkeypatch.setattr("linlight.runs.final_pictures.DRAWING", seconds)
        words = ["--model=GradientDescent", "--model.bias=true", "--data.standardize=true"]
        folder = linlight("fit", *words, "--trainer.max_epochs=3").folder
        events = EventAccumulator(str(next(folder.rglob("events.*")).parent)).Reload()
        assert {tag.removeprefix("pictures/") for tag in events.Tags()["images"]} == found
        assert not (folder / "pictures").exists()


def test_a_method_whose_steps_return_no_loss_is_drawn(
    linlight: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("silent.py").write_text(
        "from linlight import GradientDescent\n\n\nclass Silent(GradientDescent):\n"
        '    """Own."""\n\n    def training_step(self, batch, batch_idx):\n'
        "        super().training_step(batch, batch_idx)\n"
    )
    monkeypatch.syspath_prepend(".")
    from silent import Silent  # type: ignore[import-not-found]

    words = ["--model=silent.Silent", "--trainer.max_epochs=4"]
    figure: Any = load(linlight("fit", *words).folder, method=Silent).plot("epochs")
    assert [axes.get_title() for axes in figure.axes] == ["gap to the optimum"]
