"""The settings of the data module, checked before anything is read."""

from typing import Any

from linlight.errors import InputError

CHOICES = {
    "dtype": ("float32", "float64", None),
    "weight_kind": ("precision", "frequency"),
    "unseen": ("error", "missing"),
    "missing": ("error", "drop"),
}
DIALECT = ("delimiter", "decimal", "encoding", "header", "skip_rows", "na_values")
"""Settings of how a CSV is written."""
OF_A_TABLE = ("target", "features", "categorical", "weight", "id")


def check_batch_size(batch_size: int | None) -> None:
    """Raises where this is no number of rows per update; None stands for all."""
    if batch_size is not None and batch_size < 1:
        raise InputError(f"batch_size must be at least 1, got {batch_size}")
    if batch_size is not None and batch_size >= 2**31:
        raise InputError(f"batch_size must be below 2**31, got {batch_size}: leave it out for all rows")


def check_settings(given: dict[str, Any]) -> None:
    """Raises where an argument of `XYDataModule` cannot be used, or two contradict each other."""
    batch_size, window, updates = given["batch_size"], given["window"], given["updates_per_step"]
    val, test = given["val_fraction"], given["test_fraction"]
    check_batch_size(batch_size)
    for name, fraction in (("val_fraction", val), ("test_fraction", test)):
        if not 0 <= fraction < 1:
            raise InputError(f"{name} must be at least 0 and below 1, got {fraction}")
    if val + test >= 1:
        raise InputError(
            f"val_fraction {val} and test_fraction {test} leave no rows to train on: "
            "their sum must be below 1"
        )
    if given["seed"] < 0:
        raise InputError(f"seed must be at least 0, got {given['seed']}")
    for name, choices in CHOICES.items():
        if given[name] not in choices:
            raise InputError(f"{name} must be {choices[0]} or {choices[1]}, got {given[name]!r}")
    if given["reduce"] and batch_size is not None:
        raise InputError("reduce stands for all rows in one batch: leave out batch_size")
    if given["stream"] and given["path"] is None:
        raise InputError("stream reads a table block by block: give one as path, or leave it out")
    if window < 1:
        raise InputError(f"window must be at least 1 row, got {window}")
    if updates is not None and updates < 1:
        raise InputError(f"updates_per_step must be at least 1, got {updates}")
    if given["path"] is None:
        for name in OF_A_TABLE:
            if given[name] is not None:
                raise InputError(f"{name} names a column of a table: give the table as path")
    elif given["x"] is not None or given["y"] is not None:
        raise InputError("path is given with x or y: give one or the other")
    if given["stream"] and batch_size is not None and batch_size > window:
        raise InputError(f"batch_size {batch_size} does not fit into the window, {window:,} rows: raise it")
