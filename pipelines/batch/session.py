"""Drawing what is missing: groups to results, results to the writer, and events of all of it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pipelines.batch.drawing import Broken, Drawn, Smaller, draw
from pipelines.batch.events import Event, Failed, Made, Noticed
from pipelines.batch.folder import rank_is_alive
from pipelines.batch.manifest import MANIFEST, REJECTED, Entry, Tail
from pipelines.batch.models import Models
from pipelines.batch.options import Options
from pipelines.batch.past import Limits
from pipelines.batch.plan import Group, Plan, capture_of
from pipelines.batch.rejected import Rejected, Rejections
from pipelines.batch.team import Team
from pipelines.batch.writer import Parcel, Writer, parcel
from xattn.errors import Cancelled

_LOOK = 0.5
"""Seconds between two looks at what the other processes have done."""


class RunFailed(RuntimeError):
    """A picture's run failed twice, and the batch was to stop at the first one that does."""

    def __init__(self, rejected: Rejected) -> None:
        self.rejected = rejected
        super().__init__(f"{rejected}; what was drawn before is kept. --on-error skip goes on with the other rows.")


@dataclass(frozen=True, slots=True)
class Work:
    """What is to be done: the plan, the hashes of its pictures that are missing, and what a person should know."""

    plan: Plan
    missing: frozenset[str]
    notices: tuple[str, ...]

    def wanted(self, group: Group) -> frozenset[str]:
        """Hashes of the group's pictures that are missing."""
        return frozenset(item.hash for item in group.items if item.hash in self.missing)


class Session:
    """One process's share of a run, and, in the first process, the events of all of them."""

    def __init__(
        self,
        folder: Path,
        options: Options,
        models: Models,
        work: Work,
        team: Team,
        cancel: threading.Event | None,
    ) -> None:
        self._folder, self._options, self._models, self._work = folder, options, models, work
        self._team, self._cancel = team, cancel
        self._limits = Limits(folder)
        self._rejections = Rejections(folder, work.plan.source, shared=team.size > 1)
        self._writer = Writer(folder, work.plan.source, options.form, shared=team.size > 1)
        self._tails = _Tails(folder) if team.first and team.size > 1 else None
        self.kept = work.plan.pictures - len(work.missing)
        self.new = self.failed = 0

    def events(self) -> Iterator[Event]:
        """Draw, and tell of it. Raises Cancelled, RunFailed, and what stopped the writer."""
        todo = [group for group in self._work.plan.groups if self._work.wanted(group)]
        try:
            if self._options.engine == "ray":
                yield from self._by_ray(todo)
            else:
                for group in self._team.share(todo):
                    yield from self._group(group)
        finally:
            late = self._writer.close()
        yield from self._made(late)
        self._writer.check()
        if self._tails is not None:
            yield from self._others()

    def _group(self, group: Group) -> Iterator[Event]:
        pipe, wanted = self._models.get(group.model), self._work.wanted(group)
        capture = capture_of(self._options)
        for event in draw(pipe, group.items, wanted, self._limits.of(group), capture, self._cancel):
            if isinstance(event, Drawn):
                form = self._options.form
                self._writer.put([partial(parcel, item, result, form) for item, result in event.results])
            elif isinstance(event, Smaller):
                yield self._smaller(group, event)
            elif isinstance(event, Broken):
                yield from self._broken(event)
            yield from self._made(self._writer.made())

    def _by_ray(self, todo: list[Group]) -> Iterator[Event]:
        from pipelines.batch.ray_engine import draw_on_ray

        jobs = [(group, self._work.wanted(group), self._limits.of(group)) for group in todo]
        for group, events in draw_on_ray(jobs, self._options):
            for event in events:
                if isinstance(event, Parcel):
                    self._writer.put([partial(_ready, event)])
                elif isinstance(event, Smaller):
                    yield self._smaller(group, event)
                else:
                    yield from self._broken(event)
            yield from self._made(self._writer.made())
            if self._cancel is not None and self._cancel.is_set():
                raise Cancelled("The batch was asked to stop.")

    def _smaller(self, group: Group, event: Smaller) -> Noticed:
        self._limits.add(group, event.size)
        return Noticed(f"Memory ran out at a group of {len(group.items)}; from there on it is {event.size} at once.")

    def _broken(self, event: Broken) -> Iterator[Failed]:
        one = self._rejections.add(event.item, event.message, event.tries)
        if self._tails is None:
            yield self._failure(one)
        if self._options.on_error == "stop":
            raise RunFailed(one)

    def _failure(self, one: Rejected) -> Failed:
        self.failed += 1
        return Failed(one, self.kept + self.new, self._work.plan.pictures)

    def _made(self, entries: Iterable[Entry]) -> Iterator[Event]:
        """An event for each new picture: this process's own, or of all processes as the files tell."""
        if self._tails is None:
            yield from map(self._one, entries)
            return
        yield from map(self._one, self._tails.made())
        yield from map(self._failure, self._tails.failed())

    def _one(self, entry: Entry) -> Made:
        self.new += 1
        return Made(entry, self.kept + self.new, self._work.plan.pictures)

    def _others(self) -> Iterator[Event]:
        """Wait for the other processes, telling what they do."""
        while any(rank_is_alive(self._folder, rank) for rank in range(1, self._team.size)):
            if self._cancel is not None and self._cancel.is_set():
                raise Cancelled("The batch was asked to stop.")
            yield from self._made(())
            time.sleep(_LOOK)
        yield from self._made(())


class _Tails:
    """What all processes of a run add to the folder's two files."""

    def __init__(self, folder: Path) -> None:
        self._manifest, self._rejected = Tail(folder / MANIFEST), Tail(folder / REJECTED)

    def made(self) -> Iterator[Entry]:
        """New pictures."""
        return (Entry.of(record) for record in self._manifest.new() if "file" in record)

    def failed(self) -> Iterator[Rejected]:
        """New failures."""
        return map(Rejected.of, self._rejected.new())


def _ready(one: Parcel) -> Parcel:
    return one
