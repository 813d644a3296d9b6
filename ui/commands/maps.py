"""`xattn maps`: where the words of a prompt look."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.files import write_whole
from ui.commands.generate import Argument, Model, draw, load, unknown_words
from ui.progress import bar
from ui.request import Flags, check_model, wanted
from xattn.errors import BadValue, UnknownName

if TYPE_CHECKING:
    from PIL.Image import Image

    from xattn.maps import Axis

Words = Annotated[
    str,
    typer.Option(
        metavar="WORD,WORD…",
        help='Words and phrases of the prompt, with commas between; "cat:2" is the second cat.',
        show_default="all of them",
    ),
]
_AXES: tuple[Axis, ...] = ("step", "layer", "head")


def maps(
    argument: Argument,
    words: Words = "",
    by: Annotated[
        str | None, typer.Option(metavar="AXIS", help="Keep maps apart by step, layer or head.", show_default=False)
    ] = None,
    seed: Annotated[str | None, typer.Option(metavar="N", show_default="random")] = None,
    steps: Annotated[str | None, typer.Option(metavar="N", show_default="the model's")] = None,
    size: Annotated[str | None, typer.Option(metavar="WxH", show_default="the model's")] = None,
    model: Model = None,
    out: Annotated[str, typer.Option(metavar="DIR", help="The folder that everything goes to.")] = "out/maps",
) -> None:
    """Draw, and write for each word where it looked: an overlay, a grey PNG and a .npy; and one sheet of all.

    What is written into the folder replaces what an earlier call wrote there.
    """
    from ui.outputs import Output

    if by is not None and by not in _AXES:
        raise UnknownName("--by", by, _AXES)
    keep: tuple[Axis, ...] = () if by is None else tuple(axis for axis in _AXES if axis == by)
    asked = wanted(argument, Flags(seed, steps, size), model)
    Output.at(f"{out}/", 1)
    with bar(f"Loading {Path(asked.model).name}") as shown:
        pipe = load(asked.model)
        check_model(asked, pipe.model.ref, model is not None)
        for notice in unknown_words(pipe, asked.recipe):
            shown.say(notice)
        from pipelines.capture import Capture

        result = next(draw(pipe, [replace(asked.recipe, model=None)], shown, Capture(phrases(words) or "*", keep)))
    assert result.maps is not None, "words were asked for"
    from pipelines.figures import contact_sheet, overlay

    folder = Path(out)
    result.maps.save(folder)
    result.save(folder / "picture.png")
    for word in result.maps.words:
        name = result.maps.file_name(word)
        write_whole(folder / f"{name}-overlay.png", _png(overlay(result.image, result.maps[word])))
    sheet = write_whole(
        folder / "sheet.png", _png(contact_sheet(result.image, result.maps, title=result.recipe.prompt))
    )
    print(sheet)


def phrases(words: str) -> tuple[str | tuple[str, int], ...]:
    """What `--words` names: "fox,ice cream,cat:2". Raises BadValue."""
    return tuple(_phrase(part.strip()) for part in words.split(",")) if words.strip() else ()


def _phrase(text: str) -> str | tuple[str, int]:
    if not text:
        raise BadValue("--words", text, "words with commas between", 'Try --words "fox,purple"')
    word, colon, number = text.rpartition(":")
    if colon and number.isascii() and number.isdigit():
        return word, int(number)
    return text


def _png(image: Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    return buffer.getvalue()
