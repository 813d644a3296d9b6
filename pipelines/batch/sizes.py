"""How many pictures at once: what fits, found once and then kept to in a folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from pipelines.batch.drawing import is_out_of_memory
from pipelines.recipe import Recipe

if TYPE_CHECKING:
    from pipelines.pipeline import Pipeline

# Of a GPU's free memory; the rest is for what allocators lose between their blocks.
_SHARE = 0.8
_MOST = 64
# Together in a batch on a CPU: four of emoji-128's pictures take a fifth less time than one after the other, and
# larger ones gain nothing (docs/batch.md).
_CPU_PIXELS = 4 * 128 * 128


def fitting(pipe: Pipeline, recipes: Sequence[Recipe]) -> int:
    """How many of the largest of these pictures fit, 1 … 64.

    On a GPU two short runs are measured, of one picture and of two, and memory is taken to grow by as much for each
    further one. On a CPU it is a rule of pixels.
    """
    largest = max(recipes, key=_cost)
    if pipe.model.device.type != "cuda":
        return max(1, min(_MOST, _CPU_PIXELS // max(1, _pixels(largest))))
    import torch

    device = pipe.model.device
    free, _ = torch.cuda.mem_get_info(device)
    held = torch.cuda.memory_allocated(device)
    try:
        one, two = (_peak(pipe, largest, count) for count in (1, 2))
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        return 1
    finally:
        torch.cuda.empty_cache()
    each = max(1, two - one)
    room = int((free + torch.cuda.memory_reserved(device) - held) * _SHARE) - (one - held)
    return _power_of_two(max(1, min(_MOST, 1 + room // each)))


def _peak(pipe: Pipeline, recipe: Recipe, count: int) -> int:
    short = replace(recipe, num_inference_steps=min(2, recipe.num_inference_steps or 2), strength=recipe.strength)
    results = pipe([replace(short, seed=seed) for seed in range(count)], batch_size=count)
    return results[0].stats.peak_bytes or 0


def _cost(recipe: Recipe) -> int:
    return _pixels(recipe) * (1 + (recipe.source is not None))


def _pixels(recipe: Recipe) -> int:
    scale = 1.0
    for one in recipe.passes:
        scale *= one.scale
    return int((recipe.width or 512) * (recipe.height or 512) * scale * scale)


def _power_of_two(count: int) -> int:
    return int(1 << (count.bit_length() - 1))
