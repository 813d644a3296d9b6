"""Compose scenes with exactly known captions, masks and boxes.

One object 72-112 px wide anywhere, or two of 48-62 px placed as a relation says, on a plain background. Objects have
their own colours, or, some of them, one that the caption names.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from weights.train.tint import TINTS, plain, tinted
from weights.train.world import GRID, NEAR_WHITE, PAIR_SIZES, SINGLE_SIZES, SIZE, icon, world

JITTER = 12
"""Background colours vary by this much a channel."""


@dataclass(frozen=True, slots=True)
class Placed:
    """One object of a scene: its index in the world, its box in pixels, and its colour where that is not its own."""

    index: int
    x: int
    y: int
    size: int
    color: str | None = None

    @property
    def name(self) -> str:
        return world().objects[self.index]

    @property
    def called(self) -> str:
        """As captions say it, without its article."""
        return self.name if self.color is None else f"{self.color} {self.name}"

    def icon(self) -> NDArray[np.float32]:
        """Premultiplied RGBA in [0, 1], `[size, size, 4]`."""
        return icon(self.index, self.size) if self.color is None else tinted(self.index, self.size, self.color)


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
            rgba = placed.icon()
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


def _background(
    rng: np.random.Generator, plain: float, apart: tuple[str, ...] = ()
) -> tuple[str | None, tuple[int, int, int]]:
    """A name and a colour round it; `apart` are colours that it must not have."""
    if rng.random() < plain:
        color, centre, spread = None, NEAR_WHITE, 4
    else:
        names = tuple(name for name in world().colors if name not in apart)
        color = names[rng.integers(len(names))]
        centre, spread = world().colors[color], JITTER
    noisy = np.clip(np.asarray(centre) + rng.integers(-spread, spread + 1, 3), 0, 255)
    return color, (int(noisy[0]), int(noisy[1]), int(noisy[2]))


def single(
    rng: np.random.Generator,
    index: int | None = None,
    plain: float = 0.3,
    sizes: tuple[int, ...] = SINGLE_SIZES,
    color: str | None = None,
) -> Scene:
    """A scene of one object; `plain` is the share of captions that name no background."""
    chosen = int(rng.integers(len(world().objects))) if index is None else index
    size = int(rng.choice(sizes))
    placed = Placed(chosen, _pick(rng, 0, SIZE - size), _pick(rng, 0, SIZE - size), size, color)
    return _scene(rng, (placed,), None, plain)


def pair(
    rng: np.random.Generator,
    plain: float = 0.3,
    choices: tuple[int, ...] = PAIR_SIZES,
    among: tuple[int, ...] | None = None,
    colors: tuple[str | None, str | None] = (None, None),
) -> Scene:
    """A scene of two different objects, of those in `among` or of all, placed as the relation in its caption says."""
    first, second = (int(i) for i in rng.choice(len(world().objects) if among is None else among, 2, replace=False))
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
    placed = tuple(
        Placed(index, *box, size, color)
        for index, box, size, color in zip((first, second), boxes, sizes, colors, strict=True)
    )
    return _scene(rng, placed, relation, plain)


def colored_single(rng: np.random.Generator, sizes: tuple[int, ...] = SINGLE_SIZES) -> Scene:
    """A scene of one plain object in a colour that its caption names."""
    return single(rng, int(rng.choice(plain())), 0.5, sizes, str(rng.choice(TINTS)))


def colored_pair(rng: np.random.Generator, choices: tuple[int, ...] = PAIR_SIZES, one: float = 0.25) -> Scene:
    """A scene of two plain objects in two colours; in a share `one` of them, one of both keeps its own."""
    first, second = (str(color) for color in rng.choice(TINTS, 2, replace=False))
    kept = rng.random() / one if one else 1.0
    colors = (None if kept < 0.5 else first, None if 0.5 <= kept < 1.0 else second)
    return pair(rng, 0.5, choices, plain(), colors)


def _scene(rng: np.random.Generator, placed: tuple[Placed, ...], relation: str | None, plain: float) -> Scene:
    """The objects on a background that none of them has been coloured as, and a caption of both."""
    color, rgb = _background(rng, plain, tuple(each.color for each in placed if each.color is not None))
    articled = rng.random() < 0.8
    names = [article(each.called) if articled else each.called for each in placed]
    return Scene(placed, relation, color, rgb, _caption(rng, f" {relation} ".join(names), color))


def _mirror(x: int, size: int) -> int:
    return SIZE - size - x
