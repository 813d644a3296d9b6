"""What maps can be of: words of the prompt, concepts that are not in it, and places of the picture. Knows no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeGuard

from pipelines import checks
from pipelines.assets import Asset
from pipelines.ledger import Phrase, phrase_parts, word_key
from pipelines.techniques.values import Box, check_shape, shape_from
from xattn.errors import BadValue

Place = tuple[float, float] | Box | Asset
"""A point (x, y) in fractions of the picture from its upper left, a rectangle, or a painted region (white is in)."""


@dataclass(frozen=True, slots=True)
class Probe:
    """A concept that need not be in the prompt: Probe("sky") asks where the picture would look for it.

    Its text is encoded after the words `after`, as a prompt of its own: "a sky". At every cross-attention site the
    tokens of the text (not those of `after`, nor begin, end and padding) stand for one moment beside all keys of the
    prompt, in one softmax, which is read and thrown away:

        share = Σ over the probe's tokens of softmax([Q·K_promptᵀ, Q·K_probeᵀ]·scale)

    So a share is what the probe would take from the prompt if it were added, on the scale of the words' own shares:
    a word with a share p of a place, probed as it stands in the prompt, gets p / (1 + p). The words' maps and the
    picture stay as they are, bit for bit, and probes do not see each other. Edits of the prompt's attention do not
    reach a probe: it is read as the model has it, on the picture as it is being drawn.

    after: what the text is read after. A text tower reads from left to right and knows where a prompt begins: on the
        default model "fox" with nothing before it looks where the first "a" of a prompt does, not at foxes.
    """

    text: str
    after: str = "a"

    def __post_init__(self) -> None:
        checks.text("probe", self.text, blank=False)
        checks.text("probe.after", self.after)

    def __str__(self) -> str:
        return self.text


Asked = Phrase | Probe | Place
"""What one map is of."""


def is_place(asked: object) -> TypeGuard[Place]:
    """Whether it is a Place: a pair of numbers is a point, a pair such as ("cat", 2) a word."""
    return isinstance(asked, Box | Asset) or (
        isinstance(asked, tuple) and len(asked) == 2 and not isinstance(asked[0], str)
    )


def check_place(parameter: str, place: object) -> Place:
    """`place` with a point's numbers as floats. Raises BadValue."""
    if isinstance(place, tuple) and len(place) == 2:
        return point(parameter, *place)
    if not isinstance(place, Box | Asset):
        got = "a pair of fractions such as (0.5, 0.25)"
        raise BadValue(parameter, place, f"{got}, a Box(left, top, right, bottom) or a painted Asset")
    check_shape(parameter, place, live=False)
    return place


def point(parameter: str, x: object, y: object) -> tuple[float, float]:
    """A point in fractions of the picture. Raises BadValue."""
    remedy = "It is a fraction of the picture, counted from its upper left corner"
    return (
        checks.number(f"{parameter} (x)", x, 0.0, 1.0, remedy),
        checks.number(f"{parameter} (y)", y, 0.0, 1.0, remedy),
    )


def same(one: Asked, other: Asked) -> bool:
    """Whether two ask for the same: case and kinds of apostrophe do not count in words."""
    if is_place(one) or is_place(other) or isinstance(one, Probe) or isinstance(other, Probe):
        return one == other
    (text, occurrence), (wanted, which) = phrase_parts(one), phrase_parts(other)  # type: ignore[arg-type]
    return (word_key(text), occurrence) == (word_key(wanted), which)


def label(asked: Asked) -> str:
    """As a person reads it: "cat", "cat (2)" for the second one, "0.25, 0.50" for a point."""
    if isinstance(asked, Probe):
        return asked.text
    if isinstance(asked, Box):
        return f"box {asked.left:.2f} {asked.top:.2f} {asked.right:.2f} {asked.bottom:.2f}"
    if isinstance(asked, Asset):
        return f"region {asked.sha256[:6]}"
    if isinstance(asked, tuple) and not isinstance(asked[0], str):
        return f"{asked[0]:.2f}, {asked[1]:.2f}"
    text, occurrence = phrase_parts(asked)
    return text if occurrence == 1 else f"{text} ({occurrence})"


def written(asked: Asked) -> object:
    """JSON's types."""
    match asked:
        case Probe():
            return {"probe": asked.text, "after": asked.after}
        case Box() | Asset():
            return asked.document()
        case tuple():
            return list(asked)
    return asked


def read(document: object) -> Asked:
    """Back from `written`. Raises BadValue."""
    match document:
        case str():
            return document
        case [str(text), int(occurrence)]:
            return text, occurrence
        case [x, y]:
            return point("place", x, y)
        case {"probe": str(text), "after": str(after)}:
            return Probe(text, after)
    shape = shape_from(document) if isinstance(document, Mapping) else None
    if not isinstance(shape, Box | Asset):
        raise BadValue("word", document, "a word, a probe or a place")
    return shape
