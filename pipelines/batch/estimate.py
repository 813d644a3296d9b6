"""What a batch will take, from a short run of one picture of each kind."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pipelines.metadata import FORMATS, file_bytes
from pipelines.recipe import Recipe

if TYPE_CHECKING:
    from pipelines.batch.models import Models
    from pipelines.batch.plan import Group, Plan

_KINDS, _STEPS = 3, 2


@dataclass(frozen=True, slots=True)
class Estimate:
    """Seconds of drawing on this machine, and bytes of pictures."""

    seconds: float
    bytes: int


@dataclass(frozen=True, slots=True)
class _Measured:
    """What one picture of so many pixels took."""

    pixels: int
    a_step: float
    once: float
    size: int


def estimate(made: Plan, models: Models, missing: frozenset[str], form: str) -> Estimate:
    """Time and disk of the pictures that are missing.

    Up to three sizes are measured, each by one group drawn in two steps and thrown away; others are taken to cost as
    their pixels do. A picture of two steps is smoother than a finished one, so disk is a little more than this.
    """
    kinds: dict[tuple[object, ...], _Measured] = {}
    seconds, size = 0.0, 0
    for group in made.groups:
        wanted = sum(item.hash in missing for item in group.items)
        if not wanted:
            continue
        first = group.items[0].recipe
        key = (group.model, first.width, first.height, len(group.items) > 1)
        if key not in kinds and len(kinds) < _KINDS:
            kinds[key] = _measure(group, models, form)
        known = kinds.get(key) or next(reversed(kinds.values()))
        scale = _pixels(first) / known.pixels
        steps = first.num_inference_steps or 1
        seconds += scale * len(group.items) * (known.once + steps * known.a_step)
        size += int(scale * wanted * known.size)
    return Estimate(seconds, size)


def _measure(group: Group, models: Models, form: str) -> _Measured:
    pipe = models.get(group.model)
    steps = max(_STEPS, 2)
    recipes = [replace(item.recipe, num_inference_steps=_few(item.recipe, steps)) for item in group.items]
    pipe(recipes[:1])  # the first run of all warms up
    begun = time.perf_counter()
    results = pipe(recipes, batch_size=len(recipes))
    whole = time.perf_counter() - begun
    stats = results[0].stats
    a_step = stats.denoise_seconds / max(1, stats.steps) / results[0].provenance.batch
    data = file_bytes(results[0], FORMATS[f".{form}"])
    once = max(0.0, whole / len(recipes) - a_step * stats.steps)
    return _Measured(_pixels(recipes[0]), a_step, once, len(data))


def _few(recipe: Recipe, steps: int) -> int:
    """A few steps, but so many that `strength` leaves one to run."""
    asked = recipe.num_inference_steps or steps
    least = steps if recipe.init is None else round(steps / max(recipe.strength, 0.01)) + 1
    return min(asked, max(steps, least))


def _pixels(recipe: Recipe) -> int:
    return (recipe.width or 512) * (recipe.height or 512)
