"""One run: a batch of resolved recipes, prepared so that nothing can be wrong with it any more, then drawn."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from pipelines.batches import Batch, most_chunks
from pipelines.canvas import make_canvas
from pipelines.capture import Capture
from pipelines.checks import filled
from pipelines.denoise import denoise
from pipelines.ledger import Ledger
from pipelines.load import Model
from pipelines.plan import guide, make_plan
from pipelines.programs import Drawn, Programs, Setting
from pipelines.prompt import Reading, readings
from pipelines.provenance import Provenance
from pipelines.recipe import Recipe
from pipelines.recorder import Recorder, probe_sources
from pipelines.results import Finished, Result, StepEvent
from pipelines.running import rows_for
from pipelines.schedulers import Scheduler, make_scheduler
from pipelines.stages import Stage, stages
from pipelines.stats import StatsClock
from pipelines.steering import Steering, make_steering
from pipelines.step_text import Further, said
from pipelines.watchers import WatchedPass
from pipelines.watching import RowWatcher, Watcher
from xattn.errors import BadValue
from xattn.sites import Role, Row
from xattn.tiled import working_dtype


@dataclass(frozen=True, slots=True, eq=False)
class Pass:
    """One pass of all pictures of a run: `before` steps of other passes precede it."""

    stages: tuple[Stage, ...]
    before: int
    further: tuple[Further, ...]
    programs: Programs
    steering: Steering | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """A batch that can be drawn once: it remembers what it sees."""

    model: Model
    batch: Batch
    passes: tuple[Pass, ...]
    recorder: Recorder | None

    @property
    def steps(self) -> int:
        """Of all passes."""
        return sum(one.stages[0].runs for one in self.passes)

    def events(self, cancel: threading.Event | None) -> Iterator[StepEvent | Finished]:
        """Draw: a StepEvent after every step, then Finished, its results in the order of `batch.wanted`."""
        model, clock = self.model, StatsClock(self.model.device)
        wanted = [place for _, place in self.batch.wanted]
        latents: Tensor | None = None
        for one in self.passes:
            with clock.measure("encode"), torch.no_grad():
                scheduler = scheduler_of(one.stages[0], model)
                plan = make_plan(
                    [stage.planned for stage in one.stages],
                    model.unet,
                    model.text,
                    zero_empty_negative=model.zero_empty_negative,
                    further=one.further,
                    programs=one.programs,
                    steering=one.steering,
                )
                canvas = make_canvas(one.stages, plan, model, scheduler, latents)
            latents = canvas.latents
            with clock.measure("denoise"):
                for done in denoise(model.unet, scheduler, canvas, plan, cancel):
                    latents = done.latents
                    with clock.paused("denoise"):
                        yield StepEvent(
                            one.before + done.index + 1,
                            self.steps,
                            done.timestep,
                            len(wanted),
                            latents[wanted],
                            _decoder(model, done.expected[wanted]),
                            None if self.recorder is None else self.recorder.maps,
                        )
            for backend, calls in plan.kernels(model.unet, latents).items():
                clock.count(backend, calls * one.stages[0].runs)
            for backend, calls in plan.kernels_before(model.unet, latents).items():
                clock.count(backend, calls)
        assert latents is not None, "a recipe has at least one pass"
        with clock.measure("decode"):
            images = model.vae.decode(latents[wanted])
        stats = clock.stats(self.steps)
        seen = [None] * len(wanted) if self.recorder is None else self.recorder.maps()
        provenance = Provenance.here(
            dtype=str(model.dtype).removeprefix("torch."),
            backend=model.unet.backend,
            device=model.device,
            batch=len(self.batch.recipes),
        )
        results = [
            Result(image, self.batch.recipes[place], provenance, stats, maps, self._blends(place))
            for image, place, maps in zip(images, wanted, seen, strict=True)
        ]
        for result in results:
            stats.log(result.recipe.hash)
        yield Finished(tuple(results))

    def _blends(self, image: int) -> dict[int, NDArray[np.float32]]:
        """See Result.blends; a later pass has the last word."""
        kept = [one.programs.kept.items() for one in self.passes]
        return {place: mask.float().cpu().numpy() for some in kept for (of, place), mask in some if of == image}


def prepare(model: Model, batch: Batch, capture: Capture | None) -> Run:
    """Everything that can be decided before the first step. Raises what edits, words and schedulers raise."""
    recipes = batch.recipes
    passes = list(zip(*map(stages, recipes), strict=True))
    rows = rows_for(len(recipes), guide(recipes).roles)
    guided = [guide([stage.planned for stage in one]).guided for one in passes]
    recorder: Recorder | None = None
    made: list[Pass] = []
    before = 0
    for number, stage in enumerate(passes):
        chunks = max(most_chunks(recipe, model.text)[number] for recipe in recipes)
        # a source reads what it reads alone, also beside a longer target
        own = {image: most_chunks(recipes[image], model.text)[number] for image in batch.sources if image is not None}
        ledgers = _ledgers(stage, rows, [own.get(row.image, chunks) for row in rows], model)
        further, keys = _further(stage, rows, chunks, model)
        latent, length = _cells(stage[0], model), len(model.text.ledger("").tokens)
        scheduler = scheduler_of(stage[0], model)
        watching: tuple[Sequence[Watcher], Sequence[RowWatcher]] = ((), ())
        if capture is not None:
            seen = {row: ledgers[row] for row in _watched(capture, batch, rows, guided=any(map(len, guided)))}
            edited = [row for row in seen if any(edit.enabled for edit in recipes[rows[row].image].edits)]
            recorder = recorder or Recorder(capture, seen, model.unet.sites, _cells(passes[-1][0], model), edited)
            probed, probes = probe_sources(capture, len(rows), chunks, model.text)
            further = (*further, *probed)
            watching = recorder.watchers(seen, WatchedPass(before, latent, scheduler.sigmas, chunks * length, probes))
        pictures = [
            Drawn(one.planned, _by_role(ledgers, rows, image), batch.sources[image], keys[image])
            for image, one in enumerate(stage)
        ]
        tokens = {"text": chunks * length} | {source.name: source.tokens(length) for source in further}
        device, dtype = torch.device(model.device), working_dtype(model.dtype)
        setting = Setting(latent, stage[0].runs, scheduler.sigmas, tokens, device, dtype, guided[number])
        programs = Programs(pictures, rows, model.unet.sites, setting, *watching)
        steering = make_steering(pictures, rows, model.unet.sites, setting, programs.maps)
        made.append(Pass(stage, before, further, programs, steering))
        before += stage[0].runs
    return Run(model, batch, tuple(made), recorder)


def scheduler_of(stage: Stage, model: Model) -> Scheduler:
    """A scheduler of this pass's own."""
    return make_scheduler(
        str(stage.recipe.scheduler),
        model.scheduler_config,
        stage.recipe.sigmas,
        stage.runs + stage.skipped,
        model.device,
        skipped=stage.skipped,
    )


def _watched(capture: Capture, batch: Batch, rows: Sequence[Row], *, guided: bool) -> list[int]:
    """The rows that a capture reads, one for each picture that was asked for. guided: at one step at least."""
    places = {(row.image, row.role): place for place, row in enumerate(rows)}
    if capture.role == "uncond" and len(places) > len(batch.recipes) and not guided:
        raise BadValue(
            "role", "uncond", '"cond", since no step is guided', "Widen guidance.start and stop, or take more steps"
        )
    if not any(row.role == capture.role for row in rows):
        raise BadValue("role", capture.role, '"cond", since guidance_scale 1 runs no rows of the negative prompt')
    return [places[image, capture.role] for _, image in batch.wanted]


def _ledgers(
    stage: Sequence[Stage], rows: Sequence[Row], chunks: Sequence[int], model: Model
) -> list[tuple[Ledger, ...]]:
    """What each row reads, in so many chunks: at each step, or once where nothing changes."""
    made = []
    for row, count in zip(rows, chunks, strict=True):
        spoken = said(stage[row.image].planned, negative=row.role == "uncond")
        known = {reading: model.text.ledger(reading, count) for reading in dict.fromkeys(spoken)}
        made.append(tuple(known[reading] for reading in spoken) if len(known) > 1 else (known[spoken[0]],))
    return made


def _by_role(
    ledgers: Sequence[tuple[Ledger, ...]], rows: Sequence[Row], image: int
) -> Mapping[Role, tuple[Ledger, ...]]:
    return {row.role: ledgers[place] for place, row in enumerate(rows) if row.image == image}


def _further(
    stage: Sequence[Stage], rows: Sequence[Row], chunks: int, model: Model
) -> tuple[tuple[Further, ...], list[dict[int, tuple[str, ...]]]]:
    """The key sources that the edits ask for, shared by pictures that ask alike, and their names by edit."""
    asked: dict[str, dict[int, tuple[Reading | None, ...]]] = {}
    depth: dict[str, int] = {}
    keys: list[dict[int, tuple[str, ...]]] = [{} for _ in stage]
    empty = Reading.plain("")
    for image, one in enumerate(stage):
        recipe, count = one.planned, 0
        for place, edit in enumerate(recipe.edits):
            if not edit.enabled:
                continue
            names = []
            for texts in edit.texts:
                spoken = tuple(None if text is None else _constant(text, recipe) for text in texts)
                needed = max(chunks if text is None else model.text.chunks(text) for text in spoken)
                name = f"{edit.kind}:{count}:{len(spoken)}x{needed}"
                count += 1
                names.append(name)
                depth[name] = needed
                for row, what in enumerate(rows):
                    if what.image == image and what.role in edit.window.rows:
                        asked.setdefault(name, {})[row] = spoken
            if names:
                keys[image][place] = tuple(names)
    further = []
    for name, by_row in asked.items():
        length = len(next(iter(by_row.values())))
        filled = tuple(by_row.get(row, (empty,) * length) for row in range(len(rows)))
        further.append(Further(name, depth[name], filled))
    return tuple(further), keys


def _constant(text: str, recipe: Recipe) -> Reading:
    spoken = readings(text, filled("num_inference_steps", recipe.num_inference_steps), recipe.syntax)
    if len(set(spoken)) > 1:
        raise BadValue("prompt of an edit", text, "one that says the same at every step", "Use the edit's window")
    return spoken[0]


def _cells(stage: Stage, model: Model) -> tuple[int, int]:
    """Height and width of a pass's latents."""
    height, width = filled("height", stage.recipe.height), filled("width", stage.recipe.width)
    return height // model.vae.factor, width // model.vae.factor


def _decoder(model: Model, latents: Tensor) -> Callable[[], list[Image.Image]]:
    return lambda: model.vae.decode(latents)
