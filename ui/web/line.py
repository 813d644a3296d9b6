"""One device draws one request at a time; the others wait in line, first come, first served, and can be told where."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field

from ui.web.limits import Limits
from xattn.errors import XattnError


class LineFull(XattnError):
    """Too many wait already."""


@dataclass(eq=False, slots=True)
class Ticket:
    """A place in the line. `session` is whose it is, `seconds` how long its run is thought to take."""

    session: str
    seconds: float
    cancel: threading.Event = field(default_factory=threading.Event)
    _turn: threading.Event = field(default_factory=threading.Event)

    def wait(self, seconds: float) -> bool:
        """Whether it is this ticket's turn, waited for so long at most."""
        return self._turn.wait(seconds)


class Line:
    """The tickets: the first one draws. Any thread may ask."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._lock = threading.Lock()
        self._tickets: list[Ticket] = []
        self._since = 0.0

    def enter(self, session: str, seconds: float, cancel: threading.Event | None = None) -> Ticket:
        """Take a place at the end; `cancel` is the ticket's own where the caller has one. Raises LineFull."""
        with self._lock:
            waiting = len(self._tickets) - 1
            if waiting >= self._limits.waiting:
                raise LineFull(f"{waiting} requests wait already, and more are not taken; try again in a minute.")
            own = sum(ticket.session == session for ticket in self._tickets) - 1
            if own >= self._limits.own_waiting:
                raise LineFull(f"{own} of your own pictures wait already; wait for one of them, or press Stop.")
            ticket = Ticket(session, seconds, cancel or threading.Event())
            self._tickets.append(ticket)
            self._call()
            return ticket

    def leave(self, ticket: Ticket) -> None:
        """Done, or tired of waiting: the next one's turn. Twice does no harm."""
        with self._lock:
            if ticket in self._tickets:
                first = self._tickets[0] is ticket
                self._tickets.remove(ticket)
                if first:
                    self._call()

    def before(self, ticket: Ticket) -> tuple[int, float]:
        """How many come before, the one that draws included, and how many seconds that may take."""
        with self._lock:
            if ticket not in self._tickets:
                return 0, 0.0
            ahead = self._tickets[: self._tickets.index(ticket)]
            seconds = sum(one.seconds for one in ahead)
            if ahead:
                seconds -= min(ahead[0].seconds, time.monotonic() - self._since)
            return len(ahead), seconds

    def behind(self, ticket: Ticket) -> int:
        """How many more of the same session wait."""
        with self._lock:
            return sum(one.session == ticket.session for one in self._tickets) - 1

    def draws(self, session: str) -> bool:
        """Whether it is this session's turn now."""
        with self._lock:
            return bool(self._tickets) and self._tickets[0].session == session

    def stop(self, session: str, *, everything: bool = False) -> int:
        """Cancel what the session draws now, or where it draws nothing what it has waiting; how many were told.

        everything: both, since nobody is there any more.
        """
        with self._lock:
            own = [ticket for ticket in self._tickets if ticket.session == session]
            drawing = [ticket for ticket in own if ticket is self._tickets[0]]
            told = own if everything or not drawing else drawing
            for ticket in told:
                ticket.cancel.set()
            return len(told)

    def close(self) -> None:
        """The page is stopped: everything ends."""
        with self._lock:
            for ticket in self._tickets:
                ticket.cancel.set()

    def _call(self) -> None:
        if self._tickets:
            self._since = time.monotonic()
            self._tickets[0]._turn.set()
