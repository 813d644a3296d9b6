"""How well one object can be put in another's place, by `Replace` alone: no local blend, no mask.

A prompt with one object, and the same with another. An edit is right where the new object is recognised and the rest of
the picture is kept: PSNR outside the boxes of both objects, in the source picture and in the edited one.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipelines.pipeline import Pipeline
from pipelines.recipe import Recipe
from pipelines.techniques.edit import Edit
from pipelines.techniques.replace import Replace
from weights.train.draw import Image
from weights.train.evaluate import FOREGROUND
from weights.train.figures import EditFigures
from weights.train.judge import Judge, background, load, look
from weights.train.scenes import article
from weights.train.world import world

EDITS = 9
"""First word of the seeds of these prompts."""
KEPT = 25.0
"""PSNR in dB that the background has to keep."""
SPECKS = 4
"""A row or column with fewer pixels of an object than this does not belong to its box."""


def swaps(count: int) -> list[tuple[str, str, int]]:
    """Source prompt, target prompt and the target's index in the world; objects take turns, colours are drawn."""
    names, colors = world().objects, tuple(world().colors)
    rng = np.random.default_rng([EDITS, 0])
    order = [int(index) for index in rng.permutation(len(names))]
    made = []
    for place in range(count):
        source, target = order[place % len(names)], order[(place + 1) % len(names)]
        rest = f" on {colors[rng.integers(len(colors))]}"
        made.append((article(names[source]) + rest, article(names[target]) + rest, target))
    return made


def measure(
    pipe: Pipeline, count: int = 57, edits: tuple[Edit, ...] = (Replace(),), judge: Judge | None = None
) -> EditFigures:
    """Draw `count` sources and edits, and judge them."""
    asked = swaps(count)
    recipes = [
        recipe
        for seed, (source, target, _) in enumerate(asked)
        for recipe in (Recipe(source, seed=seed), Recipe(target, seed=seed, source=Recipe(source), edits=edits))
    ]
    drawn = [np.asarray(result.image) for result in pipe(recipes)]
    before, after = drawn[::2], drawn[1::2]
    seen = look(judge or load(), after, 1)
    recognised = [target in {each.index for each in found} for (_, _, target), found in zip(asked, seen, strict=True)]
    kept = [outside_psnr(first, second) for first, second in zip(before, after, strict=True)]
    return EditFigures(
        count=count,
        right=float(np.mean([known and psnr >= KEPT for known, psnr in zip(recognised, kept, strict=True)])),
        recognised=float(np.mean(recognised)),
        kept=float(np.mean([psnr >= KEPT for psnr in kept])),
        psnr=float(np.median(kept)),
    )


def outside_psnr(before: Image, after: Image) -> float:
    """PSNR in dB outside the boxes of what is not background in either; infinite where nothing differs."""
    outside = ~(box(before) | box(after))
    if not outside.any():
        return float("inf")
    error = np.square((before.astype(np.float64) - after)[outside] / 255).mean()
    return float(-10 * np.log10(error)) if error else float("inf")


def box(image: Image) -> NDArray[np.bool_]:
    """True inside the smallest box round everything that differs from the background."""
    away = np.linalg.norm(image.astype(np.float32) - background(image), axis=2) > FOREGROUND
    inside = np.zeros(away.shape, np.bool_)
    rows, columns = (np.nonzero(away.sum(axis=axis) >= SPECKS)[0] for axis in (1, 0))
    if len(rows) and len(columns):
        inside[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = True
    return inside
