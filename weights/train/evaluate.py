"""What the model can do, in figures: the same prompts and seeds each time, judged by the judge.

`evaluate` takes anything that draws, so other samplers, edits and other builds of the model are measured alike.
Bars are those that the default model is held to.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache

import numpy as np
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from numpy.typing import NDArray
from transformers import CLIPTextModel, CLIPTokenizer

from weights.train import vae as autoencoder
from weights.train.draw import GUIDANCE, Draw, Drawer, Image
from weights.train.figures import Figures, Weak
from weights.train.judge import Judge, Seen, background, color_right, load, look
from weights.train.scenes import Scene, pair, single
from weights.train.world import world

SINGLE, PAIR, DATA = 6, 7, 8
"""First word of the seeds of the evaluation's scenes; training's seeds are of one word."""
MARGIN = 16.0
"""Pixels by which centres must differ for a relation to hold; in the data they differ by 48 and more."""
FOREGROUND = 40.0
"""A pixel this far (Euclidean, of 255 a channel) from the background's colour belongs to an object."""


def singles_of(seeds: int, first: int = 0, objects: Sequence[int] | None = None) -> list[Scene]:
    """One scene an object and seed: the captions to draw, and what they ask for."""
    chosen = range(len(world().objects)) if objects is None else objects
    return [
        single(np.random.default_rng([SINGLE, seed, index]), index)
        for seed in range(first, first + seeds)
        for index in chosen
    ]


def pairs_of(count: int, first: int = 0) -> list[Scene]:
    """Scenes of two objects: the captions to draw, and what they ask for."""
    return [pair(np.random.default_rng([PAIR, seed])) for seed in range(first, first + count)]


def evaluate(
    draw: Draw,
    how: str = "",
    *,
    seeds: int = 3,
    pairs: int = 240,
    vae: AutoencoderKL | None = None,
    judge: Judge | None = None,
) -> Figures:
    """Draw every object `seeds` times and `pairs` pairs, and judge them.

    `how` is a note for the reader, `vae` adds its PSNR.
    """
    judge = judge or load()
    alone, together = singles_of(seeds), pairs_of(pairs)
    drawn_alone = draw([scene.caption for scene in alone], range(len(alone)))
    drawn_together = draw([scene.caption for scene in together], range(len(alone), len(alone) + pairs))
    seen_alone, seen_together = look(judge, drawn_alone, 1), look(judge, drawn_together, 2)
    found = [_found(scene, seen) for scene, seen in zip(together, seen_together, strict=True)]
    relations = _relations(together, seen_together)
    held = [right for rights in relations.values() for right in rights]
    colors = [
        color_right(picture, scene.color)
        for picture, scene in zip([*drawn_alone, *drawn_together], [*alone, *together], strict=True)
    ]
    return Figures(
        how=how,
        singles=len(alone),
        pairs=len(together),
        psnr=None if vae is None else autoencoder.psnr(vae),
        single=_share([_found(scene, seen) == 1 for scene, seen in zip(alone, seen_alone, strict=True)]),
        background=_share(colors),
        both=_share([number == 2 for number in found]),
        one=_share([number >= 1 for number in found]),
        relation=_share(held) if held else None,
        relations={name: _share(rights) for name, rights in sorted(relations.items())},
        spread=spread(drawn_alone),
        weak=_weak(alone, seen_alone),
    )


def singles(
    unet: UNet2DConditionModel,
    text: CLIPTextModel,
    vae: AutoencoderKL,
    tokenizer: CLIPTokenizer,
    scheduler: DDIMScheduler,
    *,
    steps: int = 20,
    guidance: float = GUIDANCE,
    seeds: int = 1,
    seed: int = 0,
    every: int = 2,
    judge: Judge | None = None,
) -> dict[str, float]:
    """A quick look during training, in bfloat16: every `every`-th object, `seeds` seeds from `seed` on."""
    judge = judge or load()
    drawer = Drawer(unet, text, vae, tokenizer, scheduler, steps, guidance, fast=True)
    scenes = singles_of(seeds, seed, range(seed % every, len(world().objects), every))
    drawn = drawer([scene.caption for scene in scenes], [seed * 1000 + row for row in range(len(scenes))])
    right = [_found(scene, seen) == 1 for scene, seen in zip(scenes, look(judge, drawn, 1), strict=True)]
    colors = [color_right(picture, scene.color) for picture, scene in zip(drawn, scenes, strict=True)]
    return {"single": _share(right), "background": _share(colors)}


def holds(relation: str, first: tuple[float, float], second: tuple[float, float], margin: float = MARGIN) -> bool:
    """Whether two centres (x, y) in pixels stand as the relation says; "and" is side by side in either order."""
    right, down = second[0] - first[0], second[1] - first[1]
    measured = {
        "to the left of": right,
        "to the right of": -right,
        "above": down,
        "below": -down,
        "and": abs(right),
    }
    return measured[relation] >= margin


def spread(drawn: list[Image], reference: int = 2000) -> dict[str, float]:
    """KS distance of places (x, y of the middle) and sizes of single objects to those of composed scenes.

    Both are measured alike, from the pixels that differ from the background.
    """
    made = _extents(drawn)
    if not len(made):
        return dict.fromkeys(("x", "y", "size"), 1.0)
    known = _data_extents(reference)
    return {name: ks(known[:, axis], made[:, axis]) for axis, name in enumerate(("x", "y", "size"))}


@cache
def _data_extents(count: int) -> NDArray[np.float64]:
    return _extents(single(np.random.default_rng([DATA, seed])).image() for seed in range(count))


def _extents(images: Iterable[Image]) -> NDArray[np.float64]:
    """`[pictures that show something, 3]`"""
    found = (extent(image) for image in images)
    return np.array([each for each in found if each is not None])


def extent(image: Image) -> tuple[float, float, float] | None:
    """Middle x, middle y and the longer side of what is not background, in pixels; None for a plain picture.

    Between the 1st and the 99th percentile of its pixels, so that specks do not count.
    """
    away = np.linalg.norm(image.astype(np.float32) - background(image), axis=2) > FOREGROUND
    rows, columns = np.nonzero(away)
    if len(rows) < 50:
        return None
    x0, x1 = np.percentile(columns, (1, 99))
    y0, y1 = np.percentile(rows, (1, 99))
    return float(x0 + x1) / 2, float(y0 + y1) / 2, float(max(x1 - x0, y1 - y0))


def ks(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Kolmogorov-Smirnov distance: the largest gap between the two empirical distribution functions."""
    at = np.concatenate([first, second])
    gaps = [np.searchsorted(np.sort(sample), at, side="right") / len(sample) for sample in (first, second)]
    return float(np.abs(gaps[0] - gaps[1]).max())


def _found(scene: Scene, seen: tuple[Seen, ...]) -> int:
    """How many of the scene's objects are among those seen."""
    return len({placed.index for placed in scene.objects} & {each.index for each in seen})


def _relations(scenes: list[Scene], seen: list[tuple[Seen, ...]]) -> dict[str, list[bool]]:
    """Of the pairs with both objects recognised, which relations hold."""
    rights: dict[str, list[bool]] = {}
    for scene, found in zip(scenes, seen, strict=True):
        at = {each.index: (each.x, each.y) for each in found}
        if scene.relation is not None and all(placed.index in at for placed in scene.objects):
            first, second = (at[placed.index] for placed in scene.objects)
            rights.setdefault(scene.relation, []).append(holds(scene.relation, first, second))
    return rights


def _weak(scenes: list[Scene], seen: list[tuple[Seen, ...]]) -> list[Weak]:
    tallies: dict[int, Weak] = {}
    for scene, found in zip(scenes, seen, strict=True):
        placed = scene.objects[0]
        tally = tallies.setdefault(placed.index, Weak(name=placed.name, right=0, of=0, taken_for=[]))
        tally["of"] += 1
        if _found(scene, found) == 1:
            tally["right"] += 1
        else:
            tally["taken_for"] += [world().objects[each.index] for each in found]
    missed = [tally for tally in tallies.values() if tally["right"] < tally["of"]]
    return sorted(missed, key=lambda tally: (tally["right"] / tally["of"], tally["name"]))


def _share(rights: list[bool]) -> float:
    return float(np.mean(rights)) if rights else 0.0
