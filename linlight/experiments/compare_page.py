"""`compare.html`: the comparison as a page of its own, with a slider over the epochs."""

from pathlib import Path
from typing import Any

import numpy as np

from linlight.data.datamodule import XYDataModule
from linlight.experiments.compare_plot import place, title
from linlight.experiments.results import Result
from linlight.functional.loss_surface import LossSurface
from linlight.runs.page import SHADES, kept_points, write_page
from linlight.runs.style import COLORS, DASHES
from linlight.text import count, number, shortened
from linlight.training.fit_result import equation


def write_compare_page(
    results: list[Result], data: XYDataModule, ground: LossSurface | None, path: Path
) -> None:
    """Writes the page, which needs nothing beside it.

    Args:
        results: What the methods did.
        data: The data they were given.
        ground: What their paths are drawn on, where there is such a thing.
        path: The file.
    """
    content = {
        "about": f"{count(data.train_size, 'row')}, {count(data.features, 'feature')}, "
        f"{count(data.targets or 0, 'target')}. Drag the slider, or use its arrow keys.",
        "ground": None if ground is None else {"title": title(ground, data), **_ground(ground)},
        "methods": [_method(i, result, data, ground) for i, result in enumerate(results)],
    }
    write_page(path, "linlight.experiments", "compare.html", content)


def _method(i: int, result: Result, data: XYDataModule, ground: LossSurface | None) -> dict[str, Any]:
    # A search has one point, which it came to in its one epoch, and which stands for all others.
    points = [
        {
            "epoch": point["epoch"],
            "loss": point["loss"],
            "at": None if ground is None else place(ground, point),
            "text": _weights(point, data.feature_names),
        }
        for point in (result.path[kept] for kept in kept_points(len(result.path)))
    ]
    found = {"weights": result.weights, "bias": result.bias}
    return {
        "name": result.name,
        "color": COLORS[i % len(COLORS)],
        "dashes": " ".join(map(str, DASHES[i % len(DASHES)])),
        "descends": result.descends,
        "settings": result.settings,
        "error": result.error,
        "equation": "" if result.weights is None else equation(found, data.feature_names),
        "path": points,
    }


def _weights(point: dict[str, Any], names: list[str]) -> str:
    weights, bias = point["weights"], point["bias"]
    if len(weights) > 1 or len(names) > 4:
        return ""
    called, of_bias = (["w"], "b") if len(names) == 1 else (shortened(names, 24), "bias")
    terms = [f"{name} {number(w, 4)}" for name, w in zip(called, weights[0], strict=True)]
    return ", ".join(terms + ([] if bias is None else [f"{of_bias} {number(bias[0], 4)}"]))


def _ground(ground: LossSurface) -> dict[str, Any]:
    (x, *_), losses = ground.land.axes, ground.land.losses
    along, up = ground.limits()
    found: dict[str, Any] = {
        "labels": (*ground.labels, "mean squared error" + ground.held)[:2],
        "x": [float(end) for end in along],
        "y": [float(end) for end in up],
        "lowest": [*ground.land.lowest, *([ground.shape.lowest] if ground.is_curve else [])],
    }
    if ground.is_curve:
        return found | {"curve": [[float(a), float(b)] for a, b in zip(x, losses, strict=True)]}
    # Shades that lie as close near the bottom as the bowl there is flat, as in the picture.
    depth = np.sqrt((losses - losses.min()) / max(np.ptp(losses), 1e-30))
    shades = (depth[::-1] * (len(SHADES) - 1)).round().astype(int)  # rows from the top
    scale = [losses.min() + np.ptp(losses) * part**2 for part in (0, 0.5, 1)]
    return found | {"shades": shades.tolist(), "colors": SHADES, "scale": scale}
