"""Coloured objects: whether each has the colour that the prompt gives it, alone and in a pair.

Alone, every plain object in every colour; pairs of two in different colours, placed as a relation says. A pair is right
where the judge sees both objects and each in its own colour; swapped where each has the other's.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pipelines.pipeline import Pipeline
from pipelines.recipe import Recipe
from pipelines.techniques.edit import Edit
from weights.train.draw import Image
from weights.train.figures import ColorFigures
from weights.train.judge import Judge, judged, load, look
from weights.train.scenes import Scene, colored_pair, single
from weights.train.tint import TINTS, plain

COLORS = 10
"""First word of the seeds of these prompts."""
Edits = Callable[[Scene], tuple[Edit, ...]]


def singles() -> list[Scene]:
    """Every plain object in every colour that it may have."""
    return [
        single(np.random.default_rng([COLORS, 1, index, place]), index, 0.5, color=color)
        for index in plain()
        for place, color in enumerate(TINTS)
    ]


def pairs_of(count: int) -> list[Scene]:
    """Two plain objects in two colours."""
    return [colored_pair(np.random.default_rng([COLORS, 2, seed]), one=0.0) for seed in range(count)]


def measure(
    pipe: Pipeline,
    count: int = 96,
    edits: Edits | None = None,
    judge: Judge | None = None,
) -> ColorFigures:
    """Draw all single objects and `count` pairs, and judge them; `edits` gives each scene's."""

    def draw(scenes: list[Scene]) -> list[Image]:
        recipes = [
            Recipe(scene.caption, seed=seed, edits=edits(scene) if edits else ()) for seed, scene in enumerate(scenes)
        ]
        return [np.asarray(result.image) for result in pipe(recipes)]

    alone, together = singles(), pairs_of(count)
    return figures_of(judge or load(), alone, draw(alone), together, draw(together))


def figures_of(
    judge: Judge, alone: list[Scene], drawn_alone: list[Image], together: list[Scene], drawn_together: list[Image]
) -> ColorFigures:
    """Judge pictures `[128, 128, 3]` of scenes of one object and of two."""
    seen_alone, seen_together = look(judge, drawn_alone, 1), look(judge, drawn_together, 2)
    found = [
        (scene, {each.index: each.tint for each in seen})
        for scene, seen in zip(together, seen_together, strict=True)
        if {each.index for each in seen} == {placed.index for placed in scene.objects}
    ]
    return ColorFigures(
        singles=len(alone),
        pairs=len(together),
        single=float(np.mean([judged(scene, seen) for scene, seen in zip(alone, seen_alone, strict=True)])),
        both=len(found) / len(together),
        right=sum(_bound(scene, tints) for scene, tints in found) / len(together),
        swapped=sum(_bound(scene, tints, swap=True) for scene, tints in found) / len(together),
    )


def _bound(scene: Scene, tints: dict[int, str], swap: bool = False) -> bool:
    """Whether both objects have the colours that the caption gives them, or, swapped, each other's."""
    colors = [placed.color for placed in scene.objects]
    asked = colors[::-1] if swap else colors
    return [tints[placed.index] for placed in scene.objects] == asked
