"""One colour a word, the same in chips, maps, brush and lists, and the same tomorrow.

The colour comes from the word itself, not from its place, so it stays while the prompt is edited; where two words of
one prompt would share one, the later takes the next that is free.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

from pipelines.ledger import Phrase, phrase_parts, word_key

# Twelve hues that stay apart for most kinds of colour vision, light enough to be seen on dark, dark enough on light.
PALETTE = (
    "#e8590c",
    "#1c7ed6",
    "#2b8a3e",
    "#c2255c",
    "#9c7a00",
    "#6741d9",
    "#0b8599",
    "#e03131",
    "#5c940d",
    "#ae3ec9",
    "#3b5bdb",
    "#a5572b",
)


def word_colors(words: Sequence[Phrase]) -> tuple[str, ...]:
    """A colour for each word, along the sequence; equal words (a second "cat") have equal ones."""
    taken: dict[str, int] = {}
    for word in words:
        key = word_key(phrase_parts(word)[0])
        if key not in taken:
            used = set(taken.values()) if len(taken) < len(PALETTE) else set()
            place = zlib.crc32(key.encode()) % len(PALETTE)
            while place in used:
                place = (place + 1) % len(PALETTE)
            taken[key] = place
    return tuple(PALETTE[taken[word_key(phrase_parts(word)[0])]] for word in words)
