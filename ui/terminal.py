"""Where text goes: answers to stdout, everything about them to stderr."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.console import Console

PIPE_WIDTH = 100


def say(text: str) -> None:
    """One message to stderr."""
    if sys.stderr is not None:
        print(text, file=sys.stderr, flush=True)


def is_terminal(stream: TextIO | None) -> bool:
    """Whether a person watches this stream on something that can redraw a line."""
    return stream is not None and stream.isatty() and os.environ.get("TERM") != "dumb"


def answers() -> Console:
    """A console for stdout that prints text as it is: a prompt's [brackets] and :colons: are no markup."""
    from rich.console import Console

    width = None if is_terminal(sys.stdout) else PIPE_WIDTH
    return Console(markup=False, emoji=False, highlight=False, soft_wrap=False, width=width)
