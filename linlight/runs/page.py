"""A page of HTML in one file: its own markup, the style and script that all pages share, and its data."""

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from linlight.runs.surface import PALE
from linlight.training.folder import fresh

MOST_POINTS = 500
"""The most points of a path on a page."""
SHADES: list[list[int]] = (255 * PALE(np.linspace(0, 1, 64))[:, :3]).round().astype(int).tolist()
"""The colours of a loss surface, red, green and blue, from the lowest loss to the highest."""


def write_page(path: Path, package: str, template: str, content: dict[str, Any]) -> None:
    """Writes a page.

    Args:
        path: The file.
        package: The package of the template.
        template: A file with the placeholders `/*STYLE*/`, `/*SCRIPT*/` and `/*DATA*/`, the last for JSON.
        content: The data.
    """
    shared, page = files("linlight.runs"), files(package).joinpath(template).read_text(encoding="utf-8")
    for place, name in (("/*STYLE*/\n", "page.css"), ("/*SCRIPT*/\n", "page.js")):
        page = page.replace(place, shared.joinpath(name).read_text(encoding="utf-8"))
    text = json.dumps(content, allow_nan=False).replace("</", "<\\/")
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh(path).write_text(page.replace("/*DATA*/", text), encoding="utf-8")


def kept_points(count: int) -> list[int]:
    """The indices of the points, of `count`, that a page shows: evenly spaced, with both ends."""
    return sorted({round(at) for at in np.linspace(0, count - 1, min(count, MOST_POINTS))})
