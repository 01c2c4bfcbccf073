"""The short help of a command, on one screen; `--help all` lists every option."""

import textwrap
from collections.abc import Sequence

from jsonargparse import ArgumentParser

from linlight.methods import METHODS

_TRAINER = (
    *("max_epochs", "max_steps", "max_time", "accelerator", "devices", "precision", "callbacks", "logger"),
    *("gradient_clip_val", "default_root_dir"),
)
"""The Trainer's options that people use."""
_NOT_SHOWN = ("help", "print_config", "verbose_save", "weights_only", "trainer.help", "data.help")
_SHORTER = {
    "--config": "A file of options, such as those in configs/",
    "--seed_everything": "Seed of all that is random",
    "--optimizer": "For LinearRegression: one of torch's, such as Adam, with --optimizer.lr",
    "--lr_scheduler": "For LinearRegression: one of torch's, such as StepLR, with --lr_scheduler.step_size",
    "--ckpt_path": "A checkpoint to go on from or to use; last: the newest",
}
"""Short texts for options that the parser describes at length."""
_WIDTH = 100


def wants_short_help(words: Sequence[str]) -> bool:
    """Whether the words ask for the short help."""
    return any(word in ("-h", "--help") for word in words) and "all" not in words


def short_help(parser: ArgumentParser, command: str) -> str:
    """The text of `linlight COMMAND --help`."""
    own, data, trainer = [], [], []
    for action in parser._actions:
        names = [option for option in action.option_strings if option.startswith("--")]
        if not names or action.dest in _NOT_SHOWN or names[0].endswith(".help"):
            continue
        name = names[0].removeprefix("--")
        if name.startswith("data."):
            data.append(_line(names[0], action.help))
        elif name.startswith("trainer."):
            if name.removeprefix("trainer.") in _TRAINER:
                trainer.append(_line(names[0], action.help))
        elif name not in ("data", "trainer", "checkpoint", "model"):
            own.append(_line(names[0], action.help))
    return "\n".join(
        [
            f"usage: linlight {command} [--model METHOD] [options]",
            "",
            *textwrap.wrap(
                f"  {'--model METHOD':<27}{', '.join(METHODS)}", _WIDTH, subsequent_indent=" " * 29
            ),
            f"  {'--model.help METHOD':<27}the options of a method, such as --model.lr",
            *own,
            "",
            *data,
            "",
            *trainer,
            "",
            f"linlight {command} --help all lists every option, and at length",
        ]
    )


def first_sentence(text: object) -> str:
    """The beginning of an option's help."""
    words = " ".join(str(text or "").split()).partition(" (type:")[0].replace("`", "")
    return words.partition(". ")[0].rstrip(".")


def _line(option: str, text: object) -> str:
    line = f"  {option:<26} {first_sentence(_SHORTER.get(option) or text)}"
    return line if len(line) <= _WIDTH else line[: _WIDTH - 1].rstrip() + "…"
