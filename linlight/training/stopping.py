"""SIGINT (Ctrl-C) and SIGTERM: the first ends a training where it can be resumed, the second at once."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType
from typing import Any

EXIT_CODE = 130
"""Exit code of a run stopped from outside: by convention 128 plus the number of SIGINT."""


@contextmanager
def handled(handler: Callable[[int, FrameType | None], Any]) -> Iterator[None]:
    """Handles SIGINT and SIGTERM by a function, and restores the former handlers.

    It changes nothing outside the main thread, where Python allows no handler, nor of a signal that is
    ignored, as under `nohup`.
    """
    former: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        present = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        former = {number: own for number, own in present.items() if own not in (signal.SIG_IGN, None)}
    try:
        for number in former:
            signal.signal(number, handler)
        yield
    finally:
        for number, own in former.items():
            signal.signal(number, own)


class StopRequest:
    """Whether the process was asked to stop since it began to listen.

    A signal strikes anywhere, also between an update and what counts it. So the first is only noted, to be
    looked for in `asked` where all is consistent; a second raises `KeyboardInterrupt`.

    Attributes:
        asked: Whether there was a signal.
    """

    def __init__(self) -> None:
        self.asked = False
        self._handlers = ExitStack()

    def listen(self) -> None:
        """Begins to handle the signals."""
        self.asked = False
        self._handlers.enter_context(handled(self._note))

    def close(self) -> None:
        """Restores the former handlers."""
        self._handlers.close()

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True


def hear_again() -> None:
    """Makes SIGINT raise `KeyboardInterrupt` again.

    Lightning ignores it from the first one on, for good where a training was interrupted before it began.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
