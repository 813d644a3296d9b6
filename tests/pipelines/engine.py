"""The stored pictures of the default model. `python -m tests.pipelines.engine` draws them anew.

Do that only with a new `pipelines.recipe.ENGINE` and a CHANGELOG line "Pictures changed", or with new default weights.
"""

from __future__ import annotations

from pathlib import Path

from pipelines.pipeline import Pipeline
from pipelines.recipe import Recipe

FOLDER = Path(__file__).parent / "pictures"
RECIPES = {
    "fox": Recipe("a fox on purple", seed=7),
    "panda-euler": Recipe("a panda", negative_prompt="red", seed=3, scheduler="euler_a", guidance_scale=6.0),
    "pair-wide": Recipe("a cat to the left of a pizza on a blue background", seed=1, width=192, num_inference_steps=12),
    "weights-nv": Recipe("a (strawberry:1.3) on [yellow:green:0.4]", seed=5, noise="nv", num_inference_steps=12),
}


def main() -> None:
    """Draw all of them, each alone, and store them with their recipes."""
    FOLDER.mkdir(exist_ok=True)
    pipe = Pipeline.from_pretrained()
    for name, recipe in RECIPES.items():
        pipe(recipe).save(FOLDER / f"{name}.png")


if __name__ == "__main__":
    main()
