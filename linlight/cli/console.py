"""The commands there are, and how one fails: in one line on standard error, with exit code 2."""

import sys
from typing import NoReturn

COMMANDS = {
    "learn": "walk through the five programs of the notes, one screen each",
    "compare": "run the five methods of the notes on the same data, side by side",
    "sweep": "map where methods converge, over learning rates and batch sizes",
    "inspect": "look at the data, and at what each method will need for them",
    "fit": "train one method",
    "validate": "evaluate a checkpoint on the validation rows",
    "test": "evaluate a checkpoint on the test rows",
    "predict": "predict with a checkpoint",
    "plot": "draw the pictures of a finished run",
}


def fail(error: Exception | str) -> NoReturn:
    """Prints an error as one line on standard error and exits with code 2."""
    print(f"linlight: error: {' '.join(str(error).split())}", file=sys.stderr)
    raise SystemExit(2)
