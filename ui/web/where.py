"""What a place of the picture asked of the words, from the maps that a session keeps."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pipelines import checks
from pipelines.attention_maps import AttentionMaps
from ui.web.runs import Run
from ui.web.stored_maps import StoredMaps, read_selection
from ui.web.viewer.data import PlaceAnswer, PlaceToken
from xattn.errors import BadValue

START = "begin of text"
_LEAST = 1e-6


def where(run: Run, x: object, y: object, selection: Mapping[str, object] | None = None) -> PlaceAnswer:
    """Every word's share of the attention at a place, what it adds there, and what is left for the begin of the text.

    x, y: fractions of the picture from its upper left; selection: step, layers and head, null for all of them.
    Raises BadValue, UnknownName.
    """
    across, down = checks.number("x", x, 0.0, 1.0), checks.number("y", y, 0.0, 1.0)
    maps = run.maps
    if maps is None:
        raise BadValue("run", "without maps", "a picture whose maps were kept", "A smaller picture keeps them")
    step, layers, head = read_selection(selection or {})
    height, width = maps.values.shape[4:]
    column, row = min(int(across * width), width - 1), min(int(down * height), height - 1)
    spot = _Spot((row, column), step, layers, head, math.inf if run.raised else 1.0)
    here, brings = spot.shares(maps), spot.added(maps)
    if not run.raised:
        # maps that were enlarged may add up to a little more than 1 at a place
        here = here / max(1.0, float(here.sum()))
    left = _left(maps, spot, float(here.sum()))
    # one lane's probabilities are softmax(scores): their logarithms are the scores but for a constant
    lane = step is not None and head is not None and layers is not None and len(layers) == 1
    origin = math.log(max(left[0].share, _LEAST))
    tokens = [replace(token, score=_score(token.share, origin, lane)) for token in left]
    tokens[1:1] = [
        PlaceToken(
            AttentionMaps.label(word),
            float(share),
            place,
            _score(float(share), origin, lane),
            None if brings is None else float(brings[place]),
        )
        for place, (word, share) in enumerate(zip(maps.words, here, strict=True))
    ]
    note = _note(run, step, layers, head) + (" · scores beside that of the begin of text" if lane else "")
    return PlaceAnswer(across, down, tuple(tokens), note, maps.look(across, down))


@dataclass(frozen=True, slots=True)
class _Spot:
    """A cell (row, column) of the maps, what is pinned, and the most that a share can be."""

    cell: tuple[int, int]
    step: int | None
    layers: tuple[str, ...] | None
    head: int | None
    most: float

    def shares(self, maps: StoredMaps) -> NDArray[np.float32]:
        """Each word's share of the attention, [word]."""
        values = maps.mean(step=self.step, layers=self.layers, head=self.head, cell=self.cell)
        return np.asarray(np.clip(values.reshape(-1), 0.0, self.most), dtype=np.float32)

    def added(self, maps: StoredMaps) -> NDArray[np.float32] | None:
        """Its share times the length of its value; None where these were not kept."""
        if maps.lengths is None:
            return None
        values = maps.mean(step=self.step, layers=self.layers, head=self.head, cell=self.cell, added=True)
        return np.asarray(values.reshape(-1), dtype=np.float32)


def _left(maps: StoredMaps, spot: _Spot, words: float) -> list[PlaceToken]:
    """What the words leave, the begin of text first; all of it there, where the rest was not kept apart."""
    if maps.rest is None:
        return [PlaceToken(START, max(0.0, 1.0 - words), role="start")]
    begin, end, padding, other = map(float, spot.shares(maps.rest))
    brings = spot.added(maps.rest)
    adds: list[float | None] = [None] * 3
    if brings is not None:
        # lengths of a sum are at most the sum of lengths: end of text and padding are much alike, so near to it
        adds = [float(brings[0]), float(brings[1] + brings[2]), float(brings[3])]
    made = [
        PlaceToken(START, begin, role="start", output=adds[0]),
        PlaceToken("end of text, padding", end + padding, role="end", output=adds[1]),
    ]
    return [*made, PlaceToken("punctuation", other, role="end", output=adds[2])] if other > _LEAST else made


def _score(share: float, origin: float, lane: bool) -> float | None:
    return math.log(max(share, _LEAST)) - origin if lane else None


def _note(run: Run, step: int | None, layers: tuple[str, ...] | None, head: int | None) -> str:
    maps = run.maps
    assert maps is not None
    labels = {layer.name: layer.label for layer in maps.layers}
    said = [
        "mean of heads" if head is None else f"head {head + 1}",  # as the scrub counts them
        "all layers" if not layers else ", ".join(labels.get(name, name) for name in layers),
        "all steps" if step is None else f"step {step}",
    ]
    return " · ".join(said)
