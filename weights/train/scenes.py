"""Compose scenes with exactly known captions, masks and boxes.

One object 72-112 px wide anywhere, or two of 48-62 px placed as a relation says, on a plain background.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from weights.train.world import GRID, NEAR_WHITE, PAIR_SIZES, SINGLE_SIZES, SIZE, icon, world

JITTER = 12
"""Background colours vary by this much a channel."""


@dataclass(frozen=True, slots=True)
class Placed:
    """One object of a scene: its index in the world and its box, in pixels."""

    index: int
    x: int
    y: int
    size: int

    @property
    def name(self) -> str:
        return world().objects[self.index]


@dataclass(frozen=True, slots=True)
class Scene:
    objects: tuple[Placed, ...]
    relation: str | None
    """Between the first and the second object; None for a single one."""
    color: str | None
    """The background's name, None for near-white."""
    rgb: tuple[int, int, int]
    caption: str

    def image(self) -> NDArray[np.uint8]:
        """`[128, 128, 3]`."""
        canvas = np.empty((SIZE, SIZE, 3), np.float32)
        canvas[:] = np.asarray(self.rgb, np.float32) / 255.0
        for placed in self.objects:
            rgba = icon(placed.index, placed.size)
            window = canvas[placed.y : placed.y + placed.size, placed.x : placed.x + placed.size]
            window *= 1.0 - rgba[..., 3:]
            window += rgba[..., :3]
        return np.rint(canvas * 255.0).astype(np.uint8)

    def masks(self) -> NDArray[np.bool_]:
        """Where each object is visible, `[objects, 128, 128]`."""
        masks = np.zeros((len(self.objects), SIZE, SIZE), np.bool_)
        for mask, placed in zip(masks, self.objects, strict=True):
            alpha = icon(placed.index, placed.size)[..., 3]
            mask[placed.y : placed.y + placed.size, placed.x : placed.x + placed.size] = alpha > 0.5
        return masks


def article(name: str) -> str:
    return f"an {name}" if name[0] in "aeiou" else f"a {name}"


def _pick(rng: np.random.Generator, low: int, high: int) -> int:
    """A multiple of the grid in [low, high]."""
    return int(rng.integers(low // GRID, high // GRID + 1)) * GRID


def _caption(rng: np.random.Generator, subject: str, color: str | None) -> str:
    prefix = ("", "", "", "an image of ", "a picture of ")[rng.integers(5)]
    if color is None:
        return prefix + subject
    suffix = (
        f" on {color}",
        f" on {article(color)} background",
        f", {color} background",
        f" on {article(color)} background",
    )
    return prefix + subject + suffix[rng.integers(4)]


def _background(rng: np.random.Generator, plain: float) -> tuple[str | None, tuple[int, int, int]]:
    if rng.random() < plain:
        color, centre, spread = None, NEAR_WHITE, 4
    else:
        names = tuple(world().colors)
        color = names[rng.integers(len(names))]
        centre, spread = world().colors[color], JITTER
    noisy = np.clip(np.asarray(centre) + rng.integers(-spread, spread + 1, 3), 0, 255)
    return color, (int(noisy[0]), int(noisy[1]), int(noisy[2]))


def single(
    rng: np.random.Generator,
    index: int | None = None,
    plain: float = 0.3,
    sizes: tuple[int, ...] = SINGLE_SIZES,
) -> Scene:
    """A scene of one object; `plain` is the share of captions that name no background."""
    chosen = int(rng.integers(len(world().objects))) if index is None else index
    size = int(rng.choice(sizes))
    placed = Placed(chosen, _pick(rng, 0, SIZE - size), _pick(rng, 0, SIZE - size), size)
    color, rgb = _background(rng, plain)
    subject = article(placed.name) if rng.random() < 0.8 else placed.name
    return Scene((placed,), None, color, rgb, _caption(rng, subject, color))


def pair(rng: np.random.Generator, plain: float = 0.3, choices: tuple[int, ...] = PAIR_SIZES) -> Scene:
    """A scene of two different objects, placed as the relation in its caption says."""
    first, second = (int(i) for i in rng.choice(len(world().objects), 2, replace=False))
    relation = world().relations[rng.integers(len(world().relations))]
    sizes = [int(s) for s in rng.choice(choices, 2)]
    half = SIZE // 2
    boxes = []
    for place, size in enumerate(sizes):
        near = _pick(rng, 0, half - size)
        free = _pick(rng, 0, SIZE - size)
        # "and" is side by side in reading order or not: the caption does not say
        leads = (place == 0) != (relation in ("to the right of", "below"))
        offset = near if leads else half + near
        boxes.append((free, offset) if relation in ("above", "below") else (offset, free))
    if relation == "and" and rng.random() < 0.5:
        (x0, y0), (x1, y1) = boxes
        boxes = [(_mirror(x0, sizes[0]), y0), (_mirror(x1, sizes[1]), y1)]
    placed = tuple(Placed(i, x, y, s) for i, (x, y), s in zip((first, second), boxes, sizes, strict=True))
    color, rgb = _background(rng, plain)
    if rng.random() < 0.8:
        subject = f"{article(placed[0].name)} {relation} {article(placed[1].name)}"
    else:
        subject = f"{placed[0].name} {relation} {placed[1].name}"
    return Scene(placed, relation, color, rgb, _caption(rng, subject, color))


def _mirror(x: int, size: int) -> int:
    return SIZE - size - x
