"""Viewer and brush: a picture with its words' attention over it. README.md beside this file is its interface.

The Gradio component is `ui.web.viewer.component.Viewer`; it is not named here, for the exported page needs no gradio.
"""

from __future__ import annotations

from ui.web.viewer.colors import PALETTE, word_color
from ui.web.viewer.data import Block, Layer, Piece, PlaceAnswer, PlaceToken, Region, Word
from ui.web.viewer.packing import pack
from ui.web.viewer.page import fitting, page
from ui.web.viewer.view import View

__all__ = [
    "PALETTE",
    "Block",
    "Layer",
    "Piece",
    "PlaceAnswer",
    "PlaceToken",
    "Region",
    "View",
    "Word",
    "fitting",
    "pack",
    "page",
    "word_color",
]
