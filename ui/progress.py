"""A progress bar on a terminal, and nothing at all anywhere else."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ui.terminal import is_terminal, say

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


class Bar:
    """One line on stderr: what is being done, how far it is, how long it may take."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress, self._task = progress, task

    def begin(self, text: str, steps: int) -> None:
        """Start on something of `steps` steps."""
        self._progress.reset(self._task, total=steps, description=text)

    def advance(self, steps: int = 1) -> None:
        """So many more are done."""
        self._progress.advance(self._task, steps)

    def say(self, text: str) -> None:
        """A message to stderr, above the bar where there is one."""
        if self._progress.disable:
            say(text)
        else:
            self._progress.console.print(text, soft_wrap=True)

    def answer(self, text: str) -> None:
        """A line to stdout; above the bar where both are on one screen."""
        if self._progress.disable or not is_terminal(sys.stdout):
            print(text, flush=True)
        else:
            self._progress.console.print(text, soft_wrap=True)


@contextmanager
def bar(text: str) -> Iterator[Bar]:
    """A bar that says `text` until it is told what it counts; it is gone when the block ends, however it ends."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    progress = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True, markup=False, emoji=False, highlight=False),
        transient=True,
        # asked of the stream itself: rich takes FORCE_COLOR for a terminal, and would draw bars into pipes
        disable=not is_terminal(sys.stderr),
        # rich would send stdout's lines to this console, which is stderr's
        redirect_stdout=False,
        redirect_stderr=False,
    )
    with progress:
        yield Bar(progress, progress.add_task(text, total=None))
