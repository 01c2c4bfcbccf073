"""Reads a checkpoint as data: every value is checked before it is used, and no name in it is imported.

A method, criterion, optimizer or scheduler that a checkpoint names is looked up by its name among linlight's
and torch's own. What the user has written themselves is named again by who opens the checkpoint.
"""

import os
import warnings
from collections.abc import Collection, Mapping
from pathlib import Path
from types import NoneType
from typing import Any, get_args

import torch
from jsonargparse import ArgumentError
from lightning.pytorch.cli import ReduceLROnPlateau
from torch import Tensor, nn

from linlight.data.datamodule import XYDataModule
from linlight.errors import InputError
from linlight.methods import METHODS
from linlight.methods.base import LinearModel, ManualSGD
from linlight.plain import check_plain
from linlight.training.arguments import are_plain, has_class, parser_of, types_of

_TORCHS = {
    "criterion": (torch.nn.modules.loss, "torch.nn", nn.Module),
    "optimizer": (torch.optim, "torch.optim", torch.optim.Optimizer),
    "lr_scheduler": (
        torch.optim.lr_scheduler,
        "torch.optim.lr_scheduler",
        torch.optim.lr_scheduler.LRScheduler,
    ),
}
"""The classes that a setting may name: where they are, the module that names them, and their base."""

_REQUIRED: dict[str, Any] = {
    "method": str, "hyper_parameters": Mapping, "epoch": int, "global_step": int, "state_dict": dict
}  # fmt: skip
_OPTIONAL: dict[str, Any] = {
    "datamodule_hyper_parameters": Mapping | None, "standardized": dict, "XYDataModule": dict,
    "columns": dict, "until": dict, "epoch_so_far": dict, "loops": dict, "callbacks": dict,
    "optimizer_states": list, "lr_schedulers": list,
}  # fmt: skip
"""The types of a checkpoint's values; the last few are there for a training that is resumed."""


def load(path: str | Path) -> dict[str, Any]:
    """Reads a checkpoint of linlight's.

    Raises:
        InputError: If there is none at `path`, or what is in it is not what a training leaves.
    """
    path = str(path)
    if not Path(path).exists():
        raise InputError(f"there is no checkpoint {path}: a run keeps its own in checkpoints/last.ckpt")
    if not Path(path).is_file():  # a pipe would keep it waiting
        raise InputError(f"the checkpoint {path} is not a file: give the last.ckpt of a run")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a file that is not torch's
            checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    # torch.load raises errors of many types on a file that is not its own.
    except Exception as error:
        raise InputError(f"{path} is not a checkpoint, or is damaged: give the last.ckpt of a run") from error
    if not isinstance(checkpoint, dict) or "method" not in checkpoint:
        raise InputError(f"{path} is not a checkpoint of linlight: it does not name its method")
    try:
        _check(checkpoint)
    except InputError as error:
        raise InputError(f"{path} is damaged: {error}") from error
    return checkpoint


def _check(checkpoint: dict[str, Any]) -> None:
    for name, kind in (_REQUIRED | _OPTIONAL).items():
        value = checkpoint.get(name)
        if name not in checkpoint:
            if name in _REQUIRED:
                raise InputError(f"it has no {name}")
        elif not isinstance(value, kind) or isinstance(value, bool):
            wanted = getattr(kind, "__name__", kind)
            raise InputError(f"its {name} is of type {type(value).__name__}, not {wanted}")
    for name in ("hyper_parameters", "datamodule_hyper_parameters"):
        settings = dict(checkpoint.get(name) or {})
        if not all(isinstance(key, str) for key in settings):
            raise InputError(f"its {name} are not named")
        check_plain(settings, f"its {name}")
        checkpoint[name] = settings
    for name in ("epoch", "global_step"):
        if checkpoint[name] < 0:
            raise InputError(f"{name} is {checkpoint[name]}")
    sizes = _check_weights(checkpoint["state_dict"], "state_dict")
    if "standardized" in checkpoint and _check_weights(checkpoint["standardized"], "standardized") != sizes:
        raise InputError("its standardised weights have other sizes than its weights")
    transform = checkpoint.get("XYDataModule")
    if transform is not None and not (
        transform.keys() == {"mean", "deviation"} and all(map(torch.is_tensor, transform.values()))
    ):
        raise InputError("its standardisation is not a mean and a deviation")
    if "columns" in checkpoint:
        for kind, size in zip(("target", "feature"), sizes, strict=True):
            names = checkpoint["columns"].get(kind)
            if not (isinstance(names, list) and all(isinstance(name, str) for name in names)):
                raise InputError(f"its {kind} columns are no list of names")
            if len(names) != size:
                raise InputError(f"it has {len(names)} {kind} names and weights for {size}")
    for name, value in checkpoint.get("until", {}).items():
        if name not in ("max_epochs", "max_steps") or not (value is None or type(value) is int):
            raise InputError(f"it was to end at {name} {value!r}")
    for name, value in checkpoint.get("epoch_so_far", {}).items():
        if not isinstance(value, Tensor | int | float | list | tuple | dict | None):
            raise InputError(f"its {name} of an epoch so far is of type {type(value).__name__}")
    for name, state in checkpoint.get("callbacks", {}).items():
        _check_files(str(name), state)


def _check_files(name: str, state: Any) -> None:
    """Makes sure that ModelCheckpoint, which removes what is no longer among the best, removes its own."""
    if not (name.startswith("ModelCheckpoint") and isinstance(state, dict)):
        return
    folder = os.path.abspath(str(state.get("dirpath")))
    best = state.get("best_k_models")
    paths = [*(best if isinstance(best, dict) else ()), state.get("kth_best_model_path")]
    for path in (str(path) for path in (*paths, state.get("last_model_path")) if path):
        if not Path(os.path.abspath(path)).is_relative_to(folder):
            raise InputError(f"its {name.partition('{')[0]} keeps {path[:200]}, which is not in its folder")


def _check_weights(state: dict[str, Any], what: str) -> tuple[int, int]:
    """Checks w, (T, D), and b, (T,), and returns T and D."""
    weight, bias = state.get("linear.weight"), state.get("linear.bias")
    if not isinstance(weight, Tensor) or weight.ndim != 2 or not weight.numel():
        raise InputError(f"its {what} has no weights of shape (targets, features)")
    if "linear.bias" in state and not (isinstance(bias, Tensor) and bias.shape == weight.shape[:1]):
        raise InputError(f"its {what} has no bias of shape ({weight.shape[0]},), one for each target")
    for tensor in (weight, *(() if bias is None else (bias,))):
        if tensor.dtype not in (torch.float32, torch.float64) or tensor.layout != torch.strided:
            raise InputError(f"its {what} holds weights of type {tensor.dtype}, neither float32 nor float64")
        if not tensor.isfinite().all():
            raise InputError(f"its {what} holds weights that are not finite: the training has diverged")
    return weight.shape[0], weight.shape[1]


def short_name(checkpoint: dict[str, Any]) -> str:
    """The name of a checkpoint's method without its module."""
    name: str = checkpoint["method"].rpartition(".")[2]
    return name


def method_of(path: str | Path, checkpoint: dict[str, Any]) -> type[LinearModel]:
    """The method that a checkpoint names, wherever an earlier version kept it.

    Raises:
        InputError: If it is not one of linlight's.
    """
    module, name = checkpoint["method"].partition(".")[0], short_name(checkpoint)
    if name not in METHODS or module not in ("linlight", name):
        raise InputError(
            f"{path} was trained by {checkpoint['method'][:200]}, which is not one of linlight's: name it "
            "again by --model MODULE.CLASS, or in linlight.load(folder, method=CLASS)"
        )
    return METHODS[name]


def settings_of(
    path: str | Path, checkpoint: dict[str, Any], method: type[LinearModel], without: Collection[str] = ()
) -> dict[str, Any]:
    """A checkpoint's settings of its method; the classes among them are torch's, or `ManualSGD`.

    Args:
        path: The checkpoint's.
        checkpoint: What `load` has read.
        method: The method that they are for.
        without: Settings that are given anew.

    Raises:
        InputError: If a setting is unknown, of a wrong type, or names a class that is not torch's.
    """
    found = {}
    # Lightning's command line adds what starts with an underscore.
    for key, value in checkpoint["hyper_parameters"].items():
        if key in without or key.startswith("_"):
            continue
        if key in _TORCHS and value is not None:
            try:
                found[key] = _class_of_torch(key, value)
            except InputError as error:
                raise InputError(f"{path}: {error}") from error
        elif has_class(value):
            raise InputError(f"{path}: {key} names a class, which is not for a checkpoint to name")
        else:
            found[key] = value
    return _of_known_types(path, method, found)


def _class_of_torch(kind: str, value: Any) -> dict[str, Any]:
    """The name and the arguments of a criterion, optimizer or scheduler, checked."""
    place, module, base = _TORCHS[kind]
    path = value.get("class_path") if isinstance(value, dict) else None
    if not isinstance(path, str):
        raise InputError(f"its {kind} is no class with arguments")
    again = f"name it again, by {'--model.criterion' if kind == 'criterion' else '--' + kind}"
    name = path.rpartition(".")[2]
    found = getattr(place, name, None) if path.startswith(f"{module}.") else None
    if path == "lightning.pytorch.cli.ReduceLROnPlateau" and kind == "lr_scheduler":
        found = ReduceLROnPlateau
    elif kind == "optimizer" and path.startswith("linlight.") and name == ManualSGD.__name__:
        found, path = ManualSGD, f"{ManualSGD.__module__}.{name}"  # earlier versions had it elsewhere
    elif not (isinstance(found, type) and issubclass(found, base)):
        raise InputError(f"its {kind} is {path[:200]}, which is not one of torch's: {again}")
    else:
        path = f"{module}.{name}"
    arguments = value.get("init_args", {})
    if not are_plain(found, arguments):
        raise InputError(f"its {kind} {name} is given what is no plain number or word: {again}")
    return {"class_path": path, "init_args": dict(arguments)}


def data_of(path: str | Path, checkpoint: dict[str, Any], given_anew: bool = False) -> dict[str, Any]:
    """A checkpoint's settings of `XYDataModule`; without `x`, `y` and `path` where those were arrays.

    Args:
        path: The checkpoint's.
        checkpoint: What `load` has read.
        given_anew: Whether other data take the place of the checkpoint's.

    Raises:
        InputError: If a setting is unknown, of a wrong type, or names a class.
    """
    if "data" in checkpoint:  # another data module
        return {}
    found = checkpoint["datamodule_hyper_parameters"]
    numbers = {name: value for name, value in found.items() if name in ("x", "y")}
    settings = {
        name: value for name, value in found.items() if name not in numbers and not name.startswith("_")
    }
    if has_class(settings):
        raise InputError(f"{path}: its data name a class, which is not for a checkpoint to name")
    for name, value in numbers.items():
        if not isinstance(value, list | None):
            raise InputError(f"{path} is damaged: its {name} is no list of numbers")
    if "://" in str(settings.get("path")) and not given_anew:
        # What opens it would be imported, and it leads anywhere.
        raise InputError(
            f"{path}: its data are at {settings['path']}, not on this machine: give it as --data.path"
        )
    return numbers | _of_known_types(path, XYDataModule, settings)


def _of_known_types(path: str | Path, owner: type, settings: dict[str, Any]) -> dict[str, Any]:
    """Returns settings, if the parser finds them to be of the types that a class declares."""
    parser = parser_of(owner)
    known = parser.get_defaults(skip_validation=True)["of"]
    for name, value in settings.items():
        if name not in known:
            raise InputError(f"{path} is damaged: {owner.__name__} has no setting {name}")
        try:
            parser.parse_object({"of": {name: value}})
            if value is None and known[name] is not None and NoneType not in get_args(types_of(owner)[name]):
                raise TypeError("the parser takes it for a setting that is left out")
        except (ArgumentError, TypeError, ValueError) as error:
            said = f"{owner.__name__} takes no {name} such as {str(value)[:100]}"
            raise InputError(f"{path} is damaged: {said}") from error
    return settings


def model_of(
    path: str | Path, checkpoint: dict[str, Any], method: type[LinearModel] | LinearModel | None = None
) -> LinearModel:
    """Makes a checkpoint's model again, with its weights in the data's own units.

    Args:
        path: The checkpoint's.
        checkpoint: What `load` has read.
        method: The method, where it is one of the user's own: its class, or an untrained one.

    Raises:
        InputError: If what the checkpoint holds does not make one.
    """
    try:
        if isinstance(method, LinearModel):
            model = method
        else:
            owner = method or method_of(path, checkpoint)
            model = owner(**settings_of(path, checkpoint, owner))
        model.on_load_checkpoint(checkpoint)
        model.load_state_dict(checkpoint["state_dict"])
    except InputError:
        raise
    except (AttributeError, KeyError, MemoryError, RuntimeError, TypeError, ValueError) as error:
        said = " ".join(str(error).split())
        raise InputError(f"{path} does not fit {short_name(checkpoint)}: {said}") from error
    return model
