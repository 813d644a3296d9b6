"""What of Gradio's server is not served, who is let in, how much may be sent, and what is said of anything that fails.

Asked before anything else is. Gradio's own answers to the last two are no sentences.
"""

from __future__ import annotations

import base64
import re
import secrets
from typing import TYPE_CHECKING

from starlette.requests import cookie_parser

from ui.web.limits import Limits
from ui.web.studio import sentence

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_API = "/gradio_api/"
TOOLS = "/gradio_api/mcp"
CLOSED = (
    "upload", "upload_progress", "process_recording", "proxy=", "file=http:", "file=https:", "file/", "stream/",
    "deep_link", "dev/", "runs", "run-history", "vibe-", "undo-vibe-", "profiling",
)  # fmt: skip
"""Nothing on the page and no endpoint needs these: they write files, fetch from other hosts, or run other programs."""
_UNASKED = ("heartbeat/", "cancel")
"""Of who calls these Gradio asks no password, though they end what others draw."""
ENDPOINTS = ("edit", "generate", "maps", "where")
_NAMED = re.compile(r"(?:call|run|api)/+(?:v2/+)?([^/]+)/*")
_PAGE = "predict"
"""The name under which the page itself calls."""
Refusal = tuple[int, str, list[tuple[bytes, bytes]]]


class Doors:
    """ASGI middleware.

    auth: name and password, which tools send as HTTP Basic authentication: Gradio asks nobody there
    body_bytes: of a request at most, whether it says its length or comes in pieces; by default that of Limits
    """

    def __init__(self, app: ASGIApp, auth: tuple[str, str] | None = None, body_bytes: int | None = None) -> None:
        self._app = app
        self._body_bytes = Limits().body_bytes if body_bytes is None else body_bytes
        self._expected: bytes | None = None
        if auth is not None:
            self._expected = b"Basic " + base64.b64encode(":".join(auth).encode())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or hand on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        refusal = self._refused(scope)
        if refusal is not None:
            await _answer(send, refusal)
            return
        talk = _Talk(receive, send, self._body_bytes)
        try:
            await self._app(scope, talk.receive, talk.send)
        except Exception as error:
            if talk.begun:  # half an answer is out: the server can only cut it off
                raise
            await _answer(send, self._too_large() if talk.over else (500, sentence(error), []))
        else:
            if talk.over and not talk.begun:
                await _answer(send, self._too_large())

    def _refused(self, scope: Scope) -> Refusal | None:
        path = str(scope["path"])
        if closed(path):
            return 404, "There is nothing here.", []
        asked = path.removeprefix(_API).lstrip("/") if path.startswith(_API) else ""
        named = _NAMED.fullmatch(asked)
        if scope["method"] == "POST" and named is not None and named[1] not in (*ENDPOINTS, _PAGE):
            return 404, f"There is no endpoint of that name; there are {', '.join(ENDPOINTS)}.", []
        if self._expected is not None:
            sent = dict(scope["headers"]).get(b"authorization", b"")
            if path.startswith(TOOLS) and not secrets.compare_digest(sent, self._expected):
                asks = [(b"www-authenticate", b'Basic realm="xattn"')]
                return 401, "Send the name and the password as HTTP Basic authentication.", asks
            if asked.startswith(_UNASKED) and not _known(scope):
                return 401, "Sign in first.", []
        if _length(scope) > self._body_bytes:
            return self._too_large()
        return None

    def _too_large(self) -> Refusal:
        most = f"{self._body_bytes / 2**20:g} MB"
        return 413, f"This request is too large; at most {most} are read. Send a smaller picture, or fewer edits.", []


class _Talk:
    """What is received and sent, counted: more than `most` bytes end, and no answer but ours comes of them."""

    def __init__(self, receive: Receive, send: Send, most: int) -> None:
        self._receive, self._send, self._most = receive, send, most
        self._left = most
        self.begun = self.over = False

    async def receive(self) -> Message:
        """As the server's."""
        message = await self._receive()
        if message["type"] == "http.request":
            self._left -= len(message.get("body", b""))
            if self._left < 0:
                self.over = True
                raise _Over
        return message

    async def send(self, message: Message) -> None:
        """As the server's; what others make of a request that was cut off is not told."""
        if self.over and not self.begun:
            return
        self.begun = True
        await self._send(message)


class _Over(Exception):
    """More was sent than is read."""


def _length(scope: Scope) -> int:
    """What a request says of its body; 0 where it says nothing."""
    said = dict(scope["headers"]).get(b"content-length", b"")
    return int(said) if said.isdigit() and len(said) < 20 else 0


def _known(scope: Scope) -> bool:
    """Whether one of its cookies is what Gradio gave to who signed in."""
    app = scope["app"]
    cookies: dict[str, str] = {}
    for name, value in scope["headers"]:
        if name == b"cookie":
            cookies |= cookie_parser(value.decode("latin-1"))
    names = (f"access-token-{app.cookie_id}", f"access-token-unsecure-{app.cookie_id}")
    return any(cookies.get(name) in app.tokens for name in names)


async def _answer(send: Send, refusal: Refusal) -> None:
    status, text, headers = refusal
    headers = [(b"content-type", b"text/plain; charset=utf-8"), *headers]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": f"{text}\n".encode()})


def closed(path: str) -> bool:
    """Whether this is none of what is served."""
    if path.startswith("/pwa_icon/"):  # of a size that is asked for, which our mark, being drawn by lines, has not
        return True
    return path.startswith(_API) and path.removeprefix(_API).lstrip("/").lower().startswith(CLOSED)
