"""What the server answers by itself: where too much is sent, where nothing is served, where nobody expected it."""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from gradio import Request as GradioRequest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from ui.web.doors import Doors
from ui.web.endpoints import caller
from ui.web.telling import session_of

MB = 2**20


def in_a_thread(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """With an event loop of its own: in the tests' own thread a browser's may be running."""

    @functools.wraps(test)
    def run(*values: Any, **named: Any) -> None:
        with ThreadPoolExecutor(1) as pool:
            pool.submit(asyncio.run, test(*values, **named)).result()

    return run


async def read(request: Request) -> Response:
    """What Gradio's routes do: a body that cannot be read is answered in words of their own."""
    try:
        return PlainTextResponse(str(len(await request.body())))
    except Exception:  # noqa: BLE001  as they do
        return JSONResponse({"detail": "Invalid JSON body."}, 400)


async def broken(request: Request) -> Response:
    raise KeyError("/secret/path")


def client(auth: tuple[str, str] | None = None) -> httpx.AsyncClient:
    """A server behind the doors that reads 1 MB."""
    routes = [Route("/{path:path}", read, methods=["POST"]), Route("/broken", broken)]
    app = Starlette(routes=routes, middleware=[Middleware(Doors, auth, MB)])
    app.cookie_id, app.tokens = "7", {"given": "ann"}  # type: ignore[attr-defined]  # as Gradio's has them
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://here")


async def pieces(count: int) -> AsyncIterator[bytes]:
    for _ in range(count):
        yield bytes(MB // 4)


@in_a_thread
async def test_too_much_is_a_sentence_with_a_remedy_whether_it_says_its_length_or_not() -> None:
    async with client() as asks:
        for body in (bytes(MB + 1), pieces(5)):
            told = await asks.post("/gradio_api/component_server", content=body)
            assert (told.status_code, "at most 1 MB are read. Send a smaller picture" in told.text) == (413, True)
        for body in (bytes(MB), pieces(4)):
            assert (await asks.post("/gradio_api/queue/join", content=body)).text == str(MB)


@in_a_thread
async def test_what_nobody_expected_has_an_id_and_no_secret(caplog: pytest.LogCaptureFixture) -> None:
    async with client() as asks:
        with caplog.at_level(logging.ERROR):
            told = await asks.get("/broken")
    assert (told.status_code, "not your mistake (error " in told.text) == (500, True)
    assert "secret" not in told.text
    assert "Traceback" not in told.text
    assert "/secret/path" in caplog.text, "the log has it"


@pytest.mark.parametrize("path", ["call/nope", "call/v2/nope", "run/draw", "api/pick/", "call//../nope"])
@in_a_thread
async def test_an_endpoint_that_is_none_is_told_which_there_are(path: str) -> None:
    async with client() as asks:
        told = await asks.post(f"/gradio_api/{path}", content=b"{}")
    assert told.status_code == 404
    assert "edit, generate, maps, where" in told.text or told.text == "There is nothing here.\n"


@in_a_thread
async def test_who_knows_no_password_cannot_end_what_others_draw() -> None:
    async with client(("ann", "secret")) as asks:
        for path in ("cancel", "heartbeat/of-others"):
            assert (await asks.post(f"/gradio_api/{path}")).status_code == 401
            asks.cookies.set("access-token-7", "guessed")
            assert (await asks.post(f"/gradio_api/{path}")).status_code == 401
            asks.cookies.set("access-token-7", "given")
            assert (await asks.post(f"/gradio_api/{path}")).status_code == 200
            asks.cookies.clear()


@pytest.mark.parametrize("forged", ["calls from 10.0.0.7", "tools of 10.0.0.7", "nobody", "tab x"])
def test_no_tab_can_call_itself_what_callers_without_a_session_are_called(forged: str) -> None:
    """Under such a name it would be shown their pictures, and end their runs as it is closed."""
    raw: Any = SimpleNamespace(
        client=SimpleNamespace(host="10.0.0.7"), url=SimpleNamespace(path="/gradio_api/call/generate")
    )
    theirs = {caller(GradioRequest(raw)), session_of(GradioRequest(raw)), "tools of 10.0.0.7"}
    raw.url.path = "/gradio_api/queue/join"
    for named in (session_of(GradioRequest(raw, session_hash=forged)), caller(GradioRequest(raw, session_hash=forged))):
        assert named not in theirs
        assert named != session_of(GradioRequest(raw, session_hash="x"))
