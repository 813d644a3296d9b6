"""The batch itself: claim the folder, plan, draw what is missing, remember it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.batch.estimate import Estimate, estimate
from pipelines.batch.events import Ended, Event, Noticed, Planned
from pipelines.batch.folder import check_folder, claim, claim_rank
from pipelines.batch.models import Models
from pipelines.batch.options import Options
from pipelines.batch.past import Past
from pipelines.batch.plan import Plan, make_plan
from pipelines.batch.rejected import BadRows, Rejections
from pipelines.batch.session import RunFailed, Session, Work
from pipelines.batch.sources import read_source
from pipelines.batch.team import Team
from pipelines.recipe import Recipe

if TYPE_CHECKING:
    from pipelines.pipeline import Pipeline

__all__ = ["Preview", "RunFailed", "plan", "preview", "run"]

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
    team = Team.here(options)
    with ExitStack() as held:
        models = _models(options, pipe, team)
        try:
            work = _begin(rows, folder, options, models, form, held) if team.first else None
        except BaseException:
            team.send(None)  # the others wait for work that never comes
            raise
        work = team.send(work)
        if work is None:
            return
        if not team.first:
            held.callback(claim_rank(folder, team.rank).release)
        team.wait()
        session = Session(folder, options, models, work, team, cancel)
        yield Planned(work.plan, session.kept, work.plan.pictures)
        yield from map(Noticed, work.notices)
        yield from session.events()
        yield Ended(
            session.new,
            session.kept,
            session.failed,
            len(work.plan.rejected),
            work.plan.pictures,
            time.perf_counter() - begun,
        )


def _begin(rows: Rows, folder: Path, options: Options, models: Models, form: str | None, held: ExitStack) -> Work:
    """Take the folder, plan, and compare with what is there; the folder is held by `held`."""
    source = read_source(rows, form)
    # a folder that is there may belong to someone: told at once; one that is not is only made when all rows are sound
    there = folder.exists()
    if there:
        held.callback(claim(folder).release)
    seen = Past.seen(folder)
    made = make_plan(source, options, models, seen.size(options))
    if made.rejected and options.on_error == "stop":
        raise BadRows(made.rejected, made.rows)
    if not there:
        held.callback(claim(folder).release)
    past = Past.of(folder)
    missing, notices = past.compare(made, options)
    past.note(made, options, seen.found)
    Rejections(folder, made.source).begin(made.rejected)
    return Work(made, missing, notices)


def _models(options: Options, pipe: Pipeline | None, team: Team | None = None) -> Models:
    device = options.device if team is None else team.device(options.device)

    def load(name: str) -> Pipeline:
        from pipelines.pipeline import Pipeline

        return Pipeline.from_pretrained(name, dtype=options.dtype, device=device, backend=options.backend)

    return Models(str(options.model), load, pipe)
