"""The errors of the command line's parser, in one line that says what to do."""

import inspect
import re
from collections.abc import Iterable, Sequence
from typing import Any

import torch
import yaml
from jsonargparse import ArgumentError, ArgumentParser, Namespace, get_loader, set_loader
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from linlight.cli.console import COMMANDS
from linlight.errors import InputError, did_you_mean, nearest_name
from linlight.methods import METHODS
from linlight.plain import check_plain

_BASES: dict[str, type] = {"optimizer": Optimizer, "lr_scheduler": LRScheduler, "criterion": nn.Module}
_EXAMPLES = {"Optimizer": "SGD", "LRScheduler": "StepLR", "Module": "L1Loss"}
"""A class to suggest, where an option stands before its class."""

OUT_OF_MEMORY = (
    "out of memory: --data.stream true reads a table block by block instead of holding it; a smaller "
    "--data.batch_size or --data.window needs less at a time"
)


_usual = get_loader("yaml")


def load(text: str) -> Any:
    """Reads a value, also of a config that another names, as jsonargparse does; it must be plain data."""
    value = _usual(text)
    check_plain(value, "what was given")
    return value


set_loader("yaml", load, (yaml.YAMLError,))


def command_parser(command: str) -> ArgumentParser:
    """A parser of the words after a command, still without options."""
    return ArgumentParser(
        prog=f"linlight {command}", exit_on_error=False, allow_abbrev=False, description=COMMANDS[command]
    )


def parse(parser: ArgumentParser, words: Sequence[str]) -> Namespace:
    """Parses words.

    Raises:
        InputError: In one line, if an option or its value cannot be used.
    """
    try:
        return parser.parse_args(list(words))
    except ArgumentError as error:
        raise InputError(one_line(str(error), parser)) from error


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory has run out: a GPU's, NumPy's, pyarrow's or torch's."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and bool(
        re.search(r"not enough memory|can't allocate memory", str(error))
    )


def one_line(message: str, parser: ArgumentParser | None = None) -> str:
    """Shortens a message of jsonargparse to one line."""
    actions = [] if parser is None else parser._actions
    options = [option for action in actions for option in action.option_strings]  # as `--data.x`
    unknown = re.search(r"unrecognized arguments: (\S+)", message)
    if unknown:
        return _unknown_option(unknown[1], options)
    key = re.search(r"does not accept option '(\S+)'", message)  # of a config, where there is no --
    if key:
        return _unknown_option(f"--{key[1]}", options)
    keys = re.findall(r'Parser key "([^"]+)"', message)
    path = "--" + ".".join(keys)
    required = re.findall(r'Key "([^"]+)" is required', message)
    if required and keys:
        return f"{path} needs {path}.{required[0]}"
    if 'Parser key "data"' in message and "Unable to load config" in message:
        return "a data module of your own is for fit, validate, test, predict: give --data.path or --data.x"
    unaccepted = re.search(r"class_path '([^']+)':\s+Option '([^']+)' is not accepted", message)
    if unaccepted:
        return _unaccepted(path, unaccepted[1].rpartition(".")[2], unaccepted[2])
    needs = re.search(r"given class_path '([^']+)':\s+the following arguments are required: (.+)", message)
    if needs and keys:
        missing_options = ", ".join(f"{path}.{name}" for name in needs[2].split(", "))
        return f"{path} {needs[1].rpartition('.')[2]} needs {missing_options}"
    missing = re.search(
        r"given class_path '([^']+)':\s+(?:Requirement|No module named|module '|`?\w+`? requires).*", message
    )
    if missing:
        return f"{missing[1].rpartition('.')[2]}: {_squeeze(missing[0].partition(':')[2])}"
    other = re.search(r"Import path does not correspond to a subclass of (\w+)", message)
    if other and keys and (named := re.search(r"Given value: (.*)", message)):
        return f"{path}: {named[1]} is no {other[1]}"
    missing_class = re.search(r"Expected a dot import path string: (\S+)", message)
    missing_class = missing_class or re.search(
        r"Unable to import|is not a subclass of|Not a valid subclass", message
    )
    value = re.search(r"(?:Got value|Given value): (.*)", message)
    if missing_class and keys:
        name = missing_class[1] if missing_class.re.groups else (value[1] if value else "")
        return _unknown_class(keys, path, name)
    missing_file = re.search(r"File does not exist: '([^']+)'", message)
    if missing_file:
        return f"there is no config file {missing_file[1]}: check the path given to --config"
    if "Problems parsing config" in message:
        place = re.search(r"line (\d+), column (\d+)", message)
        where = f" (line {place[1]}, column {place[2]})" if place else ""
        return f"the config is not valid YAML{where}: {_squeeze(message.splitlines()[-2])}"
    literal = re.search(r"Expected a typing.Literal\[([^\]]+)\]", message)
    if literal and value:
        return f"{path} must be one of {literal[1]}, got {value[1]}"
    types = list(dict.fromkeys(re.findall(r"Expected a <class '(\w+)'>", message)))
    if types == ["NoneType"] and keys:
        return f"{path} cannot be made of what was given: check its name and the options that it needs"
    if types and value and keys:
        wanted = " or ".join("null" if name == "NoneType" else name for name in types)
        got = "" if "Namespace(" in value[1] else f", got {value[1]}"
        if "list" in types and re.fullmatch(r"[\w.]*[A-Za-z]\w*", value[1]):
            return f"{path} must be a list of names, such as '[{value[1].rpartition('.')[2]}]'{got}"
        return f"{path} must be of type {wanted}{got}"
    return _squeeze(message)


def no_method() -> str:
    """The message where no method was chosen."""
    return f"no method: add --model with one of {', '.join(METHODS)}"


def _squeeze(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 300 else line[:297] + "..."


def _unknown_option(word: str, options: Sequence[str]) -> str:
    if not word.startswith("-") and "." not in word:
        return f"{word!r} is not an option: options begin with --, see --help"
    word = "--" + word.lstrip("-").partition("=")[0]
    if word == "--model" and "--methods" in options:
        return "there is no option --model: did you mean --methods?"
    if full := _full_name(word, options):
        return f"there is no option {word}: did you mean {full}?"
    return f"there is no option {word}: {did_you_mean(word, options, 'see --help for those there are')}"


def _full_name(word: str, options: Iterable[str]) -> str | None:
    """The option that a name without its group stands for: `--model.lr` for `--lr`."""
    short = {"--epochs": "--max_epochs", "--steps": "--max_steps"}.get(word, word).removeprefix("--")
    of_methods = {f"--model.{name}" for cls in METHODS.values() for name in inspect.signature(cls).parameters}
    known = [*sorted(of_methods), *options]
    return next((option for option in known if option.count(".") == 1 and option.endswith(f".{short}")), None)


def _unaccepted(path: str, owner: str, option: str) -> str:
    if owner == "LinearModel":
        return f"{path}.{option} needs a method before it: --model METHOD, one of {', '.join(METHODS)}"
    if owner in _EXAMPLES:
        what = path.rpartition(".")[2].lstrip("-").replace("_", " ")
        article = "an" if what[0] in "aeiou" else "a"
        return f"{path}.{option} needs {article} {what} before it, such as {path} {_EXAMPLES[owner]}"
    taken = list(inspect.signature(METHODS[owner]).parameters) if owner in METHODS else []
    listed = ", ".join(f"{path}.{name}" for name in taken)
    hint = did_you_mean(option, taken, f"it takes {listed}" if taken else "see --help", prefix=f"{path}.")
    return f"{owner} has no option {path}.{option}: {hint}"


def _unknown_class(keys: list[str], path: str, name: str) -> str:
    base = _BASES.get(keys[-1])
    if base is None and keys[-1] != "model":
        return f"{path}: there is no class {name!r}: check its name, or give its full path"
    if base is None:
        return f"there is no method {name!r}: {nearest_name(name, METHODS)}"
    names = {cls.__name__ for cls in _subclasses(base) if cls.__module__.startswith("torch.")}
    return f"{path}: there is no class {name!r}: {did_you_mean(name, names, 'give its full path')}"


def _subclasses(base: type) -> set[type]:
    found: set[type] = set(base.__subclasses__())
    return found.union(*(_subclasses(cls) for cls in found))
