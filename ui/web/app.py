"""The web app: built here, and served."""

from __future__ import annotations

import contextlib
import io
import threading
from collections.abc import Callable
from dataclasses import dataclass

import gradio as gr

from ui.web.blocks import Blocks
from ui.web.doors import Doors
from ui.web.early import Early
from ui.web.endpoints import add_endpoints
from ui.web.page import build_page
from ui.web.parts import MARK, script, styles
from ui.web.shell import Shell
from ui.web.stubs import without_servers
from ui.web.studio import Studio
from ui.web.theme import theme
from ui.web.tools import serve_tools
from ui.web.wiring import wire

PATIENCE = 5.0
"""Seconds that the model waits for a first page to be drawn in a browser before it is loaded all the same."""


@dataclass(frozen=True, slots=True)
class Serving:
    """Where and to whom the page is served. The defaults serve nobody but this machine."""

    host: str = "127.0.0.1"
    port: int | None = None
    auth: tuple[str, str] | None = None
    share: bool = False
    mcp: bool = False


def build(studio: Studio) -> gr.Blocks:
    """The app, not served yet."""
    blocks: gr.Blocks
    with Blocks(title="xattn", analytics_enabled=False, fill_width=True, delete_cache=(600, 3600)) as blocks:
        page = build_page(studio)
        wire(page, studio, blocks)
        add_endpoints(studio)
    return blocks


def serve(studio: Studio, serving: Serving, say: Callable[[str], None], *, early: Early | None = None) -> None:
    """Serve the app until the process is told to end; `say` is told its address, and what went wrong with --share.

    early: what serves the address meanwhile; it makes way
    """
    blocks, local, shared = start(studio, serving, early)
    if serving.share and shared is None:
        say(
            "There is no public address: Gradio's server, which makes one, did not answer. The page is served to this "
            "machine alone; look after the connection, stop this and start it again."
        )
    say(f"xattn is at {shared or local}  (Ctrl-C stops it)")
    studio.models.load_soon(patience=PATIENCE)  # the page comes first: torch's import would hold it up
    try:
        threading.Event().wait()  # until a signal: gradio's own waiting swallows the interrupt
    finally:
        studio.line.close()  # else the process would wait for what is being drawn
        blocks.close(verbose=False)


def start(studio: Studio, serving: Serving, early: Early | None = None) -> tuple[gr.Blocks, str, str | None]:
    """Begin to serve on threads of its own; the app, its address, and the public one where there is one."""
    with without_servers():
        blocks = build(studio)
        blocks.queue(max_size=4 * studio.limits.waiting, default_concurrency_limit=None)
    if early is not None:
        early.close()
    # gradio prints where it could not share; `serve` says so
    with contextlib.redirect_stdout(io.StringIO()) if serving.share else contextlib.nullcontext():
        _, local, shared = _launched(blocks, studio, serving)
    if serving.mcp:
        serve_tools(blocks, studio)
    return blocks, local, shared


def _launched(blocks: gr.Blocks, studio: Studio, serving: Serving) -> tuple[object, str, str | None]:
    made: tuple[object, str, str | None] = blocks.launch(
        server_name=serving.host,
        server_port=serving.port,
        auth=serving.auth,
        share=serving.share,
        mcp_server=serving.mcp,
        theme=theme(),
        css=styles(),
        js=script("page"),
        quiet=True,
        prevent_thread_lock=True,
        run_history=False,
        footer_links=["api"],
        enable_monitoring=False,
        ssr_mode=False,
        state_session_capacity=2 * studio.limits.sessions,
        max_file_size=studio.limits.body_bytes,
        app_kwargs={
            "docs_url": None,
            "redoc_url": None,
            # class, arguments, keywords
            "middleware": [(Doors, (serving.auth, studio.limits.body_bytes), {}), (Shell, (), {})],
        },
        favicon_path=MARK,
    )
    return made
