"""What of Gradio's server is not served, and who is let in to the tools: asked before anything else is."""

from __future__ import annotations

import base64
import secrets
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

_API = "/gradio_api/"
TOOLS = "/gradio_api/mcp"
CLOSED = (
    "upload", "upload_progress", "process_recording", "proxy=", "file=http:", "file=https:", "file/", "stream/",
    "deep_link", "dev/", "runs", "run-history", "vibe-", "undo-vibe-", "profiling",
)  # fmt: skip
"""Nothing on the page and no endpoint needs these: they write files, fetch from other hosts, or run other programs."""
Refusal = tuple[int, str, list[tuple[bytes, bytes]]]


class Doors:
    """ASGI middleware.

    auth: name and password, which tools send as HTTP Basic authentication: Gradio asks nobody there
    """

    def __init__(self, app: ASGIApp, auth: tuple[str, str] | None = None) -> None:
        self._app = app
        self._expected: bytes | None = None
        if auth is not None:
            self._expected = b"Basic " + base64.b64encode(":".join(auth).encode())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or hand on."""
        refusal = self._refused(scope) if scope["type"] == "http" else None
        if refusal is None:
            await self._app(scope, receive, send)
            return
        status, text, headers = refusal
        headers = [(b"content-type", b"text/plain; charset=utf-8"), *headers]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": f"{text}\n".encode()})

    def _refused(self, scope: Scope) -> Refusal | None:
        path = str(scope["path"])
        if closed(path):
            return 404, "There is nothing here.", []
        sent = dict(scope["headers"]).get(b"authorization", b"")
        if path.startswith(TOOLS) and self._expected is not None and not secrets.compare_digest(sent, self._expected):
            asks = [(b"www-authenticate", b'Basic realm="xattn"')]
            return 401, "Send the name and the password as HTTP Basic authentication.", asks
        return None


def closed(path: str) -> bool:
    """Whether this is none of what is served."""
    return path.startswith(_API) and path.removeprefix(_API).lstrip("/").lower().startswith(CLOSED)
