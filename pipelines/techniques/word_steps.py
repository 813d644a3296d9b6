"""Steps of a word's own: how long each word takes over its map, where that is not as long as all others do.

Hertz et al. 2022 mix by a table of α for each step and word. A word that keeps the source's map for few steps only may
take another shape, while those around it hold the layout.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from pipelines.ledger import Phrase
from pipelines.techniques.alignment import Shares
from pipelines.techniques.edit import check_word
from pipelines.techniques.window import Window
from xattn.errors import BadValue

if TYPE_CHECKING:
    from pipelines.techniques.here import Here

WordSteps = tuple[tuple[Phrase, tuple[float, float] | tuple[int, int]], ...]
"""Words or phrases of this prompt, each with steps as `Window.steps` has them."""
Opens = Callable[[Window, int, int], bool]
"""Whether a window is open at a step, counted from 0, of how many: as ours are, or the published ones."""


def check_word_steps(parameter: str, given: object) -> WordSteps:
    """`given` with its numbers as a Window keeps them. Raises BadValue."""
    if not isinstance(given, tuple) or not all(isinstance(pair, tuple) and len(pair) == 2 for pair in given):
        raise BadValue(parameter, given, 'pairs of a word and its steps, such as (("dog", (0.0, 0.3)),)')
    for word, _ in given:
        check_word(parameter, word)
    return tuple((word, Window(steps=steps).steps) for word, steps in given)


def any_open(window: Window, words: WordSteps, opens: Opens, index: int, steps: int) -> bool:
    """Whether the window is open at a step, or that of a word."""
    return any(opens(one, index, steps) for one in (window, *_windows(window, words)))


def open_now(shares: Shares, window: Window, words: WordSteps, opens: Opens, here: Here) -> Shares:
    """Those columns that take over the source's at this step; of words in two phrases the later one counts."""
    from pipelines.techniques.here import Unsaid

    taken = dict(shares) if opens(window, here.index, here.steps) else {}
    for (word, _), own in zip(words, _windows(window, words), strict=True):
        try:
            columns = here.columns(word)
        except Unsaid:  # it is said at other steps
            continue
        for column in columns:
            taken.pop(column, None)
            if column in shares and opens(own, here.index, here.steps):
                taken[column] = shares[column]
    return taken


def _windows(window: Window, words: WordSteps) -> list[Window]:
    return [replace(window, steps=steps) for _, steps in words]
