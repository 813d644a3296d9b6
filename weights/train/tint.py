"""Coloured objects: plain icons in other colours than their own.

An icon's main hue is the commonest one of its coloured pixels. These take the hue of the asked colour, and its
saturation and value in proportion to the icon's own, so that shades stay shades. Eyes, stems and wheels do not
change.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from weights.train.world import icon, world

PLAIN = (
    "balloon",
    "car",
    "umbrella",
    "house",
    "top hat",
    "star",
    "key",
    "bell",
    "teddy bear",
    "cat",
    "tulip",
    "octopus",
)
"""Objects that are mostly one colour, and known by their outline in any other."""
TINTS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "gray")
"""Those of the world's colours that an object may have."""
NEAR, FAR = 45.0, 60.0
"""Degrees from the main hue up to which a pixel is recoloured whole, and from which it is not at all."""


@cache
def plain() -> tuple[int, ...]:
    """The plain objects' places in the world's list."""
    return tuple(world().objects.index(name) for name in PLAIN)


@cache
def tinted(index: int, size: int, color: str) -> NDArray[np.float32]:
    """The object's icon in a named colour, as premultiplied RGBA in [0, 1], `[size, size, 4]`."""
    rgba = icon(index, size)
    alpha = rgba[..., 3:]
    hue, saturation, value = _hsv(_straight(rgba))
    main, middle_saturation, middle_value = _main(index)
    asked = _hsv(np.asarray(world().colors[color], np.float32)[None, None] / 255.0)
    away = np.abs((hue - main + 180.0) % 360.0 - 180.0)
    share = np.clip((FAR - away) / (FAR - NEAR), 0, 1) * np.clip((saturation - 0.15) / 0.15, 0, 1)
    new = _rgb(
        np.full_like(hue, asked[0].item()),
        np.clip(saturation * asked[1].item() / middle_saturation, 0, 1),
        np.clip(value * asked[2].item() / middle_value, 0, 1),
    )
    old = _straight(rgba)
    mixed = old + (new - old) * share[..., None]
    return np.concatenate([mixed * alpha, alpha], axis=-1).astype(np.float32)


@cache
def inked(index: int, size: int) -> NDArray[np.bool_]:
    """Which pixels of an icon take another colour, `[size, size]`."""
    rgba = icon(index, size)
    hue, saturation, _ = _hsv(_straight(rgba))
    away = np.abs((hue - _main(index)[0] + 180.0) % 360.0 - 180.0)
    return (rgba[..., 3] > 0.5) & (saturation > 0.3) & (away < NEAR)


@cache
def _main(index: int, size: int = 96) -> tuple[float, float, float]:
    """The main hue in degrees, and the median saturation and value of its pixels."""
    rgba = icon(index, size)
    hue, saturation, value = _hsv(_straight(rgba))
    coloured = (rgba[..., 3] > 0.5) & (saturation > 0.3) & (value > 0.25)
    counts = np.bincount((hue[coloured] // 10).astype(np.int64) % 36, minlength=36)
    around = sum(np.roll(counts, by) for by in range(-2, 3))
    main = float(np.argmax(around)) * 10.0 + 5.0
    own = coloured & (np.abs((hue - main + 180.0) % 360.0 - 180.0) < NEAR)
    return main, float(np.median(saturation[own])), float(np.median(value[own]))


def _straight(rgba: NDArray[np.float32]) -> NDArray[np.float32]:
    """Colours without the alpha that they were multiplied by, `[size, size, 3]`."""
    straight: NDArray[np.float32] = rgba[..., :3] / np.maximum(rgba[..., 3:], 1e-6)
    return straight.clip(0, 1)


def _hsv(rgb: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Hue in degrees, saturation and value in [0, 1]; at the eight bits that icons have."""
    image = Image.fromarray(np.rint(rgb * 255).astype(np.uint8), "RGB").convert("HSV")
    hue, saturation, value = np.moveaxis(np.asarray(image, np.float32), -1, 0)
    return hue * (360.0 / 256.0), saturation / 255.0, value / 255.0


def _rgb(hue: NDArray[np.float32], saturation: NDArray[np.float32], value: NDArray[np.float32]) -> NDArray[np.float32]:
    levels = np.stack([hue * (256.0 / 360.0), saturation * 255.0, value * 255.0], axis=-1)
    image = Image.fromarray(np.rint(levels).clip(0, 255).astype(np.uint8), "HSV").convert("RGB")
    return np.asarray(image, np.float32) / 255.0
