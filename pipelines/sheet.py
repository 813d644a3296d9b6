"""Figures of panels in rows, with titles, a colour bar and one quiet style."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from pipelines.lettering import Font, length, write

COLORMAP = "inferno"
INK, PAPER, QUIET, LINE = (28, 28, 32), (255, 255, 255), (112, 112, 122), (228, 228, 232)
GAP, MARGIN = 20, 24
_LARGE, _SMALL = 22, 14
_BAR = (180, 10)
_NOTE = 20
"""Pixels of a line of a note."""
_FURTHER = (19, 27)
"""Pixels of a title's second line and third, small and large."""
_LINES = 3


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


def sheet(
    rows: Sequence[Row], bar: Bar | None = None, *, side: int = 320, indent: int = 0, note: str = ""
) -> Image.Image:
    """Rows of panels, each panel's longer side `side` pixels.

    indent: panels that the bar starts under, from the left; note: small letters below all
    """
    fit = [
        replace(row, panels=tuple(replace(p, image=p.image and fitted(p.image, side)) for p in row.panels))
        for row in rows
    ]
    images = [panel.image for row in fit for panel in row.panels if panel.image is not None]
    cell = (max(image.width for image in images), max(image.height for image in images))
    large, small = ImageFont.load_default(_LARGE if side > 200 else 16), ImageFont.load_default(_SMALL)
    ruler = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    names = max((length(ruler, row.name, large) for row in fit), default=0.0)
    left = MARGIN + (min(round(names), 220) + GAP if names else 0)
    gap = GAP if side > 200 else 8
    titles = [[broken(panel.title, large, cell[0], ruler) for panel in row.panels] for row in fit]
    heights = [cell[1] + _titles_height(side, max(map(len, some))) for some in titles]
    across = max(len(row.panels) for row in fit)
    width = left + across * cell[0] + (across - 1) * gap + MARGIN
    notes = broken(note, small, width - left - MARGIN, ruler)
    below = _NOTE * len(notes)
    height = 2 * MARGIN + sum(heights) + gap * (len(fit) - 1) + (34 if bar else 0) + below
    made = Image.new("RGB", (width, height), PAPER)
    draw = ImageDraw.Draw(made)
    top = MARGIN
    for row, lines, tall in zip(fit, titles, heights, strict=True):
        down = top + tall - cell[1]
        if row.name:
            name = shortened(row.name, large, 220, draw)
            write(draw, (MARGIN, down + cell[1] // 2), name, fill=INK, font=large, anchor="lm")
        for place, panel in enumerate(row.panels):
            at = left + place * (cell[0] + gap)
            for number, line in enumerate(lines[place]):
                write(draw, (at, top + number * _FURTHER[side > 200]), line, fill=INK, font=large)
            if panel.image is not None:
                made.paste(panel.image, (at, down))
        top += tall + gap
    if bar is not None:
        under = left + indent * (cell[0] + gap)
        room = width - MARGIN - _bar_width(draw, small, bar)
        # further left where its note would not fit: a bar without one says nothing
        at = next((start for start in (under, left, MARGIN) if start <= room), under)
        _draw_bar(made, draw, small, bar, (at, height - below - MARGIN - _BAR[1]))
    for number, line in enumerate(notes):
        write(draw, (left, height - MARGIN - below + number * _NOTE + 4), line, fill=QUIET, font=small)
    return made


def _titles_height(side: int, lines: int) -> int:
    return ((40 if side > 200 else 26) + (lines - 1) * _FURTHER[side > 200]) if lines else 0


def _bar_width(draw: ImageDraw.ImageDraw, font: Font, bar: Bar) -> int:
    words = sum(length(draw, text, font) for text in (bar.low, bar.high, bar.note))
    return ceil(words) + 8 + _BAR[0] + 8 + 18


def _draw_bar(
    made: Image.Image,
    draw: ImageDraw.ImageDraw,
    font: Font,
    bar: Bar,
    at: tuple[int, int],
) -> None:
    from cmap import Colormap

    left, top = at
    middle = top + _BAR[1] // 2
    write(draw, (left, middle), bar.low, fill=QUIET, font=font, anchor="lm")
    left += round(length(draw, bar.low, font)) + 8
    ramp = np.asarray(Colormap(COLORMAP)(np.linspace(0, 1, _BAR[0], dtype=np.float32)))[None, :, :3]
    made.paste(Image.fromarray(np.rint(ramp * 255).astype(np.uint8)).resize(_BAR), (left, top))
    left += _BAR[0] + 8
    write(draw, (left, middle), bar.high, fill=QUIET, font=font, anchor="lm")
    left += round(length(draw, bar.high, font)) + 18
    room = made.width - MARGIN - left
    if room >= length(draw, bar.note, font):
        write(draw, (left, middle), bar.note, fill=QUIET, font=font, anchor="lm")


def broken(text: str, font: Font, width: float, draw: ImageDraw.ImageDraw) -> list[str]:
    """The text in up to three lines, broken between words; the last one is cut where there is more."""
    lines: list[str] = []
    words = text.split()
    while words and len(lines) < _LINES - 1:
        count = 1
        while count < len(words) and length(draw, " ".join(words[: count + 1]), font) <= width:
            count += 1
        lines.append(shortened(" ".join(words[:count]), font, width, draw))
        words = words[count:]
    return [*lines, shortened(" ".join(words), font, width, draw)] if words else lines


def shortened(text: str, font: Font, width: float, draw: ImageDraw.ImageDraw) -> str:
    """The text in one line, cut with an ellipsis where it is wider than its place."""
    text = " ".join(text.split())  # Pillow measures no text of several lines
    if length(draw, text, font) <= width:
        return text
    # by halves: letter by letter, a prompt of thousands is measured for minutes
    too_long = bisect_left(range(len(text)), True, key=lambda n: length(draw, f"{text[:n]}…", font) > width)
    return f"{text[: max(0, too_long - 1)]}…"
