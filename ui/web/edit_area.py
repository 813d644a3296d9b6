"""The area Edit: what it has on the page."""

from __future__ import annotations

from dataclasses import dataclass

import gradio as gr

from ui.web.parts import Part


@dataclass(frozen=True, slots=True)
class EditArea:
    """Its components, and what is kept of it.

    target: the prompt of the edited picture; weights: a slider a word; alignment: who takes whose place
    blend: words where the edited picture may differ; begin: a picture to begin with; masked: only where it is painted
    edits: the list, as JSON documents; origin: the run that is edited
    picture: the one to begin with, as it was given; mask: what is painted on it, a grey PNG as base64
    """

    weights: Part
    target: gr.Textbox
    alignment: Part
    keep_words: gr.Checkbox
    keep_layout: gr.Checkbox
    blend: gr.Textbox
    list: Part
    draw: gr.Button
    clear: gr.Button
    begin: Part
    masked: gr.Checkbox
    strength: gr.Slider
    edits: gr.State
    origin: gr.State
    picture: gr.State
    mask: gr.State


def edit_area(strength: gr.Slider) -> EditArea:
    """Lay it out; to be called inside its tab."""
    _title("Turn a word up or down, or paint where it looks")
    weights = Part("weights", {"words": []})
    _title("Say something else in the same place")
    target = gr.Textbox(
        label="Changed prompt", placeholder="the same prompt with another word", lines=1, max_lines=4, elem_id="target"
    )
    alignment = Part("alignment", {"links": []})
    with gr.Row(elem_classes="tight", elem_id="keeping"):
        keep_words = gr.Checkbox(True, label="Words keep their places", elem_id="keep-words", min_width=100, scale=0)
        keep_layout = gr.Checkbox(True, label="Keep the layout", elem_id="keep-layout", min_width=100, scale=0)
    blend = gr.Textbox(
        label="Change only where these words are", placeholder="everywhere", elem_id="blend", max_length=200
    )
    _title("Edits, in order")
    edits = Part("edits", {"edits": []})
    with gr.Row(elem_id="edit-go"):
        draw = gr.Button("Draw with edits", variant="primary", elem_id="draw-edits", size="lg")
        clear = gr.Button("Clear", elem_id="clear-edits", size="lg")
    with gr.Accordion("Begin with a picture", open=False, elem_id="begin-with"):
        begin = Part("begin", None)
        strength.render()  # type: ignore[no-untyped-call]
        masked = gr.Checkbox(False, label="Draw anew only where I painted", elem_id="masked")
    return EditArea(
        weights, target, alignment, keep_words, keep_layout, blend, edits, draw, clear, begin, masked, strength,
        gr.State([]), gr.State(None), gr.State(None), gr.State(None),
    )  # fmt: skip


def _title(text: str) -> None:
    gr.HTML(f'<h3 class="area-title">{text}</h3>', apply_default_css=False)
