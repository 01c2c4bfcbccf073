"""The result of a run as text, Markdown, HTML, JSON or a frame, made of the content of `summary.json`."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from textwrap import fill
from typing import TYPE_CHECKING, Any

from linlight.errors import InputError
from linlight.text import count, number, padded, shortened, visible

if TYPE_CHECKING:
    import pandas as pd

WIDTH = 80
PRINTED = 40
"""The most coefficients that are printed; `summary.json` has all."""
ON_CARD = 100
"""The most coefficients on the card."""
OF_A_TARGET = ("coefficients", "residual_sd", "r_squared", "adjusted_r_squared", "f", "f_p")
"""Keys of a summary that have a value for each target, in a list where there are several."""


def equation(summary: dict[str, Any], names: Sequence[str] | None = None) -> str:
    """The fitted model of a summary as a line of mathematics, as long as it stays short.

    Args:
        summary: The summary.
        names: Names of the features. Default: `x`, or `x_0`, `x_1`, ….
    """
    weights, bias = summary["weights"], summary["bias"]
    targets = [visible(target) for target in summary.get("target_names") or ["y"]]
    if len(weights) > 1 or len(weights[0]) > 4:
        more = f" and {count(len(targets) - 4, 'more target')}" * (len(targets) > 4)
        return f"{', '.join(targets[:4])}{more} from {count(len(weights[0]), 'feature')}"
    if names is None:
        names = ["x"] if len(weights[0]) == 1 else [f"x_{i}" for i in range(len(weights[0]))]
    terms = [f"{number(w)} {visible(name)}" for w, name in zip(weights[0], names, strict=True)]
    terms += [] if bias is None else [number(bias[0])]
    return f"{targets[0]} = " + " + ".join(terms).replace("+ -", "- ")


def evaluated(method: str, metrics: Mapping[str, float | None], rows: int, set_aside: bool) -> str:
    """The line about an evaluation of `rows` rows, all of them where none were set aside."""
    found = ", ".join(f"{name} {number(value)}" for name, value in metrics.items() if value is not None)
    where = count(rows, "row") if set_aside else f"all {count(rows, 'row')}, for none were set aside"
    return f"{method}: {found} on {where}"


@dataclass(frozen=True)
class FitResult:
    """The result of a training.

    Attributes:
        summary: The content of `summary.json`.
    """

    summary: dict[str, Any]

    @property
    def line(self) -> str:
        """One line: the model, its loss, how long it took."""
        s = self.summary
        return (
            f"{s['method']}: {equation(s, s['feature_names'])}, loss {number(s['train_loss'])} on "
            f"{count(s['rows'], 'row')} after {count(s['epochs'], 'epoch')}, {count(s['steps'], 'step')}"
        )

    def to_text(self) -> str:
        """The table of each target's coefficients with their inference, and the notes of the fit.

        Empty for a method without inference.
        """
        if "coefficients" not in self.summary:
            return ""
        # With a penalty there are no standard errors, and in a summary of an earlier version no such key.
        tables = self._of_targets() if self.summary.get("std_errors") is not None else ()
        notes = [fill(note, WIDTH, subsequent_indent="  ") for note in self.summary.get("notes", ())]
        return "\n".join([*(_table(target, one) for target, one in tables), *notes])

    def to_markdown(self, settings: dict[str, Any] | None = None, source: str | None = None) -> str:
        """The run on a card: what was trained, on what, and what was found.

        Args:
            settings: The method's, by name.
            source: Where the data come from.
        """
        facts = self._facts(settings, source)
        facts["model"] = f"`{facts['model']}`"
        lines = [f"# {self.summary['method']}", "", *_markdown([("", ""), *facts.items()], "---")]
        for title, cells, more in self._tables():
            lines += [
                "",
                f"## {_escaped(title)}",
                "",
                *_markdown(cells, "---:"),
                *(["", more] if more else []),
            ]
        return "\n".join(lines)

    def to_html(self) -> str:
        """The same card, as a part of a page."""
        parts = [f"<h3>{escape(self.summary['method'])}</h3>", _html(self._facts().items())]
        for title, cells, more in self._tables():
            parts += [f"<h4>{escape(title)}</h4>", _html(cells, "th")]
            parts += [f"<p>{escape(more)}</p>"] if more else []
        return "\n".join(parts)

    def _facts(self, settings: dict[str, Any] | None = None, source: str | None = None) -> dict[str, str]:
        s = self.summary
        facts = {
            "data": f"{f'{source}: ' if source else ''}{count(s['rows'], 'row')} to train on, "
            f"{count(s['features'], 'feature')}",
            "settings": ", ".join(f"{k} {_cell(v)}" for k, v in (settings or {}).items()) or None,
            "model": equation(s, s["feature_names"]),
            "loss": f"{number(s['train_loss'])} after {count(s['epochs'], 'epoch')}, "
            f"{count(s['steps'], 'step')}",
            "diverged": s.get("diverged"),
            "validation loss": s.get("val_loss"),
            "optimum's loss": s.get("optimum", {}).get("loss"),
            "gap to the optimum's loss": s.get("gap"),
            "predicted gap": s.get("predicted", {}).get("gap"),
            "largest stable step": s.get("largest_stable_step"),
            "condition number": s.get("condition_number"),
            "R²" if s["bias"] is not None else "uncentred R²": s.get("r_squared"),
            "residual standard deviation": s.get("residual_sd"),
        }
        return {name: _cell(value) for name, value in facts.items() if value is not None}

    def _tables(self) -> Iterator[tuple[str, list[list[str]], str]]:
        """For each target a title, cells with its first coefficients, and a line about the others."""
        for target, one in self._of_targets():
            rows = one["coefficients"]
            head = [key.replace("_", " ") for key in rows[0]]
            cells = [[_cell(value) for value in row.values()] for row in rows[:ON_CARD]]
            more = len(rows) - ON_CARD
            line = f"and {more:,} more, in summary.json" if more > 0 else ""
            yield f"Coefficients of {_cell(target)}", [head, *cells], line

    def to_json(self) -> str:
        """The content of `summary.json`."""
        return json.dumps(self.summary, indent=2, allow_nan=False) + "\n"

    def to_frame(self) -> "pd.DataFrame":
        """A row for each coefficient of each target, in full precision.

        Raises:
            InputError: If pandas is not installed.
        """
        try:
            import pandas as pd
        except ImportError as error:
            raise InputError("to_frame needs pandas: pip install pandas") from error
        of_targets = self._of_targets()
        return pd.DataFrame(
            [{"target": name, **row} for name, one in of_targets for row in one["coefficients"]]
        )

    def _of_targets(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Each target with the summary as if it were alone, and with a row for each coefficient."""
        names = self.summary["target_names"]
        for i, target in enumerate(names):
            own = {key: self.summary[key] for key in OF_A_TARGET if key in self.summary}
            if len(names) > 1:
                own = {key: value[i] for key, value in own.items() if value is not None}
            inferred = [{"name": row["name"], **row} for row in own.get("coefficients", ())]
            yield target, self.summary | own | {"coefficients": inferred or self._reached(i)}

    def _reached(self, target: int) -> list[dict[str, Any]]:
        """The coefficients of one target that were reached, and the exact answer where it is known."""
        s = self.summary
        names = s["feature_names"] if s["bias"] is None else ["intercept", *s["feature_names"]]
        found = {"estimate": s} | ({"at the optimum": s["optimum"]} if s.get("optimum") else {})
        columns = [names]
        for one in found.values():
            columns.append([*([] if one["bias"] is None else [one["bias"][target]]), *one["weights"][target]])
        return [dict(zip(("name", *found), row, strict=True)) for row in zip(*columns, strict=True)]


def _markdown(rows: Sequence[Sequence[str]], align: str) -> list[str]:
    """A table, the first row as its head; `align` is how the columns after the first are aligned."""
    head, *others = (f"| {' | '.join(map(_escaped, cells))} |" for cells in rows)
    return [head, f"|---|{f'{align}|' * (len(rows[0]) - 1)}", *others]


def _html(rows: Iterable[Iterable[str]], first: str = "td") -> str:
    """A table whose first row is of cells of this kind."""
    lines = []
    for cells in rows:
        line = "".join(f"<{first}>{escape(cell)}</{first}>" for cell in cells)
        lines.append(f"<tr>{line}</tr>")
        first = "td"
    return "\n".join(["<table>", *lines, "</table>"])


def _cell(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(_cell(item) for item in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None or isinstance(value, float):
        return number(value)
    return str(value).replace("\n", " ")


def _escaped(cell: str) -> str:
    return cell.replace("|", "\\|")


def _table(target: str, s: dict[str, Any]) -> str:
    intercept = s["bias"] is not None
    head = f"{'':<14}{'coef':>12}{'std err':>11}{'t':>10}{'p':>9}{'95 % interval':>24}"
    title = f"LeastSquares: {visible(target)}, {'with' if intercept else 'without'} intercept"
    lines = [title, "=" * WIDTH, head, "-" * WIDTH, *_rows(s["coefficients"])]
    f = f"{_statistic(s['f'], s['f_p'], 5)} (p {_p(s['f_p'])})"
    condition = "inf" if s["condition_number"] is None else number(s["condition_number"], 4)
    rows, r_squared = f"{s.get('observations', s['rows']):,}", "R²" if intercept else "uncentred R²"
    pairs = [
        ("rows", rows, r_squared, number(s["r_squared"])),
        (
            "degrees of freedom",
            f"{s['degrees_of_freedom']:,}",
            "adjusted R²",
            number(s["adjusted_r_squared"]),
        ),
        ("residual std dev", number(s["residual_sd"]), f"F, {count(s['f_degrees'], 'slope')}", f),
        ("condition number", condition, "std errors", s["std_errors"]),
    ]
    lines.append("-" * WIDTH)
    lines += [f"{a:<20}{b:>16}    {c:<14}{d:>26}" for a, b, c, d in pairs]
    return "\n".join([*lines, "=" * WIDTH])


def _rows(coefficients: Sequence[dict[str, Any]]) -> list[str]:
    shown = coefficients[:PRINTED]
    lines = []
    for name, c in zip(shortened([c["name"] for c in shown], 13), shown, strict=True):
        t = _statistic(c["t"], c["p"], 4)
        lines.append(
            f"{padded(name, 14)}{number(c['estimate']):>12}{number(c['std_error'], 4):>11}{t:>10}"
            f"{_p(c['p']):>9}{number(c['ci_low'], 5):>12}{number(c['ci_high'], 5):>12}"
        )
    if len(coefficients) > PRINTED:
        lines.append(f"... {len(coefficients) - PRINTED:,} more coefficients are in summary.json")
    return lines


def _statistic(value: float | None, p: float | None, digits: int) -> str:
    """A t or F, which is infinite in an exact fit; JSON has no such number."""
    return "inf" if value is None and p == 0 else number(value, digits)


def _p(value: float | None) -> str:
    return "<1e-99" if value is not None and value < 1e-99 else number(value, 3)
