"""A page while the page starts: the address answers at once, and shows what comes as soon as it is there.

Gradio takes two seconds of a processor to import, on a cold disk far longer. Nothing here imports it.
"""

from __future__ import annotations

import errno
import socket
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from xattn.errors import BadValue

PORTS = range(7860, 7960)
"""Tried in turn where none is asked for: Gradio's own."""
_HERE = Path(__file__).parent
_TAKEN = (errno.EADDRINUSE, errno.EACCES)


class Early:
    """Serves the waiting page at an address until it is closed.

    host, port: as `xattn ui` takes them; no port is the first of PORTS that is free. Raises BadValue, in a sentence,
    where the address cannot be had.
    """

    def __init__(self, host: str, port: int | None) -> None:
        self._server = _bound(host, port)
        self.port = int(self._server.server_address[1])
        shown = "localhost" if host == "0.0.0.0" else host
        self.address = f"http://{shown}:{self.port}/"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), name="xattn-early", daemon=True).start()

    def close(self) -> None:
        """Make way: whoever waits is told, and the port is free."""
        self._server.over.set()
        self._server.shutdown()
        self._server.server_close()


def shell() -> str:
    """JavaScript that shows what the page looks like, with a prompt to type into (early.js)."""
    mark = (_HERE / "mark.svg").read_text(encoding="utf-8")
    return (_HERE / "early.js").read_text(encoding="utf-8").replace("<!--mark-->", mark)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, address: tuple[str, int]) -> None:
        self.over = threading.Event()
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        super().__init__(address, _Answers)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Whoever waited may be gone: no news for the terminal."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Answers(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        """The page; "starting", answered at the end; nothing else is here yet."""
        path = self.path.partition("?")[0]
        if path == "/starting":
            self.server.over.wait(120)
            self._answer(200, b"", "text/plain")
        elif path == "/":
            page = (_HERE / "early.html").read_text(encoding="utf-8").replace("/*shell*/", shell())
            self._answer(200, page.encode(), "text/html; charset=utf-8")
        else:
            self._soon()

    do_HEAD = do_GET

    def do_POST(self) -> None:
        """Nothing is to be done yet."""
        self._soon()

    def _soon(self) -> None:
        self._answer(503, b"xattn is starting; ask again in a moment.\n", "text/plain")

    def _answer(self, code: int, body: bytes, media: str) -> None:
        self.send_response(code)
        for name, value in (
            ("Content-Type", media),
            ("Content-Length", str(len(body))),
            ("Cache-Control", "no-store"),
            ("X-Starting", "1"),
            ("Retry-After", "1"),
        ):
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base class's name
        """Nothing: the terminal is for the address."""


def _bound(host: str, port: int | None) -> _Server:
    wanted = PORTS if port is None else (port,)
    for number in wanted:
        try:
            return _Server((host.strip("[]"), number))
        except OSError as error:
            if error.errno not in _TAKEN:
                raise BadValue("--host", host, "an address of this machine", str(error)) from error
    listed = f"{wanted[0]}" if port is not None else f"{PORTS[0]} to {PORTS[-1]}"
    raise BadValue("--port", listed, "free", "Something is served there already; give another with --port")
