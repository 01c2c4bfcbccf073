"""Numbers or a table, opened: names, sizes and types at once, rows when they are asked for."""

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from linlight.data.arrays import Numbers, Rows, as_matrix, common_type, plain_names, type_of
from linlight.data.memory import Memory
from linlight.data.split import Split
from linlight.data.statistics import constant_target
from linlight.distributed import say
from linlight.errors import InputError

if TYPE_CHECKING:
    from linlight.data.columns import Columns
    from linlight.data.stream import Stream

MANY_NUMBERS = 2**24
"""A table of as many is streamed where nobody needs to hold it: a quarter of a second to read, 128 MiB."""
DIALECT = ("delimiter", "decimal", "encoding", "header", "skip_rows", "na_values")
"""Settings of how a CSV is written."""
TEXTBOOK_X = [1.0, 2.0, 3.0]
TEXTBOOK_Y = [2.0, 4.0, 6.0]


class OpenedNumbers:
    """x and y; the textbook's where both are None.

    Attributes:
        feature_names: The features' names.
        target_names: The targets' names, one also where there are none.
        targets: Number of targets, or None.
        no_targets: Why there are none.
        constant: Why there is nothing to learn, as far as that is known, or "".
        columns: The columns of a table.

    Raises:
        InputError: If they are not numbers, or do not belong together.
    """

    no_targets = "x is given without y: only predict can do without y"
    constant = ""
    is_worth_streaming = False
    columns: None = None

    def __init__(self, x: Numbers, y: Numbers, split: Split) -> None:
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
        self.targets = None if rows.y is None else rows.y.shape[1]
        self.feature_names = plain_names("x", rows.x.shape[1], x)
        self.target_names = plain_names("y", self.targets or 1, y)
        self.dtype = own
        self.memory = Memory(rows, split.divided(rows.weight, len(rows.x)), split.seed)


class OpenedTable:
    """A table, with the attributes of `OpenedNumbers`; its rows are read when they are asked for.

    Raises:
        InputError: If a column cannot be used.
    """

    constant = ""

    def __init__(self, path: Any, settings: dict[str, Any], split: Split) -> None:
        # Three points need no pyarrow, which takes its time to import.
        from linlight.data.csv import Dialect
        from linlight.data.paths import open_table
        from linlight.data.roles import assign_roles

        columns, self.no_targets, left_out = assign_roles(
            open_table(path, Dialect(**{name: settings[name] for name in DIALECT})),
            ids=settings["id"],
            weights_count=settings["weight_kind"] == "frequency",
            **{
                name: settings[name]
                for name in ("features", "target", "weight", "categorical", "missing", "unseen", "reference")
            },
        )
        for line in left_out:
            say(line)
        self.columns: Columns = columns
        self._split, self._window = split, settings["window"]
        self.target_names, self.targets = columns.targets or ["y"], len(columns.targets) or None
        self.dtype: torch.dtype = getattr(torch, columns.dtype)

    @property
    def feature_names(self) -> list[str]:
        """The features' names; those of a category once its levels were given or read."""
        return self.columns.feature_names

    @property
    def is_worth_streaming(self) -> bool:
        """Whether to hold the rows takes longer, and more memory, than to read them for a single pass."""
        sizes = [part.rows for part in self.columns.table.parts()]
        numbers = len(self.columns.used) * sum(n or 0 for n in sizes)
        return None not in sizes and numbers >= MANY_NUMBERS and "memory" not in vars(self)

    @cached_property
    def memory(self) -> Memory:
        """The rows in memory.

        Raises:
            InputError: If a value cannot be used.
        """
        columns = self.columns
        finds_levels = bool(columns.categories.unknown)
        columns.find_levels(None)
        rows = columns.read()
        parts = self._split.divided(rows.weight, len(rows.x))
        if finds_levels:
            train, first = parts["train"], len(columns.features)
            if columns.categories.keep_seen(rows.x[:, first:] if train is None else rows.x[train, first:]):
                # Read again: a row with a level that none to train on has is refused or dropped.
                before = _numbers(rows)
                del rows
                rows = columns.read()
                parts = {kind: _places(part, before, _numbers(rows)) for kind, part in parts.items()}
        columns.report(len(rows.x), is_share=False)
        self.constant = _constant(columns, rows)
        return Memory(rows, parts, self._split.seed)

    @cached_property
    def stream(self) -> "Stream":
        """The rows as a stream.

        Raises:
            InputError: If a category cannot be one.
        """
        from linlight.data.stream import Stream

        self.columns.find_levels(lambda numbers: self._split.drawn(numbers, "train"))
        return Stream(self.columns, self._window, self._split)


def _numbers(rows: Rows) -> np.ndarray:
    return np.arange(len(rows.x)) if rows.numbers is None else rows.numbers


def _places(part: Tensor | None, before: np.ndarray, after: np.ndarray) -> Tensor | None:
    """Where the rows of a part are once some rows of the table, given by their numbers, are left out."""
    if part is None:
        return None
    numbers = before[part.numpy()]
    return torch.from_numpy(np.searchsorted(after, numbers[np.isin(numbers, after)]))


def _constant(columns: "Columns", rows: Rows) -> str:
    """Why there is nothing to learn: harmless where rows are only compared with."""
    y = rows.y if rows.y is None or rows.weight is None else rows.y[rows.weight > 0]
    found = ""
    for name, column in zip(columns.targets, () if y is None else y.T, strict=False):
        if len(column) > 1 and bool((column == column[0]).all()):
            found = constant_target(name, column[0].item())
    return found
