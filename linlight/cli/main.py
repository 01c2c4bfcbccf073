"""The front door of the command line: picks the command, and turns bad input into one line.

Nothing heavy is imported here, so `linlight --help` and a mistyped command answer at once.
"""

import os
import signal
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path

from linlight.cli.console import COMMANDS, fail, line_of
from linlight.errors import InputError, closest_match
from linlight.training.stopping import EXIT_CODE, handled

HELP = """\
usage: linlight COMMAND [options]

Linear regression on PyTorch Lightning.

commands:
{commands}

examples:
  linlight compare
  linlight fit --model GradientDescent --model.lr 0.05 --data.batch_size 1
  linlight fit --config configs/linear_regression.yaml
  linlight predict --ckpt_path RUN/checkpoints/last.ckpt --data.x '[4.0]'

`linlight COMMAND --help` lists the options of a command; `linlight --print_shtab SHELL`, bash or zsh,
prints the script by which the shell completes them."""


def _choose(args: Sequence[str]) -> str:
    """The command, or an error that says what to type instead."""
    choices = ", ".join(COMMANDS)
    if not args:
        raise InputError(f"no command: type one of {choices}, for example linlight compare")
    if args[0].startswith("-"):
        raise InputError(f"{args[0]} comes before a command: type one of {choices} first, as in linlight fit")
    if args[0] not in COMMANDS:
        meant = closest_match(args[0], COMMANDS)
        hint = f"type one of {choices}" if meant is None else f"did you mean {meant}?"
        raise InputError(f"there is no command {args[0]!r}: {hint}")
    return args[0]


def _import(command: str) -> Callable[[Sequence[str]], None]:
    """The function that runs a command line of this command."""
    # Of several processes those that outlive another would print torch's account of it, in stack frames.
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    module = command if command in ("board", "inspect", "plot") else "commands"
    run: Callable[[Sequence[str]], None] = import_module(f"linlight.cli.{module}").run
    return run


def _run(args: Sequence[str]) -> None:
    if args[:1] in (["-h"], ["--help"]):
        print(HELP.format(commands="\n".join(f"  {name:<10}{text}" for name, text in COMMANDS.items())))
    elif args[:1] == ["--version"]:
        from importlib.metadata import version  # takes most of the time until a signal is handled

        print(f"linlight {version('linlight')}")
    elif args and args[0].partition("=")[0] == "--print_shtab":
        from linlight.cli.completion import script

        print(script(" ".join(args).removeprefix("--print_shtab")[1:]))
    else:
        command = _choose(args)
        if (here := str(Path.cwd())) not in sys.path:
            # A method of the user's own, `--model my_module.MyMethod`, is looked for where they are.
            sys.path.append(here)
        run = _import(command)
        with handled(signal.default_int_handler):  # SIGTERM too raises KeyboardInterrupt
            run(args)


def main(args: Sequence[str] | None = None) -> None:
    """Runs a command line.

    Args:
        args: The words after `linlight`. Default: those that were typed.

    Raises:
        SystemExit: With code 2 and one line on standard error where the input cannot be used.
    """
    try:
        _run(sys.argv[1:] if args is None else list(args))
        sys.stdout.flush()
    except KeyboardInterrupt:
        print("linlight: stopped", file=sys.stderr)
        raise SystemExit(EXIT_CODE) from None
    except BrokenPipeError:
        # The reader of our output has gone, as in `linlight ... | head`. What is still to be flushed at the
        # interpreter's end must not fail again: https://docs.python.org/3/library/signal.html#note-on-sigpipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(1) from None
    except Exception as error:
        line = line_of(error)
        if line is None:
            raise
        fail(line)
