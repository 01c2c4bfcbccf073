"""A finished run on one card, in Markdown."""

from collections.abc import Sequence
from typing import Any

from linlight.text import count
from linlight.training.summary import equation

MOST_ROWS = 100
"""Up to so many coefficients stand on the card; all are in `summary.json`."""


def card(summary: dict[str, Any], settings: dict[str, Any], source: str) -> str:
    """What was trained, on what, and what was found.

    Args:
        summary: The content of `summary.json`.
        settings: The method's settings.
        source: Where the data come from.

    Returns:
        Markdown.
    """
    names, s = summary["feature_names"], summary
    rows = {
        "data": f"{source}: {count(s['rows'], 'row')} to train on, {count(s['features'], 'feature')}",
        "method": f"{s['method']}: "
        + (", ".join(f"{k} {_text(v)}" for k, v in settings.items()) or "as it is"),
        "model": f"`{equation(s, names)}`",
        "loss": f"{s['train_loss']:.6g} after {count(s['epochs'], 'epoch')}, {count(s['steps'], 'step')}",
        "validation loss": s.get("val_loss"),
        "optimum's loss": s.get("optimum", {}).get("loss"),
        "gap to the optimum's loss": s.get("gap"),
        "predicted gap": s.get("predicted", {}).get("gap"),
        "largest stable step": s.get("largest_stable_step"),
        "condition number": s.get("condition_number"),
        "R²": s.get("r_squared"),
        "residual standard deviation": s.get("residual_sd"),
    }
    lines = [f"# {s['method']}", "", "| | |", "|---|---|"]
    lines += [f"| {name} | {_text(value)} |" for name, value in rows.items() if value is not None]
    coefficients = s.get("coefficients") or _coefficients(s)
    targets = coefficients if coefficients and isinstance(coefficients[0], list) else [coefficients]
    for target, table in zip(s["target_names"], targets, strict=False):
        lines += ["", f"## Coefficients of {_escaped(target)}", "", *_table(table[:MOST_ROWS])]
        if len(table) > MOST_ROWS:
            lines += ["", f"and {len(table) - MOST_ROWS} more, in summary.json"]
    return "\n".join(lines)


def _coefficients(summary: dict[str, Any]) -> list[list[dict[str, Any]]]:
    """Of each target: what was reached, and the exact answer where it is known."""
    biases = summary["bias"] or [None] * len(summary["weights"])
    best = summary.get("optimum") or {}
    found = []
    for t, (weights, bias) in enumerate(zip(summary["weights"], biases, strict=True)):
        names = ["intercept", *summary["feature_names"]] if bias is not None else summary["feature_names"]
        values = [bias, *weights] if bias is not None else weights
        table = [{"name": name, "estimate": value} for name, value in zip(names, values, strict=True)]
        if best:
            exact = [best["bias"][t], *best["weights"][t]] if bias is not None else best["weights"][t]
            table = [row | {"at the optimum": value} for row, value in zip(table, exact, strict=True)]
        found.append(table)
    return found


def _table(rows: Sequence[dict[str, Any]]) -> list[str]:
    head = list(rows[0])
    head.sort(key=lambda key: key != "name")  # the name first
    lines = [f"| {' | '.join(key.replace('_', ' ') for key in head)} |", f"|---|{'---:|' * (len(head) - 1)}"]
    return lines + [f"| {' | '.join(_text(row[key]) for key in head)} |" for row in rows]


def _text(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, list):
        return ", ".join(_text(item) for item in value)
    return f"{value:.6g}" if isinstance(value, float) else _escaped(str(value))


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
