"""The public call: one recipe, or several, to pictures."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Literal, TypeVar, Unpack, overload

from pipelines import checks
from pipelines.asked import Probe
from pipelines.attention_maps import AttentionMaps
from pipelines.batches import Batch, batches, with_source
from pipelines.borrow import borrow
from pipelines.canvas import check_pictures
from pipelines.capture import Capture, wanted
from pipelines.explain import Explanation, explain
from pipelines.fields import CallFields, with_fields
from pipelines.fields import RecipeFields as RecipeFields
from pipelines.ledger import Ledger, Phrase
from pipelines.load import Model, load_model
from pipelines.look import Picture, look, opened_picture, size_for
from pipelines.prompt import Syntax, first
from pipelines.recipe import ModelRef, Recipe
from pipelines.results import Finished as Finished
from pipelines.results import Result as Result
from pipelines.results import StepEvent as StepEvent
from pipelines.run import Run, prepare
from pipelines.sound import check_sound
from pipelines.stages import stages
from pipelines.techniques import TECHNIQUES, Edit, Refine, Replace
from pipelines.techniques.alignment import Alignment, align
from xattn.errors import BadValue, NonFinite, UnknownName

_MAX_RANDOM_SEED = 2**32
"""Random seeds stay short enough to be read aloud."""

Open = TypeVar("Open")
Words = Sequence[Phrase | Probe] | Literal["*"]


class Pipeline:
    """A loaded model, ready to draw.

    It holds no state of any run, so any number of threads may call one pipeline at once; each run has its own
    scheduler, generators and recorders.
    """

    def __init__(self, model: Model, techniques: Sequence[type[Edit]] = ()) -> None:
        self.model = model
        self.techniques: tuple[type[Edit], ...] = (*TECHNIQUES, *techniques)
        """The kinds of edits that its recipes may hold."""

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str | Path = "emoji-128",
        *,
        dtype: str = "float32",
        device: str = "cpu",
        backend: str = "auto",
        techniques: Sequence[type[Edit]] = (),
    ) -> Pipeline:
        """Load a model by name ("emoji-128" is embedded) or from a folder in Stable Diffusion's layout.

        techniques: kinds of edits of your own, beside ours (docs/add-an-edit.md)

        Nothing is ever downloaded. Raises XattnError: BadModel, UnknownName, BadValue or Unsupported.
        """
        return cls(load_model(name_or_path, dtype=dtype, device=device, backend=backend), techniques)

    @classmethod
    def from_diffusers(cls, pipe: object, *, backend: str = "auto") -> Pipeline:
        """See and edit in a loaded StableDiffusionPipeline or StableDiffusionXLPipeline, sharing its tensors.

        The recorded model hash is over the weights as they are in memory. Raises BadModel for other pipelines.
        """
        return cls(borrow(pipe, backend))

    @overload
    def __call__(
        self,
        recipe: str | Recipe,
        *,
        words: Words = (),
        maps: Capture | None = None,
        batch_size: int = 8,
        **recipe_fields: Unpack[CallFields],
    ) -> Result: ...
    @overload
    def __call__(
        self,
        recipe: Sequence[Recipe],
        *,
        words: Words = (),
        maps: Capture | None = None,
        batch_size: int = 8,
        **recipe_fields: Unpack[CallFields],
    ) -> list[Result]: ...
    def __call__(
        self,
        recipe: str | Recipe | Sequence[Recipe],
        *,
        words: Words = (),
        maps: Capture | None = None,
        batch_size: int = 8,
        **recipe_fields: Unpack[CallFields],
    ) -> Result | list[Result]:
        """Draw one picture from a prompt or recipe, or one from each of several recipes.

        Keywords set fields of the recipe. words: whose attention maps come with the result, words and phrases of the
        prompt or "*" for all. maps: a Capture, where more than the words' mean maps are wanted. Watching changes no
        bit of the picture. Raises XattnError before the first step where something is wrong.
        """
        results: tuple[Result, ...] = ()
        for event in self.stream(recipe, words=words, maps=maps, batch_size=batch_size, **recipe_fields):
            if isinstance(event, Finished):
                results = event.results
        return results[0] if isinstance(recipe, str | Recipe) else list(results)

    def stream(
        self,
        recipe: str | Recipe | Sequence[Recipe],
        *,
        words: Words = (),
        maps: Capture | None = None,
        batch_size: int = 8,
        cancel: threading.Event | None = None,
        **recipe_fields: Unpack[CallFields],
    ) -> Iterator[StepEvent | Finished]:
        """The same, as it happens: a StepEvent after every step, then Finished.

        Closing the generator ends the run; so does setting `cancel`, which raises Cancelled between two steps.
        Everything is checked when this is called, not when the first event is asked for.
        """
        batch_size = checks.whole("batch_size", batch_size, 1, 1024)
        recipes = [recipe] if isinstance(recipe, str | Recipe) else list(recipe)
        resolved = [self.resolve(one, **recipe_fields) for one in recipes]
        for one in resolved:
            if wanted(words, maps) is not None and not any(stage.runs for stage in stages(one)):
                raise BadValue("strength", one.strength, "over 0 where words are watched", "No step would run")
        check_pictures(resolved, self.model)
        capture = wanted(words, maps)
        groups = batches(resolved, batch_size, self.model.text)
        # all are prepared now, for what is wrong is told before the first step; only one is kept, for they are large
        prepared = [prepare(self.model, group, capture) for group in groups[:1]]
        for group in groups[1:]:
            prepare(self.model, group, capture)
        return self._stream(resolved, prepared[0] if prepared else None, groups[1:], capture, cancel)

    def look(
        self,
        image: Picture,
        prompt: str,
        *,
        at: Sequence[float] = (0.2, 0.4, 0.6),
        words: Words = "*",
        maps: Capture | None = None,
        seed: int = 0,
        width: int | None = None,
        height: int | None = None,
        syntax: Syntax = "a1111",
    ) -> AttentionMaps:
        """Where the words of a prompt look on a real picture: noise is added, and the model asked once for each time.

        at: times from 0, the picture as it is, to 1, pure noise: shares of the steps that the model was trained on. The
            maps have an axis of them: `maps.at(time=0.4)`, `maps["fox"]` is their mean.
        words, maps: as in a call; maps.keep may leave "step" out. seed: of the noise.
        width, height: pixels to look at; by default the picture's shape, its longer side as the model draws
        Nothing is drawn, and nothing inverted. Raises BadValue, UnknownWord, Unsupported, NonFinite.
        """
        capture = wanted(() if words == "*" and maps is not None else words, maps) or Capture()
        picture = opened_picture(image)
        size = size_for(picture, self.model)
        recipe = Recipe(prompt, seed=seed, width=width or size[0], height=height or size[1], syntax=syntax)
        try:
            return look(self.model, picture, self.resolve(recipe), capture, at)
        except NonFinite:
            check_sound(self.model)
            raise

    def resolve(self, recipe: str | Recipe, **recipe_fields: Unpack[CallFields]) -> Recipe:
        """The recipe with every open field filled in: seed, size, steps, guidance, scheduler, model and its hash."""
        made = with_fields(recipe, recipe_fields)
        self._check_techniques(made)
        defaults, (width, height) = self.model.defaults, self.model.native_size
        theirs = None if made.source is None else made.source.seed
        filled = replace(
            made,
            model=self._agreed(made.model),
            seed=_or(_or_none(made.seed, theirs), secrets.randbelow(_MAX_RANDOM_SEED)),
            num_inference_steps=_or(made.num_inference_steps, defaults.num_inference_steps),
            guidance_scale=_or(made.guidance_scale, defaults.guidance_scale),
            guidance=made.guidance or defaults.guidance,
            scheduler=_or(made.scheduler, defaults.scheduler),
            width=_or(made.width, width),
            height=_or(made.height, height),
        )
        if filled.source is None:
            return filled
        return with_source(filled, replace(filled.source, model=self._agreed(filled.source.model)))

    def _check_techniques(self, recipe: Recipe) -> None:
        for edit in (*recipe.edits, *(() if recipe.source is None else recipe.source.edits)):
            if type(edit) not in self.techniques:
                raise UnknownName("kind of edit", edit.kind, tuple(known.kind for known in self.techniques))

    def _agreed(self, asked: ModelRef | None) -> ModelRef:
        ours = self.model.ref
        if asked is None:
            return ours
        same = asked.name == ours.name if asked.sha256 is None else asked.sha256 == ours.sha256
        if not same:
            raise BadValue(
                "model",
                asked.name,
                f"{ours.name!r} with sha256 {str(ours.sha256)[:12]}…, which is what this pipeline has loaded",
                "load the recipe's own model, or drop its model field to draw it with this one",
            )
        return ours

    def ledger(self, prompt: str, syntax: Syntax = "a1111") -> Ledger:
        """The tokens and words of a prompt, as this model reads it at the first step."""
        return self.model.text.ledger(first(prompt, syntax))

    def alignment(self, recipe: Recipe) -> Alignment:
        """Which words of a recipe's prompt stand for which of its source's, at the first step.

        As `Replace` and `Refine` see it, with the pairs of the first of them that is enabled; `print` shows it.
        Raises BadValue for a recipe without a source, UnknownWord for a pair that is not there.
        """
        if recipe.source is None:
            raise BadValue("source", None, "given, for there is nothing to align with", "Add source=Recipe(…)")
        spoken = [first(one.prompt, one.syntax) for one in (recipe.source, recipe)]
        chunks = max(map(self.model.text.chunks, spoken))
        theirs, ours = (self.model.text.ledger(one, chunks) for one in spoken)
        mappers = (edit for edit in recipe.edits if isinstance(edit, Replace | Refine) and edit.enabled)
        mapper = next(mappers, None)
        return align(theirs, ours, () if mapper is None else mapper.pairs)

    def explain(
        self,
        recipe: str | Recipe,
        *,
        words: Words = (),
        maps: Capture | None = None,
        **recipe_fields: Unpack[CallFields],
    ) -> Explanation:
        """What the same call would do: rows, and for each attention site its lanes, kernel and why, and cost."""
        return explain(self.model, self.resolve(recipe, **recipe_fields), wanted(words, maps))

    def _stream(
        self,
        recipes: list[Recipe],
        first: Run | None,
        rest: list[Batch],
        capture: Capture | None,
        cancel: threading.Event | None,
    ) -> Iterator[StepEvent | Finished]:
        results: dict[int, Result] = {}
        runs = chain([] if first is None else [first], (prepare(self.model, batch, capture) for batch in rest))
        try:
            for run in runs:
                for event in run.events(cancel):
                    if isinstance(event, StepEvent):
                        yield event
                    else:
                        places = [place for place, _ in run.batch.wanted]
                        results.update(zip(places, event.results, strict=True))
        except NonFinite:
            check_sound(self.model)
            raise
        yield Finished(tuple(results[index] for index in range(len(recipes))))


def _or(given: Open | None, default: Open) -> Open:
    return default if given is None else given


def _or_none(given: Open | None, other: Open | None) -> Open | None:
    return other if given is None else given
