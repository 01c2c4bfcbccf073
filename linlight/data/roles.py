"""Which columns of a table are features, targets, weights and ids."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc

from linlight.data.categories import Categories, references
from linlight.data.columns import REMEDIES, Columns
from linlight.data.csv import check_separated
from linlight.data.tables import ColumnSpec, Table, is_number, kind, nearest
from linlight.data.values import numbers, texts
from linlight.errors import InputError

NAMELESS = re.compile(r"\s*|Unnamed: \d+|__index_level_\d+__")
"""Names of columns without a name: blank, or what pandas calls a row index that it reads or writes."""
_NUMBER = r"^\s*[-+]?(\d[\d,]*\.?\d*|\.\d+)([eE][-+]?\d+)?\s*$"


def as_names(names: Any) -> list[str]:
    """Column names from a list, from one word, `a` or `a,b`, or from a number."""
    if names is None:
        return []
    if isinstance(names, str):
        return [name.strip() for name in names.split(",")]
    return [str(name) for name in names] if isinstance(names, Iterable) else [str(names)]


def assign_roles(
    table: Table,
    *,
    features: Any,
    target: Any,
    weight: Any,
    categorical: Any,
    ids: Any,
    reference: Any = None,
    unseen: Literal["error", "missing"] = "error",
    **settings: Any,
) -> tuple[Columns, str, list[str]]:
    """Assigns the columns of a table to their roles, by the settings of `XYDataModule`.

    Returns:
        The columns, without the levels of their categories; why there is no target, or ""; and what to report
        about columns that are left out, a line each.

    Raises:
        InputError: If a column that is named is not there, or cannot serve.
    """
    types = table.types
    check_separated(table.name, list(types))
    given = categorical if isinstance(categorical, Mapping) else {}
    categories = list(given) or as_names(categorical)
    chosen, targets, id_names = as_names(features), as_names(target), as_names(ids)
    weights = [] if weight is None else [str(weight)]
    named = {"features": chosen, "categorical": categories, "weight": weights, "id": id_names}
    for option, names in (named | {"target": targets}).items():
        for name, times in Counter(names).items():
            if times > 1:
                raise InputError(f"column {name!r} is named {times} times as {option}: name it once")
    for option, names in named.items():
        for name in names:
            if name not in types:
                raise InputError(_absent(table, name, option))
    for name in id_names:
        if re.fullmatch(r"row|prediction(_\d+)?", name):
            raise InputError(
                f"column {name!r} cannot be an id, because predictions have a column of that name: rename it"
            )
    if target is None:
        others = {*chosen, *categories, *weights}
        targets = [name for name in types if re.fullmatch(r"y(_\d+)?", name) and name not in others]
    no_target = "" if targets else f"name the column of {table.name} to learn: --data.target NAME"
    absent = [name for name in targets if name not in types]
    if absent:
        no_target = _absent(table, absent[0], "target")
        targets = []
    for name in [*targets, *weights]:
        roles = [option for option, names in {"target": targets, **named}.items() if name in names]
        if len({*roles} - {"id"}) > 1:
            raise InputError(f"column {name!r} is named as {' and '.join(roles)}: name it as one of them")
    taken = {*targets, *categories, *id_names, *weights}
    left_out: list[str] = []
    if not chosen:
        free = [name for name in types if name not in taken and not NAMELESS.fullmatch(name)]
        chosen = [name for name in free if is_number(types[name])]
        left_out = [name for name in free if not is_number(types[name])]
        _check_not_mostly_numbers(table, [name for name in left_out if kind(types[name]) == "text"])
    chosen = [name for name in chosen if name not in categories]
    for option, names in {"features": chosen, "target": targets, "weight": weights}.items():
        for name in names:
            if not is_number(types[name]):
                _refuse_text(table, name, REMEDIES[option])
    if not chosen and not categories:
        for name in left_out:
            _refuse_text(table, name, REMEDIES["features"])
        besides = f" besides {', '.join(map(repr, sorted(taken)))}" if taken else ""
        raise InputError(f"{table.name} has no column to learn from{besides}: add one")
    used = {*taken, *chosen}
    said = [
        f"left out column {name!r}, which looks like a row index that was written: to use it, name it in "
        "--data.features"
        for name in types
        if NAMELESS.fullmatch(name) and name not in used
    ]
    if left_out:
        kinds = ", ".join(f"{name} ({kind(types[name])})" for name in left_out)
        said.append(f"left out of the features, because they are not numbers: {kinds}")
    levels = {name: list(given.get(name, ())) for name in categories}
    found = Columns(
        table,
        chosen,
        targets,
        Categories(levels, references(reference), unseen),
        weights[0] if weights else None,
        id_names,
        **settings,
    )
    return found, no_target, said


def _absent(table: Table, name: str, option: str) -> str:
    return f"{table.name} has no column {name!r} for --data.{option}: {nearest(name, list(table.types))}"


def _check_not_mostly_numbers(table: Table, names: list[str]) -> None:
    """Checks that no column which is left out, for it is text, is one of numbers but for a few texts."""
    if not names:
        return
    for block in table.blocks(dict.fromkeys(names, ColumnSpec(pa.string()))):
        for name in names:
            numeric = pc.mean(pc.match_substring_regex(texts(block, name), _NUMBER)).as_py()
            if numeric is not None and numeric > 0.5:
                remedy = "or choose the --data.features without it, or add it to --data.categorical"
                _refuse_text(table, name, remedy)
        return  # their beginning shows it


def _refuse_text(table: Table, name: str, remedy: str) -> None:
    """Raises where a numeric column holds text; a column without any value may be text."""
    for block in table.blocks({name: ColumnSpec(pa.float64(), remedy)}):
        numbers(block, name, remedy)
