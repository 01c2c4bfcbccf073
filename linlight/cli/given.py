"""What a command is given: the words typed, and the settings of the configs that they name."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from linlight.errors import InputError
from linlight.plain import read_yaml

Setting = tuple[str | None, Any]
"""The full name of an option, as `model.lr`, and its value; a word that belongs to no option has no name."""


def as_settings(words: Sequence[str]) -> list[Setting]:
    """The options among the words of a command line, with their values; `None` where none was typed.

    Examples:
        >>> as_settings(["--model", "GradientDescent", "--model.lr=1", "stray"])
        [('model', 'GradientDescent'), ('model.lr', '1'), (None, 'stray')]
    """
    found: list[Setting] = []
    for word in words:
        word = "--config" if word == "-c" else word
        if word.startswith("--"):
            name, equals, value = word[2:].partition("=")
            found.append((name, value if equals else None))
        elif found and found[-1][0] is not None and found[-1][1] is None:
            found[-1] = (found[-1][0], word)
        else:
            found.append((None, word))
    return found


@dataclass
class Given:
    """The options of `fit`, `validate`, `test` or `predict` before they are parsed.

    Attributes:
        words: Those after the command.
        settings: The options and values in their order; a config's value is its content.
        values: The values by their full names, also those in configs: the last that is given wins.
    """

    words: list[str]
    settings: list[Setting] = field(init=False)
    values: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Reads the configs.

        Raises:
            InputError: If a config holds no settings, or is no plain data.
        """
        self.settings = [
            (name, read_config(value) if name == "config" and Path(value or "").exists() else value)
            for name, value in as_settings(self.words)
        ]
        for name, value in self.settings:
            if name is None:
                continue
            self.values[name] = value
            for inner, part in _flat(value if name == "config" else None):
                # A saved config has every option, most of them null.
                if part is not None or inner not in self.values:
                    self.values[inner] = part

    def gives(self, *names: str) -> bool:
        """Whether any of these options is given, typed or in a config."""
        return not self.values.keys().isdisjoint(names)

    @property
    def names_data(self) -> bool:
        """Whether a data module is named by its class, `my_module.MyData`."""
        name = self.values.get("data")
        return isinstance(name, str) and not Path(name).is_file()


def read_config(path: str) -> dict[str, Any]:
    """The settings in a config.

    Raises:
        InputError: If it is no file, or holds no settings.
    """
    if not Path(path).is_file():  # a pipe would keep it waiting
        raise InputError(f"the config {path} is not a file: save it in one")
    content = read_yaml(Path(path).read_bytes(), f"the config {path}")
    if not isinstance(content, dict):
        raise InputError(f"the config {path} holds no settings, such as model: GradientDescent")
    for name, example in (("trainer", "max_epochs: 100"), ("data", "path: table.csv")):
        value = content.get(name, {})
        if value is None:
            raise InputError(f"the config {path} holds nothing below {name}: leave it out")
        if not isinstance(value, dict | str):
            raise InputError(f"{path}: {name} must hold settings, such as {example}, got {value!r}")
    return content


def _flat(content: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Nested settings by their full names; a class's arguments as on the command line."""
    if not isinstance(content, dict):
        return
    for key, value in content.items():
        if key == "init_args":
            yield from _flat(value, prefix)
        elif key == "class_path":
            yield prefix.removesuffix("."), value
        else:
            yield f"{prefix}{key}", value
            yield from _flat(value, f"{prefix}{key}.")
