"""One colour a word, the same in chips, maps, brush and lists."""

from __future__ import annotations

from xattn.errors import BadValue

PALETTE = (
    "#f66754",
    "#14c3c3",
    "#e8b616",
    "#b376f0",
    "#46c865",
    "#ed68ae",
    "#4799fd",
    "#f78c08",
    "#b0cd26",
    "#7a7af5",
)
"""Ten hues of about one lightness (OKLCH .64–.81), neighbours far apart, so that no word shouts over another."""


def word_color(index: int) -> str:
    """The colour "#rrggbb" of the word at `index`, counted from 0; after ten, lighter ones of the same hues.

    Raises BadValue where index is negative.
    """
    if index < 0:
        raise BadValue("index", index, "0 or more")
    color = PALETTE[index % len(PALETTE)]
    white = min(0.6, 0.3 * (index // len(PALETTE)))
    channels = (int(color[place : place + 2], 16) for place in (1, 3, 5))
    return "#" + "".join(f"{round(channel + (255 - channel) * white):02x}" for channel in channels)
