"""The area Edit: what it has on the page."""

from __future__ import annotations

from dataclasses import dataclass

import gradio as gr


@dataclass(frozen=True, slots=True)
class EditArea:
    """Its components."""

    strength: gr.Slider


def edit_area(strength: gr.Slider) -> EditArea:
    """Lay it out; to be called inside its tab."""
    strength.render()  # type: ignore[no-untyped-call]
    return EditArea(strength)
