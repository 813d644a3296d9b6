"""How a run is told to the page while it happens: the viewer's preview, the status line, the strip, and the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import gradio as gr

from ui.web.insight import insight
from ui.web.page import Page
from ui.web.runs import Run
from ui.web.studio import Drawing, Drawn, Happening, Studio, Waiting, sentence
from ui.web.viewer.component import Viewer
from ui.web.views import data_url, view_of
from xattn.errors import Cancelled

QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
TOLD = "async (...given) => (await window.xattnTold?.(), given)"
"""In the browser, before drawing: until the server has what was typed and moved (js/page.js)."""
_THUMB = 128
_OWN = {"progress": None}
"""What brings back the viewer's own picture after a run that came to nothing."""
Told = tuple[Any, ...]


def session_of(request: gr.Request) -> str:
    """Whose page it is: a random token of the browser's tab, which no other name of a session can be (endpoints.py)."""
    return f"tab {request.session_hash}" if request.session_hash else "nobody"


def status(state: str, text: str, done: float = 0.0, detail: str = "") -> dict[str, Any]:
    """What the status line shows; `state` is "idle", "waiting", "drawing" or "failed"."""
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
                "label": f"{run.recipe.prompt}, seed {run.recipe.seed}{', edited' if run.edited else ''}",
                "chosen": run.id == chosen,
                "edited": run.edited,
            }
        )
    return made


class Teller:
    """What every handler that draws yields: viewer, status, strip, run's id, insight."""

    def __init__(self, page: Page, studio: Studio) -> None:
        self.studio = studio
        self.outputs = [page.viewer, page.status, page.strip, page.run, page.insight]

    def tell(self, request: gr.Request, begin: Callable[[str], Iterator[Happening]]) -> Iterator[Told]:
        """Tell what `begin(session)` yields; what goes wrong is told too, and the viewer has its own picture back."""
        session = session_of(request)
        skip = gr.skip()
        try:
            for event in begin(session):
                if isinstance(event, Waiting):
                    waits = self._waits(event, session)
                    yield skip, waits, skip, skip, skip
                elif isinstance(event, Drawing):
                    yield _patch(event), _progress(event), skip, skip, skip
                elif isinstance(event, Drawn):
                    yield self._done(event, session)
        except Cancelled:
            yield Viewer(patch=_OWN), status("idle", "Stopped."), skip, skip, skip
        except Exception as error:  # noqa: BLE001  told on the page, and logged where it is nobody's mistake
            # refused while another of this tab is drawn: that one goes on showing itself
            viewer = skip if self.studio.line.draws(session) else Viewer(patch=_OWN)
            yield viewer, status("failed", sentence(error)), skip, skip, skip

    def show(self, request: gr.Request, run_id: object) -> Told:
        """The same outputs for a run that is kept."""
        skip = gr.skip()
        try:
            run = self.studio.runs.get(run_id)
        except ValueError as error:
            return skip, status("failed", str(error)), skip, skip, skip
        pictures = strip(self.studio.runs.of(session_of(request)), run.id)
        return view_of(run).to_json(compress=True), status("idle", ""), pictures, run.id, insight(run)

    def _waits(self, event: Waiting, session: str) -> Any:
        if event.loading:
            return status("waiting", f"Loading {event.loading} …")
        if self.studio.line.draws(session):
            return gr.skip()  # the run before has the line to itself, and says how many wait
        others = "one other" if event.ahead == 1 else f"{event.ahead} others"
        return status("waiting", f"Waiting for {others}.", detail=about(event.seconds))

    def _done(self, event: Drawn, session: str) -> Told:
        run = event.run
        more = event.picture < event.pictures
        text = f"Picture {event.picture} of {event.pictures} is done." if event.pictures > 1 else "Done."
        told = status("drawing" if more else "idle", text, 0.0, f"{run.seconds:.1f} s, seed {run.recipe.seed}")
        pictures = strip(self.studio.runs.of(session), run.id)
        return view_of(run).to_json(compress=True), told, pictures, run.id, insight(run)


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
        text += f" · {event.behind} more of yours wait{'s' if event.behind == 1 else ''}"
    done = (event.picture - 1 + event.step / event.steps) / event.pictures
    return status("drawing", text, done, f"{about(event.left)} left")
