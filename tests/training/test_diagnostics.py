"""Predicted against actual: the curve, the bounds, the epochs, and the stops."""

import copy
import json
import math
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import statsmodels.api as sm
import torch
from conftest import Run, fit
from hypothesis import given, settings
from hypothesis import strategies as st

from linlight import load
from linlight.cli.main import main
from linlight.data.datamodule import XYDataModule
from linlight.errors import InputError
from linlight.functional.cycle import cycle
from linlight.functional.descent import Parabola, epochs_from, largest_stable_step, parabola, stack
from linlight.functional.forecast import shuffled_step
from linlight.functional.solve import optimum
from linlight.functional.standardize import Standardizer
from linlight.functional.statistic import loss, moments
from linlight.functional.update_rule import UpdateRule
from linlight.methods.gradient_descent import GradientDescent
from linlight.methods.linear_regression import LinearRegression
from linlight.training.diagnostics import Diagnostics

Capture = pytest.CaptureFixture[str]


def problem(
    seed: int, rows: int = 40, features: int = 3, targets: int = 2
) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(rows, features, generator=generator, dtype=torch.float64) + 0.5
    y = x @ torch.randn(features, targets, generator=generator, dtype=torch.float64) + 1
    return x, y + torch.randn(rows, targets, generator=generator, dtype=torch.float64)


def shape(x: torch.Tensor, y: torch.Tensor, bias: bool, total: bool = False) -> Parabola:
    m = moments(x, y)
    return parabola(m, optimum(m, bias), total)


def train(model: Any, x: Any, y: Any, epochs: int = 5, stop: float | None = None, **data: Any) -> Any:
    fit(model, XYDataModule(x, y, dtype="float64", **data), max_epochs=epochs, callbacks=[Diagnostics(stop)])
    return model


def diagnosed(model: Any) -> Diagnostics:
    """What watched a model's training."""
    found: Diagnostics = next(one for one in model.trainer.callbacks if isinstance(one, Diagnostics))
    return found


@settings(deadline=None, max_examples=25)
@given(
    seed=st.integers(0, 10**6),
    bias=st.booleans(),
    total=st.booleans(),
    fraction=st.floats(0.01, 1.2),
    k=st.integers(0, 40),
)
def test_predicted_curve_is_the_actual_one(
    seed: int, bias: bool, total: bool, fraction: float, k: int
) -> None:
    x, y = problem(seed)
    found = shape(x, y, bias, total)
    lr = fraction * found.largest_stable_step
    design = np.column_stack([np.ones(len(x)), x]) if bias else x.numpy()
    theta = start = np.ones((2, design.shape[1]))
    count = 1 if total else y.numel()
    for _ in range(k):
        theta = theta - lr * 2 / count * (theta @ design.T - y.numpy().T) @ design
    actual = ((theta @ design.T - y.numpy().T) ** 2).sum() / count
    assert found.lowest + found.gap_after(start, lr, k) == pytest.approx(actual, rel=1e-9)
    assert found.gaps(theta).sum() == pytest.approx(found.gap_after(start, lr, k), rel=1e-6, abs=1e-12)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    ("rows", "columns", "offset"), [(900, 280, 1.0), (900, 280, 1e6), (300, 400, 0), (50, 4, 0)]
)
def test_many_columns_need_no_eigenvectors(rows: int, columns: int, offset: float, bias: bool) -> None:
    x = torch.randn(rows, columns, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x = (x + offset) * torch.linspace(0.5, 2, columns)
    m = moments(x, x[:, :3].sum(1, keepdim=True))
    best = optimum(m, bias)
    plain, start = parabola(m, best), np.ones((1, columns + bias))
    assert largest_stable_step(m, bias) == pytest.approx(plain.largest_stable_step, rel=1e-9)
    assert best.largest_singular_value == pytest.approx(np.linalg.norm(best.design, 2), rel=1e-9)
    values = np.linalg.svd(best.design, compute_uv=False)
    condition = values[0] / values[-1] if rows > columns else math.inf
    assert best.condition_number == pytest.approx(condition, rel=1e-8)
    gap = float(plain.gaps(start).sum())
    for lr in (plain.largest_stable_step / 2, plain.largest_stable_step / 50):
        for goal in (0.5 * gap, 1e-3 * gap, 1e-6 * gap):
            expected = plain.epochs_to(start, lr, goal)
            assert epochs_from(m, best, start, lr, goal) == pytest.approx(expected, rel=1e-8)


def test_the_optimum_of_standardised_features_is_that_of_the_features() -> None:
    x, y = problem(3, features=5)
    m = moments(torch.cat([100 * x + 7, x[:, :1] - 2 * x[:, 1:2]], 1), y)
    scaling = Standardizer.fit(m)
    unit = scaling.moments(m)
    found, expected = scaling.optimum(optimum(m, True), unit), optimum(unit, True)
    assert loss(unit, found.w, found.b) == pytest.approx(loss(unit, expected.w, expected.b), rel=1e-12)
    for one in (found, expected):  # both span what the design does
        rows = one.design @ one.basis
        torch.testing.assert_close(rows @ rows.T @ one.design, one.design)


@pytest.mark.parametrize("bias", [True, False])
def test_the_bound_is_where_descent_turns(bias: bool) -> None:
    x, y = problem(1)
    found = shape(x, y, bias)
    start = np.zeros((2, 3 + bias))
    far = 100_000
    assert found.gap_after(start, 0.999 * found.largest_stable_step, far) < 1e-3
    assert found.gap_after(start, 1.001 * found.largest_stable_step, far) > 1e6


def test_epochs_to_a_gap_by_counting() -> None:
    x, y = problem(2)
    found = shape(x, y, True)
    start, lr = np.zeros((2, 4)), 0.1 * found.largest_stable_step
    for goal in (1e-2, 1e-6, 1e-9):
        first = next(k for k in range(10**5) if found.gap_after(start, lr, k) <= goal)
        assert found.epochs_to(start, lr, goal) == first
    assert found.epochs_to(start, 2 * found.largest_stable_step, 1e-6) is None


def test_the_textbooks_bounds() -> None:
    x = torch.tensor([[1.0], [2.0], [3.0]])
    assert shape(x, 2 * x, False).largest_stable_step == pytest.approx(3 / 14, rel=1e-14)
    assert shape(x, 2 * x, False, total=True).largest_stable_step == pytest.approx(1 / 14, rel=1e-14)
    rows = [x[i : i + 1].double().numpy() for i in range(3)]
    notes = cycle((row, 2 * row) for row in rows)
    # (1 − 2lr)(1 − 8lr)(1 − 18lr) leaves [−1, 1] where it first is 1 again: 288lr² − 196lr + 28 = 0.
    expected = (196 - math.sqrt(196**2 - 4 * 288 * 28)) / (2 * 288)
    assert notes.largest_stable_step() == pytest.approx(expected, rel=1e-6)
    assert expected == pytest.approx(0.2040, abs=5e-5)
    assert shuffled_step(2 * 14 / 3, 18, 1) == pytest.approx(2 / 18)


@pytest.mark.parametrize("rows", [10, 40])  # fewer rows in a batch than columns, and more
@pytest.mark.parametrize("seed", range(4))
def test_the_bound_of_a_cycle_is_where_it_turns(seed: int, rows: int) -> None:
    x, y = (t.numpy() for t in problem(seed, rows=rows, targets=1))
    batches = cycle(zip(np.split(x, 5), np.split(y, 5), strict=True))
    bound = batches.largest_stable_step()
    for lr, grows in ((0.99 * bound, False), (1.01 * bound, True)):
        a, b = np.zeros((1, 3)), np.ones((1, 3))
        for _ in range(3000):
            a, b = batches.epoch(a, lr), batches.epoch(b, lr)
            if not np.abs(a - b).max() < 1e6:
                break
        assert (np.abs(a - b).max() > 1) == grows


@pytest.mark.parametrize("batch_size", [None, 7])
def test_a_run_knows_its_optimum_and_its_end(batch_size: int | None, tmp_path: Path) -> None:
    x, y = problem(3, targets=1)
    model = train(GradientDescent(lr=0.05, bias=True), x, y, epochs=30, batch_size=batch_size)
    expected = sm.OLS(y.numpy(), sm.add_constant(x.numpy())).fit()
    found = diagnosed(model).findings
    np.testing.assert_allclose(found["optimum"]["weights"][0], expected.params[1:], rtol=1e-10)
    np.testing.assert_allclose(found["optimum"]["bias"], expected.params[:1], rtol=1e-10)
    assert found["optimum"]["loss"] == pytest.approx(expected.ssr / len(x), rel=1e-12)
    with torch.no_grad():
        actual = (model(x) - y).square().mean().item()
    assert found["gap"] == pytest.approx(actual - expected.ssr / len(x), rel=1e-9)
    assert found["predicted"]["gap"] == pytest.approx(found["gap"], rel=1e-8)
    assert diagnosed(model).epoch_metrics["predicted_gap"] == pytest.approx(
        diagnosed(model).epoch_metrics["gap"], rel=1e-8
    )


def test_counts_the_epochs_it_predicted(tmp_path: Path) -> None:
    x, y = problem(4)
    model = train(GradientDescent(lr=0.1, bias=True), x, y, epochs=300)
    assert diagnosed(model).findings["epochs_to_tolerance"] is not None
    assert (
        diagnosed(model).findings["epochs_to_tolerance"]
        == diagnosed(model).findings["predicted"]["epochs_to_tolerance"]
    )


def test_stops_where_more_epochs_would_fit_noise(tmp_path: Path) -> None:
    x, y = problem(5, rows=200, targets=1)
    model = train(GradientDescent(lr=0.05, bias=True), x, y, epochs=10_000, stop=0.01)
    expected = sm.OLS(y.numpy(), sm.add_constant(x.numpy())).fit()
    distance = np.abs(stack(model.w, model.b)[0] - expected.params) / expected.bse
    assert distance.max() <= 0.01
    assert model.trainer.current_epoch < 2000
    assert diagnosed(model).findings["gap_in_standard_errors"] == pytest.approx(0.01, rel=0.2)
    error = stack(model.w, model.b)[0] - expected.params
    mahalanobis = math.sqrt(error @ np.linalg.inv(expected.cov_params()) @ error)
    assert diagnosed(model).findings["gap_in_standard_errors"] == pytest.approx(mahalanobis, rel=1e-6)


@pytest.mark.parametrize(
    ("model", "data", "message"),
    [
        (GradientDescent(lr=0.3), {}, r"lr 0.3 is above 0.2143, the largest stable step.*try 0.107"),
        (GradientDescent(lr=0.21), {"batch_size": 1}, r"above 0.204, .* in this order .*try 0.102"),
        (
            GradientDescent(lr=1.0),
            {"batch_size": 1, "shuffle": True},
            r"above 0.1111, an estimate .*shuffled",
        ),
        (LinearRegression(lr=0.3, bias=False), {}, r"above 0.2143"),
        (LinearRegression(lr=0.3), {}, r"above 0.1803"),
    ],
)
def test_stops_a_run_that_diverges_well_before_overflow(
    model: Any, data: dict[str, Any], message: str, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    with pytest.raises(InputError, match=message):
        train(model, None, None, epochs=1000, **data)
    assert model.w.abs().max() < 1e4


@pytest.mark.parametrize("model", [GradientDescent(lr=2.0), LinearRegression(lr=2.0)])
@pytest.mark.parametrize("shuffle", [True, False])
def test_stops_in_the_middle_of_an_epoch(model: Any, shuffle: bool, tmp_path: Path) -> None:
    x, y = problem(7, rows=5000, targets=1)
    options = {"batch_size": 4, "shuffle": shuffle, "updates_per_step": 1}
    trained = copy.deepcopy(model)
    with pytest.raises(InputError, match=r"grows without end: lr 2 is above"):
        train(trained, x, y, epochs=2, **options)
    assert trained.trainer.global_step < 100
    assert trained.w.abs().max() < 1e4


@pytest.mark.parametrize(
    ("lr", "data"), [(0.21, {}), (0.2, {"batch_size": 1}), (0.15, {"batch_size": 1, "shuffle": True})]
)
def test_lets_a_run_be_that_converges(lr: float, data: dict[str, Any], tmp_path: Path) -> None:
    model = train(GradientDescent(lr=lr), None, None, epochs=600, **data)
    assert model.w.item() == pytest.approx(2.0)


def test_other_rules_have_an_optimum_but_no_bound(tmp_path: Path) -> None:
    x, y = problem(6)
    adam = {"class_path": "torch.optim.Adam", "init_args": {"lr": 0.5}}
    model = train(LinearRegression(optimizer=adam), x, y)
    assert "optimum" in diagnosed(model).findings
    assert "predicted" not in diagnosed(model).findings
    huber = train(LinearRegression(criterion=torch.nn.HuberLoss()), x, y)
    assert diagnosed(huber).findings == {}


def test_on_the_command_line(tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JSONARGPARSE_DEPRECATION_WARNINGS", "off")
    main(["fit", "--model", "GradientDescent", "--data.dtype", "float64", "--trainer.max_epochs", "20"])
    out = capsys.readouterr().out
    assert "lr 0.01 is below 0.2143, the largest stable step" in out
    assert all(len(line) <= 80 for line in out.splitlines()[:-2])
    summary = json.loads((tmp_path / out.splitlines()[-1].removeprefix("run: ") / "summary.json").read_text())
    assert summary["optimum"]["weights"] == [[pytest.approx(2.0)]]
    assert summary["gap"] == pytest.approx(summary["train_loss"], rel=1e-9)
    assert summary["gap"] == pytest.approx(14 / 3 * (1 - 0.02 * 14 / 3) ** 40, rel=1e-9)
    with pytest.raises(SystemExit):
        main(["fit", "--model", "GradientDescent", "--model.lr", "0.3"])
    assert "lr 0.3 is above 0.2143" in capsys.readouterr().err


@pytest.mark.parametrize(
    "settings_", [{}, {"nesterov": True}, {"dampening": 0.5}, {"momentum": 0.0}, {"momentum": 0.5}]
)
def test_momentum_moves_the_largest_stable_step(settings_: dict[str, Any], tmp_path: Path) -> None:
    x, y = problem(11)
    arguments = {"momentum": 0.9, **settings_}
    factor = UpdateRule(lr=1.0, **arguments).reach
    bound = factor * shape(x, y, True).largest_stable_step
    for share, epochs in ((0.99, 3000), (1.01, 3000)):
        init = {"class_path": "torch.optim.SGD", "init_args": {"lr": share * bound, **arguments}}
        model = LinearRegression(optimizer=init, w0=0.0)
        if share < 1:
            findings = diagnosed(train(model, x, y, epochs)).findings
            assert findings["largest_stable_step"] == pytest.approx(bound, rel=1e-9)
            assert findings["gap"] < 1e-9
            assert ("predicted" in findings) == (not arguments["momentum"])
        else:
            with pytest.raises(InputError, match=f"above {bound:.4g}, the largest stable step"):
                train(model, x, y, epochs)


def test_a_rule_without_a_bound_says_so_and_is_stopped_all_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    x, y = problem(12)
    adam = {"class_path": "torch.optim.Adam", "init_args": {"lr": 0.1}}
    assert "largest_stable_step" not in diagnosed(train(LinearRegression(optimizer=adam), x, y)).findings
    assert "no largest stable step is known for Adam" in capsys.readouterr().out
    decay = {"class_path": "torch.optim.SGD", "init_args": {"lr": 9.0, "weight_decay": 0.1}}
    with pytest.raises(InputError, match=r"grows without end: use a smaller --optimizer\.lr with SGD"):
        train(LinearRegression(optimizer=decay), x, y, epochs=200)


def test_a_run_that_diverges_is_kept_and_drawn(linlight: Callable[..., Run], capsys: Capture) -> None:
    words = ["fit", "--model=GradientDescent", "--model.lr=0.22", "--data.dtype=float64"]
    for choice, epochs in (("stop", 11), ("continue", 100)):
        with pytest.raises(SystemExit, match="2"):
            main([*words, f"--on_divergence={choice}"])
        out, err = capsys.readouterr()
        assert err.startswith("linlight: error: the loss grows without end: lr 0.22 is above 0.2143")
        folder = Path(out.splitlines()[-1].removeprefix("run: "))
        run = load(folder)
        assert "grows without end" in run.summary["diverged"]
        assert run.summary["epochs"] == epochs
        course = run.history
        assert course is not None
        # (1 − 0.44·14/3)^k: it swings, wider and wider.
        np.testing.assert_allclose(course.theta[:, 0, 0], 2 - (1 - 0.44 * 14 / 3) ** np.arange(epochs + 1))
        assert list(run.plot()) == ["loss", "fit", "residuals", "epochs", "graph"]  # type: ignore[arg-type]
        assert list(folder.rglob("events.*"))


def test_enough_is_seen_of_a_step_far_too_large(capsys: Capture) -> None:
    words = ["--model=Backpropagation", "--model.lr=1e5", "--data.dtype=float32", "--on_divergence=continue"]
    with pytest.raises(SystemExit, match="2"):
        main(["fit", *words])
    run = load(capsys.readouterr().out.splitlines()[-1].removeprefix("run: "))
    assert run.summary["epochs"] < 5  # the numbers of float32 end soon
    assert np.isfinite(run.summary["train_loss"])


def test_an_unstable_run_that_ends_early_says_so(linlight: Callable[..., Run]) -> None:
    run = linlight(
        "fit", "--model=GradientDescent", "--model.lr=0.206", "--data.batch_size=1", "--trainer.max_epochs=3"
    )
    assert "ended before it could be seen to diverge, as it would: lr 0.206 is above 0.204" in run.out
    assert "diverged" not in run.summary


def test_an_estimate_says_what_may_be(linlight: Callable[..., Run]) -> None:
    words = ["--model.lr=0.12", "--data.batch_size=1", "--data.shuffle=true", "--trainer.max_epochs=1"]
    run = linlight("fit", "--model=GradientDescent", *words)
    said = "seen to diverge, as it may: lr 0.12 is above 0.1111, an estimate of the largest stable step of"
    assert said in " ".join(run.out.split())


def test_on_divergence_is_stop_or_continue(refused: Callable[..., str]) -> None:
    assert "on_divergence must be" in refused("fit", "--model=GradientDescent", "--on_divergence=wait")
    with pytest.raises(InputError, match="on_divergence must be stop or continue, got 'wait'"):
        Diagnostics(on_divergence="wait")  # type: ignore[arg-type]


def test_a_run_whose_numbers_end_is_kept_too(capsys: Capture) -> None:
    # Huber's loss has no forecast, and momentum above 1 grows without end.
    Path("m.yaml").write_text(
        "model: {class_path: LinearRegression, init_args: {criterion: {class_path: torch.nn.HuberLoss}}}\n"
        "optimizer: {class_path: torch.optim.SGD, init_args: {lr: 1.0, momentum: 3.0}}\n"
        "data: {dtype: float32}\n"
        "trainer: {max_epochs: 500}\n"
    )
    with pytest.raises(SystemExit, match="2"):
        main(["fit", "--config=m.yaml"])
    out, err = capsys.readouterr()
    assert err.startswith("linlight: error: the loss left the finite numbers in epoch")
    run = load(out.splitlines()[-1].removeprefix("run: "))
    assert "left the finite numbers" in run.summary["diverged"]
    assert run.history is not None
    assert len(run.history.epoch) > 20
    assert np.isfinite(run.summary["weights"]).all()
    np.testing.assert_allclose(run.model.w.detach(), run.summary["weights"])


@pytest.mark.parametrize("small", [1.0, 2.0**-40, 2.0**-300, 2.0**-500])
@pytest.mark.parametrize("total", [False, True])
def test_the_gap_of_features_of_very_different_sizes(small: float, total: bool) -> None:
    generator = np.random.default_rng(0)
    x, y = generator.normal(size=(20, 2)), generator.normal(size=(20, 1))
    x[:, 1] *= small
    m = moments(torch.from_numpy(x), torch.from_numpy(y))
    shape = parabola(m, optimum(m, bias=True), total)
    away = np.array([[0.0, 0.0, 1 / small]])
    expected = ((x[:, 1] / small) ** 2).sum() / (1 if total else 20)
    assert shape.gaps(shape.theta + away)[0] == pytest.approx(expected, rel=1e-9)


def exact_gaps(x: np.ndarray, y: np.ndarray, start: list[float], lr: float, epochs: int) -> list[float]:
    """The gaps along a descent in exact arithmetic; x is (N, K) and y is (N,)."""
    exact = np.vectorize(Fraction, otypes=[object])
    x, y, theta = exact(x), exact(y), exact(np.array(start))
    products, best = x.T @ x, x.T @ y
    for i in range(len(best)):  # Gauss and Jordan's elimination
        best[i], products[i] = best[i] / products[i, i], products[i] / products[i, i]
        for j in {*range(len(best))} - {i}:
            best[j] -= products[j, i] * best[i]
            products[j] = products[j] - products[j, i] * products[i]
    gaps = []
    for _ in range(epochs + 1):
        away = x @ (theta - best)
        gaps.append(float((away @ away) / len(x)))
        theta = theta - Fraction(lr) * 2 / len(x) * (x.T @ away)
    return gaps


@pytest.mark.parametrize("small", [1.0, 2.0**-10, 2.0**-20, 2.0**-40, 2.0**-300, 2.0**-500])
def test_the_forecast_for_features_of_very_different_sizes(small: float) -> None:
    generator = np.random.default_rng(1)
    x, y = generator.normal(size=(16, 3)), generator.normal(size=16)
    x[:, 2] *= small
    m = moments(torch.from_numpy(x), torch.from_numpy(y[:, None]))
    found = parabola(m, optimum(m, bias=False))
    start, lr = [1.0, -1.0, 1 / small], found.largest_stable_step / 4
    expected = exact_gaps(x, y, start, lr, 40)
    assert found.gaps_after(np.array([start]), lr, range(41)) == pytest.approx(expected, rel=1e-11)
    assert expected[40] < 0.9 * expected[0]
