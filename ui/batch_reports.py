"""What is seen of a batch: a bar on a terminal, plain lines in a log, or JSON events."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from ui.terminal import is_terminal, say

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from pipelines.batch.events import Event

_EVERY = 10.0
"""Seconds between two lines of a log."""


class Report(Protocol):
    """Told every event, in order."""

    def tell(self, event: Event) -> None:
        """Show it, or not."""


class Pace:
    """How fast it goes, and how long it will."""

    def __init__(self) -> None:
        self._begun = time.monotonic()
        self._made = 0

    def count(self) -> None:
        """One more picture is made."""
        self._made += 1

    def said(self, left: int) -> str:
        """Such as "1.2 images/s, 80 s left"."""
        seconds = time.monotonic() - self._begun
        if not self._made or seconds <= 0:
            return "no image yet"
        rate = self._made / seconds
        return f"{rate:.2f} images/s, {duration(left / rate)} left"


def duration(seconds: float) -> str:
    """Seconds as a person says them: "45 s", "3 min", "2 h 5 min"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


class Lines:
    """Plain lines on stderr: what is to be done, now and then how far it is, every failure at once."""

    def __init__(self) -> None:
        self._pace = Pace()
        self._last = time.monotonic()
        self._failed = 0

    def tell(self, event: Event) -> None:
        """Show it where it is time to."""
        from pipelines.batch.events import Failed, Made, Noticed, Planned

        if isinstance(event, Planned):
            self._pace = Pace()
            for one in event.plan.rejected:
                say(f"skipped {one}")
            say(planned(event))
        elif isinstance(event, Noticed):
            say(event.text)
        elif isinstance(event, Failed):
            self._failed += 1
            say(f"failed {event.rejected}")
        elif isinstance(event, Made):
            self._pace.count()
            if time.monotonic() - self._last >= _EVERY:
                self._last = time.monotonic()
                left = event.total - event.done - self._failed
                say(f"{event.done}/{event.total}, {self._pace.said(left)}, {self._failed} failed")


class Bar:
    """One line on a terminal's stderr that is redrawn, messages above it."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress, self._task = progress, task
        self._pace, self._failed = Pace(), 0

    def tell(self, event: Event) -> None:
        """Show it."""
        from pipelines.batch.events import Failed, Made, Noticed, Planned

        if isinstance(event, Planned):
            self._pace = Pace()
            for one in event.plan.rejected:
                self._say(f"skipped {one}")
            self._progress.reset(self._task, total=event.total, completed=event.kept, description="Drawing")
        elif isinstance(event, Noticed):
            self._say(event.text)
        elif isinstance(event, Failed):
            self._failed += 1
            self._say(f"failed {event.rejected}")
            self._describe(event.done, event.total)
        elif isinstance(event, Made):
            self._pace.count()
            self._describe(event.done, event.total)

    def _describe(self, done: int, total: int) -> None:
        failures = f", {self._failed} failed" if self._failed else ""
        said = self._pace.said(total - done - self._failed)
        self._progress.update(self._task, completed=done, description=f"{said}{failures}")

    def _say(self, text: str) -> None:
        self._progress.console.print(text, soft_wrap=True)


class Json:
    """One JSON object a line on stdout."""

    def tell(self, event: Event) -> None:
        """Print it."""
        print(json.dumps(document(event), ensure_ascii=False), flush=True)


class Silent:
    """For the processes of a run that are not its first."""

    def tell(self, event: Event) -> None:
        """Nothing."""


@contextmanager
def report(as_json: bool, first: bool = True) -> Iterator[Report]:
    """What suits this stderr; a bar is gone when the block ends."""
    if not first:
        yield Silent()
        return
    if as_json or not is_terminal(sys.stderr):
        yield Json() if as_json else Lines()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    progress = Progress(
        MofNCompleteColumn(),
        BarColumn(),
        TextColumn("{task.description}", markup=False),
        console=Console(stderr=True, markup=False, emoji=False, highlight=False),
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    )
    with progress:
        yield Bar(progress, progress.add_task("Loading the model and checking the rows", total=None))


def planned(event: object) -> str:
    """What is to be done, in a sentence."""
    from pipelines.batch.events import Planned, counted

    assert isinstance(event, Planned)
    made = event.plan
    kept = f", {event.kept} of them there already" if event.kept else ""
    size = f"up to {made.batch_size} at once" if made.batch_size > 1 else "one at a time"
    what = f"{counted(made.rows, 'row')} of {made.source}: {counted(event.total, 'picture')}{kept}"
    return f"{what}, in {counted(len(made.groups), 'group')}, {size}."


def document(event: Event) -> dict[str, object]:
    """An event as JSON's types."""
    from pipelines.batch.events import Ended, Failed, Made, Noticed, Planned

    if isinstance(event, Planned):
        plan = event.plan
        made = {"event": "planned", "total": event.total, "kept": event.kept, "rows": plan.rows}
        return made | {"groups": len(plan.groups), "rejected": [one.record() for one in plan.rejected]}
    if isinstance(event, Noticed):
        return {"event": "notice", "text": event.text}
    if isinstance(event, Failed):
        said = event.rejected.record()
        return {"event": "failed", **said, "done": event.done, "total": event.total}
    if isinstance(event, Made):
        entry = event.entry
        said = {"event": "made", "file": entry.file, "row": entry.row, "hash": entry.hash, "seconds": entry.seconds}
        return said | {"done": event.done, "total": event.total}
    assert isinstance(event, Ended)
    counts = {"made": event.made, "kept": event.kept, "failed": event.failed, "rejected": event.rejected}
    return {"event": "ended", **counts, "total": event.total, "seconds": round(event.seconds, 3)}
