"""The web app: built here, and served."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import gradio as gr

from ui.web.endpoints import add_endpoints
from ui.web.limits import Limits
from ui.web.models import Models
from ui.web.page import build_page
from ui.web.parts import MARK, script, styles
from ui.web.studio import Studio
from ui.web.theme import theme
from ui.web.wiring import wire

_log = logging.getLogger("xattn.web")


@dataclass(frozen=True, slots=True)
class Serving:
    """Where and to whom the page is served. The defaults serve nobody but this machine."""

    host: str = "127.0.0.1"
    port: int | None = None
    auth: tuple[str, str] | None = None
    share: bool = False
    mcp: bool = False
    temporary: Path | None = None


def build(studio: Studio) -> gr.Blocks:
    """The app, not served yet."""
    blocks: gr.Blocks
    with gr.Blocks(title="xattn", analytics_enabled=False, fill_width=True, delete_cache=(600, 3600)) as blocks:
        page = build_page(studio)
        wire(page, studio, blocks)
        add_endpoints(studio)
    return blocks


def serve(studio: Studio, serving: Serving, *, ready: Callable[[str], None]) -> None:
    """Serve the app until the process is told to end. `ready` is called with its address."""
    blocks, address = start(studio, serving)
    ready(address)
    try:
        threading.Event().wait()  # until a signal: gradio's own waiting swallows the interrupt
    finally:
        blocks.close(verbose=False)


def start(studio: Studio, serving: Serving) -> tuple[gr.Blocks, str]:
    """Begin to serve on threads of its own; the app and its address."""
    blocks = build(studio)
    blocks.queue(max_size=4 * studio.limits.waiting, default_concurrency_limit=None)
    _, local, shared = blocks.launch(
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
        app_kwargs={"max_body_size": studio.limits.body_bytes, "docs_url": None, "redoc_url": None},
        favicon_path=MARK,
    )
    return blocks, shared or local


def studio_for(models_dir: str | Path | None = None, limits: Limits | None = None) -> Studio:
    """A studio whose default model is being loaded."""
    studio = Studio(Models.in_folder(models_dir), limits or Limits())
    studio.models.load_soon()
    return studio
