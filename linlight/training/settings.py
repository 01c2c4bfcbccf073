"""The settings of a run in a word each: the name of its TensorBoard folder, its card and its table."""

import inspect
import re
from typing import Any

from lightning.pytorch import LightningDataModule

from linlight.data.datamodule import XYDataModule
from linlight.methods.base import LinearModel


def method_settings(model: LinearModel) -> dict[str, Any]:
    """The settings of a method that are set; of an optimizer, a criterion and the like the class alone.

    `lr` is the optimizer's, where one is named.
    """
    found = {name: _word(value) for name, value in model.hparams.items() if value is not None}
    optimizer = model.hparams.get("optimizer")
    if isinstance(optimizer, dict) and optimizer:
        found["lr"] = optimizer.get("init_args", {}).get("lr")
    return {name: value for name, value in found.items() if value is not None}


def data_settings(data: LightningDataModule) -> dict[str, Any]:
    """How the rows are handed out, and the data's name."""
    if not isinstance(data, XYDataModule):
        return {"data": type(data).__name__}
    return {
        "batch": data.batch_size or "all",
        "shuffle": data.shuffle,
        "standardize": data.standardize,
        "dtype": data.hparams["dtype"],
        "data": _table_name(data) or source_name(data),
    }


def source_name(data: XYDataModule) -> str:
    """Where the data come from, in words."""
    if isinstance(path := data.hparams.get("path"), str):
        return path
    textbook = all(name in data.hparams and data.hparams[name] is None for name in ("x", "path"))
    return "the textbook's points" if textbook else "arrays"


def _table_name(data: XYDataModule) -> str | None:
    """The name of a table's file without its ending; None of arrays and of tables in memory."""
    path = data.hparams.get("path")
    if not isinstance(path, str):
        return None
    return re.split(r"[/\\]", path.rstrip("/"))[-1].partition(".")[0] or None


def _word(value: Any) -> Any:
    """`Adam` for a class with its arguments; `MSELoss-sum` for a loss that is a total."""
    if not (isinstance(value, dict) and "class_path" in value):
        return value
    name: str = value["class_path"].rpartition(".")[2]
    return f"{name}-sum" if value.get("init_args", {}).get("reduction") == "sum" else name


def in_a_word(settings: dict[str, Any]) -> dict[str, Any]:
    """Those of some settings that are a word or a number."""
    return {name: value for name, value in settings.items() if isinstance(value, bool | int | float | str)}


def yes_or_no(value: Any) -> Any:
    """A truth value as a word; anything else as it is."""
    return ("no", "yes")[value] if isinstance(value, bool) else value


def run_label(model: LinearModel, data: LightningDataModule) -> str:
    """The settings by which runs of a method are told apart, as the name of a folder.

    Batch size and learning rate always, and the data's name where they have one; another setting of the
    method where it is not the default, unless it is long.
    """
    usual = inspect.signature(type(model).__init__).parameters
    own, of_data = method_settings(model), data_settings(data)
    always = {name: own.pop(name) for name in ("optimizer", "lr", "criterion") if name in own}
    if always.get("criterion") == "MSELoss":
        del always["criterion"]
    changed = {
        name: own[name]
        for name in sorted(own)
        if name in usual and not isinstance(model.hparams[name], dict)
        if model.hparams[name] != usual[name].default
    }
    if isinstance(data, XYDataModule):
        of_data = {"batch": of_data["batch"], "dtype": of_data["dtype"], "data": _table_name(data)}
        if of_data["dtype"] == "float64":
            del of_data["dtype"]
    words = (
        f"{name}={value:g}" if isinstance(value, float) else f"{name}={yes_or_no(value)}"
        for name, value in in_a_word(always | changed | of_data).items()
    )
    return re.sub(r"[^\w.=,+-]", "_", ",".join(words))[:100]
