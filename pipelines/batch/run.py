"""The batch itself: claim the folder, plan, draw what is missing, remember it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.batch.drawing import Broken, Drawn, Smaller, draw
from pipelines.batch.estimate import Estimate, estimate
from pipelines.batch.events import Ended, Event, Failed, Made, Noticed, Planned
from pipelines.batch.folder import check_folder, claim
from pipelines.batch.manifest import REJECTED, Lines
from pipelines.batch.models import Models
from pipelines.batch.options import Options
from pipelines.batch.past import Past
from pipelines.batch.plan import Group, Plan, capture_of, make_plan
from pipelines.batch.rejected import BadRows, Rejected
from pipelines.batch.sources import Source, read_source
from pipelines.batch.writer import Writer, parcel
from pipelines.recipe import Recipe

if TYPE_CHECKING:
    from pipelines.pipeline import Pipeline

Rows = str | Path | Iterable[Recipe | Mapping[str, object] | str]


def plan(rows: Rows, *, options: Options | None = None, pipe: Pipeline | None = None, form: str | None = None) -> Plan:
    """Check every row and say what would be drawn, in which groups; nothing is drawn and nothing written.

    Rows that cannot be drawn are in `Plan.rejected`. Raises XattnError where no row can help it.
    """
    chosen = options or Options()
    return make_plan(read_source(rows, form), chosen, _models(chosen, pipe), Past({}).size(chosen))


@dataclass(frozen=True, slots=True)
class Preview:
    """What a run would do: its plan, how many pictures the folder has already, and what the others take."""

    plan: Plan
    kept: int
    estimate: Estimate


def preview(
    rows: Rows,
    *,
    out: str | Path,
    options: Options | None = None,
    pipe: Pipeline | None = None,
    form: str | None = None,
) -> Preview:
    """Check every row and estimate time and disk; nothing is written. Raises as `run`, but for bad rows."""
    folder, chosen = check_folder(out), options or Options()
    models = _models(chosen, pipe)
    past = Past.seen(folder)
    made = make_plan(read_source(rows, form), chosen, models, past.size(chosen))
    missing = past.missing(made, chosen)
    return Preview(made, made.pictures - len(missing), estimate(made, models, missing, chosen.form))


def run(
    rows: Rows,
    *,
    out: str | Path,
    options: Options | None = None,
    pipe: Pipeline | None = None,
    form: str | None = None,
    cancel: threading.Event | None = None,
) -> Iterator[Event]:
    """Draw what the rows ask for and the folder `out` does not have yet, and tell of it as it happens.

    rows: a file's path, "-" for standard input, or recipes, objects and prompts in memory
    form: what the file is, where its suffix does not tell
    pipe: a pipeline that is already loaded, for all rows that name no other model
    cancel: ends the batch after the step under way, by Cancelled; closing the generator ends it too
    What was drawn before the end is on the disk then. The first event is Planned, the last Ended.

    Raises CannotWrite when this is called; Busy, BadRows and other XattnErrors with the first event; CannotWrite later
    where the disk fills up, with all that was made before whole and in the manifest.
    """
    return _run(rows, check_folder(out), options or Options(), pipe, form, cancel)


def _run(
    rows: Rows,
    folder: Path,
    options: Options,
    pipe: Pipeline | None,
    form: str | None,
    cancel: threading.Event | None,
) -> Iterator[Event]:
    begun = time.perf_counter()
    # before the folder is claimed and so made: a file that is not there leaves nothing behind
    source = read_source(rows, form)
    models = _models(options, pipe)
    claimed = claim(folder)
    try:
        past = Past.of(folder)
        made = _plan(source, options, models, past)
        missing, notices = past.compare(made, options)
        past.note(made, options, models)
        rejected = _Rejections(folder, made)
        tally = _Tally(made.pictures, made.pictures - len(missing))
        yield Planned(made, tally.kept, tally.total)
        yield from map(Noticed, notices)
        writer = Writer(folder, made.source, options.form)
        try:
            for group in made.groups:
                wanted = frozenset(item.hash for item in group.items if item.hash in missing)
                if wanted:
                    yield from _group(group, wanted, options, models, past, writer, rejected, tally, cancel)
        finally:
            late = writer.close()
        yield from map(tally.made, late)
        writer.check()
        yield Ended(tally.new, tally.kept, tally.failed, len(made.rejected), tally.total, time.perf_counter() - begun)
    finally:
        claimed.release()


def _group(
    group: Group,
    wanted: frozenset[str],
    options: Options,
    models: Models,
    past: Past,
    writer: Writer,
    rejected: _Rejections,
    tally: _Tally,
    cancel: threading.Event | None,
) -> Iterator[Event]:
    pipe = models.get(group.model)
    capture = capture_of(options)
    for event in draw(pipe, group.items, wanted, past.limit(group), capture, cancel):
        if isinstance(event, Drawn):
            writer.put([partial(parcel, item, result, options.form) for item, result in event.results])
        elif isinstance(event, Smaller):
            past.back_off(group, event.size)
            yield Noticed(f"Memory ran out; from picture {tally.done + 1} on it is {event.size} at once.")
        elif isinstance(event, Broken):
            one = rejected.add(event)
            yield tally.failure(one)
            if options.on_error == "stop":
                raise RunFailed(one)
        yield from map(tally.made, writer.made())


class RunFailed(RuntimeError):
    """A picture's run failed twice, and the batch was to stop at the first one that does."""

    def __init__(self, rejected: Rejected) -> None:
        self.rejected = rejected
        super().__init__(f"{rejected}; what was drawn before is kept. --on-error skip goes on with the other rows.")


def _plan(source: Source, options: Options, models: Models, past: Past) -> Plan:
    made = make_plan(source, options, models, past.size(options))
    if made.rejected and options.on_error == "stop":
        raise BadRows(made.rejected, made.rows)
    return made


def _models(options: Options, pipe: Pipeline | None) -> Models:
    def load(name: str) -> Pipeline:
        from pipelines.pipeline import Pipeline

        return Pipeline.from_pretrained(name, dtype=options.dtype, device=options.device, backend=options.backend)

    return Models(str(options.model), load, pipe)


class _Tally:
    """Counts for the events."""

    def __init__(self, total: int, kept: int) -> None:
        self.total, self.kept, self.new, self.failed = total, kept, 0, 0

    @property
    def done(self) -> int:
        return self.kept + self.new

    def made(self, entry: object) -> Made:
        from pipelines.batch.manifest import Entry

        assert isinstance(entry, Entry)
        self.new += 1
        return Made(entry, self.done, self.total)

    def failure(self, rejected: Rejected) -> Failed:
        self.failed += 1
        return Failed(rejected, self.done, self.total)


class _Rejections:
    """rejected.jsonl: the bad rows of this run, then each run that fails, as it fails; no file where there is none."""

    def __init__(self, folder: Path, made: Plan) -> None:
        self._path, self._source = folder / REJECTED, made.source
        self._path.unlink(missing_ok=True)
        self._write([one.record() for one in made.rejected])

    def add(self, broken: Broken) -> Rejected:
        item = broken.item
        one = Rejected(
            self._source,
            item.row,
            item.line,
            broken.message,
            item.recipe.portable().document(),
            "run",
            item.hash,
            broken.tries,
        )
        self._write([one.record()])
        return one

    def _write(self, records: Sequence[Mapping[str, object]]) -> None:
        if records:
            lines = Lines(self._path)
            try:
                lines.append(*records)
            finally:
                lines.close()
