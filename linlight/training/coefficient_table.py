"""What is printed of a least-squares fit, from its summary: a table of 80 columns, and what to know of it."""

import math
from collections.abc import Sequence
from typing import Any

from linlight.text import count, shortened

WIDTH = 80
MOST = 40
"""Up to so many coefficients are printed; `summary.json` has all."""


def coefficient_report(summary: dict[str, Any]) -> str:
    """The coefficients of each target with their inference, and the notes of the fit.

    Args:
        summary: The content of `summary.json`; empty is what is said of a method without inference.
    """
    if "coefficients" not in summary:
        return ""
    parts = []
    if summary["std_errors"] is not None:  # with a penalty there are none
        targets = summary["target_names"]
        several = len(targets) > 1
        for i, target in enumerate(targets):
            one = {
                key: value[i] if several else value for key, value in summary.items() if key in OF_A_TARGET
            }
            parts.append(_table(target, summary | one))
    return "\n".join([*parts, *summary["notes"]])


OF_A_TARGET = ("coefficients", "residual_sd", "r_squared", "adjusted_r_squared", "f", "f_p")
"""What a summary holds once for each target, in a list where there are several."""


def _table(target: str, s: dict[str, Any]) -> str:
    intercept = s["bias"] is not None
    head = f"{'':<14}{'coef':>12}{'std err':>11}{'t':>10}{'p':>9}{'95 % interval':>24}"
    title = f"LeastSquares: {target}, {'with' if intercept else 'without'} intercept"
    lines = [title, "=" * WIDTH, head, "-" * WIDTH, *_rows(s["coefficients"])]
    f = f"{_statistic(s['f'], s['f_p'], 5)} (p {_p(s['f_p'])})"
    condition = "inf" if s["condition_number"] is None else _number(s["condition_number"], 4)
    adjusted = _number(s["adjusted_r_squared"])
    pairs = [
        ("rows", f"{s['rows']:,}", "R²" if intercept else "uncentred R²", _number(s["r_squared"])),
        ("degrees of freedom", f"{s['degrees_of_freedom']:,}", "adjusted R²", adjusted),
        ("residual std dev", _number(s["residual_sd"]), f"F, {count(s['f_degrees'], 'slope')}", f),
        ("condition number", condition, "std errors", s["std_errors"]),
    ]
    lines.append("-" * WIDTH)
    lines += [f"{a:<20}{b:>16}    {c:<14}{d:>26}" for a, b, c, d in pairs]
    return "\n".join([*lines, "=" * WIDTH])


def _rows(coefficients: Sequence[dict[str, Any]]) -> list[str]:
    shown = coefficients[:MOST]
    lines = []
    for name, c in zip(shortened([c["name"] for c in shown], 13), shown, strict=True):
        t = _statistic(c["t"], c["p"], 4)
        lines.append(
            f"{name:<14}{_number(c['estimate']):>12}{_number(c['std_error'], 4):>11}{t:>10}"
            f"{_p(c['p']):>9}{_number(c['ci_low'], 5):>12}{_number(c['ci_high'], 5):>12}"
        )
    if len(coefficients) > MOST:
        lines.append(f"... {len(coefficients) - MOST:,} more coefficients are in summary.json")
    return lines


def _number(value: float | None, digits: int = 6) -> str:
    return "-" if value is None or math.isnan(value) else f"{value:.{digits}g}"


def _statistic(value: float | None, p: float | None, digits: int) -> str:
    """A t or F, which is infinite in an exact fit; JSON has no such number."""
    return "inf" if value is None and p == 0 else _number(value, digits)


def _p(value: float | None) -> str:
    if value is None or math.isnan(value):
        return "-"
    return "<1e-99" if value < 1e-99 else f"{value:.3g}"
