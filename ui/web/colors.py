"""One colour a word, the same in chips, maps, brush and lists, and the same tomorrow.

The colour comes from the word itself, not from its place, so it stays while the prompt is edited; where two words of
one prompt would share one, the later takes the next that is free.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

from pipelines.ledger import Phrase, phrase_parts, word_key

# Ten hues, any two at least .117 apart in OKLab, each 3:1 and more on light and on dark panels; neighbours farthest.
PALETTE = (
    "#a97cde",
    "#dc6a08",
    "#2090e8",
    "#cc183c",
    "#46a24e",
    "#b820ac",
    "#008478",
    "#8042ea",
    "#e85a9c",
    "#948000",
)


def word_colors(words: Sequence[Phrase]) -> tuple[str, ...]:
    """A colour for each word, along the sequence; equal words (a second "cat") have equal ones."""
    taken: dict[str, int] = {}
    worn = [0] * len(PALETTE)
    for word in words:
        key = word_key(phrase_parts(word)[0])
        if key not in taken:
            place = zlib.crc32(key.encode()) % len(PALETTE)
            while worn[place] > min(worn):  # a second time only where all are worn
                place = (place + 1) % len(PALETTE)
            taken[key] = place
            worn[place] += 1
    return tuple(PALETTE[taken[word_key(phrase_parts(word)[0])]] for word in words)
