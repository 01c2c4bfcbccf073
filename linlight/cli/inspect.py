"""`linlight inspect`: the columns, their conditioning, and what each method will need for them."""

import math
from collections.abc import Sequence

import numpy as np
from jsonargparse import ArgumentParser
from torch import Tensor

from linlight.cli.parsing import command_parser, parse
from linlight.data.datamodule import XYDataModule
from linlight.functional.descent import BEYOND_FLOATS, epochs_from, stack
from linlight.functional.solve import Optimum, equations, optimum
from linlight.functional.standardize import Standardizer
from linlight.functional.statistic import Moments, column_norms
from linlight.text import count, models, padded, shortened, visible

TOLERANCE = 1e-6
MOST_COLUMNS = 40
NEAR = 100.0
"""A variance inflation from which a column counts as nearly collinear: its standard error is 10 times as
large as if it were independent of the others."""


def options() -> ArgumentParser:
    """The parser of `linlight inspect`."""
    parser = command_parser("inspect")
    parser.add_class_arguments(XYDataModule, "data")
    parser.set_defaults({"data.missing": "drop"})  # whoever inspects data may not know of gaps yet
    parser.add_argument("--bias", type=bool, default=True, help="Whether the models will have a bias.")
    return parser


def run(args: Sequence[str]) -> None:
    """Runs `linlight inspect`."""
    parser = options()
    config = parse(parser, args[1:])
    print("\n".join(inspect(parser.instantiate_classes(config).data, config.bias)))


def inspect(data: XYDataModule, bias: bool = True) -> list[str]:
    """Lines on the training rows: their columns, their conditioning, what descent will need, and advice."""
    low, high = data.statistics.ranges()
    m = data.statistics.moments.cpu()
    fit = optimum(m, bias, coded=data.coded(bias))
    scaling = Standardizer.fit(m)
    unit = scaling.moments(m)
    relations = equations(fit, data.feature_names)
    unit_fit = scaling.optimum(fit, unit) if bias else optimum(unit, bias, coded=data.coded(bias))
    descents = _descent(m, fit), _descent(unit, unit_fit)
    needs = [(step, epochs) for _, step, epochs in descents]
    inflation = _inflation(fit, column_norms(m.triangle_of(bias)[:, : m.features]))
    size = f"{count(int(m.rows), 'row')}, {count(m.features, 'feature')}, {count(m.targets, 'target')}"
    lines = [
        f"{size}; {'rows that lack a value are left out' if data.source.dropped else 'no value is missing'}",
        models(bias),
        "",
        _columns(20, 12, "column", "mean", "std dev", "least", "greatest", "VIF"),
    ]
    numbers = zip(*(one.tolist() for one in (m.mean, m.deviation, low, high)), inflation, strict=False)
    for name, row in list(zip(shortened(data.feature_names, 19), numbers, strict=False))[:MOST_COLUMNS]:
        lines.append(_columns(20, 12, name, *(f"{value:.4g}" for value in row)))
    if m.features > MOST_COLUMNS:
        lines.append(f"... {m.features} columns")
    before, after = (condition for condition, *_ in descents)
    lines += ["", f"condition number {before:.4g}; standardised {after:.4g}", ""]
    digits = (m.features + bias) * math.log10(41)
    candidates = f"{10**digits:.4g}" if digits < 300 else f"1e+{digits:.0f}"
    for name, *values in (
        ("", "as it is", "standardised"),
        ("largest stable step, whole batch", *(f"{step:.4g}" for step, _ in needs)),
        ("epochs of descent at half of it, to 1e-6", *(_short(epochs) for _, epochs in needs)),
        ("epochs of LeastSquares", "1", "1"),
        ("candidates of ExhaustiveSearch, 41 a weight", candidates, ""),
    ):
        lines.append(_columns(44, 18, name, *values))
    lines.append("")
    return lines + [f"advice: {line}" for line in _advice(data, m, fit, relations, inflation, needs, bias)]


def _columns(first: int, others: int, name: str, *values: str) -> str:
    """A line of a table: a name in `first` columns, the values in `others` columns each."""
    return padded(name, first) + "".join(f"{value:>{others}}" for value in values)


def _inflation(fit: Optimum, scales: Tensor) -> list[float]:
    """Variance inflation factors, 1/(1 − R²) of each feature on the others, about zero without a bias."""
    squares = (fit.basis[0 if fit.b is None else 1 :] * scales[:, None]).square().sum(1)
    inflation = squares.clamp(min=1.0)
    inflation[fit.dependent] = math.inf
    inflation[fit.relations[:, 1:].abs().gt(1e-9).any(0)] = math.inf
    return [float(value) for value in inflation]


@BEYOND_FLOATS
def _descent(m: Moments, fit: Optimum) -> tuple[float, float, int | None]:
    """The condition number, the largest stable step, and the epochs of descent at half of it.

    Descent starts at w = 1, b = 0, and ends at a millionth of the gap there, or of the gap at w = 0 where
    that is smaller: at w = 1 a large column can hide all there is to learn.
    """
    theta = stack(fit.w, fit.b)
    start = np.ones_like(theta)
    start[:, : fit.b is not None] = 0.0
    design, total = fit.design.numpy(), m.weight.item() * m.targets
    gap, gap_of_zero = (float(((away @ design.T) ** 2).sum()) / total for away in (start - theta, theta))
    goal = TOLERANCE * (min(gap, gap_of_zero) if gap_of_zero > 0 else gap)
    step = float(total / np.square(fit.largest_singular_value))
    epochs = epochs_from(m, fit, start, step / 2, goal) if math.isfinite(step) else 0
    return fit.condition_number, step, epochs


def _short(epochs: int | None) -> str:
    return "-" if epochs is None else f"{epochs:,}" if epochs < 10**6 else f"{epochs:.2g}"


def _advice(
    data: XYDataModule,
    m: Moments,
    fit: Optimum,
    relations: list[str],
    inflation: list[float],
    needs: list[tuple[float, int | None]],
    bias: bool,
) -> list[str]:
    advice = []
    rows, coefficients = int(m.rows), m.features + bias
    if rows < coefficients:
        verb = "does" if rows == 1 else "do"
        advice.append(f"{count(rows, 'row')} {verb} not determine {coefficients} coefficients: use l2")
    steady = column_norms(m.triangle[:, m.features :]) == 0
    advice += [
        f"the target {visible(name)} is constant: there is nothing to learn"
        for name, is_steady in zip(data.target_names, steady, strict=True)
        if is_steady
    ]
    advice += [f"leave out a column: {relation}" for relation in relations]
    near = [
        visible(name)
        for name, vif in zip(data.feature_names, inflation, strict=True)
        if NEAR <= vif < math.inf
    ]
    if near:
        advice.append(f"nearly collinear, with large standard errors: {', '.join(near[:8])}")
    plain, standardised = (math.inf if epochs is None else epochs for _, epochs in needs)
    if bias and plain > 10 * max(standardised, 1):
        instead = "more than anyone has" if math.isinf(plain) else _short(needs[0][1])
        advice.append(
            f"standardise the features before descent: epochs fall to {_short(needs[1][1])} from {instead}"
        )
    if math.isfinite(needs[0][0]):
        advice.append(f"descend with --model.lr {needs[0][0] / 2:.3g} in whole batches, or use LeastSquares")
    return advice
