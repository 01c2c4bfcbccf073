"""The front door of the command line: picks the command, and turns bad input into one line.

Nothing heavy is imported here, so `linlight --help` and a mistyped command answer at once.
"""

import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType

from linlight.cli.console import COMMANDS, fail, of_file
from linlight.errors import InputError, closest_match
from linlight.training.stopping import EXIT_CODE, handled

STOPPED = "linlight: stopped"

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
    """Imports what runs a command; a signal meanwhile, half of torch loaded, ends the process at once."""
    with handled(_quit):
        if command == "inspect":
            from linlight.cli.inspect import run as inspect

            return lambda args: inspect(args[1:])
        if command == "plot":
            from linlight.cli.plot import plot

            return lambda args: plot(args[1:])
        if command == "board":
            from linlight.cli.board import board

            return lambda args: board(args[1:])
        # Of several processes those that outlive another would print torch's account of it, in stack frames.
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
        from linlight.cli.commands import run

        return run


def _quit(number: int, frame: FrameType | None) -> None:
    os.write(2, f"{STOPPED}\n".encode())
    os._exit(EXIT_CODE)


def main(args: Sequence[str] | None = None) -> None:
    """Runs a command line.

    Args:
        args: The words after `linlight`. Default: those that were typed.

    Raises:
        SystemExit: With code 2 and one line on standard error where the input cannot be used.
    """
    args = sys.argv[1:] if args is None else list(args)
    if args[:1] in (["-h"], ["--help"]):
        print(HELP.format(commands="\n".join(f"  {name:<10}{text}" for name, text in COMMANDS.items())))
        return
    if args[:1] == ["--version"]:
        from importlib.metadata import version  # takes most of the time until a signal is handled

        print(f"linlight {version('linlight')}")
        return
    if args and args[0].partition("=")[0] == "--print_shtab":
        from linlight.cli.completion import script

        try:
            print(script(" ".join(args).removeprefix("--print_shtab")[1:]))
        except InputError as error:
            fail(error)
        return
    try:
        _choose(args)
        if (here := str(Path.cwd())) not in sys.path:
            # A method of the user's own, `--model my_module.MyMethod`, is looked for where they are.
            sys.path.append(here)
        with handled(signal.default_int_handler):  # SIGTERM too raises KeyboardInterrupt
            command = _import(args[0])
            command(args)
            sys.stdout.flush()
    except KeyboardInterrupt:
        print(STOPPED, file=sys.stderr)
        raise SystemExit(EXIT_CODE) from None
    except BrokenPipeError:
        # The reader of our output has gone, as in `linlight ... | head`. What is still to be flushed at the
        # interpreter's end must not fail again: https://docs.python.org/3/library/signal.html#note-on-sigpipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(1) from None
    except OSError as error:
        fail(of_file(error))
    except (MemoryError, RuntimeError) as error:
        from linlight.cli.messages import OUT_OF_MEMORY, out_of_memory

        if not out_of_memory(error):
            raise
        fail(OUT_OF_MEMORY)
    except InputError as error:
        fail(error)
