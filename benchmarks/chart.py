"""A small chart: points with their quartiles over a few places, drawn as the project's figures are."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from pipelines.sheet import INK, LINE, PAPER, QUIET

Color = tuple[int, int, int]
COLORS: tuple[Color, ...] = ((214, 72, 52), (46, 108, 176), (74, 148, 92))
SIZE = (560, 400)
LEFT, TOP, RIGHT, BOTTOM = 64, 76, 20, 60


@dataclass(frozen=True, slots=True)
class Chart:
    """Lines over the same places: of each line, at each place, all that was measured, in percent.

    bar: a height that is wanted, drawn across with its name
    """

    title: str
    under: str
    places: tuple[str, ...]
    lines: Mapping[str, Sequence[Sequence[float]]]
    bar: tuple[float, str] | None = None

    def drawn(self) -> Image.Image:
        """Medians as dots, joined, quartiles as strokes."""
        image = Image.new("RGB", SIZE, PAPER)
        canvas = ImageDraw.Draw(image)
        large, small = ImageFont.load_default(18), ImageFont.load_default(13)
        quartiles = {
            name: [[float(one) for one in np.quantile(some, (0.25, 0.5, 0.75))] for some in values]
            for name, values in self.lines.items()
        }
        every = [one for values in quartiles.values() for some in values for one in some]
        low, high = min(0.0, *every), max(1.0, *every, self.bar[0] if self.bar else 0.0)
        steps = (0.5, *(lead * 10**power for power in range(9) for lead in (1, 2, 5)))
        step = next(size for size in steps if (high - low) / size <= 7)
        low, high = step * math.floor(low / step), step * math.ceil(high / step)

        def y(value: float) -> float:
            return TOP + (SIZE[1] - TOP - BOTTOM) * (high - value) / (high - low)

        def x(place: int) -> float:
            return LEFT + (SIZE[0] - LEFT - RIGHT) * (place + 0.5) / len(self.places)

        canvas.text((24, 16), self.title, INK, large)
        for tick in map(float, np.arange(low, high + step / 2, step)):
            canvas.line((LEFT, y(tick), SIZE[0] - RIGHT, y(tick)), QUIET if tick == 0 else LINE)
            canvas.text((LEFT - 8, y(tick)), f"{tick:g} %", QUIET, small, anchor="rm")
        for place, name in enumerate(self.places):
            canvas.text((x(place), SIZE[1] - BOTTOM + 16), name, INK, small, anchor="mm")
        canvas.text(((LEFT + SIZE[0] - RIGHT) / 2, SIZE[1] - 20), self.under, QUIET, small, anchor="mm")
        if self.bar is not None:
            for start in range(LEFT, SIZE[0] - RIGHT, 10):
                canvas.line((start, y(self.bar[0]), start + 5, y(self.bar[0])), INK)
            canvas.text((SIZE[0] - RIGHT, y(self.bar[0]) - 3), self.bar[1], INK, small, anchor="rb")
        start = LEFT
        for color, (name, values) in zip(COLORS, quartiles.items(), strict=False):
            canvas.line([(x(place), y(some[1])) for place, some in enumerate(values)], color, 2)
            for place, (first, middle, third) in enumerate(values):
                canvas.line((x(place), y(first), x(place), y(third)), color, 2)
                canvas.ellipse((x(place) - 4, y(middle) - 4, x(place) + 4, y(middle) + 4), color)
            canvas.rectangle((start, 52, start + 10, 62), color)
            canvas.text((start + 16, 57), name, INK, small, anchor="lm")
            start += 32 + int(canvas.textlength(name, small))
        return image


def beside(charts: Sequence[Chart]) -> Image.Image:
    """Charts in a row."""
    images = [chart.drawn() for chart in charts]
    whole = Image.new("RGB", (sum(one.width for one in images), SIZE[1]), PAPER)
    for place, one in enumerate(images):
        whole.paste(one, (place * SIZE[0], 0))
    return whole
