"""`linlight --print_shtab SHELL`: the script by which a shell completes commands, options and methods."""

import argparse
import inspect
from importlib import import_module
from itertools import chain
from typing import Literal, get_args, get_origin

import jsonargparse
import shtab
from torch import optim

from linlight.cli import commands
from linlight.cli.console import COMMANDS
from linlight.cli.help import first_sentence
from linlight.cli.schema import OptionsOnly
from linlight.errors import InputError, nearest_name
from linlight.methods import METHODS

SHELLS = ("bash", "zsh")
OF_LIGHTNING = ("fit", "validate", "test", "predict")
_FILES = ("config", "ckpt_path", "data.path", "folder", "to")
_CLASSES = {
    "model": list(METHODS),
    "optimizer": [name for name in optim.__all__ if name != "Optimizer"],
    "lr_scheduler": optim.lr_scheduler.__all__,
}


def script(shell: str) -> str:
    """The script of a shell, bash or zsh.

    jsonargparse's own would follow each class that is an argument of a class, without end.

    Raises:
        InputError: If it is of another shell.
    """
    if shell not in SHELLS:
        raise InputError(f"there is no completion for {shell!r}: {nearest_name(shell, SHELLS)}")
    parser = argparse.ArgumentParser(prog="linlight")
    of_commands = parser.add_subparsers()
    for command, text in COMMANDS.items():
        one = of_commands.add_parser(command, help=text, description=text, add_help=False)
        for action in _options(command)._actions:
            _add(one, action)
        if command in OF_LIGHTNING:
            taken = (inspect.signature(method).parameters for method in METHODS.values())
            for name in dict.fromkeys(chain.from_iterable(taken)):
                one.add_argument(f"--model.{name}")
    script: str = shtab.complete(parser, shell)
    return script


def _options(command: str) -> jsonargparse.ArgumentParser:
    if command in OF_LIGHTNING:
        return OptionsOnly([command]).options
    if command in commands.SIDE_BY_SIDE:
        return commands.side_by_side_options(command)
    parser: jsonargparse.ArgumentParser = import_module(f"linlight.cli.{command}").options()
    return parser


def _add(parser: argparse.ArgumentParser, action: argparse.Action) -> None:
    """Adds an option, or the words that a command takes, with the values that it can have."""
    if action.help == argparse.SUPPRESS:
        return
    names = action.option_strings or [action.dest]
    text = first_sentence(action.help).replace("%", "%%")
    flag = {"action": "store_true"} if action.nargs == 0 else {"choices": _values(action)}
    added = parser.add_argument(*names, help=text, **flag)
    if action.dest in _FILES:
        added.complete = shtab.FILE  # type: ignore[attr-defined]


def _values(action: argparse.Action) -> list[str] | None:
    """The values that an option has a choice of, if they can be listed."""
    if action.dest.removesuffix(".help") in _CLASSES:
        return _CLASSES[action.dest.removesuffix(".help")]
    kind = getattr(action, "_typehint", action.type)
    kinds = [kind] if get_origin(kind) is Literal or kind is bool else get_args(kind)
    if bool in kinds:
        return ["true", "false"]
    return [str(value) for one in kinds if get_origin(one) is Literal for value in get_args(one)] or None
