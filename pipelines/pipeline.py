"""The public call: one recipe, or several, to pictures."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeVar, Unpack, overload

import torch
from PIL import Image
from torch import Tensor

from pipelines import checks
from pipelines.attention_maps import AttentionMaps
from pipelines.borrow import borrow
from pipelines.canvas import check_pictures, make_canvas
from pipelines.capture import Capture, Recorder, wanted
from pipelines.denoise import denoise
from pipelines.explain import Explanation, explain
from pipelines.fields import CallFields, with_fields
from pipelines.fields import RecipeFields as RecipeFields
from pipelines.ledger import Ledger, Phrase
from pipelines.load import Model, load_model
from pipelines.plan import make_plan
from pipelines.prompt import Syntax, first
from pipelines.provenance import Provenance
from pipelines.recipe import ModelRef, Recipe
from pipelines.schedulers import Scheduler, make_scheduler
from pipelines.stages import Stage, stages
from pipelines.stats import RunStats, StatsClock
from pipelines.step_text import chunks, said
from pipelines.text import TextEncoder
from xattn.errors import BadValue

_MAX_RANDOM_SEED = 2**32
"""Random seeds stay short enough to be read aloud."""

Open = TypeVar("Open")
Words = Sequence[Phrase] | Literal["*"]


@dataclass(frozen=True, slots=True)
class StepEvent:
    """One step is done. `step` counts from 1 to `steps`; `timestep` is the scheduler's."""

    step: int
    steps: int
    timestep: float
    images: int
    _decode: Callable[[], list[Image.Image]]
    _look: Callable[[], tuple[AttentionMaps, ...]] | None = None

    @property
    def maps(self) -> tuple[AttentionMaps, ...] | None:
        """The maps so far of each picture of the run; None where none were asked for."""
        return None if self._look is None else self._look()

    def preview(self) -> list[Image.Image]:
        """Where each picture of the run is heading, decoded now; costs one decoding a picture."""
        return self._decode()


@dataclass(frozen=True, slots=True)
class Result:
    """One picture and everything that it takes to make it again."""

    image: Image.Image
    recipe: Recipe
    provenance: Provenance
    stats: RunStats
    maps: AttentionMaps | None = None

    def save(self, path: str | Path, *, metadata: bool = True) -> Path:
        """Write a .png, .jpg or .webp, the recipe inside unless `metadata` is False, whole or not at all.

        A JPEG changes bits of the picture, and refers to pictures in the recipe instead of holding them
        (metadata.save_picture). Raises CannotWrite.
        """
        from pipelines.metadata import save_picture

        return save_picture(self, path, metadata=metadata)


@dataclass(frozen=True, slots=True)
class Finished:
    """The last event of a stream."""

    results: tuple[Result, ...]


class Pipeline:
    """A loaded model, ready to draw.

    It holds no state of any run, so any number of threads may call one pipeline at once; each run has its own
    scheduler, generators and recorders.
    """

    def __init__(self, model: Model) -> None:
        self.model = model

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str | Path = "emoji-128",
        *,
        dtype: str = "float32",
        device: str = "cpu",
        backend: str = "auto",
    ) -> Pipeline:
        """Load a model by name ("emoji-128" is embedded) or from a folder in Stable Diffusion's layout.

        Nothing is ever downloaded. Raises XattnError: BadModel, UnknownName, BadValue or Unsupported.
        """
        return cls(load_model(name_or_path, dtype=dtype, device=device, backend=backend))

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
            for stage in stages(one):
                self._scheduler(stage)  # how many steps a scheduler can take depends on both: told now, not mid-stream
        check_pictures(resolved, self.model)
        capture = wanted(words, maps)
        for one in resolved:
            _chunks(one, self.model.text)  # prompts that cannot be drawn are told now too
            if capture is not None:
                if not any(stage.runs for stage in stages(one)):
                    raise BadValue("strength", one.strength, "over 0 where words are watched", "No step would run")
                read = said(stages(one)[0].planned, negative=capture.role == "uncond")
                capture.phrases(*map(self.model.text.ledger, dict.fromkeys(read)))
        return self._stream(resolved, batch_size, capture, cancel)

    def resolve(self, recipe: str | Recipe, **recipe_fields: Unpack[CallFields]) -> Recipe:
        """The recipe with every open field filled in: seed, size, steps, guidance, scheduler, model and its hash."""
        made = with_fields(recipe, recipe_fields)
        defaults, (width, height) = self.model.defaults, self.model.native_size
        return replace(
            made,
            model=self._agreed(made.model),
            seed=secrets.randbelow(_MAX_RANDOM_SEED) if made.seed is None else made.seed,
            num_inference_steps=_or(made.num_inference_steps, defaults.num_inference_steps),
            guidance_scale=_or(made.guidance_scale, defaults.guidance_scale),
            scheduler=_or(made.scheduler, defaults.scheduler),
            width=_or(made.width, width),
            height=_or(made.height, height),
        )

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
        self, recipes: list[Recipe], batch_size: int, capture: Capture | None, cancel: threading.Event | None
    ) -> Iterator[StepEvent | Finished]:
        results: dict[int, Result] = {}
        for group in _groups(recipes, batch_size, self.model.text):
            for event in self._run([recipes[index] for index in group], capture, cancel):
                if isinstance(event, StepEvent):
                    yield event
                else:
                    results.update(zip(group, event.results, strict=True))
        yield Finished(tuple(results[index] for index in range(len(recipes))))

    def _run(
        self, recipes: list[Recipe], capture: Capture | None, cancel: threading.Event | None
    ) -> Iterator[StepEvent | Finished]:
        """One batch of recipes that agree in all that a batch shares."""
        model, clock = self.model, StatsClock(self.model.device)
        passes = list(zip(*map(stages, recipes), strict=True))
        steps, before = sum(stage[0].runs for stage in passes), 0
        latents: Tensor | None = None
        recorder: Recorder | None = None
        for stage in passes:
            with clock.measure("encode"), torch.no_grad():
                scheduler = self._scheduler(stage[0])
                plan = make_plan(
                    [one.planned for one in stage],
                    model.unet,
                    model.text,
                    zero_empty_negative=model.zero_empty_negative,
                )
                canvas = make_canvas(stage, plan, model, scheduler, latents)
            latents = canvas.latents
            if capture is not None:
                # one recorder for all passes: the words are the same, and so is the shape of the picture
                recorder = recorder or Recorder(capture, plan, model.unet, self._cells(passes[-1][0]))
                plan = replace(plan, programs=recorder.programs(plan, before))
            with clock.measure("denoise"):
                for done in denoise(model.unet, scheduler, canvas, plan, cancel):
                    latents = done.latents
                    with clock.paused("denoise"):
                        yield StepEvent(
                            before + done.index + 1,
                            steps,
                            done.timestep,
                            len(recipes),
                            self._decoder(done.expected),
                            None if recorder is None else recorder.maps,
                        )
            for backend, calls in plan.kernels(model.unet, latents).items():
                clock.count(backend, calls * stage[0].runs)
            before += stage[0].runs
        assert latents is not None, "a recipe has at least one pass"
        with clock.measure("decode"):
            images = model.vae.decode(latents)
        stats = clock.stats(steps)
        seen = [None] * len(recipes) if recorder is None else recorder.maps()
        provenance = self._provenance(len(recipes))
        for recipe in recipes:
            stats.log(recipe.hash)
        yield Finished(
            tuple(
                Result(image, recipe, provenance, stats, maps)
                for image, recipe, maps in zip(images, recipes, seen, strict=True)
            )
        )

    def _scheduler(self, stage: Stage) -> Scheduler:
        """A scheduler of this pass's own."""
        recipe, model = stage.recipe, self.model
        return make_scheduler(
            str(recipe.scheduler),
            model.scheduler_config,
            recipe.sigmas,
            stage.runs + stage.skipped,
            model.device,
            skipped=stage.skipped,
        )

    def _cells(self, stage: Stage) -> tuple[int, int]:
        """Height and width of a pass's latents."""
        factor = self.model.vae.factor
        return _whole(stage.recipe.height) // factor, _whole(stage.recipe.width) // factor

    def _decoder(self, latents: Tensor) -> Callable[[], list[Image.Image]]:
        return lambda: self.model.vae.decode(latents)

    def _provenance(self, batch: int) -> Provenance:
        return Provenance.here(
            dtype=str(self.model.dtype).removeprefix("torch."),
            backend=self.model.unet.backend,
            device=self.model.device,
            batch=batch,
        )


def _or(given: Open | None, default: Open) -> Open:
    return default if given is None else given


def _groups(recipes: Sequence[Recipe], batch_size: int, text: TextEncoder) -> list[list[int]]:
    """Places of the recipes that may share a batch, each group at most `batch_size` long, in order of appearance."""
    alike: dict[tuple[object, ...], list[int]] = {}
    for place, recipe in enumerate(recipes):
        key = (
            tuple((one.recipe.width, one.recipe.height, one.runs, one.skipped, one.method) for one in stages(recipe)),
            recipe.init is None,
            recipe.mask is None,
            recipe.scheduler,
            recipe.sigmas,
            recipe.guidance,
            recipe.guidance_scale == 1.0,
            # the UNet reads the padding of a longer neighbour too, so only equally long prompts share a batch
            _chunks(recipe, text),
            recipe.emphasis,
            recipe.clip_skip,
        )
        alike.setdefault(key, []).append(place)
    return [
        places[start : start + batch_size] for places in alike.values() for start in range(0, len(places), batch_size)
    ]


def _chunks(recipe: Recipe, text: TextEncoder) -> tuple[int, ...]:
    """How many chunks of tokens the prompts of each pass take. Raises BadValue and Unsupported (step_text.said)."""
    return tuple(chunks(stage.planned, text) for stage in stages(recipe))


def _whole(value: int | None) -> int:
    assert value is not None, "the recipe must be resolved"
    return value
