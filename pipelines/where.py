"""Where a place of the picture looks: at which words, and at which other places."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pipelines.asked import Asked, Probe, label, point

if TYPE_CHECKING:
    from pipelines.attention_maps import AttentionMaps

BEGIN, END, PADDING, OTHER = "begin", "end", "padding", "other"
REST = (BEGIN, END, PADDING, OTHER)
"""What the words leave: begin-of-text, where most attention sits, end-of-text, what fills the text up to its length,
and punctuation and words that were not asked for."""


@dataclass(frozen=True, slots=True)
class Where:
    """How a place shares out its attention, a number from 0 to 1 each.

    place: the point that was asked for, or the region
    words: each with its share, in the order in which they were asked for
    begin, end, padding, other: of begin-of-text, end-of-text, padding, and the rest of the prompt; None where a capture
        of some words only did not keep them. With them all shares sum to 1 (unless edits change that, words overlap,
        or probes are among them)
    exact: read at this very place (`Capture(places=…)`), not in the cell of a map that it lies in
    looks: [y, x], where the place looks in the picture: self-attention, summing to about 1; None where it was not kept
    """

    place: Asked
    words: tuple[tuple[Asked, float], ...]
    begin: float | None
    end: float | None
    padding: float | None
    other: float | None
    exact: bool
    looks: NDArray[np.float32] | None = field(default=None, compare=False, repr=False)

    def __getitem__(self, word: Asked) -> float:
        """The share of a word. Raises KeyError."""
        named = {label(known): share for known, share in self.words}
        return named[label(word)]

    def __str__(self) -> str:
        told = [(label(word), share) for word, share in self.words]
        told += [(f"({name})", share) for name in REST if (share := getattr(self, name)) is not None]
        width = max((len(name) for name, _ in told), default=0)
        lines = [f"{name.ljust(width)}  {100 * share:5.1f} %" for name, share in told]
        return "\n".join([f"At {label(self.place)}:", *lines])


def where(maps: AttentionMaps, x: float, y: float) -> Where:
    """See AttentionMaps.where."""
    at = point("place", x, y)
    if maps.shares is not None and at in maps.shares.words:
        return exactly(maps, at)
    height, width = maps.values.shape[4:]
    cell = _cell(at, (height, width))
    words = tuple((word, maps.cell(place, cell)) for place, word in enumerate(maps.words))
    rest: Sequence[float | None] = (None,) * len(REST)
    if maps.rest is not None:
        rest = [maps.rest.cell(place, cell) for place in range(len(REST))]
    looks = None
    if maps.grid is not None:
        rows, columns = maps.grid.values.shape[4:]
        down, right = _cell(at, (rows, columns))
        looks = maps.grid[down * columns + right]
    begin, end, padding, other = rest
    return Where(at, words, begin, end, padding, other, exact=False, looks=looks)


def exactly(maps: AttentionMaps, place: Asked) -> Where:
    """How a place of the capture, a region too, shares out its attention. Raises UnknownWord where it is none."""
    assert maps.shares is not None, "the maps have places"
    told = maps.shares[place][0]
    words = [word for word in maps.words if not isinstance(word, Probe)]
    shares = tuple((word, float(share)) for word, share in zip(words, told, strict=False))
    looks = None if maps.places is None else maps.places[place]
    begin, end, padding, other = (float(share) for share in told[len(words) :])
    return Where(place, shares, begin, end, padding, other, exact=True, looks=looks)


def _cell(at: tuple[float, float], size: tuple[int, int]) -> tuple[int, int]:
    """The cell (row, column) of a grid (height, width) that a point lies in."""
    return min(int(at[1] * size[0]), size[0] - 1), min(int(at[0] * size[1]), size[1] - 1)
