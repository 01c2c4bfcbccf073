"""Why the parser refuses what was given, in one line with the remedy.

jsonargparse says so at length and in words that change with its version. What is at fault is therefore
looked for among the options themselves: their names, their types and the classes that they take. Where
nothing is found, the parser's own words are made one line.
"""

import inspect
import sys
from collections.abc import Iterable, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

import yaml
from jsonargparse import ArgumentError, ArgumentParser, Namespace, get_loader
from torch import Tensor

from linlight.cli.given import Setting
from linlight.errors import InputError, did_you_mean, nearest_name
from linlight.methods import METHODS, LinearModel
from linlight.training.arguments import types_of

_EXAMPLES = {"optimizer": "SGD", "lr_scheduler": "StepLR", "criterion": "L1Loss"}
"""A class to suggest, where an option stands before its class."""
_SYNONYMS = {"epochs": "max_epochs", "steps": "max_steps"}
_FILES = {".ckpt": "ckpt_path", ".yaml": "config", ".yml": "config"}
"""The options that take files, by their endings."""


def explain(error: Exception, parser: ArgumentParser, given: Iterable[Setting]) -> str:
    """Finds what a parser refuses.

    Args:
        error: What it raised.
        parser: The parser.
        given: What it was given: options with their values, and the content of configs.
    """
    return _Search(parser).fault(given) or one_line(error)


def one_line(error: BaseException) -> str:
    """An error's message on one line; of one that wraps another, what that says, if it names the remedy.

    Such are our own, the YAML reader's, and those of a package that is missing.
    """
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, InputError | ModuleNotFoundError):
            return " ".join(str(cause).split())
        if isinstance(cause, yaml.MarkedYAMLError):
            mark = cause.problem_mark
            where = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
            return f"the config is not valid YAML{where}: {cause.problem}"
        cause = cause.__cause__
    line = " ".join(str(error).split())
    return line if len(line) <= 300 else line[:297] + "..."


def no_method() -> str:
    """The message where no method was chosen."""
    return f"no method: add --model with one of {', '.join(METHODS)}"


class _Search:
    """The search for the first fault, in the order in which the settings were given."""

    def __init__(self, parser: ArgumentParser) -> None:
        self._parser = parser
        self._options: dict[str, Any] = {
            option.removeprefix("--"): getattr(action, "_typehint", action.type)
            for action in parser._actions
            for option in action.option_strings
        }
        self._chosen: dict[str, type] = {}  # the class of an option that takes one
        self._named: set[str] = set()
        words = [action.nargs for action in parser._actions if not action.option_strings]
        self._words_left = sys.maxsize if "+" in words else len(words)

    def fault(self, given: Iterable[Setting]) -> str | None:
        """One line, or None where nothing is found."""
        return _first(self._of_setting(name, value) for name, value in given) or _first(
            map(self._lacking, self._chosen)
        )

    def _of_setting(self, name: str | None, value: Any) -> str | None:
        if name is None:
            return self._of_word(value)
        if name.endswith("+") and name[:-1] in self._chosen and (fault := self._lacking(name[:-1])):
            return fault  # of the class before the one that is added
        if name == "config" and isinstance(value, dict):
            return _first(self._of_setting(inner, part) for inner, part in value.items())
        if name == "config" and not _is_file(value):
            return f"there is no config file {value}: check the path given to --config"
        return self._of_option(self._options, "", name.rstrip("+"), value)

    def _of_option(self, options: Mapping[str, Any], prefix: str, name: str, value: Any) -> str | None:
        """Looks at an option of the parser or, below a `prefix` such as `model.`, of a class."""
        full = prefix + name
        self._named.add(full)
        if options.get(name) is not None:
            return self._of_value(options[name], full, value)
        if isinstance(value, dict) and any(option.startswith(f"{name}.") for option in options):
            inner = value.items()
            return _first(self._of_option(options, prefix, f"{name}.{key}", part) for key, part in inner)
        if name in options:
            return None if value is None or _is_file(value) else self._of_group(full, value)
        parts = name.split(".")
        for end in range(len(parts) - 1, 0, -1):
            if bases := _bases(options.get(".".join(parts[:end]))):
                owner, rest = ".".join(parts[:end]), ".".join(parts[end:])
                return self._of_argument(bases, prefix + owner, rest.removeprefix("init_args."), value)
        if prefix:
            return self._unknown_argument(prefix.removesuffix("."), name, options)
        while isinstance(value, dict) and value:  # of a config: the first option below the unknown name
            key, value = next(iter(value.items()))
            full += f".{key}"
        return f"there is no option --{full}: {self._meant(full)}"

    def _of_group(self, name: str, value: Any) -> str | None:
        """Looks at the value of an option that stands for those below it, as `--trainer` does."""
        inner = [option for option in self._options if option.startswith(f"{name}.")]
        if not inner:
            return None
        if name == "data" and isinstance(value, str):
            own = "a data module of your own is for fit, validate, test, predict"
            return f"{own}: give --data.path or --data.x"
        return f"--{name} takes a file of settings, or one by one, such as --{inner[-1]}, got {value!r}"

    def _of_argument(self, bases: tuple[type, ...], owner: str, name: str, value: Any) -> str | None:
        """Looks at an argument of the class that an option was given, or that a checkpoint has for it."""
        default = self._parser.get_default(owner) if owner in self._options else None
        if owner not in self._chosen and isinstance(default, Namespace):
            self._of_class(bases, None, owner, default.as_dict())
        if owner in self._chosen:
            return self._of_option(_arguments(self._chosen[owner]), f"{owner}.", name, value)
        if LinearModel in bases:
            return f"--{owner}.{name} needs a method before it: --model METHOD, one of {', '.join(METHODS)}"
        what = owner.rpartition(".")[2]
        article = "an" if what[0] in "aeiou" else "a"
        needed = f"{article} {what.replace('_', ' ')}" if what in _EXAMPLES else "a class"
        example = _EXAMPLES.get(what, "CLASS")
        return f"--{owner}.{name} needs {needed} before it, such as --{owner} {example}"

    # Values ---------------------------------------------------------------------------------------------

    def _of_value(self, kind: Any, full: str, value: Any) -> str | None:
        if bases := _bases(kind):
            return self._of_class(bases, kind, full, _loaded(value))
        if value is None or _fits(kind, value):
            return None
        got = "" if isinstance(value, dict) else f", got {value}"
        parts = get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)
        words = [repr(word) for part in parts if get_origin(part) is Literal for word in get_args(part)]
        if words:
            return f"--{full} must be one of {', '.join(words)}{got}"
        if any(get_origin(part) is list for part in parts) and str(value).replace(".", "").isidentifier():
            return f"--{full} must be a list of names, such as '[{str(value).rpartition('.')[2]}]'{got}"
        kinds = (get_origin(part) or part for part in parts)
        names = ("null" if one is NoneType else getattr(one, "__name__", str(one)) for one in kinds)
        return f"--{full} must be of type {' or '.join(names)}{got}"

    def _of_class(self, bases: tuple[type, ...], kind: Any, full: str, value: Any) -> str | None:
        """Looks at a class, or a list of some, that an option was given."""
        if isinstance(value, list):
            faults = (self._of_class(bases, kind, full, one) or self._lacking(full) for one in value)
            return _first(faults)
        if isinstance(value, dict) and isinstance(value.get("class_path"), str):
            arguments = value.get("init_args")
            named = arguments.items() if isinstance(arguments, dict) else ()
            return self._choose(bases, full, value["class_path"]) or _first(
                self._of_argument(bases, full, name, one) for name, one in named
            )
        if value is None or isinstance(value, dict):
            return None
        fault = self._choose(bases, full, str(value))
        return None if fault is None or _fits(kind, value) else fault

    def _choose(self, bases: tuple[type, ...], full: str, path: str) -> str | None:
        """Notes which class an option was given, or tells why it cannot be."""
        known = {cls.__name__: cls for base in bases for cls in _with_subclasses(base)}
        module, _, name = path.rpartition(".")
        found = known.get(path)
        if all(part.isidentifier() for part in module.split(".")):
            try:
                found = getattr(import_module(module), name)
            except (AttributeError, ImportError) as error:
                return f"--{full}: {error}"
        if found is None and LinearModel in bases:
            return f"there is no method {path!r}: {nearest_name(path, METHODS)}"
        if found is None:
            home = ("torch.", "lightning.")
            public = [one for one, cls in known.items() if cls.__module__.startswith(home)]
            hint = did_you_mean(path, public, "check its name, or give its full path")
            return f"--{full}: there is no class {path!r}: {hint}"
        if not (isinstance(found, type) and issubclass(found, bases)):
            return f"--{full}: {path} is no {' or '.join(base.__name__ for base in bases)}"
        self._named = {one for one in self._named if not one.startswith(f"{full}.")}
        self._chosen[full] = found
        return None

    def _lacking(self, full: str) -> str | None:
        """What a class needs and was not given."""
        if full not in self._chosen:
            return None
        cls = self._chosen[full]
        missing = [
            f"--{full}.{name}"
            for name, parameter in inspect.signature(cls).parameters.items()
            if parameter.default is parameter.empty
            and name in _arguments(cls)
            and f"{full}.{name}" not in self._named
        ]
        return f"--{full} {cls.__name__} needs {', '.join(missing)}" if missing else None

    # Names ----------------------------------------------------------------------------------------------

    def _of_word(self, word: str) -> str | None:
        """Looks at a word that belongs to no option."""
        if self._words_left > 0:
            self._words_left -= 1
            return None
        if word.startswith("-"):
            name = word.lstrip("-").partition("=")[0]
            return f"there is no option {word}: {self._meant(name)}"
        last = Path(word, "checkpoints", "last.ckpt")
        meant = None
        if word.partition("=")[0] in self._options:
            meant = word
        elif word in METHODS:
            meant = f"model {word}" if "model" in self._options else f"methods [{word}]"
        elif last.is_file():
            meant = f"ckpt_path {last}"
        elif Path(word).exists():
            meant = f"{_FILES.get(Path(word).suffix, 'data.path')} {word}"
        is_known = meant is not None and meant.replace("=", " ").partition(" ")[0] in self._options
        return f"{word!r} is not an option: " + (
            f"did you mean --{meant}?" if is_known else "options begin with --, see --help"
        )

    def _meant(self, name: str) -> str:
        """A hint at the option that was probably meant."""
        if name == "model" and "methods" in self._options:
            return "did you mean --methods?"
        short = _SYNONYMS.get(name, name)
        nested = [option for option in self._options if option.count(".") == 1]
        if "model" in self._options:
            nested = [f"model.{one}" for method in METHODS.values() for one in _arguments(method)] + nested
        full = next((option for option in nested if option.partition(".")[2] == short), None)
        if full is not None:
            return f"did you mean --{full}?"
        return did_you_mean(name, self._options, "see --help for those there are", prefix="--")

    def _unknown_argument(self, owner: str, name: str, options: Mapping[str, Any]) -> str:
        listed = ", ".join(f"--{owner}.{option}" for option in options)
        otherwise = f"it takes {listed or 'none'}" if len(options) <= 16 else "see its documentation"
        hint = did_you_mean(name, options, otherwise, prefix=f"--{owner}.")
        return f"{self._chosen[owner].__name__} has no option --{owner}.{name}: {hint}"


def _arguments(cls: type) -> dict[str, Any]:
    """The arguments of a class that are options, and their types."""
    return {name: kind for name, kind in types_of(cls).items() if name not in ("params", "optimizer")}


def _bases(kind: Any) -> tuple[type, ...]:
    """The classes among an option's types that it takes by name: not numbers, texts and arrays."""
    if get_origin(kind) in (Union, UnionType, list, Iterable):
        return tuple(base for part in get_args(kind) for base in _bases(part))
    values = (*sys.stdlib_module_names, "numpy", "pandas", "pyarrow", "linlight")
    if kind is LinearModel:
        return (kind,)
    is_class = isinstance(kind, type) and kind is not Tensor and get_origin(kind) is None
    return (kind,) if is_class and kind.__module__.partition(".")[0] not in values else ()


def _first(faults: Iterable[str | None]) -> str | None:
    return next(filter(None, faults), None)


def _is_file(value: Any) -> bool:
    return isinstance(value, str) and Path(value).is_file()


def _with_subclasses(base: type) -> Iterator[type]:
    yield base
    subclasses: list[type] = base.__subclasses__()
    for cls in subclasses:
        yield from _with_subclasses(cls)


def _loaded(value: Any) -> Any:
    """A value as it stands in a config, where it was typed."""
    try:
        return get_loader("yaml")(value) if isinstance(value, str) else value
    except (InputError, yaml.YAMLError):
        return value


def _fits(kind: Any, value: Any) -> bool:
    """Whether an option of a type takes a value."""
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--value", type=kind)
    try:
        if isinstance(value, str):
            parser.parse_args([f"--value={value}"])
        else:
            parser.parse_object({"value": value})
    except (ArgumentError, TypeError, ValueError):
        return False
    return True
