"""Makes what a checkpoint and the config beside it hold the defaults of the command line's parser."""

import inspect
import re
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser
from lightning.pytorch import callbacks, loggers
from lightning.pytorch.accelerators import AcceleratorRegistry
from lightning.pytorch.strategies import StrategyRegistry

from linlight.cli.given import Given
from linlight.cli.parsing import LOGGERS
from linlight.data.opened import DIALECT
from linlight.errors import InputError
from linlight.methods import find_method
from linlight.plain import read_yaml
from linlight.training import checkpointing as checkpoints
from linlight.training.arguments import are_plain

_COLUMNS = ("features", "target", "categorical")
_OF_TABLES = ("weight", "weight_kind", "unseen", "reference", *DIALECT)
_OF_OTHER_DATA = ("dtype", *_COLUMNS, *_OF_TABLES, "missing", "standardize")
_FLAGS = ("seed_everything", "trace", "lang", "audit", "pictures", "stop_at_se", "checkpoint")
"""What is kept of a run's config beside the Trainer's settings; the rest is in its checkpoint."""
_CALLBACKS = (
    *("BatchSizeFinder", "DeviceStatsMonitor", "EarlyStopping", "EMAWeightAveraging"),
    *("GradientAccumulationScheduler", "LearningRateFinder", "LearningRateMonitor", "ModelCheckpoint"),
    *("ModelSummary", "RichModelSummary", "RichProgressBar", "StochasticWeightAveraging"),
    *("TQDMProgressBar", "ThroughputMonitor", "Timer", "WeightAveraging"),
)
"""Lightning's callbacks that a resumed run keeps: without a folder of their own they write to the run's.

SpikeDetection is not among them: it writes to the file that its state in the checkpoint names.
"""
_PROFILERS = ("simple", "advanced", "pytorch", "xla")


def find_last(given: Given) -> str | None:
    """The newest checkpoint of the runs below the root folder, of the method that is asked for if one is."""
    root = Path(given.values.get("trainer.default_root_dir") or ".") / "lightning_logs"
    method = str(given.values.get("model") or "*").rpartition(".")[2]
    found = list(root.glob(f"{method}/version_*/checkpoints/last.ckpt"))
    return str(max(found, key=lambda path: path.stat().st_mtime_ns)) if found else None


def remember(parser: ArgumentParser, path: str, command: str, given: Given) -> Path | None:
    """Sets a parser's defaults to the settings of a checkpoint, so that what is given wins.

    Args:
        parser: The command's.
        path: The checkpoint's.
        command: `fit`, which also takes the settings of the config beside the checkpoint, or another.
        given: What the command was given.

    Returns:
        The config beside the checkpoint, where it was used.

    Raises:
        InputError: If the checkpoint or the config holds what cannot be used.
    """
    checkpoint = checkpoints.load(path)
    defaults: dict[str, Any] = {}
    config = None
    if command == "fit":
        if not {"loops", "optimizer_states"} <= checkpoint.keys():
            raise InputError(
                f"{path} holds weights alone, from which no training can resume: give a run's last.ckpt"
            )
        if config := _config_of(path, checkpoint):
            defaults = _of_config(*config, path, given)
        until = checkpoint.get("until", {})
        defaults |= {f"trainer.{key}": value for key, value in until.items() if value is not None}
    defaults |= _of_model(path, checkpoint, command, given)
    if given.names_data:
        defaults |= _of_named_data(checkpoint, given.values["data"])
    else:
        data = _of_data(path, checkpoint, command, given)
        defaults |= {f"data.{key}": value for key, value in data.items()}
    known = {action.dest for action in parser._actions}  # an older version may have had others
    parser.set_defaults({key: value for key, value in defaults.items() if key in known})
    return config[0] if config else None


def _of_model(path: str, checkpoint: dict[str, Any], command: str, given: Given) -> dict[str, Any]:
    asked = given.values.get("model")
    if not isinstance(asked, str):
        method = checkpoints.method_of(path, checkpoint)
    elif "." in asked and asked.rpartition(".")[2] != checkpoints.short_name(checkpoint):
        return {}  # another method of the user's own
    else:
        try:
            method = find_method(asked)
        except InputError:
            return {}  # which the parser refuses
    anew = {key for key in ("optimizer", "lr_scheduler") if given.gives(key) or command != "fit"}
    anew |= {"criterion"} if given.gives("model.criterion") else set()
    if method.__name__ != checkpoints.short_name(checkpoint):
        anew |= checkpoint["hyper_parameters"].keys() - inspect.signature(method).parameters.keys()
    settings = checkpoints.settings_of(path, checkpoint, method, without=anew)
    # The command line links these two into the model.
    linked = {key: settings.pop(key, None) for key in ("optimizer", "lr_scheduler")}
    model = {"class_path": f"{method.__module__}.{method.__qualname__}", "init_args": settings}
    return {"model": model, **{key: value for key, value in linked.items() if value}}


def _of_named_data(checkpoint: dict[str, Any], name: str) -> dict[str, Any]:
    """The checkpoint's settings of a data module that is named, where it is the one trained on."""
    trained_on = str(checkpoint.get("data")).rpartition(".")[2]
    settings = checkpoint.get("datamodule_hyper_parameters") or {}
    if trained_on != name.rpartition(".")[2] or not all(map(_is_argument, settings.values())):
        return {}
    return {"data": {"class_path": name, "init_args": dict(settings)}}


def _of_data(path: str, checkpoint: dict[str, Any], command: str, given: Given) -> dict[str, Any]:
    """A checkpoint's data: all settings, or those that hold for other data too where such are given."""
    has_x, has_path = given.gives("data.x"), given.gives("data.path")
    data = checkpoints.data_of(path, checkpoint, given_anew=has_x or has_path)
    is_table = not has_x and (has_path or data.get("path") is not None)
    kept = set(data)
    if has_x or has_path:
        kept -= {"x", "y", "path"}
        if command != "fit":
            kept &= {"dtype"} if has_x else set(_OF_OTHER_DATA)
        elif has_x:
            kept -= {*_COLUMNS, *_OF_TABLES, "id", "stream"}
    elif isinstance(name := checkpoint.get("data"), str):
        raise InputError(f"the checkpoint was trained on data of {name}: add --data {name}, or --data.x")
    elif not {"x", "y", "path"} <= kept:
        raise InputError(
            "the checkpoint was trained on arrays, which it does not hold: add --data.x and --data.y, "
            "or --data.path"
        )
    if command == "predict":
        kept -= {"target", "weight"}
    found = {key: data[key] for key in data if key in kept}
    # A prediction takes no column for the target, not even one by its usual name.
    return found | {"target": []} if command == "predict" and is_table else found


# The config beside a checkpoint -------------------------------------------------------------------------


def _config_of(path: str, checkpoint: dict[str, Any]) -> tuple[Path, dict[str, Any]] | None:
    """The `config.yaml` of the run whose checkpoint this is, where it still lies in the run's folder."""
    folder = Path(path).absolute().parent
    config = folder.parent / "config.yaml"
    if folder.name != "checkpoints" or not config.is_file():
        return None
    try:
        content = read_yaml(config.read_bytes(), str(config))
    except (InputError, OSError):
        return None  # something else of that name
    if not isinstance(content, dict) or not isinstance(content.get("trainer"), dict):
        return None
    method = content["model"].get("class_path") if isinstance(content.get("model"), dict) else None
    is_its_own = isinstance(method, str) and method.rpartition(".")[2] == checkpoints.short_name(checkpoint)
    return (config, content) if is_its_own and "data" in content else None


def _of_config(config: Path, content: dict[str, Any], path: str, given: Given) -> dict[str, Any]:
    """The settings of a run's config; those that name a class are taken where it is known to be harmless.

    Raises:
        InputError: If one names another, and no config that the user gives has it too.
    """
    found: dict[str, Any] = {}
    for key in _FLAGS:
        value = content.get(key)
        if key == "checkpoint" and isinstance(value, dict):
            found |= {f"checkpoint.{name}": one for name, one in value.items() if _is_simple(one)}
        elif key in content and _is_simple(value):
            found[key] = value
    root = Path(path).absolute().parents[4]  # lightning_logs/METHOD/version_N/checkpoints/last.ckpt
    for key, value in content["trainer"].items():
        if key == "default_root_dir":
            if value is not None and Path(str(value)).absolute() == root:
                found["trainer.default_root_dir"] = value
        elif value is not None and not (given.gives("config") and given.gives(f"trainer.{key}")):
            if not _is_harmless(key, value):
                raise InputError(
                    f"trainer.{key} of {config} names what is not made on a file's word alone: add "
                    f"--config {config} if you trust it, or move it away"
                )
            found[f"trainer.{key}"] = value
    return found


def _is_simple(value: Any) -> bool:
    return (
        value is None
        or isinstance(value, bool | int | float)
        or (isinstance(value, str) and "." not in value)
    )


def _is_harmless(key: str, value: Any) -> bool:
    """Whether a Trainer setting makes nothing but what is known to write to the run's folder alone."""
    if key in ("callbacks", "logger"):
        parts = value if isinstance(value, list) else [value]
        is_known = _is_known_callback if key == "callbacks" else _is_known_logger
        return all(map(is_known, parts))
    if key == "accelerator":
        return value in ("auto", *AcceleratorRegistry.available_accelerators())
    if key == "strategy":
        return value in ("auto", *StrategyRegistry.available_strategies())
    if key == "profiler":
        return value in _PROFILERS
    if key == "plugins":
        return False
    if key in ("devices", "max_time"):  # a number, a list, or an amount of time
        return _is_argument(value)
    return _is_simple(value)


def _is_known_callback(value: Any) -> bool:
    return _is_one_of(_CALLBACKS, callbacks, value) and not (value.get("init_args") or {}).get("dirpath")


def _is_known_logger(value: Any) -> bool:
    """Whether a logger is none, the usual one, or one whose empty `save_dir` stands for the run's folder."""
    if isinstance(value, bool):
        return True
    return _is_one_of(LOGGERS, loggers, value) and (value.get("init_args") or {}).get("save_dir") == ""


def _is_one_of(names: tuple[str, ...], module: Any, value: Any) -> bool:
    """Whether a value is a class of Lightning's with plain arguments."""
    if not isinstance(value, dict) or not isinstance(value.get("class_path"), str):
        return False
    name = value["class_path"].rpartition(".")[2]
    arguments = value.get("init_args") or {}
    return (
        value.keys() <= {"class_path", "init_args"}
        and name in names
        and value["class_path"].startswith(f"{module.__name__}.")
        and are_plain(getattr(module, name), arguments)
        and all(map(_is_argument, arguments.values()))
    )


def _is_argument(value: Any) -> bool:
    """Whether a value is a number or a word, or some of them, and leads to no folder."""
    if isinstance(value, dict):
        return "class_path" not in value and all(map(_is_argument, value.values()))
    if isinstance(value, list):
        return all(map(_is_argument, value))
    if not isinstance(value, str):
        return value is None or isinstance(value, bool | int | float)
    # Neither the path of a function nor one out of the run's folder.
    return not (re.fullmatch(r"\w+(\.\w+)+", value) or ".." in value or value.startswith(("/", "\\", "~")))
