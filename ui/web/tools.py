"""The endpoints as tools of language models: Gradio tells of them (names, arguments, docstrings), here they are called.

Gradio's own way is one client of itself for all callers: they would share a session and so a place in line, none could
be cancelled, and answers that are no pictures would be Python's text of them instead of JSON.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

import gradio as gr
from gradio.route_utils import get_root_url

from ui.web.calls import Calls
from ui.web.endpoints import picture
from ui.web.studio import Drawing, Drawn, Happening, Studio, Waiting, sentence
from ui.web.telling import about
from xattn.errors import Cancelled, UnknownName

if TYPE_CHECKING:
    from ui.web.runs import Run

TAKES = {
    "generate": ("recipe_json",),
    "edit": ("recipe_json", "edits_json"),
    "maps": ("run_id", "words", "axis"),
    "where": ("run_id", "x", "y"),
}
_THREADS = ThreadPoolExecutor(32, "xattn-tool")
"""One a call: as many as ever wait in line, and some for questions."""
Tell = Callable[[Happening], Awaitable[None]]
Made = TypeVar("Made")


class Mistake(Exception):
    """What the caller reads in place of an answer: it says by itself that it is an error."""


def serve_tools(blocks: gr.Blocks, studio: Studio) -> None:
    """Answer the tools' calls; to be called once they are served."""
    server: Any = blocks.mcp_server_obj
    types: Any = server.types
    calls = Calls(studio)

    def text(said: str) -> Any:
        return types.TextContent(type="text", text=said)

    async def call(name: str, arguments: dict[str, Any]) -> Any:
        known = server.tool_to_endpoint.get(name, name).lstrip("/")
        given = _told(lambda: _arguments(known, arguments))
        asked = getattr(calls, known)
        if known in ("maps", "where"):
            answer = await _elsewhere(_told, partial(asked, **given))
            return types.CallToolResult(content=[text(json.dumps(answer))], structuredContent=answer)
        context = server.mcp_server.request_context
        session, cancel = _caller(context.request), threading.Event()
        run = await _drawn(lambda: asked(session, **given, cancel=cancel), cancel, partial(_progress, context))
        path, data = await _elsewhere(_written, studio, session, run)
        root = get_root_url(context.request, server.get_route_path(context.request), server.root_path)
        seen = types.ImageContent(type="image", data=data, mimeType="image/png")
        said = [f"Image URL: {root}/gradio_api/file={quote(path)}", run.recipe.portable().to_json(), run.id]
        return types.CallToolResult(content=[seen, *map(text, said)])

    server.mcp_server.call_tool()(call)


def _arguments(known: str, given: Mapping[str, object]) -> dict[str, object]:
    if known not in TAKES:
        raise UnknownName("tool", known[:60], tuple(TAKES))
    for name in given:
        if name not in TAKES[known]:
            raise UnknownName(f"argument of {known}", name[:60], TAKES[known])
    return {name: given.get(name) for name in TAKES[known]}


def _caller(request: Any) -> str:
    """Whose call it is: all of one machine belong together, as they come without a session."""
    client = None if request is None else request.client
    return f"tools of {client.host if client is not None else 'nowhere'}"


def _written(studio: Studio, session: str, run: Run) -> tuple[str, str]:
    """The picture's file, and what is inside as base64."""
    path = str(picture(studio.files, session, run)["path"])
    return path, base64.b64encode(Path(path).read_bytes()).decode("ascii")


async def _elsewhere(act: Callable[..., Made], *arguments: Any) -> Made:
    """On a thread; who is cancelled meanwhile does not wait for it."""
    return await asyncio.get_running_loop().run_in_executor(_THREADS, act, *arguments)


async def _drawn(begin: Callable[[], Iterator[Happening]], cancel: threading.Event, tell: Tell) -> Run:
    """The picture. Who goes away, or cancels the call, ends its run within a step."""
    run: Run | None = None
    events = await _elsewhere(_told, begin)
    try:
        while (event := await _elsewhere(_next, events, cancel)) is not None:
            if isinstance(event, Drawn):
                run = event.run
            else:
                await tell(event)
    finally:
        if run is None:
            cancel.set()
            threading.Thread(target=_closed, args=(events,), daemon=True).start()  # it may last a step
    assert run is not None, "the last of what happens is a picture"
    return run


def _next(events: Iterator[Happening], cancel: threading.Event) -> Happening | None:
    event = _told(lambda: next(events, None))
    if cancel.is_set():  # nobody waits for it any more
        _closed(events)
    return event


def _closed(events: Iterator[Happening]) -> None:
    with contextlib.suppress(ValueError):  # another thread is in it, and closes it then
        events.close()  # type: ignore[attr-defined]  # a generator


async def _progress(context: Any, event: Happening) -> None:
    """How far it is, for callers that ask for that."""
    token = None if context.meta is None else context.meta.progressToken
    if token is None:
        return
    step, steps, text = 0, None, ""
    if isinstance(event, Drawing):
        step, steps, text = event.step, event.steps, f"{about(event.left)} left"
    elif isinstance(event, Waiting):
        text = f"Loading {event.loading}" if event.loading else f"{event.ahead} come before, {about(event.seconds)}"
    await context.session.send_progress_notification(
        token, step, steps, text, related_request_id=str(context.request_id)
    )


def _told(asked: Callable[[], Made]) -> Made:
    try:
        return asked()
    except Cancelled as error:
        raise Mistake("Stopped.") from error
    except Exception as error:
        raise Mistake(sentence(error)) from error
