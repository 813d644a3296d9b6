"""The world that the default model draws: names, icons, colours, relations.

`world.json` is the contract (what the model must at least know); `icons.json` holds the SVG bodies of its
objects, copied out of the npm package `@iconify-json/fluent-emoji-flat` (MIT), so that training needs no npm.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

FOLDER = Path(__file__).parent
SIZE = 128
"""Side of a scene, in pixels."""
GRID = 8
"""Pixels in one latent cell. Positions and sizes keep to it: the VAE is not shift-equivariant inside a cell, so
free positions would turn one icon into 64 patterns to learn."""
SINGLE_SIZES = (72, 80, 88, 96, 104, 112)
PAIR_SIZES = (48, 56)
COARSE = {"single": (80, 96, 112), "pair": (56,)}
"""Fewer sizes to begin with: one size of an icon is one pattern to learn, and shapes come sooner."""
NEAR_WHITE = (246, 246, 246)
"""Background where the caption names none."""


@dataclass(frozen=True, slots=True)
class World:
    objects: tuple[str, ...]
    icons: tuple[str, ...]
    colors: dict[str, tuple[int, int, int]]
    relations: tuple[str, ...]


@cache
def world() -> World:
    raw = json.loads((FOLDER / "world.json").read_text())
    return World(
        objects=tuple(entry["name"] for entry in raw["objects"]),
        icons=tuple(entry["icon"] for entry in raw["objects"]),
        colors={name: (rgb[0], rgb[1], rgb[2]) for name, rgb in raw["colors"].items()},
        relations=tuple(raw["relations"]),
    )


@cache
def _bodies() -> dict[str, str]:
    bodies: dict[str, str] = json.loads((FOLDER / "icons.json").read_text())["bodies"]
    return bodies


@cache
def icon(index: int, size: int) -> NDArray[np.float32]:
    """The object's icon as premultiplied RGBA in [0, 1], `[size, size, 4]`."""
    import io

    from PIL import Image
    from resvg_py import svg_to_bytes

    body = _bodies()[world().icons[index]]
    svg = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32" width="{size}" height="{size}">{body}</svg>'
    image = Image.open(io.BytesIO(bytes(svg_to_bytes(svg_string=svg)))).convert("RGBA")
    rgba = np.asarray(image, dtype=np.float32) / 255.0
    rgba[..., :3] *= rgba[..., 3:]
    return rgba
