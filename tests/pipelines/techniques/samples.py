"""One edit of every kind, for what must hold of all of them. Written for the tiny model of tests/models.py."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from PIL import Image

from pipelines.assets import Asset
from pipelines.recipe import Recipe
from pipelines.techniques import (
    AttendAndExcite,
    Edit,
    Inject,
    LocalBlend,
    NegPip,
    PaintMap,
    PaintWithWords,
    Refine,
    Regions,
    Replace,
    Reweight,
)
from pipelines.techniques.regions import Region
from pipelines.techniques.values import Box, WordMap

SOURCE = Recipe("a dog and a cat on purple", seed=3, num_inference_steps=4, guidance_scale=4.0, width=64, height=96)
TARGET = Recipe(
    "a fox and a cat on red", seed=3, num_inference_steps=4, guidance_scale=4.0, width=64, height=96, source=SOURCE
)

LEFT = Box(0.0, 0.0, 0.6, 1.0)
PAINTED = Asset.from_image(Image.fromarray(np.linspace(0, 255, 35, dtype=np.uint8).reshape(5, 7)))
"""A grey ramp, rising line by line: nothing about it is a multiple of a grid."""

SAMPLES: Mapping[str, Edit] = {
    "replace": Replace(),
    "replace, given pairs": Replace(pairs=(("cat", "fox"),)),
    "refine": Refine(),
    "inject": Inject(),
    "local blend": LocalBlend(words=("fox",), threshold=0.9),
    "reweight": Reweight("fox", 3.0),
    "reweight, of the source": Reweight("cat", 3.0, of="source"),
    "reweight, over the steps": Reweight("fox", ((0.0, 4.0), (1.0, 0.0))),
    "paint map, gain": PaintMap("fox", field=LEFT, amount=5.0),
    "paint map, gain before the softmax": PaintMap("fox", field=PAINTED, amount=9.0, renormalise="softmax"),
    "paint map, set": PaintMap("a cat", op="set", field=LEFT, amount=8.0),
    "paint map, set and share": PaintMap("fox", op="set", field=PAINTED, amount=9.0, renormalise="others"),
    "paint map, set by a live map": PaintMap("fox", op="set", field=WordMap("cat"), amount=9.0),
    "paint map, add": PaintMap("fox", op="add", field=LEFT, amount=((0.0, 9.0), (1.0, 0.0))),
    "paint map, move": PaintMap("fox", op="move", shift=(0.3, 0.1), scale=0.6, renormalise="others"),
    "paint with words": PaintWithWords("fox", PAINTED, 1.0),
    "regions": Regions((Region("a dog on red", LEFT), Region("a (cat:1.5)", PAINTED, 0.9))),
    "regions, soft": Regions((Region("a dog on red", LEFT), Region("a cat", PAINTED, 0.7)), hard=False),
    "regions, base": Regions((Region("a dog", LEFT),), base="a house"),
    "regions by a live map": Regions((Region("a dog", WordMap("fox", 0.4)), Region("a house", WordMap("cat")))),
    "neg pip": NegPip("fox", 3.0),
    "attend and excite": AttendAndExcite(("fox", "a cat"), 20.0, refine=((0.0, 0.5),), iterations=2),
}
