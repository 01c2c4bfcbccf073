"""The lines a command prints about a model, and their words."""

from collections.abc import Sequence
from typing import Any

from linlight.text import count


def equation(summary: dict[str, Any], names: Sequence[str] | None = None) -> str:
    """The fitted model of a summary as a line of mathematics, as long as it stays short.

    Args:
        summary: The summary.
        names: Names of the features. Default: `x`, or `x_0`, `x_1`, ….
    """
    weights, bias = summary["weights"], summary["bias"]
    if len(weights) > 1 or len(weights[0]) > 4:
        return f"{count(len(weights[0]), 'feature')}, {count(len(weights), 'target')}"
    if names is None:
        names = ["x"] if len(weights[0]) == 1 else [f"x_{i}" for i in range(len(weights[0]))]
    terms = [f"{w:.6g} {name}" for w, name in zip(weights[0], names, strict=True)]
    terms += [] if bias is None else [f"{bias[0]:.6g}"]
    return "y = " + " + ".join(terms).replace("+ -", "- ")


def fitted(summary: dict[str, Any], names: Sequence[str]) -> str:
    """The last line about a training."""
    s = summary
    return (
        f"{s['method']}: {equation(s, names)}, loss {s['train_loss']:.6g} on "
        f"{count(s['rows'], 'row')} after {count(s['epochs'], 'epoch')}, {count(s['steps'], 'step')}"
    )


def evaluated(method: str, metrics: dict[str, float], rows: int, set_aside: bool) -> str:
    """The line about an evaluation of `rows` rows, all of them where none were set aside."""
    found = ", ".join(f"{name} {value:.6g}" for name, value in metrics.items())
    where = count(rows, "row") if set_aside else f"all {count(rows, 'row')}, for none were set aside"
    return f"{method}: {found} on {where}"
