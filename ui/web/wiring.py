"""What happens on the page: from an event to the studio, and what comes of it back to the page.

No handler takes the viewer as an input (its value holds the maps), and none is public: the endpoints are, in
endpoints.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import gradio as gr

from pipelines.recipe import Recipe
from ui.web.forms import Form
from ui.web.insight import insight
from ui.web.ledger_view import chips, vocabulary_view
from ui.web.page import Page
from ui.web.runs import Run
from ui.web.studio import Drawing, Drawn, Studio, Waiting, sentence
from ui.web.viewer.component import Viewer
from ui.web.views import data_url, view_of
from xattn.errors import Cancelled

QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
_THUMB = 128


def wire(page: Page, studio: Studio, blocks: gr.Blocks) -> None:
    """Connect everything; to be called inside the gr.Blocks."""
    _Make(page, studio).wire(blocks)


def session_of(request: gr.Request) -> str:
    """Whose page it is: a random token of the browser's tab."""
    return str(request.session_hash or "nobody")


def status(state: str, text: str, done: float = 0.0, detail: str = "") -> dict[str, Any]:
    """What the status line shows."""
    return {"state": state, "text": text, "done": round(done, 3), "detail": detail}


def about(seconds: float) -> str:
    """A time as people say it."""
    if seconds < 1:
        return "under 1 s"
    return f"about {seconds:.0f} s" if seconds < 90 else f"about {seconds / 60:.0f} min"


def strip(runs: Sequence[Run], chosen: str | None) -> list[dict[str, Any]]:
    """The session's pictures, newest first."""
    made = []
    for run in sorted(runs, key=lambda one: one.made, reverse=True):
        small = run.image.copy()
        small.thumbnail((_THUMB, _THUMB))
        made.append(
            {
                "id": run.id,
                "src": data_url(small, "JPEG"),
                "label": f"{run.recipe.prompt}, seed {run.recipe.seed}",
                "chosen": run.id == chosen,
                "edited": bool(run.recipe.edits) or run.recipe.source is not None,
            }
        )
    return made


class _Make:
    """Drawing, the ledger, the strip."""

    def __init__(self, page: Page, studio: Studio) -> None:
        self._page, self._studio = page, studio

    def wire(self, blocks: gr.Blocks) -> None:
        """Connect."""
        page = self._page
        shown = [page.viewer, page.status, page.strip, page.run, page.insight, page.settings.seed]
        inputs = [*page.settings.all, page.lock, page.count, page.model, page.base, page.run]
        page.draw.click(self.draw, inputs, shown, trigger_mode="multiple", concurrency_limit=None, **QUIET)
        page.stop.click(self.stop, None, None, queue=False, **QUIET)
        page.dice.click(self.dice, None, [page.settings.seed], queue=False, **QUIET)
        page.settings.prompt.change(
            self.chips, [page.settings.prompt], [page.chips], trigger_mode="always_last", queue=False, **QUIET
        )
        page.strip.pick(
            self.pick, None, [page.viewer, page.strip, page.run, page.insight, page.status], queue=False, **QUIET
        )
        page.reset.click(
            lambda: (None, {"fields": []}, gr.Button(visible=False)),
            None,
            [page.base, page.carried, page.reset],
            queue=False,
            **QUIET,
        )
        timer = gr.Timer(0.5)
        ready = [page.notice, page.words, page.chips, page.model, timer]
        timer.tick(self.ready, [page.settings.prompt], ready, queue=False, **QUIET)
        page.model.input(self.model, [page.model], [page.notice, timer], **QUIET)
        blocks.unload(self.leave)

    def draw(self, request: gr.Request, *values: Any) -> Iterator[tuple[Any, ...]]:
        """From the form to a picture, telling what happens meanwhile."""
        *form_values, lock, count, model, base, shown = values
        session, studio = session_of(request), self._studio
        none = (gr.skip(),) * 6
        try:
            form = Form(*form_values)
            if not lock:
                form = replace(form, seed="")
            recipe = form.recipe(None if base is None else Recipe.from_json(base))
            yield from self._tell(studio.draw(session, recipe, count=int(count), model=model), session)
        except Cancelled:
            yield (*self._restore(shown), status("idle", "Stopped."), *none[2:])
        except Exception as error:  # noqa: BLE001  told on the page, and logged where it is nobody's mistake
            yield (*self._restore(shown), status("failed", sentence(error)), *none[2:])

    def _tell(self, happenings: Iterator[Any], session: str) -> Iterator[tuple[Any, ...]]:
        skip = gr.skip()
        for event in happenings:
            if isinstance(event, Waiting):
                if event.loading:
                    yield skip, status("waiting", f"Loading {event.loading} …"), skip, skip, skip, skip
                elif not self._studio.line.draws(session):
                    others = "one other" if event.ahead == 1 else f"{event.ahead} others"
                    text = f"Waiting: {others} first."
                    yield skip, status("waiting", text, detail=about(event.seconds)), skip, skip, skip, skip
            elif isinstance(event, Drawing):
                yield _patch(event), _progress(event), skip, skip, skip, skip
            elif isinstance(event, Drawn):
                run = event.run
                text = "Done." if event.pictures == 1 else f"Picture {event.picture} of {event.pictures} is done."
                more = event.picture < event.pictures
                told = status("drawing" if more else "idle", text, 0.0, f"{run.seconds:.1f} s, seed {run.recipe.seed}")
                seed = str(run.recipe.seed) if event.picture == 1 else skip
                pictures = strip(self._studio.runs.of(session), run.id)
                yield view_of(run).to_json(compress=True), told, pictures, run.id, insight(run), seed

    def _restore(self, shown: str | None) -> tuple[Any, ...]:
        """The viewer as it was before a run that came to nothing."""
        try:
            run = self._studio.runs.get(shown)
        except ValueError:
            return (Viewer(patch={"picture": None, "progress": None}),)
        size = {"width": run.image.width, "height": run.image.height}
        return (Viewer(patch={"picture": data_url(run.image), "progress": None, **size}),)

    def stop(self, request: gr.Request) -> None:
        """Stop what this tab draws."""
        self._studio.line.stop(session_of(request))

    def leave(self, request: gr.Request) -> None:
        """The tab is closed."""
        self._studio.leave(session_of(request))

    def dice(self) -> str:
        """Another seed."""
        import secrets

        return str(secrets.randbelow(2**32))

    def chips(self, prompt: str) -> dict[str, Any]:
        """The prompt's words, as they are typed."""
        return chips(self._studio.models.loaded, prompt, self._studio.limits)

    def pick(self, request: gr.Request, event: gr.EventData) -> tuple[Any, ...]:
        """A picture of the strip."""
        try:
            run = self._studio.runs.get(event._data.get("id"))
        except ValueError as error:
            return gr.skip(), gr.skip(), gr.skip(), gr.skip(), status("failed", str(error))
        pictures = strip(self._studio.runs.of(session_of(request)), run.id)
        return view_of(run).to_json(compress=True), pictures, run.id, insight(run), status("idle", "")

    def ready(self, prompt: str) -> tuple[Any, ...]:
        """Whether the model is there; until then this is asked again."""
        models = self._studio.models
        pipe = models.loaded
        if pipe is None:
            return {"text": models.notice}, gr.skip(), gr.skip(), gr.skip(), gr.skip()
        words = vocabulary_view(pipe.model.vocabulary)
        return {"text": ""}, words, self.chips(prompt), gr.skip(), gr.Timer(active=False)

    def model(self, name: str) -> tuple[Any, ...]:
        """Another model is chosen: loaded when it is drawn with."""
        held = self._studio.models.loaded
        if held is not None and held.model.ref.name == name:
            return {"text": ""}, gr.skip()
        return {"text": f"{name} is loaded when you draw."}, gr.skip()


def _patch(event: Drawing) -> Any:
    progress = {"step": event.step, "steps": event.steps, "note": f"{about(event.left)} left"}
    part: dict[str, Any] = {"progress": progress}
    if event.preview is not None:
        width, height = event.size
        part |= {"picture": data_url(event.preview, "JPEG"), "width": width, "height": height}
    return Viewer(patch=part)


def _progress(event: Drawing) -> dict[str, Any]:
    text = f"Step {event.step} of {event.steps}"
    if event.pictures > 1:
        text += f", picture {event.picture} of {event.pictures}"
    if event.behind:
        text += (
            f" · {event.behind} more of yours waits" if event.behind == 1 else f" · {event.behind} more of yours wait"
        )
    done = (event.picture - 1 + event.step / event.steps) / event.pictures
    return status("drawing", text, done, f"{about(event.left)} left")
