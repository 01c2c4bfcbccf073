"""What a checkpoint and the config beside it say, as the defaults of the command line's parser."""

import argparse
import inspect
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser
from lightning.pytorch import callbacks
from lightning.pytorch.accelerators import AcceleratorRegistry
from lightning.pytorch.strategies import StrategyRegistry

from linlight.data.opened import DIALECT
from linlight.errors import InputError
from linlight.methods import find_method
from linlight.plain import read_yaml
from linlight.training import checkpointing as checkpoints
from linlight.training.arguments import are_plain

_AHEAD = (
    *("ckpt_path", "model", "optimizer", "data", "data.x", "data.path"),
    *("trainer.default_root_dir", "trainer.logger"),
)
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


@dataclass
class Ahead:
    """What is asked for, as far as it decides what the parser's defaults are.

    Attributes:
        values: The values of a few options, by their names.
        names: The names of all that was typed or stands in a config.
    """

    values: dict[str, Any]
    names: set[str]

    @property
    def names_data(self) -> bool:
        """Whether a data module is named by its class, `my_module.MyData`."""
        name = self.values.get("data")
        return isinstance(name, str) and not Path(name).is_file()


def look_ahead(words: Sequence[str]) -> Ahead:
    """Looks for a few options among the words, and in the configs that they name.

    Raises:
        InputError: If a config is no plain data.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    for name in _AHEAD:
        parser.add_argument(f"--{name}", dest=name)
    parser.add_argument("-c", "--config", action="append", default=[])
    try:
        typed = vars(parser.parse_known_args(words)[0])
    except argparse.ArgumentError:  # of which the parser itself will say more
        typed = {"config": []}
    names = {word.partition("=")[0].removeprefix("--") for word in words if word.startswith("--")}
    values: dict[str, Any] = {}
    for path in typed.pop("config"):
        if not Path(path).exists():
            continue  # of which the parser will say more
        if not Path(path).is_file():  # a pipe would keep it waiting
            raise InputError(f"the config {path} is not a file: save it in one")
        content = read_yaml(Path(path).read_bytes(), f"the config {path}")
        if not isinstance(content, dict):
            raise InputError(f"the config {path} holds no settings, such as model: GradientDescent")
        for name in ("trainer", "data"):
            if name in content and content[name] is None:
                raise InputError(f"the config {path} holds nothing below {name}: leave it out")
        found = _flat(content)
        names |= found.keys()
        values |= {name: found[name] for name in _AHEAD if found.get(name) is not None}
    return Ahead(values | {name: value for name, value in typed.items() if value is not None}, names)


def _flat(content: Any, prefix: str = "") -> dict[str, Any]:
    """Nested settings by their full names; a class's arguments as on the command line."""
    found: dict[str, Any] = {}
    if isinstance(content, dict):
        for key, value in content.items():
            name = f"{prefix}{key}"
            if key == "init_args":
                found |= _flat(value, prefix)
            elif key == "class_path":
                found[prefix.removesuffix(".")] = value
            else:
                found[name] = value
                found |= _flat(value, f"{name}.") if prefix.count(".") < 4 else {}
    return found


def find_last(ahead: Ahead) -> str | None:
    """The newest checkpoint of the runs below the root folder, of the method that is asked for if one is."""
    root = Path(ahead.values.get("trainer.default_root_dir", ".")) / "lightning_logs"
    method = str(ahead.values.get("model", "*")).rpartition(".")[2]
    found = list(root.glob(f"{method}/version_*/checkpoints/last.ckpt"))
    return str(max(found, key=lambda path: path.stat().st_mtime_ns)) if found else None


def remember(parser: ArgumentParser, path: str, command: str, ahead: Ahead) -> Path | None:
    """Makes what a checkpoint says of itself the parser's defaults, so that what is typed wins.

    Args:
        parser: The command's.
        path: The checkpoint's.
        command: `fit`, which also goes on as the config beside the checkpoint says, or another.
        ahead: What is asked for.

    Returns:
        The config beside the checkpoint, where it was used.

    Raises:
        InputError: If the checkpoint or the config holds what cannot be used.
    """
    checkpoint = checkpoints.load(path)
    if command == "fit" and not {"loops", "optimizer_states"} <= checkpoint.keys():
        raise InputError(
            f"{path} holds weights alone, with which no training goes on: give a run's last.ckpt"
        )
    config = _beside(path, checkpoint) if command == "fit" else None
    defaults = {} if config is None else _of_config(*config, path, ahead)
    until = checkpoint.get("until", {}) if command == "fit" else {}
    defaults |= {f"trainer.{key}": value for key, value in until.items() if value is not None}
    defaults |= _of_model(path, checkpoint, command, ahead)
    if ahead.names_data:
        defaults |= _of_named_data(checkpoint, ahead.values["data"])
    else:
        data = _of_data(path, checkpoint, command, ahead)
        defaults |= {f"data.{key}": value for key, value in data.items()}
    known = {action.dest for action in parser._actions}  # an older version may have had others
    parser.set_defaults({key: value for key, value in defaults.items() if key in known})
    return None if config is None else config[0]


def _of_model(path: str, checkpoint: dict[str, Any], command: str, ahead: Ahead) -> dict[str, Any]:
    asked = ahead.values.get("model")
    if not isinstance(asked, str):
        method = checkpoints.method_of(path, checkpoint)
    elif "." in asked and asked.rpartition(".")[2] != checkpoints.short_name(checkpoint):
        return {}  # another method of the user's own
    else:
        try:
            method = find_method(asked)
        except InputError:
            return {}  # of which the parser says more
    given_anew = {key for key in ("optimizer", "lr_scheduler") if key in ahead.names or command != "fit"}
    given_anew |= {"criterion"} if "model.criterion" in ahead.names else set()
    if method.__name__ != checkpoints.short_name(checkpoint):
        given_anew |= checkpoint["hyper_parameters"].keys() - inspect.signature(method).parameters.keys()
    settings = checkpoints.settings_of(path, checkpoint, method, without=given_anew)
    class_path = f"{method.__module__}.{method.__qualname__}"
    # The command line links these two into the model.
    found = {key: settings.pop(key) for key in ("optimizer", "lr_scheduler") if settings.get(key)}
    settings.pop("optimizer", None), settings.pop("lr_scheduler", None)
    return {"model": {"class_path": class_path, "init_args": settings}, **found}


def _of_named_data(checkpoint: dict[str, Any], name: str) -> dict[str, Any]:
    """The checkpoint's settings of a data module that is named, where it is the one trained on."""
    trained_on = str(checkpoint.get("data")).rpartition(".")[2]
    settings = checkpoint.get("datamodule_hyper_parameters") or {}
    if trained_on != name.rpartition(".")[2] or not all(map(_is_argument, settings.values())):
        return {}
    return {"data": {"class_path": name, "init_args": dict(settings)}}


def _of_data(path: str, checkpoint: dict[str, Any], command: str, ahead: Ahead) -> dict[str, Any]:
    """A checkpoint's data: all of it, or what holds for others too where other data are given."""
    data = checkpoints.data_of(path, checkpoint, given_anew=bool({"data.path", "data.x"} & ahead.names))
    is_table = "data.path" in ahead.names or data.get("path") is not None
    if "data.x" in ahead.names:
        kept = (
            data.keys() - {"x", "y", "path", *_COLUMNS, *_OF_TABLES, "id", "stream"}
            if command == "fit"
            else {"dtype"}
        )
        data, is_table = {key: data[key] for key in kept if key in data}, False
    elif "data.path" in ahead.names:
        kept = data.keys() - {"x", "y", "path"} if command == "fit" else set(_OF_OTHER_DATA)
        data = {key: data[key] for key in kept if key in data}
    elif isinstance(name := checkpoint.get("data"), str):
        raise InputError(f"the checkpoint was trained on data of {name}: add --data {name}, or --data.x")
    elif not {"x", "y", "path"} <= data.keys():
        raise InputError(
            "the checkpoint was trained on arrays, which it does not hold: add --data.x and --data.y, "
            "or --data.path"
        )
    if command == "predict":
        data = {key: value for key, value in data.items() if key not in ("target", "weight")}
        data |= {"target": []} if is_table else {}  # not even one by its usual name
    return data


# The config beside a checkpoint -------------------------------------------------------------------------


def _beside(path: str, checkpoint: dict[str, Any]) -> tuple[Path, dict[str, Any]] | None:
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


def _of_config(config: Path, content: dict[str, Any], path: str, ahead: Ahead) -> dict[str, Any]:
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
        elif value is not None and not {"config", f"trainer.{key}"} <= ahead.names:
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
    if key == "callbacks":
        return all(map(_is_known_callback, value if isinstance(value, list) else [value]))
    if key == "logger":
        return isinstance(value, bool)
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
    if not isinstance(value, dict) or not isinstance(value.get("class_path"), str):
        return False
    name = value["class_path"].rpartition(".")[2]
    arguments = value.get("init_args") or {}
    return (
        value.keys() <= {"class_path", "init_args"}
        and name in _CALLBACKS
        and value["class_path"].startswith("lightning.pytorch.callbacks.")
        and are_plain(getattr(callbacks, name), arguments)
        and not arguments.get("dirpath")
        and all(_is_argument(one) for one in arguments.values())
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
