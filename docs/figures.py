"""Every picture in README and docs, made anew: `python docs/figures.py`. Needs nothing but the installed project."""

from __future__ import annotations

from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from xattn import Pipeline, Recipe, contact_sheet

IMAGES = Path(__file__).parent / "images"
FIRST = Recipe("a fox on purple", seed=10)
GRID = (
    "a panda on pink",
    "a strawberry",
    "a rocket on blue",
    "a sunflower on green",
    "a pizza on black",
    "a penguin on yellow",
    "a castle on purple",
    "an octopus on orange",
    "a guitar on gray",
    "a cupcake on blue",
    "a cactus",
    "a crown on red",
)
"""The first seeds, not the best ones: every picture has seed 1."""
_SIDE, _TITLE, _GAP, _COLUMNS = 160, 26, 12, 6


def main() -> None:
    """Write docs/images/first.png and docs/images/grid.png."""
    IMAGES.mkdir(exist_ok=True)
    pipe = Pipeline.from_pretrained()
    first = pipe(FIRST, words=("fox", "purple"))
    assert first.maps is not None
    contact_sheet(first.image, first.maps, title=FIRST.prompt).save(IMAGES / "first.png", optimize=True)
    drawn = pipe([Recipe(prompt, seed=1) for prompt in GRID])
    grid(list(GRID), [result.image for result in drawn]).save(IMAGES / "grid.png", optimize=True)


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
