"""The look: a light table. Cool paper, blue-black ink, one signal colour for what a person can start; the rest of the
colour on the page belongs to words and pictures. css/ has what variables cannot say.
"""

from __future__ import annotations

import gradio as gr
from gradio.themes.utils.fonts import LocalFont

INK = gr.themes.Color(
    name="ink",
    c50="#f3f5f9",
    c100="#e7eaf1",
    c200="#d3d8e4",
    c300="#b3bbcd",
    c400="#8590a8",
    c500="#626d87",
    c600="#4a546c",
    c700="#363f55",
    c800="#232a3c",
    c900="#171c2b",
    c950="#0e121d",
)
SIGNAL = gr.themes.Color(
    name="signal",
    c50="#eef0ff",
    c100="#dfe3ff",
    c200="#c3caff",
    c300="#9fa9ff",
    c400="#7c86ff",
    c500="#5a5ff5",
    c600="#4a48dc",
    c700="#3d3ab5",
    c800="#333291",
    c900="#2b2b74",
    c950="#1a1a45",
)


# The page that asks who comes has the theme, but not css/.
_LOGIN = """
.wrap:has(> .column input[type=password]) { background: none; padding: 12vh 12px 0; }
.wrap > .column:has(input[type=password]) { gap: 14px; min-width: 0 !important; width: 100%; max-width: 380px;
  padding: 22px; border: 1px solid var(--border-color-primary); border-radius: 12px;
  background: var(--background-fill-primary); box-shadow: 0 1px 2px #171c2b14, 0 8px 24px #171c2b0d; }
.column:has(input[type=password]) > h2 { margin: 0; font-size: 18px; }
.column > .form:has(input[type=password]) { gap: 14px; border: 0; background: none; box-shadow: none; }
.form:has(input[type=password]) span[data-testid=block-info] { display: inline-block; margin-bottom: 4px; }
.form:has(input[type=password]) span[data-testid=block-info]::first-letter { text-transform: uppercase; }
.form:has(input[type=password]) input { border: 1px solid var(--input-border-color) !important;
  border-radius: 7px; padding: 9px 11px !important; font-size: 16px; }
"""


def theme() -> gr.themes.Base:
    """Gradio's variables set to ours; fonts are Gradio's own files, so that no other host is asked."""
    made = gr.themes.Base(
        primary_hue=SIGNAL,
        secondary_hue=SIGNAL,
        neutral_hue=INK,
        radius_size=gr.themes.sizes.radius_md,
        spacing_size=gr.themes.sizes.spacing_sm,
        text_size=gr.themes.sizes.text_sm,
        # the files of weight 600 that Gradio brings lack most letters
        font=(LocalFont("IBM Plex Sans", weights=(400, 700)), "ui-sans-serif", "system-ui", "sans-serif"),
        font_mono=(LocalFont("IBM Plex Mono", weights=(400, 700)), "ui-monospace", "monospace"),
    )
    made.custom_css = _LOGIN
    return made.set(
        body_background_fill="#eceff5",
        body_background_fill_dark="#0e121d",
        body_text_color="#171c2b",
        body_text_color_dark="#e6e9f2",
        body_text_color_subdued="#55607a",
        body_text_color_subdued_dark="#9aa5bd",
        background_fill_primary="#fbfcfe",
        background_fill_primary_dark="#171c2b",
        background_fill_secondary="#f3f5f9",
        background_fill_secondary_dark="#121724",
        block_background_fill="transparent",
        block_background_fill_dark="transparent",
        block_border_width="0px",
        block_border_width_dark="0px",
        block_shadow="none",
        block_shadow_dark="none",
        block_padding="0px",
        block_label_background_fill="transparent",
        block_label_background_fill_dark="transparent",
        block_label_border_width="0px",
        block_label_text_color="#55607a",
        block_label_text_color_dark="#9aa5bd",
        block_label_text_weight="600",
        block_title_text_color="#3a4359",
        block_title_text_color_dark="#c3cadb",
        block_title_text_weight="600",
        block_title_text_size="13px",
        block_info_text_color="#55607a",
        block_info_text_color_dark="#9aa5bd",
        border_color_primary="#d3d8e4",
        border_color_primary_dark="#2c3449",
        input_background_fill="#ffffff",
        input_background_fill_dark="#0e121d",
        input_border_color="#7d88a1",
        input_border_color_dark="#626d87",
        input_border_color_focus="#5a5ff5",
        input_border_color_focus_dark="#9fa9ff",
        input_placeholder_color="#667089",
        input_placeholder_color_dark="#8590a8",
        input_shadow="none",
        input_shadow_focus="0 0 0 3px #5a5ff533",
        input_shadow_focus_dark="0 0 0 3px #9fa9ff44",
        panel_background_fill="transparent",
        panel_background_fill_dark="transparent",
        button_primary_background_fill="#4a48dc",
        button_primary_background_fill_hover="#3d3ab5",
        button_primary_background_fill_dark="#7c86ff",
        button_primary_background_fill_hover_dark="#9fa9ff",
        button_primary_text_color="#ffffff",
        button_primary_text_color_dark="#0e121d",
        button_secondary_background_fill="#ffffff",
        button_secondary_background_fill_dark="#232a3c",
        button_secondary_background_fill_hover="#e7eaf1",
        button_secondary_background_fill_hover_dark="#2c3449",
        button_secondary_border_color="#b3bbcd",
        button_secondary_border_color_dark="#3c465f",
        button_border_width="1px",
        button_large_radius="8px",
        button_small_radius="7px",
        button_medium_radius="7px",
        button_large_text_weight="600",
        slider_color="#5a5ff5",
        slider_color_dark="#7c86ff",
        checkbox_background_color_selected="#4a48dc",
        checkbox_background_color_selected_dark="#7c86ff",
        link_text_color="#3d3ab5",
        link_text_color_dark="#9fa9ff",
    )
