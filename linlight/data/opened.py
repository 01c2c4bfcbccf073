"""Numbers or a table, opened as a data module's settings ask for."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from linlight.data.arrays import Numbers, Rows, as_matrix, common_type, plain_names, type_of
from linlight.data.memory import Memory
from linlight.data.sources import Source
from linlight.data.statistics import constant_target
from linlight.distributed import say
from linlight.errors import InputError

if TYPE_CHECKING:
    from linlight.data.columns import Columns

DIALECT = ("delimiter", "decimal", "encoding", "header", "skip_rows", "na_values")
"""Settings of how a CSV is written."""
TEXTBOOK_X = [1.0, 2.0, 3.0]
TEXTBOOK_Y = [2.0, 4.0, 6.0]


@dataclass
class Opened:
    """Rows, and what their columns are.

    Attributes:
        source: The rows.
        feature_names: The features' names.
        target_names: The targets' names, one also where there are none.
        targets: Number of targets, or None.
        no_targets: Why there are none.
        constant: Why there is nothing to learn, or "".
        columns: The columns of a table, or None.
    """

    source: Source
    feature_names: list[str]
    target_names: list[str]
    targets: int | None
    no_targets: str
    constant: str = ""
    columns: "Columns | None" = None


def open_numbers(x: Numbers, y: Numbers, settings: dict[str, Any]) -> Opened:
    """Takes x and y; the textbook's where both are None.

    Raises:
        InputError: If they are not numbers, or do not belong together.
    """
    if x is None and y is not None:
        raise InputError("y is given without x: give both")
    own = common_type(type_of(values) for values in (x, y) if values is not None)
    rows = Rows(as_matrix(TEXTBOOK_X if x is None else x, "x", own), None)
    if x is None or y is not None:
        rows.y = as_matrix(TEXTBOOK_Y if y is None else y, "y", own)
        if len(rows.x) != len(rows.y):
            raise InputError(
                f"x has {len(rows.x):,} rows and y has {len(rows.y):,}: they must have equally many"
            )
    targets = None if rows.y is None else rows.y.shape[1]
    return Opened(
        Memory(rows, settings["seed"], settings["val_fraction"], settings["test_fraction"]),
        plain_names("x", rows.x.shape[1], x),
        plain_names("y", targets or 1, y),
        targets,
        "x is given without y: only predict can do without y",
    )


def open_path(path: Any, settings: dict[str, Any]) -> Opened:
    """Opens a table, decides which of its columns are what, and reads it unless it is streamed.

    Raises:
        InputError: If a column or a value cannot be used.
    """
    # Three points need no pyarrow, which takes its time to import.
    from linlight.data.csv import Dialect
    from linlight.data.paths import open_table
    from linlight.data.roles import assign_roles

    columns, no_targets, left_out = assign_roles(
        open_table(path, Dialect(**{field: settings[field] for field in DIALECT})),
        ids=settings["id"],
        trains_on=_trains_on(settings),
        weights_count=settings["weight_kind"] == "frequency",
        **{
            name: settings[name]
            for name in ("features", "target", "weight", "categorical", "missing", "unseen", "reference")
        },
    )
    for line in left_out:
        say(line)
    split = settings["seed"], settings["val_fraction"], settings["test_fraction"]
    constant = ""
    source: Source
    if settings["stream"]:
        from linlight.data.stream import Stream

        source = Stream(columns, settings["window"], *split)
    else:
        rows = columns.read()
        if columns.dropped:
            say(columns.about_dropped(len(rows.x)))
        constant = _constant(columns, rows)
        source = memory = Memory(rows, *split)
        if columns.categories and not isinstance(settings["categorical"], dict):
            # Levels that no row to train on has are left out, with the rows that have them.
            marked, absent = columns.forget_unseen(rows, memory.part("train"))
            if absent:
                memory.leave_out(marked, absent)
    targets = len(columns.targets) or None
    names = columns.feature_names, columns.targets or ["y"]
    return Opened(source, *names, targets, no_targets, constant, columns)


def _trains_on(settings: dict[str, Any]) -> Any:
    """Which rows of a stream are to train on, by their numbers; None: all, or unknown by now."""
    held_back = settings["val_fraction"] + settings["test_fraction"]
    if not settings["stream"] or not held_back:
        return None
    from linlight.data.chunks import uniform

    seed = settings["seed"]
    return lambda rows: uniform(rows, seed) >= held_back


def _constant(columns: "Columns", rows: Rows) -> str:
    """Why there is nothing to learn: harmless where rows are only compared with."""
    y = rows.y if rows.y is None or rows.weight is None else rows.y[rows.weight > 0]
    found = ""
    for name, column in zip(columns.targets, () if y is None else y.T, strict=False):
        if len(column) > 1 and bool((column == column[0]).all()):
            found = constant_target(name, column[0].item())
    return found
