"""How well words' attention maps find their objects: intersection over union with masks that are known exactly.

A composed scene is noised and drawn anew from there under its own caption, so its objects stay where they are; the maps
are those that anyone gets from `pipe(…, words=…)`, the mean over these steps, all layers and heads. A map is made a
mask by one threshold, a share of its greatest value, which is found on other scenes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipelines.assets import Asset
from pipelines.capture import Capture
from pipelines.pipeline import Pipeline
from pipelines.recipe import Recipe
from weights.train.evaluate import pairs_of, singles_of
from weights.train.figures import MapFigures
from weights.train.scenes import Scene
from weights.train.world import world

STRENGTH = 0.5
"""Share of the steps that is drawn: the scene's objects stay."""
THRESHOLDS = np.arange(0.05, 1.0, 0.05)

Map = NDArray[np.float32]
Mask = NDArray[np.bool_]


FIRST = 10_000
"""First seed of these scenes: those that are drawn from noise have lower ones."""


def measure(pipe: Pipeline, scenes: int = 60, capture: Callable[[tuple[str, ...]], Capture] = Capture) -> MapFigures:
    """Mean IoU over `scenes` single objects and as many pairs; thresholds from half as many other scenes of each."""
    objects = np.linspace(0, len(world().objects) - 1, scenes).astype(int)
    alone = singles_of(1, FIRST, objects.tolist()), singles_of(1, FIRST + 1, objects[1::2].tolist())
    together = pairs_of(scenes, FIRST), pairs_of(scenes // 2, FIRST + scenes)
    single_threshold, pair_threshold = (best_threshold(found(pipe, other, capture)) for _, other in (alone, together))
    return MapFigures(
        scenes=scenes,
        single=mean_iou(found(pipe, alone[0], capture), single_threshold),
        pair=mean_iou(found(pipe, together[0], capture), pair_threshold),
        single_threshold=single_threshold,
        pair_threshold=pair_threshold,
    )


def found(
    pipe: Pipeline, scenes: Sequence[Scene], capture: Callable[[tuple[str, ...]], Capture] = Capture
) -> list[tuple[Map, Mask]]:
    """A map of the picture's size for each object of each scene, and the object's mask."""
    pairs: list[tuple[Map, Mask]] = []
    for seed, scene in enumerate(scenes):
        image = scene.image()
        words = [placed.name for placed in scene.objects]
        recipe = Recipe(scene.caption, seed=seed, init=Asset.from_image(Image.fromarray(image)), strength=STRENGTH)
        maps = pipe(recipe, maps=capture(tuple(words))).maps
        assert maps is not None
        pairs += [(_resized(maps[word], image.shape[0]), mask) for word, mask in zip(words, scene.masks(), strict=True)]
    return pairs


def best_threshold(pairs: Sequence[tuple[Map, Mask]]) -> float:
    """The share of a map's greatest value at which it fits the masks best on average."""
    return float(max(THRESHOLDS, key=lambda share: mean_iou(pairs, float(share))))


def mean_iou(pairs: Sequence[tuple[Map, Mask]], threshold: float) -> float:
    return float(np.mean([iou(each > threshold * each.max(), mask) for each, mask in pairs]))


def iou(first: Mask, second: Mask) -> float:
    """Intersection over union; 0 where both are empty, for nothing was found."""
    union = int((first | second).sum())
    return int((first & second).sum()) / union if union else 0.0


def _resized(values: Map, side: int) -> Map:
    picture = Image.fromarray(values).resize((side, side), Image.Resampling.BILINEAR)
    return np.asarray(picture, dtype=np.float32)
