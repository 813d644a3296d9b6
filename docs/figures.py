"""Every picture in README and docs, made anew: `python docs/figures.py`. Needs nothing but the installed project."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from xattn import Box, PaintMap, Pipeline, Recipe, Region, Regions, contact_sheet

IMAGES = Path(__file__).parent / "images"
FIRST = Recipe("a fox on purple", seed=19)
GRID = (
    "a panda on pink",
    "a strawberry",
    "a rocket on blue",
    "a sunflower on green",
    "a pizza on black",
    "a penguin on yellow",
    "a butterfly on purple",
    "a cupcake on blue",
    "a green cat on pink",
    "a fox to the left of a crown",
    "a frog to the right of a koala",
    "a red bell above a blue car",
)
"""The first seeds, not the best ones: every picture has seed 1."""
LEFT, RIGHT = Box(0.0, 0.0, 0.5, 1.0), Box(0.5, 0.0, 1.0, 1.0)
PURPLE = "a fox on purple"


def _set(side: Box) -> tuple[PaintMap]:
    return (PaintMap("fox", "set", side, renormalise="others", reach="after"),)


PAINTED = {
    "as it is": Recipe(PURPLE, seed=1),
    "its own tokens, left": Recipe(PURPLE, seed=1, edits=(PaintMap("fox", "set", LEFT, renormalise="others"),)),
    "reach after, left": Recipe(PURPLE, seed=1, edits=_set(LEFT)),
    "reach after, right": Recipe(PURPLE, seed=1, edits=_set(RIGHT)),
    "moved by a quarter": Recipe(
        PURPLE,
        seed=1,
        edits=(PaintMap("fox", "move", shift=(-0.25, 0.0), renormalise="others", reach="after"),),
    ),
    "its map 3 times": Recipe(PURPLE, seed=1, edits=(PaintMap("fox"),)),
}
PAIR, PLAIN = "a fox to the left of a pizza on purple", "a purple background"
FOX = Region(PURPLE, Box(0.0, 0.2, 0.4, 0.8))
PIZZA = Region("a pizza on purple", Box(0.6, 0.2, 1.0, 0.8))
HALVES = (Region(PURPLE, LEFT), Region("a pizza on purple", RIGHT))
REGIONS = {
    "the pair's prompt alone": Recipe(PAIR, seed=200, num_inference_steps=12),
    "a fox at the left": Recipe(PLAIN, seed=1, edits=(Regions((Region(PURPLE, LEFT),)),)),
    "a fox in a box": Recipe(PLAIN, seed=1, edits=(Regions((FOX,)),)),
    "halves": Recipe(PLAIN, seed=200, num_inference_steps=12, edits=(Regions(HALVES),)),
    "two boxes in the pair": Recipe(PAIR, seed=200, num_inference_steps=12, edits=(Regions((FOX, PIZZA)),)),
    "the same, strength .7": Recipe(
        PAIR,
        seed=200,
        num_inference_steps=12,
        edits=(Regions((replace(FOX, strength=0.7), replace(PIZZA, strength=0.7))),),
    ),
}
_SIDE, _TITLE, _GAP, _COLUMNS = 160, 26, 12, 6


def main() -> None:
    """Write docs/images/: first, grid, painting and regions."""
    IMAGES.mkdir(exist_ok=True)
    pipe = Pipeline.from_pretrained()
    first = pipe(FIRST, words=("fox", "purple"))
    assert first.maps is not None
    contact_sheet(first.image, first.maps, title=FIRST.prompt).save(IMAGES / "first.png", optimize=True)
    sheets = {"grid": {prompt: Recipe(prompt, seed=1) for prompt in GRID}, "painting": PAINTED, "regions": REGIONS}
    for name, recipes in sheets.items():
        drawn = pipe(list(recipes.values()))
        grid(list(recipes), [result.image for result in drawn]).save(IMAGES / f"{name}.png", optimize=True)


def grid(titles: list[str], images: list[Image.Image]) -> Image.Image:
    """Pictures in rows, each over its prompt."""
    rows = -(-len(images) // _COLUMNS)
    cell = (_SIDE + _GAP, _SIDE + _TITLE + _GAP)
    sheet = Image.new("RGB", (_COLUMNS * cell[0] + _GAP, rows * cell[1] + _GAP), (255, 255, 255))
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    for place, (title, image) in enumerate(zip(titles, images, strict=True)):
        left, top = _GAP + place % _COLUMNS * cell[0], _GAP + place // _COLUMNS * cell[1]
        sheet.paste(image.resize((_SIDE, _SIDE), Image.Resampling.LANCZOS), (left, top))
        draw.text((left, top + _SIDE + 5), title, fill=(60, 60, 68), font=font)
    return sheet


if __name__ == "__main__":
    main()
