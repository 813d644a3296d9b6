"""What the form says, as a Recipe; and a Recipe as what the form shows. Nothing here knows gradio."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

from pipelines.recipe import STRENGTH, ModelRef, Recipe
from pipelines.sampler_names import SCHEDULERS, Sigmas
from pipelines.upscale import Upscale
from xattn.errors import BadValue

if TYPE_CHECKING:
    from pipelines.assets import Asset

_SHOWN = (
    "prompt",
    "negative_prompt",
    "seed",
    "num_inference_steps",
    "guidance_scale",
    "scheduler",
    "sigmas",
    "width",
    "height",
    "variation_seed",
    "variation_strength",
    "passes",
    "init",
    "mask",
    "strength",
    "model",
    "edits",
    "source",
    "engine",
)
"""Fields of a recipe that the form has a place for; the others are carried along from a picture that was dropped."""


def schedulers() -> list[tuple[str, str]]:
    """What the form offers: (what people call it, its value)."""
    offered = []
    for known in SCHEDULERS.values():
        offered.append((known.label, known.name))
        if known.karras:
            offered.append((f"{known.label} Karras", f"{known.name}+karras"))
    return offered


@dataclass(frozen=True, slots=True)
class Form:
    """What stands in the form; "" and None are the model's own."""

    prompt: str = ""
    negative: str = ""
    seed: str = ""
    steps: int | None = None
    guidance: float | None = None
    scheduler: str = ""
    width: int | None = None
    height: int | None = None
    variation_seed: str = ""
    variation: float = 0.0
    upscale: float = 1.0
    denoise: float = 0.6
    strength: float = STRENGTH

    def recipe(
        self,
        base: Recipe | None = None,
        *,
        init: Asset | None = None,
        mask: Asset | None = None,
    ) -> Recipe:
        """The recipe that the form means, with what `base` has that the form has no place for.

        Raises XattnError with a sentence.
        """
        if not (self.prompt or "").strip():
            raise BadValue("prompt", self.prompt, "a few words that say what to draw", 'Try "a fox on purple"')
        name, _, spaced = (self.scheduler or "").partition("+")
        variation_seed = read_seed("variation seed", self.variation_seed)
        sigmas: Sigmas = "karras" if spaced == "karras" else "model"
        made = replace(
            base or Recipe(self.prompt), model=None, edits=(), source=None, init=None, mask=None, strength=STRENGTH
        )
        return replace(
            made,
            prompt=self.prompt,
            negative_prompt=self.negative or "",
            seed=read_seed("seed", self.seed),
            num_inference_steps=_whole("steps", self.steps),
            guidance_scale=None if self.guidance is None else float(self.guidance),
            scheduler=name or None,
            sigmas=sigmas,
            width=_whole("width", self.width),
            height=_whole("height", self.height),
            variation_seed=variation_seed,
            variation_strength=0.0 if variation_seed is None else float(self.variation or 0),
            passes=()
            if not self.upscale or self.upscale <= 1
            else (Upscale(float(self.upscale), float(self.denoise)),),
            init=init,
            mask=mask if init is not None else None,
            strength=float(self.strength) if init is not None else STRENGTH,
        )

    @classmethod
    def of(cls, recipe: Recipe) -> Form:
        """What the form shows of a recipe."""
        scheduler = "" if recipe.scheduler is None else recipe.scheduler
        first = recipe.passes[0] if recipe.passes else None
        return cls(
            prompt=recipe.prompt,
            negative=recipe.negative_prompt,
            seed="" if recipe.seed is None else str(recipe.seed),
            steps=recipe.num_inference_steps,
            guidance=recipe.guidance_scale,
            scheduler=f"{scheduler}+karras" if scheduler and recipe.sigmas == "karras" else scheduler,
            width=recipe.width,
            height=recipe.height,
            variation_seed="" if recipe.variation_seed is None else str(recipe.variation_seed),
            variation=recipe.variation_strength,
            upscale=1.0 if first is None else first.scale,
            denoise=0.6 if first is None else first.denoise,
            strength=recipe.strength,
        )


def carried(recipe: Recipe) -> tuple[str, ...]:
    """Fields that the form has no place for and that are not at their default, as sentences' parts."""
    made = []
    for field in fields(recipe):
        value = getattr(recipe, field.name)
        if field.name not in _SHOWN and value != field.default:
            made.append(f"{field.name} {value}")
    if len(recipe.passes) > 1:
        made.append(f"{len(recipe.passes)} passes, of which the form keeps the first")
    return tuple(made)


def without_adapters(recipe: Recipe) -> tuple[Recipe, tuple[str, ...]]:
    """The recipe without its prompts' LoRA tags, which nothing here can draw, and a sentence for each."""
    if recipe.syntax != "a1111":
        return recipe, ()
    prompt, notes = _without_tags("prompt", recipe.prompt)
    negative, more = _without_tags("negative prompt", recipe.negative_prompt)
    source, theirs = (None, ()) if recipe.source is None else without_adapters(recipe.source)
    made = replace(recipe, prompt=prompt, negative_prompt=negative, source=source)
    return made, tuple(dict.fromkeys((*notes, *more, *theirs)))


def _without_tags(name: str, text: str) -> tuple[str, tuple[str, ...]]:
    from pipelines.prompt import parse

    tags = parse(text, name).loras  # a recipe's prompts can be read
    if not tags:
        return text, ()
    for tag in sorted(tags, key=lambda one: one.start, reverse=True):
        text = text[: tag.start] + text[tag.end :]
    told = [
        f"The LoRA {tag.name!r}: this version draws without adapters, so its tag was taken out of the {name}."
        for tag in tags
    ]
    left = re.sub(r",(\s*,)+[ \t]*|[ \t]{2,}", lambda gap: ", " if "," in gap[0] else " ", text)
    return left.strip(" \t,"), tuple(told)


def read_seed(name: str, text: str) -> int | None:
    """A seed as it was typed; None where nothing was. Raises BadValue."""
    stripped = str(text or "").strip()
    if not stripped:
        return None
    if not re.fullmatch(r"\d{1,19}", stripped):
        raise BadValue(name, stripped[:40], "a whole number such as 42, or empty for a random one")
    return int(stripped)


def model_of(recipe: Recipe) -> str | None:
    """The name of the model that a recipe is for."""
    ref: ModelRef | None = recipe.model
    return None if ref is None else ref.portable().name


def _whole(name: str, value: float | None) -> int | None:
    if value is None:
        return None
    if float(value) != int(value):
        raise BadValue(name, value, "a whole number")
    return int(value)
