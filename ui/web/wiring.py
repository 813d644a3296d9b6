"""Connects the page to the studio. No handler takes the viewer as an input (its value holds the maps), and none is
public: the endpoints are, in endpoints.py.
"""

from __future__ import annotations

import gradio as gr

from ui.web.begin_events import BeginEvents
from ui.web.edit_events import EditEvents
from ui.web.keep_events import KeepEvents
from ui.web.make_events import MakeEvents
from ui.web.page import Page
from ui.web.studio import Studio
from ui.web.telling import Teller


def wire(page: Page, studio: Studio, blocks: gr.Blocks) -> None:
    """Connect everything; to be called inside the gr.Blocks."""
    teller = Teller(page, studio)
    picked = MakeEvents(page, studio, teller).wire(blocks)
    EditEvents(page, studio, teller).wire(picked)
    BeginEvents(page, studio).wire()
    KeepEvents(page, studio, teller).wire(picked)
