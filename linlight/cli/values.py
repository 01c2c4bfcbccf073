"""What jsonargparse reads, on the command line and in every config that another names, is plain data."""

from typing import Any

import yaml
from jsonargparse import get_loader, set_loader

from linlight.plain import check_plain

_usual = get_loader("yaml")


def load(text: str) -> Any:
    """Reads a value as jsonargparse does, and makes sure that it is plain."""
    value = _usual(text)
    check_plain(value, "what was given")
    return value


set_loader("yaml", load, (yaml.YAMLError,))
