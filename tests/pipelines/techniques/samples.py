"""One edit of every kind, for what must hold of all of them. Written for the tiny model of tests/models.py."""

from __future__ import annotations

from collections.abc import Mapping

from pipelines.recipe import Recipe
from pipelines.techniques import Edit, Inject, LocalBlend, Refine, Replace, Reweight

SOURCE = Recipe("a dog and a cat on purple", seed=3, num_inference_steps=4, guidance_scale=4.0, width=64, height=96)
TARGET = Recipe(
    "a fox and a cat on red", seed=3, num_inference_steps=4, guidance_scale=4.0, width=64, height=96, source=SOURCE
)

SAMPLES: Mapping[str, Edit] = {
    "replace": Replace(),
    "replace, given pairs": Replace(pairs=(("cat", "fox"),)),
    "refine": Refine(),
    "inject": Inject(),
    "local blend": LocalBlend(words=("fox",), threshold=0.9),
    "reweight": Reweight("fox", 3.0),
    "reweight, of the source": Reweight("cat", 3.0, of="source"),
    "reweight, over the steps": Reweight("fox", ((0.0, 4.0), (1.0, 0.0))),
}
