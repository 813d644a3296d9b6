"""What edits are made of beside words: places in the picture, and strengths that change over the steps. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from pipelines import checks
from pipelines.assets import Asset
from pipelines.ledger import Phrase, phrase_parts
from xattn.errors import BadValue, UnknownName


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle in fractions of the picture's width and height, from the upper left: left < right, top < bottom."""

    left: float
    top: float
    right: float
    bottom: float

    def __post_init__(self) -> None:
        for name in ("left", "top", "right", "bottom"):
            object.__setattr__(self, name, checks.number(f"box.{name}", getattr(self, name), 0.0, 1.0))
        if not (self.left < self.right and self.top < self.bottom):
            raise BadValue("box", [self.left, self.top, self.right, self.bottom], "left < right and top < bottom")

    def document(self) -> dict[str, object]:
        """JSON's types."""
        return {"box": [self.left, self.top, self.right, self.bottom]}


@dataclass(frozen=True, slots=True)
class WordMap:
    """Where a word of the prompt looks while the picture is drawn: its live map, scaled to 0 … 1.

    threshold: None keeps the map soft; a number from 0 to 1 makes it 1 where it is greater, else 0
    """

    word: Phrase
    threshold: float | None = None

    def __post_init__(self) -> None:
        phrase_parts(self.word)
        if self.threshold is not None:
            value = checks.number("word_map.threshold", self.threshold, 0.0, 1.0)
            object.__setattr__(self, "threshold", value)

    def document(self) -> dict[str, object]:
        """JSON's types."""
        word = self.word if isinstance(self.word, str) else list(self.word)
        return {"word_map": word} | ({} if self.threshold is None else {"threshold": self.threshold})


Shape = Asset | Box | WordMap
"""A place: a painted field (white is 1), a rectangle, or where a word looks."""


def check_shape(parameter: str, value: object, *, live: bool = True) -> None:
    """Raise BadValue for what is no Shape; `live` allows a word's live map."""
    kinds = (Asset, Box, WordMap) if live else (Asset, Box)
    if not isinstance(value, kinds):
        names = "an Asset (a grey picture, white is 1), a Box(left, top, right, bottom)"
        raise BadValue(parameter, value, f"{names} or a WordMap(word)" if live else f"{names}")


def shape_from(document: Mapping[str, object]) -> Shape | None:
    """A Shape from its JSON; None where the object is of another kind. Raises BadValue, UnknownName."""
    if "sha256" in document:
        return Asset.from_document(document)
    if "box" in document and len(document) == 1:
        sides = document["box"]
        if not isinstance(sides, list) or len(sides) != 4:
            raise BadValue("box", sides, "four fractions: left, top, right, bottom")
        return Box(*sides)
    if "word_map" in document and set(document) <= {"word_map", "threshold"}:
        word, threshold = document["word_map"], document.get("threshold")
        return WordMap(tuple(word) if isinstance(word, list) else word, threshold)  # type: ignore[arg-type]
    return None


Reach = Literal["word", "end", "after"]
"""Which tokens count as a word's: its own; the end of text and the padding too; or all that come after it. A causal
text tower, as CLIP's is, lets each of those read the word, and much of an object is drawn from them."""


def check_reach(parameter: str, value: object) -> None:
    """Raise UnknownName for what is no Reach."""
    if value not in get_args(Reach):
        raise UnknownName(parameter, value, get_args(Reach))


Strength = float | tuple[tuple[float, float], ...]
"""A number, or points (fraction of the steps, number) between which it runs straight: ((0.0, 2.0), (1.0, 1.0))."""


def check_strength(parameter: str, value: object, low: float, high: float, remedy: str = "") -> Strength:
    """`value` as a Strength whose numbers are from `low` to `high`. Raises BadValue."""
    if not isinstance(value, tuple):
        return checks.number(parameter, value, low, high, remedy)
    if not value or not all(isinstance(point, tuple) and len(point) == 2 for point in value):
        raise BadValue(parameter, value, "a number, or points such as ((0.0, 2.0), (1.0, 1.0))")
    points = tuple(
        (checks.number(f"{parameter} (fraction)", at, 0.0, 1.0), checks.number(parameter, number, low, high, remedy))
        for at, number in value
    )
    if [at for at, _ in points] != sorted({at for at, _ in points}):
        raise BadValue(parameter, value, "points whose fractions rise")
    return points


def strength_at(strength: Strength, index: int, steps: int) -> float:
    """What a strength is at step `index` of `steps`, counted from 0: fraction 0 is the first step, 1 the last."""
    if not isinstance(strength, tuple):
        return strength
    at = index / max(1, steps - 1)
    before = [point for point in strength if point[0] <= at]
    after = [point for point in strength if point[0] > at]
    if not before or not after:
        return (before or after[:1])[-1][1]
    (left, low), (right, high) = before[-1], after[0]
    return low + (high - low) * (at - left) / (right - left)
