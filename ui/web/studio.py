"""What the page's forms and the endpoints share: a shelf of models, one line before the device, what was drawn.

`Studio.draw` is a generator of what a person wants to know meanwhile; closing it ends the run within one step.
"""

from __future__ import annotations

import logging
import queue
import secrets
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ui.request import seeds
from ui.web.files import Files
from ui.web.limits import Limits
from ui.web.line import Line, Ticket
from ui.web.models import Models
from ui.web.runs import Run, Runs
from ui.web.stored_maps import StoredMaps
from xattn.errors import Cancelled, UnknownName, Unsupported, XattnError

if TYPE_CHECKING:
    from PIL.Image import Image

    from pipelines.capture import Capture
    from pipelines.pipeline import Pipeline, Result
    from pipelines.recipe import Recipe
    from xattn.maps import Axis

_log = logging.getLogger("xattn.web")
MAPS_BYTES = 24 * 2**20
"""Of one picture's maps, at a byte a value. Ten words over 50 steps of SD1.5 at 512² are 16.5 MB."""
_PREVIEW_SECONDS = 0.3
_PREVIEW_SHARE = 6
"""A preview is decoded when six times as long has passed as decoding takes."""
_TICK = 0.25
_MOST_READ = 1200
"""Characters of a sentence."""
_FIRST_GUESS = 2e-6
"""Seconds a pixel-step, before anything was measured."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """Others come first: how many, and about how many seconds that takes. `loading`: a model is being loaded."""

    ahead: int
    seconds: float
    loading: str = ""


@dataclass(frozen=True, slots=True)
class Drawing:
    """A step is done. picture counts from 1 to pictures; left: seconds; preview: where a new one was decoded."""

    step: int
    steps: int
    picture: int
    pictures: int
    left: float
    behind: int
    size: tuple[int, int]
    preview: Image | None = None


@dataclass(frozen=True, slots=True)
class Drawn:
    """One picture is done and kept."""

    run: Run
    picture: int
    pictures: int


Happening = Waiting | Drawing | Drawn


class Studio:
    """One process's page. Any thread may use it."""

    def __init__(self, models: Models, limits: Limits) -> None:
        self.models, self.limits = models, limits
        self.line, self.runs, self.files = Line(limits), Runs(limits), Files(limits)
        self._rate = _FIRST_GUESS
        self._resolving = threading.Lock()

    def draw(
        self,
        session: str,
        recipe: Recipe,
        *,
        count: int = 1,
        model: str | None = None,
        before: Run | None = None,
        cancel: threading.Event | None = None,
    ) -> Iterator[Happening]:
        """Draw `count` pictures with seeds in a row; everything asked is checked before a place in line is taken.

        before: the run that an edited one starts from; cancel: ends it within a step once set
        Raises XattnError, Cancelled.
        """
        self.limits.check_recipe(recipe, count)
        name = self._model(recipe, model)
        held = self.models.loaded
        if held is not None and held.model.ref.name == name:
            self._recipes(held, recipe, count)
        cost = (recipe.width or 128) * (recipe.height or 128) * (recipe.num_inference_steps or 20) * count
        ticket = self.line.enter(session, cost * self._rate, cancel)
        try:
            yield from self._wait(ticket)
            if self.models.loaded is None or self.models.loaded.model.ref.name != name:
                yield Waiting(0, 0.0, name)
            pipe = self.models.get(name)
            recipes = self._recipes(pipe, recipe, count)
            yield from self._drawn(session, ticket, pipe, recipes, before)
        finally:
            ticket.cancel.set()
            self.line.leave(ticket)

    def leave(self, session: str) -> None:
        """The tab is closed: its runs end, and what it kept goes."""
        self.line.stop(session, everything=True)
        self.runs.forget(session)
        self.files.forget(session)

    def _model(self, recipe: Recipe, model: str | None) -> str:
        if model is None and recipe.model is not None:
            model = recipe.model.portable().name
        name = model or self.models.default
        if name not in self.models.names:
            raise UnknownName("model", name, self.models.names, "Models come from --models-dir")
        return name

    def _recipes(self, pipe: Pipeline, recipe: Recipe, count: int) -> list[Recipe]:
        """Resolved and checked, one a picture. Raises XattnError."""
        with self._resolving:  # pictures are decoded, and many requests may come at once
            first = pipe.resolve(recipe)
        self.limits.check_recipe(first, count)
        return [replace(first, seed=seed) for seed in seeds(first.seed, count)]

    def _wait(self, ticket: Ticket) -> Iterator[Waiting]:
        told: tuple[int, int] | None = None
        while not ticket.wait(_TICK if told else 0.01):
            if ticket.cancel.is_set():
                raise Cancelled("Taken out of the line.")
            ahead, seconds = self.line.before(ticket)
            if (ahead, round(seconds)) != told:
                told = (ahead, round(seconds))
                yield Waiting(ahead, seconds)
        if ticket.cancel.is_set():
            raise Cancelled("Taken out of the line.")

    def _drawn(
        self, session: str, ticket: Ticket, pipe: Pipeline, recipes: Sequence[Recipe], before: Run | None
    ) -> Iterator[Happening]:
        for number, recipe in enumerate(recipes, start=1):
            worker = _Worker(pipe, recipe, ticket.cancel)
            for step, result, preview in worker.events():
                if result is None:
                    left = worker.left(step, len(recipes) - number)
                    yield Drawing(
                        step,
                        worker.steps,
                        number,
                        len(recipes),
                        left,
                        self.line.behind(ticket),
                        (recipe.width or 0, recipe.height or 0),
                        preview,
                    )
                    continue
                self._learn(result)
                if ticket.cancel.is_set():  # on the last step; of a closed tab nothing may be kept any more
                    raise Cancelled("Stopped.")
                run = Run(
                    result.image,
                    result.recipe,
                    result.provenance,
                    pipe.ledger(result.recipe.prompt, result.recipe.syntax),
                    result.stats.seconds,
                    stored(pipe, result),
                    None if before is None else before.image,
                    None if before is None else before.id,
                    result.blends,
                )
                self.runs.add(session, run)
                if ticket.cancel.is_set():  # meanwhile: the tab's pictures may have been forgotten before this one came
                    self.runs.drop(run)
                    raise Cancelled("Stopped.")
                yield Drawn(run, number, len(recipes))

    def _learn(self, result: Result) -> None:
        """How long things take here, for the next estimate."""
        recipe = result.recipe
        cost = (recipe.width or 1) * (recipe.height or 1) * max(1, result.stats.steps)
        measured = result.stats.seconds / cost
        self._rate = measured if self._rate == _FIRST_GUESS else 0.7 * self._rate + 0.3 * measured


class _Worker:
    """One recipe on a thread of its own: a generator of Gradio's goes from thread to thread, torch's state does not."""

    def __init__(self, pipe: Pipeline, recipe: Recipe, cancel: threading.Event) -> None:
        self._cancel = cancel
        self._told: queue.SimpleQueue[tuple[int, Result | None, Image | None] | BaseException] = queue.SimpleQueue()
        self._pipe, self._recipe = pipe, recipe
        self.steps = 1
        self._began = time.monotonic()
        self._first: float | None = None
        self._done = False

    def left(self, step: int, more: int = 0) -> float:
        """Seconds until the picture is done, and `more` like it."""
        now = time.monotonic()
        # the first step is slow, and text was read before it: the steps after it tell how long one takes
        warm = step > 1 and self._first is not None
        each = (now - (self._first or now)) / (step - 1) if warm else (now - self._began) / max(step, 1)
        return each * (self.steps * (1 + more) - step)

    def events(self) -> Iterator[tuple[int, Result | None, Image | None]]:
        """(step, result, preview), the newest that is there; the last has the result. Closing this ends the run."""
        # what is wrong with the recipe is raised here, before the thread begins
        stream = self._pipe.stream(
            self._recipe, maps=capture(self._pipe, self._recipe), batch_size=1, cancel=self._cancel
        )
        thread = threading.Thread(target=self._run, args=(stream,), name="xattn-draw", daemon=True)
        thread.start()
        try:
            preview = None
            while True:
                event = self._told.get()
                while isinstance(event, tuple) and event[1] is None and not self._told.empty():
                    preview = event[2] or preview
                    event = self._told.get()
                if isinstance(event, BaseException):
                    raise event
                yield event[0], event[1], event[2] or preview
                preview = None
                if event[1] is not None:
                    return
        finally:
            if not self._done:
                self._cancel.set()
            thread.join()

    def _run(self, stream: Iterator[object]) -> None:
        from pipelines.pipeline import Finished, StepEvent

        shown, cost = time.monotonic(), 0.0
        try:
            for event in stream:
                if isinstance(event, StepEvent):
                    self.steps = event.steps
                    self._first = self._first or time.monotonic()
                    preview = None
                    if time.monotonic() - shown > max(_PREVIEW_SECONDS, _PREVIEW_SHARE * cost):
                        begun = time.monotonic()
                        preview = event.preview()[0]
                        shown = time.monotonic()
                        cost = shown - begun
                    self._told.put((event.step, None, preview))
                elif isinstance(event, Finished):
                    self._done = True
                    self._told.put((self.steps, event.results[0], None))
        except BaseException as error:  # noqa: BLE001  raised again by the thread that waits for it
            self._done = True
            self._told.put(error)


def stored(pipe: Pipeline, result: Result) -> StoredMaps | None:
    """A picture's maps as they are kept, with how much each word brings."""
    from pipelines.value_lengths import value_lengths

    if result.maps is None:
        return None
    lengths = value_lengths(pipe.model, result.recipe, result.maps)
    return StoredMaps.of(result.maps, pipe.model.unet.sites, lengths)


def capture(pipe: Pipeline, recipe: Recipe) -> Capture | None:
    """What to keep of a recipe's maps: every word by step, layer and head where that fits, else fewer axes."""
    from pipelines.capture import Capture
    from pipelines.stages import stages
    from pipelines.where import REST

    words = len(pipe.ledger(recipe.prompt, recipe.syntax).words)
    runs = sum(stage.runs for stage in stages(recipe))
    if not words or not runs:
        return None
    sites = [site for site in pipe.model.unet.sites if site.cross]
    last = stages(recipe)[-1].recipe
    factor = pipe.model.vae.factor
    height, width = Capture().size(((last.height or 8) // factor, (last.width or 8) // factor))
    layers, heads = len(sites), max(site.heads for site in sites)
    options: tuple[tuple[Axis, ...], ...] = (("step", "layer", "head"), ("layer", "head"), ("step",), ())
    for keep in options:
        sizes = {"step": runs, "layer": layers, "head": heads}
        size = (words + len(REST)) * height * width
        for axis in keep:
            size *= sizes[axis]
        if size <= MAPS_BYTES:
            return Capture("*", keep, self_attention=True)
    return None


def _readable(text: str) -> str:
    """What was got may be of any length; how it begins, what was expected and the remedy are what is read."""
    return text if len(text) <= _MOST_READ else f"{text[: _MOST_READ // 2]} … {text[-_MOST_READ // 2 :]}"


def sentence(error: BaseException) -> str:
    """What a person should read of an error: its own sentence, or an id under which the log has it."""
    if isinstance(error, XattnError):
        return _readable(str(error))
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return str(Unsupported("This does not fit into memory; ask for a smaller size or fewer words."))
    number = secrets.token_hex(4)
    _log.error("Error %s", number, exc_info=error)
    return f"Something went wrong here that is not your mistake (error {number}; the log has it)."
