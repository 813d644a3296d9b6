"""What is on the page: its components, by name, in the places that css/ gives them. What they do is in wiring.py."""

from __future__ import annotations

from dataclasses import dataclass

import gradio as gr

from ui.web.edit_area import EditArea, edit_area
from ui.web.forms import schedulers
from ui.web.keep_area import KeepArea, keep_area
from ui.web.ledger_view import NO_WORDS
from ui.web.limits import Limits
from ui.web.models import Models
from ui.web.parts import Part, mark
from ui.web.server import ledger_function, server_functions
from ui.web.studio import Studio
from ui.web.viewer.component import Viewer

AREAS = (("make", "Make"), ("see", "See"), ("heads", "Heads"), ("edit", "Edit"), ("keep", "Keep"))
LATER = ("heads",)
"""Areas whose place is kept: their tab says that they come later, and leads nowhere."""
EXAMPLES = ("a fox on purple", "a strawberry on green", "a rocket to the left of a panda", "a sailboat on blue")
COLORED = ("a red balloon and a blue car", "a green cat on pink")
"""Examples where the model knows these objects in other colours than their own."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The form's components, in the order of forms.Form's fields."""

    prompt: gr.Textbox
    negative: gr.Textbox
    seed: gr.Textbox
    steps: gr.Slider
    guidance: gr.Slider
    scheduler: gr.Dropdown
    width: gr.Number
    height: gr.Number
    variation_seed: gr.Textbox
    variation: gr.Slider
    upscale: gr.Slider
    denoise: gr.Slider
    strength: gr.Slider

    @property
    def all(self) -> list[gr.components.Component]:
        """In that order."""
        return [getattr(self, name) for name in self.__slots__]


@dataclass(frozen=True, slots=True)
class Page:
    """Every component that something happens to."""

    settings: Settings
    notice: Part
    chips: Part
    words: Part
    draw: gr.Button
    stop: gr.Button
    status: Part
    lock: gr.Checkbox
    dice: gr.Button
    count: gr.Slider
    model: gr.Dropdown
    carried: Part
    reset: gr.Button
    insight: Part
    viewer: Viewer
    strip: Part
    edit: EditArea
    keep: KeepArea
    run: gr.State
    base: gr.State
    session: gr.State


def build_page(studio: Studio) -> Page:
    """Lay out everything; to be called inside a gr.Blocks."""
    models, limits = studio.models, studio.limits
    with gr.Row(elem_id="head"):
        gr.HTML(
            f'<div class="brand">{mark()}<b>xattn</b><span>see and edit where words look</span></div>',
            apply_default_css=False,
        )
        notice = Part("notice", {"text": models.notice})
        gr.Button("Light / dark", elem_id="theme-button", size="sm", min_width=0, scale=0)
    with gr.Column(elem_id="desk"):
        with gr.Column(elem_id="compose"):
            prompt = gr.Textbox(
                label="Prompt", placeholder="a fox on purple", lines=2, max_lines=6, elem_id="prompt", autofocus=True
            )
            chips = Part("chips", NO_WORDS, server_functions=[ledger_function(studio)])
            with gr.Row(elem_id="go"):
                draw = gr.Button("Draw", variant="primary", elem_id="draw", size="lg")
                stop = gr.Button("Stop", elem_id="stop", size="lg")
            status = Part("status", {"state": "idle", "text": "Ctrl+Enter draws, Esc stops.", "done": 0})
        with gr.Column(elem_id="areas"):
            Part("areas", [[*area, area[0] in LATER] for area in AREAS], elem_id="area-tabs")
            with gr.Column(elem_id="area-make", elem_classes="area"):
                gr.Examples([[text] for text in examples(models)], [prompt], label="Try", elem_id="examples")
                words = Part("words", None)
                settings, lock, dice, count, model, carried, reset = _make_area(prompt, models, limits)
            with gr.Column(elem_id="area-see", elem_classes="area"):
                insight = Part("insight", None)
            with gr.Column(elem_id="area-edit", elem_classes="area"):
                edit = edit_area(settings.strength)
            with gr.Column(elem_id="area-keep", elem_classes="area"):
                keep = keep_area()
        with gr.Column(elem_id="stage"):
            viewer = Viewer(elem_id="viewer", server_functions=server_functions(studio))
            strip = Part("strip", [])
    return Page(
        settings, notice, chips, words, draw, stop, status, lock, dice, count, model, carried, reset, insight, viewer,
        strip, edit, keep, gr.State(None), gr.State(None), gr.State(None),
    )  # fmt: skip


def _make_area(
    prompt: gr.Textbox, models: Models, limits: Limits
) -> tuple[Settings, gr.Checkbox, gr.Button, gr.Slider, gr.Dropdown, Part, gr.Button]:
    usual_width, usual_height, usual_steps, usual_guidance = models.usual(models.default)
    negative = gr.Textbox(label="Keep out", placeholder="what the picture should not have", lines=1, elem_id="negative")
    with gr.Row(elem_classes="tight", equal_height=True):
        seed = gr.Textbox(label="Seed", placeholder="random", elem_id="seed", min_width=110, max_length=19)
        dice = gr.Button("New seed", elem_id="dice", size="md", min_width=90, scale=0)
        lock = gr.Checkbox(label="Keep seed", elem_id="lock", min_width=110, scale=0)
    with gr.Row(elem_classes="tight"):
        steps = gr.Slider(1, 100, value=usual_steps, step=1, label="Steps", elem_id="steps", min_width=150)
        guidance = gr.Slider(1, 15, value=usual_guidance, step=0.5, label="Guidance", elem_id="guidance", min_width=150)
    with gr.Row(elem_classes="tight"):
        scheduler = gr.Dropdown(
            schedulers(),
            value=models.usual_scheduler(models.default),
            label="Scheduler",
            elem_id="scheduler",
            min_width=150,
            filterable=False,
        )
        count = gr.Slider(1, limits.count, value=1, step=1, label="Pictures", elem_id="count", min_width=150)
    with gr.Accordion("Size, model and more", open=False, elem_id="more"):
        with gr.Row(elem_classes="tight"):
            width = gr.Number(usual_width, label="Width", step=8, precision=0, elem_id="width", min_width=90)
            height = gr.Number(usual_height, label="Height", step=8, precision=0, elem_id="height", min_width=90)
            model = gr.Dropdown(
                list(models.names),
                value=models.default,
                label="Model",
                elem_id="model",
                min_width=150,
                filterable=False,
            )
        with gr.Row(elem_classes="tight"):
            variation_seed = gr.Textbox(
                label="Variation seed", placeholder="none", elem_id="variation-seed", min_width=110
            )
            variation = gr.Slider(
                0, 1, value=0, step=0.01, label="How far towards it", elem_id="variation", min_width=150
            )
        with gr.Row(elem_classes="tight"):
            upscale = gr.Slider(1, 4, value=1, step=0.25, label="Enlarge by", elem_id="upscale", min_width=150)
            denoise = gr.Slider(0, 1, value=0.6, step=0.05, label="Drawn anew by", elem_id="denoise", min_width=150)
        carried = Part("carried", {"fields": []})
        reset = gr.Button("Drop these settings", elem_id="reset", size="sm", visible=False)
    strength = gr.Slider(0, 1, value=0.8, step=0.05, label="How much is drawn anew", elem_id="strength", render=False)
    settings = Settings(
        prompt, negative, seed, steps, guidance, scheduler, width, height, variation_seed, variation, upscale, denoise,
        strength,
    )  # fmt: skip
    return settings, lock, dice, count, model, carried, reset


def examples(models: Models) -> tuple[str, ...]:
    """Prompts to begin with, all of words that the default model knows."""
    known = models.vocabulary(models.default)
    colorable, tints = (known.colorable, known.tints) if known is not None else ((), ())
    can = {"balloon", "car", "cat"} <= {*colorable} and {"red", "blue", "green"} <= {*tints}
    return (*EXAMPLES, *COLORED) if can else EXAMPLES
