"""The page's look in the page itself: it is seen, and typed into, while Gradio's own script loads (early.js)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ui.web.early import shell

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_END = b"</body>"
_ASKS = b'"auth_required"'
"""In the page that asks for name and password, which needs no look of what comes after it."""


class Shell:
    """ASGI middleware: adds the script to the page at the root."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._script = f"<script>{shell()}\nwindow.xattnShellUntilDrawn();</script>".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand on, and add it to the answer."""
        if scope["type"] != "http" or scope["method"] != "GET" or scope["path"] != "/":
            await self._app(scope, receive, send)
            return
        start: Message = {}
        parts: list[bytes] = []

        async def added(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start":
                start = message
                return
            parts.append(message.get("body", b""))
            if message.get("more_body"):
                return
            whole = b"".join(parts)
            if start["status"] == 200 and _ASKS not in whole and whole.count(_END) == 1:
                whole = whole.replace(_END, self._script + _END)
                others = [(name, value) for name, value in start["headers"] if name != b"content-length"]
                start["headers"] = [*others, (b"content-length", str(len(whole)).encode())]
            await send(start)
            await send({"type": "http.response.body", "body": whole})

        await self._app(scope, receive, added)
