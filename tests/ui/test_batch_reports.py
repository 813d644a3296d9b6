"""What is seen of a batch while it runs, in a log and on a terminal."""

from __future__ import annotations

import io

import pytest
from rich.console import Console
from rich.progress import Progress, TextColumn

from pipelines.batch import Failed, Made, Noticed, Plan, Planned, Rejected
from pipelines.batch.manifest import Entry
from ui.batch_reports import Bar, Lines, Pace, duration

ENTRY = Entry(1, "ab", "00001-1-ab.png", "cd", 10, 0.5, "rows.jsonl")
BAD = Rejected("rows.jsonl", 2, 2, "width is 3, but it must be more.")
EVENTS = (
    Planned(Plan("rows.jsonl", "", 2, (), (BAD,), 0, 4), 1, 3),
    Noticed("Memory ran out."),
    Made(ENTRY, 2, 3),
    Failed(Rejected("rows.jsonl", 3, 3, "RuntimeError: broken", stage="run"), 2, 3),
)


def test_a_log_has_the_plan_the_notices_and_each_failure(capsys: pytest.CaptureFixture[str]) -> None:
    lines = Lines()
    for event in EVENTS:
        lines.tell(event)
    assert capsys.readouterr().err.splitlines() == [
        "skipped rows.jsonl:2: width is 3, but it must be more.",
        "2 rows of rows.jsonl: 3 pictures, 1 of them there already, in 0 groups, up to 4 at once.",
        "Memory ran out.",
        "failed rows.jsonl:3: RuntimeError: broken",
    ]


def test_a_terminal_has_a_bar_with_pace_and_failures_and_messages_above_it() -> None:
    shown = io.StringIO()
    progress = Progress(
        TextColumn("{task.completed}/{task.total} {task.description}"),
        console=Console(file=shown, force_terminal=True, width=120),
        auto_refresh=False,
    )
    bar = Bar(progress, progress.add_task("", total=None))
    for event in EVENTS:
        bar.tell(event)
    (task,) = progress.tasks
    assert (task.completed, task.total) == (2, 3)
    assert "images/s" in task.description
    assert task.description.endswith("1 failed")
    assert "Memory ran out." in shown.getvalue()


def test_a_pace_is_a_rate_and_the_time_left() -> None:
    pace = Pace()
    assert pace.said(3) == "no image yet"
    pace.count()
    assert "images/s" in pace.said(3)


@pytest.mark.parametrize(("seconds", "said"), [(45, "45 s"), (200, "3 min"), (7500, "2 h 5 min")])
def test_durations_are_said_as_people_say_them(seconds: float, said: str) -> None:
    assert duration(seconds) == said
