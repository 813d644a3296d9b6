"""Which pictures are drawn together: those that agree in all that a batch shares, each edited one beside its source."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pipelines.recipe import Recipe
from pipelines.stages import stages
from pipelines.step_text import chunks
from pipelines.text import TextEncoder
from xattn.errors import BadValue


@dataclass(frozen=True, slots=True)
class Batch:
    """Pictures of one run.

    recipes: all of them, sources included, no source twice; sources: for each, which of them is its source
    wanted: pairs (place in what the caller gave, which of the recipes)
    """

    recipes: tuple[Recipe, ...]
    sources: tuple[int | None, ...]
    wanted: tuple[tuple[int, int], ...]


def batches(recipes: Sequence[Recipe], batch_size: int, text: TextEncoder) -> list[Batch]:
    """Resolved recipes in batches of at most `batch_size` pictures, in order of appearance.

    Several targets of one source share it. An edited picture is never parted from its source, so with a batch size of
    1 two are drawn.
    """
    alike: dict[tuple[object, ...], list[int]] = {}
    for place, recipe in enumerate(recipes):
        alike.setdefault(_key(recipe, text), []).append(place)
    made: list[Batch] = []
    for places in alike.values():
        open_batch = _Open()
        for place in places:
            if open_batch.drawn and open_batch.with_recipe(recipes[place]) > batch_size:
                made.append(open_batch.closed())
                open_batch = _Open()
            open_batch.add(place, recipes[place])
        made.append(open_batch.closed())
    return made


class _Open:
    """A batch to which pictures are added."""

    def __init__(self) -> None:
        self.drawn: list[Recipe] = []
        self.unlisted: dict[Recipe, int] = {}  # drawn only because an edited one starts from it
        self.wanted: list[tuple[int, int]] = []

    def with_recipe(self, recipe: Recipe) -> int:
        """How many pictures it would be."""
        extra = 0 if recipe in self.unlisted else 1
        return len(self.drawn) + extra + (recipe.source is not None and recipe.source not in self.drawn)

    def add(self, place: int, recipe: Recipe) -> None:
        if recipe in self.unlisted:
            self.wanted.append((place, self.unlisted.pop(recipe)))
            return
        self.wanted.append((place, len(self.drawn)))
        self.drawn.append(recipe)
        if recipe.source is not None and recipe.source not in self.drawn:
            self.unlisted[recipe.source] = len(self.drawn)
            self.drawn.append(recipe.source)

    def closed(self) -> Batch:
        sources = tuple(None if one.source is None else self.drawn.index(one.source) for one in self.drawn)
        return Batch(tuple(self.drawn), sources, tuple(self.wanted))


def with_source(recipe: Recipe, source: Recipe) -> Recipe:
    """A resolved recipe with its source, whose open fields are filled in from it.

    Raises BadValue where the two do not agree in what is drawn together.
    """
    names = ("num_inference_steps", "guidance_scale", "guidance", "scheduler", "width", "height", "model", "seed")
    filled = replace(source, **{name: getattr(recipe, name) for name in names if getattr(source, name) is None})
    for name in ("width", "height", "num_inference_steps", "scheduler", "sigmas", "clip_skip", "emphasis"):
        ours, theirs = getattr(recipe, name), getattr(filled, name)
        if ours != theirs:
            raise BadValue(f"source.{name}", theirs, f"{ours!r}, as in the picture that starts from it", "Leave it out")
    if recipe.rule != filled.rule:
        raise BadValue(
            "source.guidance", filled.rule, f"{recipe.rule}, as in the picture that starts from it", "Leave it out"
        )
    for name in ("init", "mask"):
        if (getattr(recipe, name) is None) != (getattr(filled, name) is None):
            raise BadValue(f"source.{name}", getattr(filled, name), "given in both recipes, or in neither")
    if (recipe.guidance_scale == 1) != (filled.guidance_scale == 1):
        raise BadValue("source.guidance_scale", filled.guidance_scale, "1 in both recipes, or in neither")
    if _shape(recipe) != _shape(filled):
        raise BadValue("source.passes", filled.passes, "as in the picture that starts from it: passes and strength")
    return replace(recipe, source=filled)


def _shape(recipe: Recipe) -> tuple[object, ...]:
    """Sizes and steps of all passes."""
    return tuple((one.recipe.width, one.recipe.height, one.runs, one.skipped, one.method) for one in stages(recipe))


def _key(recipe: Recipe, text: TextEncoder) -> tuple[object, ...]:
    return (
        _shape(recipe),
        recipe.init is None,
        recipe.mask is None,
        recipe.scheduler,
        recipe.sigmas,
        recipe.rule,
        recipe.guidance_scale == 1.0,
        # the UNet reads the padding of a longer neighbour too, so only equally long prompts share a batch
        most_chunks(recipe, text),
        recipe.emphasis,
        recipe.clip_skip,
    )


def most_chunks(recipe: Recipe, text: TextEncoder) -> tuple[int, ...]:
    """How many chunks of tokens the prompts of each pass take, a source's included.

    Raises BadValue and Unsupported (step_text.said).
    """
    own = [chunks(stage.planned, text) for stage in stages(recipe)]
    theirs = own if recipe.source is None else most_chunks(recipe.source, text)
    return tuple(max(pair) for pair in zip(own, theirs, strict=True))
