"""Pictures about pictures: heat maps laid over what was drawn, side by side with their words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from pipelines.attention_maps import AttentionMaps, scaled
from pipelines.ledger import Phrase
from xattn.errors import UnknownName

COLORMAP = "inferno"
INK, PAPER, QUIET = (28, 28, 32), (255, 255, 255), (120, 120, 128)
_SIDE = 320
_GAP, _MARGIN, _TITLE = 20, 24, 44


def overlay(
    image: Image.Image,
    heat: NDArray[np.float32],
    *,
    opacity: float = 0.75,
    between: tuple[float, float] | None = None,
) -> Image.Image:
    """The picture in grey with a map over it: the warmer, the more a place looked at the word.

    heat: [y, x], any size, resized to the picture's. between: the values drawn coldest and warmest; None are the map's
    own least and greatest.
    """
    from cmap import Colormap

    values = Image.fromarray(scaled(heat, between)).resize(image.size, Image.Resampling.BICUBIC)
    strength = np.clip(np.asarray(values, dtype=np.float32), 0.0, 1.0)
    colors = np.asarray(Colormap(COLORMAP)(strength), dtype=np.float32)[..., :3]
    grey = np.asarray(image.convert("L"), dtype=np.float32)[..., None] / 255.0
    mixed = (1.0 - opacity) * grey + opacity * colors
    return Image.fromarray(np.rint(np.clip(mixed, 0, 1) * 255).astype(np.uint8))


def contact_sheet(
    image: Image.Image,
    maps: AttentionMaps,
    *,
    words: Sequence[Phrase] | None = None,
    scale: Literal["shared", "each"] = "each",
    title: str = "",
) -> Image.Image:
    """The picture, then an overlay for each word, with the words over them and a colour bar.

    scale: "each" draws every word from its own least value to its greatest; "shared" from nothing to the greatest of
        all, so that words compare.
    Raises UnknownName, UnknownWord.
    """
    if scale not in ("shared", "each"):
        raise UnknownName("scale", scale, ("shared", "each"))
    chosen = maps.words if words is None else tuple(words)
    heats = [maps[word] for word in chosen]
    between = (0.0, max(float(heat.max()) for heat in heats)) if scale == "shared" else None
    panels = [(title or "picture", image.convert("RGB"))]
    panels += [
        (maps.label(word), overlay(image, heat, between=between)) for word, heat in zip(chosen, heats, strict=True)
    ]
    return _row([(name, _fit(panel)) for name, panel in panels], scale)


def _fit(image: Image.Image) -> Image.Image:
    factor = _SIDE / max(image.size)
    size = (max(1, round(image.width * factor)), max(1, round(image.height * factor)))
    return image.resize(size, Image.Resampling.LANCZOS)


def _row(panels: list[tuple[str, Image.Image]], scale: str) -> Image.Image:
    height = max(panel.height for _, panel in panels)
    width = sum(panel.width for _, panel in panels) + _GAP * (len(panels) - 1)
    sheet = Image.new("RGB", (width + 2 * _MARGIN, height + _TITLE + 2 * _MARGIN + 22), PAPER)
    draw = ImageDraw.Draw(sheet)
    large, small = ImageFont.load_default(22), ImageFont.load_default(14)
    left = _MARGIN
    for name, panel in panels:
        draw.text((left, _MARGIN), _short(name, large, panel.width, draw), fill=INK, font=large)
        sheet.paste(panel, (left, _MARGIN + _TITLE))
        left += panel.width + _GAP
    _bar(sheet, draw, small, scale, (_MARGIN + panels[0][1].width + _GAP, height + _TITLE + _MARGIN + 14))
    return sheet


def _bar(sheet: Image.Image, draw: ImageDraw.ImageDraw, font: object, scale: str, at: tuple[int, int]) -> None:
    """The colour bar, under the overlays: from nothing to the greatest share of attention."""
    from cmap import Colormap

    ramp = np.asarray(Colormap(COLORMAP)(np.linspace(0, 1, 160, dtype=np.float32)))[None, :, :3]
    bar = Image.fromarray(np.rint(ramp * 255).astype(np.uint8)).resize((160, 10))
    sheet.paste(bar, at)
    text = "attention: each word's least to its most" if scale == "each" else "attention: none to the most of all words"
    draw.text((at[0] + 170, at[1] - 4), text, fill=QUIET, font=font)  # type: ignore[arg-type]


def _short(text: str, font: object, width: int, draw: ImageDraw.ImageDraw) -> str:
    """The text, cut with an ellipsis where it is wider than its panel."""
    if draw.textlength(text, font=font) <= width:  # type: ignore[arg-type]
        return text
    while text and draw.textlength(f"{text}…", font=font) > width:  # type: ignore[arg-type]
        text = text[:-1]
    return f"{text}…"
