"""The area Keep: what it has on the page."""

from __future__ import annotations

from dataclasses import dataclass

import gradio as gr

from ui.web.parts import Part


@dataclass(frozen=True, slots=True)
class KeepArea:
    """Its components. saver: hands files to the browser; drop: brings settings back."""

    download: gr.Button
    form: gr.Radio
    inside: gr.Checkbox
    share: gr.Button
    sheet: gr.Button
    saver: Part
    copies: Part
    drop: Part


def keep_area() -> KeepArea:
    """Lay it out; to be called inside its tab."""
    _title("Take it with you")
    with gr.Row(elem_classes="tight", equal_height=True):
        download = gr.Button("Download", variant="primary", elem_id="download", min_width=110)
        form = gr.Radio(
            ["PNG", "JPEG", "WebP"], value="PNG", label="Form", show_label=False, elem_id="form", min_width=270
        )
    inside = gr.Checkbox(True, label="With its recipe inside, so that it can be drawn again", elem_id="inside")
    with gr.Row(elem_classes="tight"):
        share = gr.Button("Share as page", elem_id="share-page", size="md", min_width=110)
        sheet = gr.Button("Words side by side", elem_id="sheet", size="md", min_width=150)
    gr.HTML(
        '<p class="insight-kept">A page is one file with the picture, its maps and this viewer. It opens anywhere, '
        "also on a phone, and asks no server.</p>",
        apply_default_css=False,
    )
    saver = Part("saver", None)
    _title("Make it again")
    copied = Part("copies", {"copies": []})
    _title("Bring settings back")
    drop = Part("drop", {})
    return KeepArea(download, form, inside, share, sheet, saver, copied, drop)


def _title(text: str) -> None:
    gr.HTML(f'<h3 class="area-title">{text}</h3>', apply_default_css=False)
