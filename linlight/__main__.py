"""The program: `linlight`, or `python -m linlight`.

Nothing is imported before it handles signals: Python's own handler would print a traceback.
"""

import os
import signal
from types import FrameType


def main() -> None:
    """Runs the command line that was typed; until the command runs, SIGINT or SIGTERM ends the process."""
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) != signal.SIG_IGN:  # as under `nohup`
            signal.signal(number, _stop)
    from linlight.cli.main import main as run

    run()


def _stop(number: int, frame: FrameType | None) -> None:
    os.write(2, b"linlight: stopped\n")
    os._exit(130)  # with torch half imported, or at its end, a KeyboardInterrupt would not get far


if __name__ == "__main__":
    main()
