"""`linlight plot`: the pictures of a finished run."""

from collections.abc import Sequence
from pathlib import Path

from jsonargparse import ArgumentParser

from linlight.cli.parsing import command_parser, parse
from linlight.errors import InputError
from linlight.methods import find_method
from linlight.runs.run import load
from linlight.runs.run_page import write_run_page
from linlight.training.folder import folder_name


def options() -> ArgumentParser:
    """The parser of `linlight plot`."""
    parser = command_parser("plot")
    help = "The run's folder, lightning_logs/METHOD/version_N."
    parser.add_argument("folder", type=str, nargs="+", help=help)
    parser.add_argument("--to", type=str | None, default=None, help="Default: pictures in that folder.")
    html = "Write run.html too, a page on which w and b are moved by hand."
    parser.add_argument("--html", nargs="?", const=True, type=bool, default=False, help=html)
    parser.add_argument("--model", type=str | None, default=None, help="A method of your own, MODULE.CLASS.")
    return parser


def run(args: Sequence[str]) -> None:
    """Runs `linlight plot`."""
    config = parse(options(), args[1:])
    folder, *more = config.folder
    if more:
        raise InputError(f"plot draws one run at a time: give one folder, not {len(more) + 1}")
    method = None if config.model is None else find_method(config.model)
    run = load(folder, method=method)
    page = Path(config.to or folder) / "run.html"
    if config.html:
        write_run_page(run, page)
    files = [*run.save_pictures(config.to), *([page] if config.html else [])]
    for file in files:
        if file.suffix in (".png", ".html"):
            print(folder_name(file))
    print(f"run: {folder_name(folder)}")
