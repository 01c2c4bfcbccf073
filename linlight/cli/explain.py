"""Why the parser refuses what was given, in one line with the remedy.

jsonargparse says so at length and in words that change with its version. What is at fault is therefore
looked for among the options themselves: their names, their types and the classes that they take. Where
nothing is found, the parser's own words are made one line.
"""

import inspect
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, NoReturn, Union, get_args, get_origin

import yaml
from jsonargparse import ArgumentError, ArgumentParser, Namespace, get_loader
from torch import Tensor

from linlight.cli.given import Setting
from linlight.errors import InputError, did_you_mean, nearest_name
from linlight.methods import METHODS, LinearModel
from linlight.training.arguments import types_of

_CLASSES = {
    "optimizer": ("an optimizer", "SGD"),
    "lr_scheduler": ("a lr scheduler", "StepLR"),
    "criterion": ("a criterion", "L1Loss"),
}
"""What an option takes, and an example, for who sets something of it first."""
_SYNONYMS = {"epochs": "max_epochs", "steps": "max_steps"}
_FILES = {".ckpt": "ckpt_path", ".yaml": "config", ".yml": "config"}
"""The options that take files, by their endings; tables are for `data.path`."""


def explain(error: Exception, parser: ArgumentParser, given: Iterable[Setting]) -> NoReturn:
    """Raises the reason for which a parser refuses what it was given.

    Args:
        error: What it raised.
        parser: The parser.
        given: Options with their values, and the content of configs.

    Raises:
        InputError: Always.
    """
    _Search(parser).check(given)
    raise InputError(one_line(error)) from error


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


class _Search:
    """Looks at settings in their order, and raises an `InputError` at the first fault."""

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

    def check(self, given: Iterable[Setting]) -> None:
        """Looks at settings, and then at what the classes among them lack."""
        for name, value in given:
            self._check_setting(name, value)
        for full in self._chosen:
            self._check_needs(full)

    def _check_setting(self, name: str | None, value: Any) -> None:
        if name is None:
            self._check_word(value)
        elif name == "config" and isinstance(value, dict):
            for inner, part in value.items():
                self._check_setting(inner, part)
        elif name == "config" and not _is_file(value):
            raise InputError(f"there is no config file {value}: check the path given to --config")
        else:
            if name.endswith("+") and name[:-1] in self._chosen:
                self._check_needs(name[:-1])  # of the class before the one that is added
            self._check_option(self._options, "", name.rstrip("+"), value)

    def _check_option(self, options: Mapping[str, Any], prefix: str, name: str, value: Any) -> None:
        """Looks at an option of the parser or, below a `prefix` such as `model.`, of a class."""
        full = prefix + name
        self._named.add(full)
        if options.get(name) is not None:
            self._check_value(options[name], full, value)
            return
        if isinstance(value, dict) and any(option.startswith(f"{name}.") for option in options):
            for key, part in value.items():
                self._check_option(options, prefix, f"{name}.{key}", part)
            return
        if name in options:
            if full == "data" and isinstance(value, str) and not _is_file(value):
                own = "a data module of your own is for fit, validate, test, predict"
                raise InputError(f"{own}: give --data.path or --data.x")
            return
        parts = name.split(".")
        for end in range(len(parts) - 1, 0, -1):
            if bases := _bases(options.get(".".join(parts[:end]))):
                owner, rest = ".".join(parts[:end]), ".".join(parts[end:])
                self._check_argument(bases, prefix + owner, rest.removeprefix("init_args."), value)
                return
        if prefix:
            self._refuse_argument(prefix.removesuffix("."), name, options)
        while isinstance(value, dict) and value:  # of a config: the first option below the unknown name
            key, value = next(iter(value.items()))
            full += f".{key}"
        raise InputError(f"there is no option --{full}: {self._meant(full)}")

    def _check_argument(self, bases: tuple[type, ...], owner: str, name: str, value: Any) -> None:
        """Looks at an argument of the class that an option was given, or that a checkpoint has for it."""
        default = self._parser.get_default(owner) if owner in self._options else None
        if owner not in self._chosen and isinstance(default, Namespace):
            self._check_class(bases, None, owner, default.as_dict())
        if owner in self._chosen:
            self._check_option(_arguments(self._chosen[owner]), f"{owner}.", name, value)
            return
        what, example = _CLASSES.get(owner.rpartition(".")[2], ("a class", "CLASS"))
        such = f", such as --{owner} {example}"
        if LinearModel in bases:
            what, such = "a method", f": --model METHOD, one of {', '.join(METHODS)}"
        raise InputError(f"--{owner}.{name} needs {what} before it{such}")

    # Values ---------------------------------------------------------------------------------------------

    def _check_value(self, kind: Any, full: str, value: Any) -> None:
        if bases := _bases(kind):
            self._check_class(bases, kind, full, _loaded(value))
            return
        if value is None or _fits(kind, value):
            return
        got = "" if isinstance(value, dict) else f", got {value}"
        parts = get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)
        if words := [word for part in parts if get_origin(part) is Literal for word in get_args(part)]:
            raise InputError(f"--{full} must be one of {', '.join(map(repr, words))}{got}")
        if any(get_origin(part) is list for part in parts) and str(value).replace(".", "").isidentifier():
            example = f"'[{str(value).rpartition('.')[2]}]'"
            raise InputError(f"--{full} must be a list of names, such as {example}{got}")
        kinds = (get_origin(part) or part for part in parts)
        names = ("null" if one is NoneType else getattr(one, "__name__", str(one)) for one in kinds)
        raise InputError(f"--{full} must be of type {' or '.join(names)}{got}")

    def _check_class(self, bases: tuple[type, ...], kind: Any, full: str, value: Any) -> None:
        """Looks at a class, or a list of some, that an option was given."""
        if isinstance(value, list):
            for one in value:
                self._check_class(bases, kind, full, one)
                if full in self._chosen:
                    self._check_needs(full)
        elif isinstance(value, dict) and isinstance(value.get("class_path"), str):
            self._choose(bases, full, value["class_path"])
            arguments = value.get("init_args")
            for name, one in arguments.items() if isinstance(arguments, dict) else ():
                self._check_argument(bases, full, name, one)
        elif value is not None and not isinstance(value, dict):
            try:
                self._choose(bases, full, str(value))
            except InputError:
                if not _fits(kind, value):
                    raise

    def _choose(self, bases: tuple[type, ...], full: str, path: str) -> None:
        """Notes which class an option was given."""
        known = {cls.__name__: cls for base in bases for cls in _with_subclasses(base)}
        module, _, name = path.rpartition(".")
        found = known.get(path)
        if all(part.isidentifier() for part in module.split(".")):
            try:
                found = getattr(import_module(module), name)
            except (AttributeError, ImportError) as error:
                raise InputError(f"--{full}: {error}") from error
        if found is None and LinearModel in bases:
            raise InputError(f"there is no method {path!r}: {nearest_name(path, METHODS)}")
        if found is None:
            home = ("torch.", "lightning.")
            public = [one for one, cls in known.items() if cls.__module__.startswith(home)]
            hint = did_you_mean(path, public, "check its name, or give its full path")
            raise InputError(f"--{full}: there is no class {path!r}: {hint}")
        if not (isinstance(found, type) and issubclass(found, bases)):
            raise InputError(f"--{full}: {path} is no {' or '.join(base.__name__ for base in bases)}")
        self._named = {one for one in self._named if not one.startswith(f"{full}.")}
        self._chosen[full] = found

    def _check_needs(self, full: str) -> None:
        """Looks for arguments that a class needs and was not given."""
        cls = self._chosen[full]
        known = _arguments(cls)
        missing = [
            f"--{full}.{name}"
            for name in _without_default(cls)
            if name in known and f"{full}.{name}" not in self._named
        ]
        if missing:
            raise InputError(f"--{full} {cls.__name__} needs {', '.join(missing)}")

    # Names ----------------------------------------------------------------------------------------------

    def _check_word(self, word: str) -> None:
        """Looks at a word that belongs to no option."""
        if self._words_left > 0:
            self._words_left -= 1
            return
        if word.startswith("-"):
            meant = self._meant(word.lstrip("-").partition("=")[0])
            raise InputError(f"there is no option {word}: {meant}")
        last = Path(word, "checkpoints", "last.ckpt")
        meant = word  # lacks its --
        if word in METHODS:
            meant = f"model {word}" if "model" in self._options else f"methods [{word}]"
        elif last.is_file():
            meant = f"ckpt_path {last}"
        elif Path(word).exists():
            meant = f"{_FILES.get(Path(word).suffix, 'data.path')} {word}"
        is_known = re.split("[= ]", meant)[0] in self._options
        hint = f"did you mean --{meant}?" if is_known else "options begin with --, see --help"
        raise InputError(f"{word!r} is not an option: {hint}")

    def _meant(self, name: str) -> str:
        """A hint at the option that was probably meant."""
        if name == "model" and "methods" in self._options:
            return "did you mean --methods?"
        short = _SYNONYMS.get(name, name)
        nested = [option for option in self._options if option.count(".") == 1]
        if "model" in self._options:
            nested = [f"model.{one}" for method in METHODS.values() for one in _arguments(method)] + nested
        full = [option for option in nested if option.partition(".")[2] == short]
        otherwise = "see --help for those there are"
        return f"did you mean --{full[0]}?" if full else did_you_mean(name, self._options, otherwise, "--")

    def _refuse_argument(self, owner: str, name: str, options: Mapping[str, Any]) -> NoReturn:
        listed = ", ".join(f"--{owner}.{option}" for option in options)
        otherwise = f"it takes {listed or 'none'}" if len(options) <= 16 else "see its documentation"
        hint = did_you_mean(name, options, otherwise, prefix=f"--{owner}.")
        raise InputError(f"{self._chosen[owner].__name__} has no option --{owner}.{name}: {hint}")


def _arguments(cls: type) -> dict[str, Any]:
    """The arguments of a class that are options, and their types."""
    return {name: kind for name, kind in types_of(cls).items() if name not in ("params", "optimizer")}


def _without_default(cls: type) -> Iterator[str]:
    """Parameters of a class that have no default; those of its bases too, where `**kwargs` go on to them."""
    met = set[str]()
    for base in cls.__mro__:
        if "__init__" not in vars(base):
            continue
        parameters = inspect.signature(base.__init__).parameters  # type: ignore[misc]
        for name, parameter in parameters.items():
            if name not in met and parameter.default is parameter.empty:
                yield name
        met |= parameters.keys()
        if all(parameter.kind is not parameter.VAR_KEYWORD for parameter in parameters.values()):
            return


def _bases(kind: Any) -> tuple[type, ...]:
    """The classes among an option's types that it takes by name: not numbers, texts and arrays."""
    if get_origin(kind) in (Union, UnionType, list, Iterable):
        return tuple(base for part in get_args(kind) for base in _bases(part))
    values = (*sys.stdlib_module_names, "numpy", "pandas", "pyarrow", "linlight")
    if kind is LinearModel:
        return (kind,)
    is_class = isinstance(kind, type) and kind is not Tensor and get_origin(kind) is None
    return (kind,) if is_class and kind.__module__.partition(".")[0] not in values else ()


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
