"""Thousands of pictures from a file, on one CPU, several GPUs or a cluster, by a run that can be killed at any moment.

    from xattn import batch
    for event in batch.run("rows.jsonl", out="pictures"):
        print(event)
    batch.table("pictures")

rows (sources.py) → recipes (rows.py, templates.py) → groups (plan.py) → draw (drawing.py) → files and manifest
(writer.py, manifest.py), what is there already left out (past.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipelines.batch.events import Ended, Event, Failed, Made, Noticed, Planned
from pipelines.batch.folder import Busy
from pipelines.batch.options import Options
from pipelines.batch.plan import Plan
from pipelines.batch.rejected import BadRows, Rejected
from pipelines.batch.run import Preview, RunFailed, plan, preview, run
from pipelines.batch.table import entries, export, maps, table

if TYPE_CHECKING:
    from pipelines.batch.sheet import sheets

__all__ = [
    "BadRows",
    "Busy",
    "Ended",
    "Event",
    "Failed",
    "Made",
    "Noticed",
    "Options",
    "Plan",
    "Planned",
    "Preview",
    "Rejected",
    "RunFailed",
    "entries",
    "export",
    "maps",
    "plan",
    "preview",
    "run",
    "sheets",
    "table",
]

# Hidden from type checkers: a visible __getattr__ would make any name type-check.
if not TYPE_CHECKING:

    def __getattr__(name):
        if name != "sheets":  # it draws, and so needs numpy and Pillow, which the other names do without
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from pipelines.batch.sheet import sheets

        return sheets
