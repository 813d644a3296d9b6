"""What Prompt-to-Prompt's published code does, mistakes included: for `published=True` only.

Its two mappers, column by column, which know one chunk of tokens and words with spaces between; and its windows, whose
fractions become whole numbers by dropping what is after the point, where ours round up. Knows no torch.
"""

from __future__ import annotations

import re

from pipelines.ledger import Ledger
from pipelines.techniques.alignment import Shares
from pipelines.techniques.window import Window
from xattn.errors import BadValue


def replacement(source: Ledger, target: Ledger) -> Shares:
    """AttentionReplace: as many words in both prompts, the n-th of one for the n-th of the other.

    Words in which they differ exchange columns one by one, or share the sum evenly where they have different numbers
    of tokens. What is between keeps its distance from the last of them; but what comes after the last one reads the
    source at its own column, also where the words before took more or fewer columns there.
    Raises BadValue where the numbers of words differ.
    """
    theirs, ours = _spaced(source), _spaced(target)
    if len(theirs) != len(ours):
        got = f"{target.prompt!r}, of {len(ours)} words"
        raise BadValue("prompt", got, f"of as many as the source's {len(theirs)} for replace", "Use refine")
    differing = [place for place, ((one, _), (other, _)) in enumerate(zip(theirs, ours, strict=True)) if one != other]
    groups = [(theirs[place][1], ours[place][1]) for place in differing]
    made: dict[int, tuple[tuple[int, float], ...]] = {}
    width = len(target.tokens)
    i = j = 0
    while i < width and j < width:
        if groups and groups[0][0][:1] == (i,):
            some, others = groups.pop(0)
            alike = len(some) == len(others)
            for number, column in enumerate(others):
                share = ((some[number], 1.0),) if alike else tuple((one, 1 / len(others)) for one in some)
                made[column] = made.get(column, ()) + share
            i, j = i + len(some), j + len(others)
        else:
            made[j] = ((i if groups else j, 1.0),)
            i, j = i + 1, j + 1
    return {column: made.get(column, ()) for column in range(width)}


def refinement(source: Ledger, target: Ledger) -> Shares:
    """AttentionRefine: token by token, a longest common subsequence of both prompts with begin and end.

    What is new keeps its own; so does nothing of the padding, which reads the source's column of the same number.
    """
    theirs, ours = _said(source), _said(target)
    made = {column: ((place, 1.0),) for place, column in _matches(theirs, ours)}
    return made | {column: ((column, 1.0),) for column in range(len(ours), len(target.tokens))}


def cross_opens(window: Window, index: int, steps: int) -> bool:
    """Whether step `index`, counted from 0, is in a window on cross-attention, whose table has a row more than steps:
    .8 of ten steps are int(.8 · 11) = 8, and of 19 int(.8 · 20) = 16."""
    return _opens(window, index, steps, steps + 1)


def others_open(window: Window, index: int, steps: int) -> bool:
    """The same for self-attention and local blending, which count the steps: .8 of 19 are int(.8 · 19) = 15."""
    return _opens(window, index, steps, steps)


def _opens(window: Window, index: int, steps: int, rows: int) -> bool:
    first, last = window.steps
    if isinstance(first, int):  # step numbers, which that code does not know
        return window.open(index, steps)
    return int(first * rows) <= index < int(last * rows)


def check_short(kind: str, source: Ledger, target: Ledger) -> None:
    """Raise BadValue for prompts of more than one chunk, which the published code does not know."""
    check_one(kind, max(source, target, key=lambda ledger: ledger.chunks))


def check_one(kind: str, ledger: Ledger) -> None:
    """The same of one prompt."""
    if ledger.chunks > 1:
        length = len(ledger.tokens) // ledger.chunks
        raise BadValue(f"{kind}.published", True, f"False for a prompt of over {length - 2} tokens")


def _spaced(ledger: Ledger) -> list[tuple[str, tuple[int, ...]]]:
    """What stands between spaces, with its columns."""
    return [
        (
            found[0],
            tuple(token.position for token in ledger.text_tokens if found.start() <= token.start < found.end()),
        )
        for found in re.finditer(r"\S+", ledger.prompt)
    ]


def _said(ledger: Ledger) -> list[int]:
    """Ids from begin to end, without padding."""
    return [token.id for token in ledger.tokens if token.role != "pad"]


def _matches(theirs: list[int], ours: list[int]) -> list[tuple[int, int]]:
    """Needleman and Wunsch with nothing for a gap, 1 for a match, −1 for a mismatch; gaps are preferred, the target's
    first."""
    table = [[0] * (len(ours) + 1) for _ in range(len(theirs) + 1)]
    for i, one in enumerate(theirs, 1):
        for j, other in enumerate(ours, 1):
            diagonal = table[i - 1][j - 1] + (1 if one == other else -1)
            table[i][j] = max(table[i][j - 1], table[i - 1][j], diagonal)
    found: list[tuple[int, int]] = []
    i, j = len(theirs), len(ours)
    while i and j:
        if table[i][j] == table[i][j - 1]:
            j -= 1
        elif table[i][j] == table[i - 1][j]:
            i -= 1
        else:
            i, j = i - 1, j - 1
            found.append((i, j))
    return found
