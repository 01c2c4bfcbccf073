"""The commands there are, and how one fails: in one line on standard error, with exit code 2."""

import re
import sys
from typing import NoReturn

from linlight.errors import InputError

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
    "board": "open TensorBoard on the runs",
}

OUT_OF_MEMORY = (
    "out of memory: --data.stream true reads a table block by block instead of holding it; a smaller "
    "--data.batch_size or --data.window needs less at a time"
)


def fail(error: Exception | str) -> NoReturn:
    """Prints an error as one line on standard error and exits with code 2."""
    # Nobody reads a word of thousands of letters; a path may have some hundred.
    words = (word if len(word) <= 300 else f"{word[:60]}…{word[-30:]}" for word in str(error).split())
    line = " ".join(words)
    print(f"linlight: error: {line if len(line) <= 2000 else line[:2000] + '…'}", file=sys.stderr)
    raise SystemExit(2)


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory has run out: a GPU's, NumPy's, pyarrow's or torch's."""
    words = r"out of memory|not enough memory|can't allocate memory"
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and re.search(words, str(error)) is not None
    )


def line_of(error: BaseException) -> str | None:
    """The line about an error that is due to the input or the machine; None of one that is due to a bug."""
    if isinstance(error, OSError) and not isinstance(error, BrokenPipeError):
        # The system's message about a file, without its number.
        return f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}"
    if out_of_memory(error):
        return OUT_OF_MEMORY
    return str(error) if isinstance(error, InputError) else None
