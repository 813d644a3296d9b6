"""A recipe's fields as keywords of the call, where pictures may be given as they are."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TypedDict, cast

from PIL import Image

from pipelines.assets import Asset
from pipelines.guidance import Rule
from pipelines.prompt import Effect, Syntax
from pipelines.recipe import Noise, Recipe
from pipelines.sampler_names import Sigmas
from pipelines.techniques import Edit
from pipelines.upscale import Upscale
from xattn.errors import UnknownName


class _Fields(TypedDict, total=False):
    negative_prompt: str
    emphasis: Effect
    syntax: Syntax
    seed: int | None
    num_inference_steps: int | None
    guidance_scale: float | None
    guidance: Rule
    scheduler: str | None
    sigmas: Sigmas
    clip_skip: int
    noise: Noise
    variation_seed: int | None
    variation_strength: float
    width: int | None
    height: int | None
    strength: float
    passes: tuple[Upscale, ...]
    edits: tuple[Edit, ...]
    source: Recipe | None


class RecipeFields(_Fields, total=False):
    """A recipe's fields, of the types that it has them in."""

    init: Asset | None
    mask: Asset | None


class CallFields(_Fields, total=False):
    """The same as keywords of the call: a picture in memory will do for an Asset."""

    init: Asset | Image.Image | None
    mask: Asset | Image.Image | None


def with_fields(recipe: str | Recipe, given: CallFields) -> Recipe:
    """The recipe, or one of this prompt, with these fields set. Raises BadValue, UnknownName or Unsupported."""
    known = tuple(field.name for field in fields(Recipe) if field.name != "prompt")
    for name in given:
        if name not in known:
            raise UnknownName("recipe field", name, known)
    wanted = cast(
        RecipeFields,
        {name: Asset.from_image(value) if isinstance(value, Image.Image) else value for name, value in given.items()},
    )
    return Recipe(prompt=recipe, **wanted) if isinstance(recipe, str) else replace(recipe, **wanted)
