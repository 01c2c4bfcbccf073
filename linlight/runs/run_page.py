"""`run.html`: a finished run as a page, on which the reader moves w and b by hand."""

from pathlib import Path
from typing import Any

import numpy as np
from torch.nn import MSELoss

from linlight.errors import InputError
from linlight.functional.loss_surface import make_surface
from linlight.functional.statistic import design
from linlight.runs.page import SHADES, kept_points, write_page
from linlight.runs.record import RunRecord
from linlight.runs.style import ERROR

MOST_ROWS = 200
"""The most rows whose squares are drawn, evenly spaced; the loss is that of all rows."""


def write_run_page(run: RunRecord, path: Path) -> None:
    """Writes the page of a run with one feature and one target.

    Raises:
        InputError: If there are more: a plane has room for x and y only.
    """
    if run.model.w.shape != (1, 1):
        targets, features = run.model.w.shape
        raise InputError(
            f"the page of a run shows one feature and one target in a plane, and this run has {features} and "
            f"{targets}: linlight compare draws its page for any number of features"
        )
    write_page(path, "linlight.runs", "run.html", _content(run))


def _content(run: RunRecord) -> dict[str, Any]:
    model, data = run.model.cpu(), run.data
    bias = model.b is not None
    kept = kept_points(len(run.path[0]))
    epochs, theta = (values[kept] for values in run.path)
    b, w = theta.T if bias else (np.zeros(len(kept)), theta[:, 0])
    seen = run.seen(MOST_ROWS)
    m = seen.moments
    ground = make_surface(m, data.feature_names, bias, theta)
    along, up = ground.limits()
    best = [*ground.land.lowest, *([] if bias else [0.0])]  # w, then b
    x, y = (tensor.double().numpy()[:, 0] for tensor in (seen.x, seen.y))
    ones_x, of_y = design(m.cpu(), bias=True)
    weight = m.weight.item()
    # If the run's loss is the sum of the squares, the page's is too, so that its step is the run's.
    total = model.loss_is_total and isinstance(model.criterion, MSELoss)
    rule, stable = model.update_rule(), run.summary.get("largest_stable_step")
    return {
        "title": run.result.line + ("; it diverged" if run.summary.get("diverged") else "") + seen.remark,
        "names": [data.feature_names[0], data.target_names[0]],
        "rows": np.column_stack([x, y]).tolist(),
        "x": _with_margin(x),
        "y": _with_margin(np.append(y, 0.0)),
        "w": [float(end) for end in along],
        "b": [float(end) for end in up] if bias else [-1.0, 1.0],
        "heights": [float(end) * (weight if total else 1.0) for end in up],
        "total": total,
        "loss": "sum of the squared errors" if total else ERROR,
        "bias": bias,
        "sums": np.column_stack([ones_x.numpy(), of_y.numpy()]).tolist(),
        "weight": 1.0 if total else weight,
        "path": np.column_stack([epochs, w, b]).tolist(),
        "optimum": best,
        "lr": float(f"{(stable or 0.02) / 2 if rule is None else rule.lr:.3g}"),
        "colors": SHADES,
    }


def _with_margin(values: np.ndarray) -> list[float]:
    low, high = float(values.min()), float(values.max())
    margin = 0.15 * ((high - low) or abs(high) or 1.0)
    return [low - margin, high + margin]
