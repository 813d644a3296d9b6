"""The pictures of docs/maps.md, made anew: `python docs/maps_figures.py`."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from xattn import Capture, Pipeline, Probe, Recipe, where_sheet, write_figure

IMAGES = Path(__file__).parent / "images"
FOX = Recipe("a fox on purple", seed=19)
WORDS = ("fox", "purple")


def main() -> None:
    """Write docs/images/maps-*.png."""
    IMAGES.mkdir(exist_ok=True)
    pipe = Pipeline.from_pretrained()
    for axis in ("step", "layer"):
        result = pipe(FOX, maps=Capture(WORDS, (axis,)))
        assert result.maps is not None
        write_figure(result.maps.overlay(result.image, by=axis), IMAGES / f"maps-{axis}.png")

    probed = pipe(FOX, maps=Capture(("fox", Probe("cat"), Probe("blue"))))
    assert probed.maps is not None
    write_figure(probed.maps.overlay(probed.image, title=FOX.prompt), IMAGES / "maps-probe.png")

    placed = pipe(FOX, maps=Capture("*", places=((0.3, 0.6),)))
    assert placed.maps is not None
    write_figure(where_sheet(placed.image, placed.maps.where(0.3, 0.6)), IMAGES / "maps-where.png")

    pasted = two(pipe)
    seen = pipe.look(pasted, "a cat to the left of a pizza", words=("cat", "pizza"))
    write_figure(seen.overlay(pasted, by="step"), IMAGES / "maps-look.png")


def two(pipe: Pipeline) -> Image.Image:
    """A picture that the model did not draw: two of its pictures, side by side."""
    pasted = Image.new("RGB", (256, 128))
    for left, prompt in ((0, "a cat on white"), (128, "a pizza on white")):
        pasted.paste(pipe(prompt, seed=1).image, (left, 0))
    return pasted


if __name__ == "__main__":
    main()
