"""What a checkpoint says about itself, as the words one would have typed."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import yaml

from linlight.data.datamodule import DIALECT
from linlight.errors import InputError


def typed(args: Sequence[str], option: str) -> str | None:
    """The value typed for an option, or None; `--option value` and `--option=value` alike."""
    for i, word in enumerate(args):
        if word.startswith(f"{option}="):
            return word.partition("=")[2]
        if word == option and i + 1 < len(args):
            return args[i + 1]
    return None


def load(path: str) -> dict[str, Any]:
    """Reads a checkpoint of linlight's.

    Raises:
        InputError: If there is none at `path`.
    """
    if not Path(path).exists():
        raise InputError(f"there is no checkpoint {path}: a run keeps its own in checkpoints/last.ckpt")
    try:
        checkpoint: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    # torch.load raises errors of many types on a file that is not its own.
    except Exception as error:
        raise InputError(f"{path} is not a checkpoint, or is damaged: give the last.ckpt of a run") from error
    if not isinstance(checkpoint, dict) or "method" not in checkpoint:
        raise InputError(f"{path} is not a checkpoint of linlight: it does not name its method")
    return checkpoint


def find_last(args: Sequence[str]) -> str | None:
    """The newest checkpoint of the runs below the typed root folder, of the typed method if there is one."""
    root = Path(typed(args, "--trainer.default_root_dir") or ".") / "lightning_logs"
    method = (typed(args, "--model") or "*").rpartition(".")[2]
    found = list(root.glob(f"{method}/version_*/checkpoints/last.ckpt"))
    return str(max(found, key=lambda path: path.stat().st_mtime_ns)) if found else None


_OF_OTHER_DATA = (
    *("dtype", "target", "features", "categorical", "weight", "missing", "standardize"),
    *DIALECT,
)
_COLUMNS = ("features", "target", "categorical")


def config_beside(path: str, checkpoint: dict[str, Any]) -> Path | None:
    """The `config.yaml` of the run whose checkpoint this is, where it still lies in the run's folder."""
    folder = Path(path).absolute().parent
    config = folder.parent / "config.yaml"
    if folder.name != "checkpoints" or not config.is_file():
        return None
    try:
        content = yaml.safe_load(config.read_text(encoding="utf-8"))
        method = content["model"]["class_path"].rpartition(".")[2]
        is_its_own = (
            method == checkpoint["method"].rpartition(".")[2] and {"trainer", "data"} <= content.keys()
        )
    except (OSError, ValueError, yaml.YAMLError, TypeError, KeyError, AttributeError):
        return None  # something else of that name
    return config if is_its_own else None


def config_arguments(config: Path, checkpoint: dict[str, Any], source: str | None) -> list[str]:
    """The options that repeat a run, to stand before what was typed, which wins.

    Args:
        config: The run's `config.yaml`.
        checkpoint: The run's checkpoint, which knows what the columns of its table were.
        source: Where other data come from: `x`, `path`, or None where they are the run's own.
    """
    data: dict[str, Any] = dict.fromkeys("xy") if source == "path" else {}
    if source == "x":
        data = dict.fromkeys(("path", *_COLUMNS, "weight", "id")) | {"stream": False}
    else:
        learned = checkpoint.get("datamodule_hyper_parameters", {})
        data |= {key: learned[key] for key in _COLUMNS if learned.get(key) is not None}
    settings = {f"data.{key}": value for key, value in data.items()} | {"quiet": False, "verbose": False}
    return [f"--config={config}", *(f"--{key}={json.dumps(value)}" for key, value in settings.items())]


def differences(old: Any, new: Any, name: str = "") -> Iterator[tuple[str, Any, Any]]:
    """The settings that differ, by their names, as (`lr`, 0.1, 0.2); those that only one side has do not."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in (key for key in old if key in new):
            yield from differences(old[key], new[key], f"{name}.{key}" if name else key)
    elif old != new:
        yield name, old, new


def model_arguments(checkpoint: dict[str, Any]) -> list[str]:
    """The options that make a checkpoint's method again, to stand before what was typed, which wins."""
    settings = dict(checkpoint["hyper_parameters"])
    # The command line links these two into the model.
    outside = {key: settings.pop(key, None) for key in ("optimizer", "lr_scheduler")}
    model = {"class_path": checkpoint["method"], "init_args": settings}
    return [f"--model={json.dumps(model)}", *_as_options("", outside)]


def run_arguments(checkpoint: dict[str, Any], command: str, source: str | None) -> list[str]:
    """The options that make a checkpoint's data again, and for `fit` its end.

    Args:
        checkpoint: The checkpoint.
        command: `fit`, `validate`, `test` or `predict`; the last needs no target and no weights.
        source: Where other data come from: `x`, which keeps only the type of the numbers of the data's
            settings, `path`, which keeps what is said of a table's columns (`fit` keeps all), or None.

    Raises:
        InputError: If the checkpoint does not hold its data and no other are given.
    """
    data = dict(checkpoint.get("datamodule_hyper_parameters") or {})
    is_table = source == "path" or data.get("path") is not None
    if source == "x":
        data = {"dtype": data["dtype"]} if "dtype" in data else {}
    elif source == "path":
        kept = data.keys() - {"x", "y", "path"} if command == "fit" else _OF_OTHER_DATA
        data = {key: data[key] for key in kept if key in data}
    elif not {"x", "y", "path"} <= data.keys():
        raise InputError(
            "the checkpoint was trained on arrays, which it does not hold: add --data.x and --data.y, "
            "or --data.path"
        )
    if command == "predict":
        data = {key: value for key, value in data.items() if key not in ("target", "weight")}
        data |= {"target": []} if is_table else {}  # not even one by its usual name
    until = checkpoint.get("until", {}) if command == "fit" else {}
    return _as_options("data.", data) + _as_options("trainer.", until)


def _as_options(prefix: str, settings: dict[str, Any]) -> list[str]:
    given = {key: value for key, value in settings.items() if value is not None}
    texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in given.items()}
    return [f"--{prefix}{key}={text}" for key, text in texts.items()]
