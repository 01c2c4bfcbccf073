"""What a checkpoint says about itself, as the words one would have typed."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

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


def arguments_from_checkpoint(path: str, args: Sequence[str]) -> list[str]:
    """The options that recreate a checkpoint's method and data, to stand before what was typed.

    What was typed comes later and wins. With other data typed (`--data.x`), only the type of the numbers is
    kept of the data's settings.

    Args:
        path: The checkpoint.
        args: The words that were typed.
    """
    checkpoint = load(path)
    settings = dict(checkpoint["hyper_parameters"])
    # The command line links these two into the model.
    outside = {key: settings.pop(key, None) for key in ("optimizer", "lr_scheduler")}
    words = [f"--model={json.dumps({'class_path': checkpoint['method'], 'init_args': settings})}"]
    words += _as_options("", outside)
    data = dict(checkpoint.get("datamodule_hyper_parameters") or {})
    if typed(args, "--data.x") is not None:
        data = {"dtype": data["dtype"]} if "dtype" in data else {}
    return words + _as_options("data.", data)


def _as_options(prefix: str, settings: dict[str, Any]) -> list[str]:
    given = {key: value for key, value in settings.items() if value is not None}
    texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in given.items()}
    return [f"--{prefix}{key}={text}" for key, text in texts.items()]
