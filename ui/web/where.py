"""What a place of the picture asked of the words, from the maps that a session keeps."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from pipelines import checks
from pipelines.attention_maps import AttentionMaps
from ui.web.runs import Run
from ui.web.stored_maps import read_selection
from ui.web.viewer.data import PlaceAnswer, PlaceToken
from xattn.errors import BadValue

START = "begin of text"


def where(run: Run, x: object, y: object, selection: Mapping[str, object] | None = None) -> PlaceAnswer:
    """Every word's share of the attention at a place, and what is left for the begin of the text.

    x, y: fractions of the picture from its upper left; selection: step, layers and head, null for all of them.
    Raises BadValue, UnknownName.
    """
    across, down = checks.number("x", x, 0.0, 1.0), checks.number("y", y, 0.0, 1.0)
    maps = run.maps
    if maps is None:
        raise BadValue("run", "without maps", "a picture whose maps were kept", "A smaller picture keeps them")
    step, layers, head = read_selection(selection or {})
    shares = maps.mean(step=step, layers=layers, head=head)[:, 0, 0, 0]
    height, width = shares.shape[1:]
    column, row = min(int(across * width), width - 1), min(int(down * height), height - 1)
    here = np.clip(shares[:, row, column], 0.0, 1.0)
    # maps that were enlarged may add up to a little more than 1 at a place
    here = here / max(1.0, float(here.sum()))
    tokens = [PlaceToken(START, max(0.0, 1.0 - float(here.sum())), role="start")]
    tokens += [
        PlaceToken(AttentionMaps.label(word), float(share), place)
        for place, (word, share) in enumerate(zip(maps.words, here, strict=True))
    ]
    return PlaceAnswer(across, down, tuple(tokens), _note(run, step, layers, head))


def _note(run: Run, step: int | None, layers: tuple[str, ...] | None, head: int | None) -> str:
    maps = run.maps
    assert maps is not None
    labels = {layer.name: layer.label for layer in maps.layers}
    said = [
        "mean of heads" if head is None else f"head {head}",
        "all layers" if not layers else ", ".join(labels.get(name, name) for name in layers),
        "all steps" if step is None else f"step {step}",
    ]
    return " · ".join(said)
