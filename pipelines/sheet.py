"""Figures of panels in rows, with titles, a colour bar and one quiet style."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image, ImageDraw, ImageFont

COLORMAP = "inferno"
INK, PAPER, QUIET, LINE = (28, 28, 32), (255, 255, 255), (112, 112, 122), (228, 228, 232)
GAP, MARGIN = 20, 24
_LARGE, _SMALL = 22, 14
_BAR = (180, 10)


@dataclass(frozen=True, slots=True)
class Panel:
    """A picture under its title; None leaves the place empty."""

    title: str
    image: Image.Image | None


@dataclass(frozen=True, slots=True)
class Row:
    """Panels side by side; `name` stands before them, where any row of the sheet has one."""

    panels: tuple[Panel, ...]
    name: str = ""


@dataclass(frozen=True, slots=True)
class Bar:
    """A colour bar: what its two ends mean, and a note after it."""

    low: str
    high: str
    note: str


def fitted(image: Image.Image, side: int) -> Image.Image:
    """The picture with its longer side at that many pixels."""
    factor = side / max(image.size)
    size = (max(1, round(image.width * factor)), max(1, round(image.height * factor)))
    return image if image.size == size else image.resize(size, Image.Resampling.LANCZOS)


def sheet(rows: Sequence[Row], bar: Bar | None = None, *, side: int = 320, indent: int = 0) -> Image.Image:
    """Rows of panels, each panel's longer side `side` pixels.

    indent: panels that the bar starts under, from the left
    """
    fit = [
        replace(row, panels=tuple(replace(p, image=p.image and fitted(p.image, side)) for p in row.panels))
        for row in rows
    ]
    images = [panel.image for row in fit for panel in row.panels if panel.image is not None]
    cell = (max(image.width for image in images), max(image.height for image in images))
    large, small = ImageFont.load_default(_LARGE if side > 200 else 16), ImageFont.load_default(_SMALL)
    ruler = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    names = max((ruler.textlength(row.name, font=large) for row in fit), default=0.0)
    left = MARGIN + (min(round(names), 220) + GAP if names else 0)
    gap = GAP if side > 200 else 8
    heights = [cell[1] + (_title_height(side) if any(p.title for p in row.panels) else 0) for row in fit]
    across = max(len(row.panels) for row in fit)
    width = left + across * cell[0] + (across - 1) * gap + MARGIN
    height = 2 * MARGIN + sum(heights) + gap * (len(fit) - 1) + (34 if bar else 0)
    made = Image.new("RGB", (width, height), PAPER)
    draw = ImageDraw.Draw(made)
    top = MARGIN
    for row, tall in zip(fit, heights, strict=True):
        down = top + tall - cell[1]
        if row.name:
            name = shortened(row.name, large, 220, draw)
            draw.text((MARGIN, down + cell[1] // 2), name, fill=INK, font=large, anchor="lm")
        for place, panel in enumerate(row.panels):
            at = left + place * (cell[0] + gap)
            if panel.title:
                draw.text((at, top), shortened(panel.title, large, cell[0], draw), fill=INK, font=large)
            if panel.image is not None:
                made.paste(panel.image, (at, down))
        top += tall + gap
    if bar is not None:
        _draw_bar(made, draw, small, bar, (left + indent * (cell[0] + gap), height - MARGIN - _BAR[1]))
    return made


def _title_height(side: int) -> int:
    return 40 if side > 200 else 26


def _draw_bar(
    made: Image.Image,
    draw: ImageDraw.ImageDraw,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
    bar: Bar,
    at: tuple[int, int],
) -> None:
    from cmap import Colormap

    left, top = at
    middle = top + _BAR[1] // 2
    draw.text((left, middle), bar.low, fill=QUIET, font=font, anchor="lm")
    left += round(draw.textlength(bar.low, font=font)) + 8
    ramp = np.asarray(Colormap(COLORMAP)(np.linspace(0, 1, _BAR[0], dtype=np.float32)))[None, :, :3]
    made.paste(Image.fromarray(np.rint(ramp * 255).astype(np.uint8)).resize(_BAR), (left, top))
    left += _BAR[0] + 8
    draw.text((left, middle), bar.high, fill=QUIET, font=font, anchor="lm")
    left += round(draw.textlength(bar.high, font=font)) + 18
    room = made.width - MARGIN - left
    if room >= draw.textlength(bar.note, font=font):
        draw.text((left, middle), bar.note, fill=QUIET, font=font, anchor="lm")


def shortened(
    text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: float, draw: ImageDraw.ImageDraw
) -> str:
    """The text in one line, cut with an ellipsis where it is wider than its place."""
    text = " ".join(text.split())  # Pillow measures no text of several lines
    if draw.textlength(text, font=font) <= width:
        return text
    # by halves: letter by letter, a prompt of thousands is measured for minutes
    too_long = bisect_left(range(len(text)), True, key=lambda n: draw.textlength(f"{text[:n]}…", font=font) > width)
    return f"{text[: max(0, too_long - 1)]}…"
