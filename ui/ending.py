"""Ctrl-C and SIGTERM in a long run: the first ends it after the step under way, the second at once."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from ui.process import Interrupted
from ui.terminal import say


class Ending:
    """Whether the run was told to end. `cancel` is looked at between steps; `number` is the signal's."""

    def __init__(self) -> None:
        self.cancel = threading.Event()
        self.number: int | None = None
        self.gentle = False

    def handle(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002  the system's signature
        """The signal's handler."""
        again, self.number = self.number is not None, number
        self.cancel.set()
        if again or not self.gentle:
            self.leave()
        say("Ending after the step under way; once more ends it at once.")

    def leave(self) -> None:
        """End as the signal says: KeyboardInterrupt for Ctrl-C, else SystemExit with 128 and its number."""
        if self.number == signal.SIGINT:
            raise Interrupted
        if self.number is not None:
            sys.exit(128 + self.number)


@contextmanager
def ending() -> Iterator[Ending]:
    """Meanwhile, the handlers of SIGINT, SIGTERM and SIGHUP are these; ignored signals stay ignored."""
    made = Ending()
    before = {}
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            before[number] = signal.signal(number, made.handle)
    try:
        yield made
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
