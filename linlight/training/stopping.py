"""SIGINT (Ctrl-C) and SIGTERM: the first ends a training where it can go on, the second ends it at once."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

EXIT_CODE = 130
"""Exit code of a run stopped from outside: by convention 128 plus the number of SIGINT."""


def _handlers() -> dict[int, Any]:
    """Who handles the two signals, as far as that can be changed: not outside the main thread.

    A signal that is ignored, as under `nohup`, is to stay so.
    """
    if threading.current_thread() is not threading.main_thread():
        return {}
    present = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    return {number: own for number, own in present.items() if own not in (signal.SIG_IGN, None)}


@contextmanager
def handled(handler: Callable[[int, FrameType | None], Any]) -> Iterator[None]:
    """Handles SIGINT and SIGTERM by a function, and puts the former handlers back."""
    former = _handlers()
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
        self._former: dict[int, Any] = {}

    def listen(self) -> None:
        """Begins to handle the signals."""
        self.asked = False
        self._former = _handlers()
        for number in self._former:
            signal.signal(number, self._note)

    def close(self) -> None:
        """Restores the former handlers."""
        while self._former:
            signal.signal(*self._former.popitem())

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True


def hear_again() -> None:
    """Makes SIGINT raise `KeyboardInterrupt` again.

    Lightning ignores it from the first one on, for ever where a training was interrupted before it began.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
