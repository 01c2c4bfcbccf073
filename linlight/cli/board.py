"""`linlight board`: TensorBoard, opened on the charts that linlight arranges."""

import sys
import threading
import webbrowser
from collections.abc import Sequence
from pathlib import Path

from jsonargparse import ArgumentParser

from linlight.cli.parsing import command_parser, parse
from linlight.errors import InputError

TAB = "#custom_scalars"


def options() -> ArgumentParser:
    """The parser of `linlight board`."""
    parser = command_parser("board")
    parser.add_argument(
        "folder", type=str, nargs="?", default="lightning_logs", help="Of the runs, or one run."
    )
    parser.add_argument("--port", type=int | None, default=None, help="Default: 6006, or the next free one.")
    return parser


def run(args: Sequence[str]) -> None:
    """Runs `linlight board` until it is stopped."""
    config = parse(options(), args[1:])
    address = serve(config.folder, config.port) + TAB
    print(f"TensorBoard: {address} (Ctrl-C stops it)", flush=True)
    if sys.stdout.isatty():
        webbrowser.open(address)  # False where there is none
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        print()


def serve(folder: str, port: int | None) -> str:
    """Starts TensorBoard on this machine alone, and returns its address.

    Args:
        folder: The folder of the runs.
        port: Where to listen. Default: 6006, or the next free one; 0 is any free one.

    Raises:
        InputError: If there are no runs, or the port is taken.
    """
    if port is not None and not 0 <= port < 2**16:
        raise InputError(f"port must be from 0 to {2**16 - 1}, got {port}")
    if not Path(folder).is_dir():
        raise InputError(f"there is no folder {folder}: run linlight fit or linlight compare first")
    if next(Path(folder).rglob("events.out.tfevents.*"), None) is None:
        raise InputError(f"nothing below {folder} was logged: give the folder of runs, as lightning_logs")
    from tensorboard.program import TensorBoard, TensorBoardServerException

    words = ["tensorboard", "--logdir", folder, "--host", "127.0.0.1", "--load_fast", "false"]
    server = TensorBoard()
    try:
        server.configure([*words, *([] if port is None else ["--port", str(port)])])
        address: str = server.launch()
    except (SystemExit, TensorBoardServerException) as error:
        raise InputError(f"TensorBoard cannot listen on port {port}: give another --port, or 0") from error
    return address
