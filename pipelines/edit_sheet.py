"""Before and after: a source and what was made of it, and under each picture where the words looked that changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipelines.attention_maps import AttentionMaps
from pipelines.figures import overlay
from pipelines.ledger import Ledger, Phrase, word_key
from pipelines.results import Result
from pipelines.sheet import Bar, Panel, Row, fitted, sheet
from pipelines.techniques.alignment import Alignment, Link
from xattn.errors import BadValue

MOST = 5
"""Rows of changed words."""
_SIDE = 320


def edit_sheet(source: Result, targets: Sequence[Result], alignments: Sequence[Alignment]) -> Image.Image:
    """A row of pictures under their prompts, then a row for each word that changed, with its maps.

    The results come with the maps of all their words, Capture("*"); alignments: one a target. What only a target has is
    in a row of its own; where nothing changes, the words that are kept are shown.
    Raises BadValue for results without maps.
    """
    pictures = Row(tuple(Panel(one.recipe.prompt, one.image.convert("RGB")) for one in (source, *targets)))
    rows = [pictures]
    for row in _changes(alignments)[:MOST]:
        link = next(iter(row.values()))
        panels = [_panel(source, alignments[0].source, link.source, link.source_columns)]
        for place, (target, alignment) in enumerate(zip(targets, alignments, strict=True)):
            here = row.get(place)
            columns = () if here is None else here.target_columns
            panels.append(_panel(target, alignment.target, "" if here is None else here.target, columns))
        rows.append(Row(tuple(panels)))
    return sheet(rows, Bar("least", "most", "attention, each map on its own scale") if len(rows) > 1 else None)


def _changes(alignments: Sequence[Alignment]) -> list[Mapping[int, Link]]:
    """Rows of links by target: those that change one place of the source together, the added ones apart."""
    for kinds in (("replaced", "paired", "added", "removed"), ("kept",)):
        rows: dict[object, dict[int, Link]] = {}
        for place, alignment in enumerate(alignments):
            for link in alignment.links:
                if link.kind in kinds and _spoken(link):
                    rows.setdefault(link.source_columns or link.target, {})[place] = link
        if rows:
            return list(rows.values())
    return []


def _spoken(link: Link) -> bool:
    return any(character.isalnum() for character in link.source + link.target)


def _panel(result: Result, ledger: Ledger, text: str, columns: Sequence[int]) -> Panel:
    """The map of the words that have these columns, over the picture; an empty place for none."""
    if result.maps is None:
        raise BadValue("maps", None, "maps of every word", 'Draw with maps=Capture("*")')
    heat = _heat(result.maps, ledger, set(columns))
    return Panel(text, None if heat is None else overlay(fitted(result.image, _SIDE), heat))


def _heat(maps: AttentionMaps, ledger: Ledger, columns: set[int]) -> NDArray[np.float32] | None:
    """The sum of the words' maps; None for no words."""
    words = [phrase for phrase, own in _phrases(ledger) if own & columns]
    if not words:
        return None
    return np.asarray(np.sum([maps[word] for word in words], axis=0), dtype=np.float32)


def _phrases(ledger: Ledger) -> list[tuple[Phrase, set[int]]]:
    """Each word as it is asked for, with its columns."""
    seen: dict[str, int] = {}
    made: list[tuple[Phrase, set[int]]] = []
    for word in ledger.words:
        key = word_key(word.text)
        seen[key] = seen.get(key, 0) + 1
        made.append(((word.text, seen[key]), set(word.tokens)))
    return made
