"""The summary of a least-squares fit as a table of 80 columns."""

import math

from linlight.functional.inference import Inference
from linlight.text import count, shortened

WIDTH = 80


def table(title: str, names: list[str], found: Inference, condition: float, rows: int, kind: str) -> str:
    """Coefficients with their standard errors, t, p and 95 % intervals, and the figures of the whole fit.

    Args:
        title: The first line.
        names: The coefficients' names, the bias first.
        found: What was inferred.
        condition: The design's condition number.
        rows: Number of rows.
        kind: Which standard errors they are.
    """
    head = f"{'':<14}{'coef':>12}{'std err':>11}{'t':>10}{'p':>9}{'95 % interval':>24}"
    lines = [title, "=" * WIDTH, head, "-" * WIDTH]
    columns = (found.estimates, found.std_errors, found.t, found.p, found.low, found.high)
    short = shortened(names, 13)
    for name, coef, error, t, p, low, high in zip(short, *(c.tolist() for c in columns), strict=True):
        lines.append(
            f"{name:<14}{_number(coef):>12}{_number(error, 4):>11}{_number(t, 4):>10}{_p(p):>9}"
            f"{_number(low, 5):>12}{_number(high, 5):>12}"
        )
    f = f"{_number(found.f, 5)} (p {_p(found.f_p)})"
    pairs = [
        ("rows", f"{rows:,}", "R²", _number(found.r_squared, 6)),
        ("degrees of freedom", f"{found.degrees:,}", "adjusted R²", _number(found.adjusted, 6)),
        ("residual std dev", _number(found.residual_sd, 6), f"F, {count(found.f_degrees, 'slope')}", f),
        ("condition number", _number(condition, 4), "std errors", kind),
    ]
    lines.append("-" * WIDTH)
    lines += [f"{a:<20}{b:>16}    {c:<14}{d:>26}" for a, b, c, d in pairs]
    return "\n".join([*lines, "=" * WIDTH])


def _number(value: float, digits: int = 6) -> str:
    return "-" if math.isnan(value) else f"{value:.{digits}g}"


def _p(value: float) -> str:
    if math.isnan(value):
        return "-"
    return "<1e-99" if value < 1e-99 else f"{value:.3g}"
