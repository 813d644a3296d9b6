"""Coloured pairs, for benchmarks.control: whether objects have the colours that the prompt gives them."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.judged import HALVES, Bench, Picture, Record, judged
from weights.train.colored import pairs_of
from weights.train.judge import Seen
from weights.train.scenes import Scene, article
from xattn import AttendAndExcite, Box, Edit, Region, Regions

SIDES = {
    "to the left of": ("left", "right"),
    "to the right of": ("right", "left"),
    "and": ("left", "right"),
    "above": ("upper", "lower"),
    "below": ("lower", "upper"),
}


def colours(bench: Bench, places: Sequence[int]) -> list[Record]:
    """Two plain objects in two colours: both recognised, each in its colour, or each in the other's."""
    asked = [pairs_of(max(places) + 1)[place] for place in places]

    def ways(scene: Scene) -> dict[str, tuple[Edit, ...]]:
        first, second = scene.objects
        return {
            "the prompt alone": (),
            "attend and excite": (AttendAndExcite((first.name, second.name)),),
            "attend and excite, colours too": (AttendAndExcite((first.called, second.called)),),
            "regions": (_parted(scene),),
        }

    def rights(scene: Scene, _: Picture, seen: tuple[Seen, ...]) -> dict[str, float]:
        tints = {each.index: each.tint for each in seen}
        first, second = scene.objects
        both = tints.keys() == {first.index, second.index}
        got = (tints.get(first.index), tints.get(second.index))
        return {
            "both recognised": float(both),
            "both in their colours": float(both and got == (first.color, second.color)),
            "colours swapped": float(both and got == (second.color, first.color)),
        }

    edits = [ways(scene) for scene in asked]
    return judged(bench, places, asked, [scene.caption for scene in asked], edits, rights, most=2)


def _parted(scene: Scene) -> Regions:
    """Each object in its own half, softly, over the prompt."""
    ground = "" if scene.color is None else f" on {scene.color}"
    relation = scene.relation
    assert relation is not None, "a scene of two objects"
    parts = tuple(
        Region(f"{article(placed.called)}{ground}", _inner(HALVES[side]), 0.7)
        for placed, side in zip(scene.objects, SIDES[relation], strict=True)
    )
    return Regions(parts, None, False)


def _inner(box: Box, gap: float = 0.1) -> Box:
    """A half of the picture without what lies within `gap` of the middle."""
    return Box(
        0.5 + gap if box.left == 0.5 else box.left,
        0.5 + gap if box.top == 0.5 else box.top,
        0.5 - gap if box.right == 0.5 else box.right,
        0.5 - gap if box.bottom == 0.5 else box.bottom,
    )
