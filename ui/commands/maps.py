"""`xattn maps`: where the words of a prompt look."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipelines.files import make_folder
from ui.commands.generate import Argument, Model, draw, load, unknown_words
from ui.leftovers import of_maps, told
from ui.progress import Bar, bar
from ui.request import Flags, Wanted, check_model, parse_number, read_picture, wanted
from ui.terminal import say
from xattn.errors import BadValue, UnknownName

if TYPE_CHECKING:
    from PIL.Image import Image

    from pipelines.asked import Place
    from pipelines.assets import Asset
    from pipelines.attention_maps import AttentionMaps, Axis
    from pipelines.capture import Capture
    from pipelines.pipeline import Pipeline

Words = Annotated[
    str,
    typer.Option(
        metavar="WORD,WORD…",
        help='Words and phrases of the prompt, with commas between; "cat:2" is the second cat.',
        show_default="all of them",
    ),
]
_KEPT: dict[str, tuple[Axis, ...]] = {
    "step": ("step",),
    "layer": ("layer",),
    # a head means something in its own layer only
    "head": ("layer", "head"),
    "resolution": ("resolution",),
}
_SCALES = ("each", "shared")
_TIMES = (0.2, 0.4, 0.6)
_PICTURE = "picture.png"


def maps(
    argument: Argument,
    words: Words = "",
    probe: Annotated[
        str,
        typer.Option(
            metavar="TEXT,TEXT…",
            help="Concepts that need not be in the prompt: where the picture would look for them. They change nothing.",
            show_default=False,
        ),
    ] = "",
    by: Annotated[
        str | None,
        typer.Option(metavar="AXIS", help="Keep maps apart by step, layer, head or resolution.", show_default=False),
    ] = None,
    place: Annotated[
        list[str] | None,
        typer.Option(
            metavar="X,Y",
            help="A place, in fractions of the picture: where it looks, and its words' shares. May be given again.",
            show_default=False,
        ),
    ] = None,
    look: Annotated[
        str | None,
        typer.Option(metavar="IMAGE", help="Draw nothing: look at this picture with the prompt.", show_default=False),
    ] = None,
    at: Annotated[
        str,
        typer.Option(
            metavar="T,T…", help="With --look: how much noise is added, from 0 to 1.", show_default="0.2,0.4,0.6"
        ),
    ] = "",
    scale: Annotated[
        str, typer.Option(metavar="NAME", help="Colours: each map from its least to its most, or shared by all.")
    ] = "each",
    pdf: Annotated[bool, typer.Option("--pdf", help="Write the sheet as sheet.pdf too.")] = False,
    seed: Annotated[str | None, typer.Option(metavar="N", show_default="random")] = None,
    steps: Annotated[str | None, typer.Option(metavar="N", show_default="the model's")] = None,
    size: Annotated[str | None, typer.Option(metavar="WxH", show_default="the model's")] = None,
    model: Model = None,
    out: Annotated[str, typer.Option(metavar="DIR", help="The folder that everything goes to.")] = "out/maps",
) -> None:
    """Draw, and write for each word where it looked: an overlay, a grey PNG and a .npy; and one sheet of all.

    Files of an earlier call are replaced where they have the same name; the others stay, and are named.
    """
    from ui.outputs import Output

    if by is not None and by not in _KEPT:
        raise UnknownName("--by", by, tuple(_KEPT))
    if scale not in _SCALES:
        raise UnknownName("--scale", scale, _SCALES)
    if at and look is None:
        raise BadValue("--at", at, "given with --look, to whose picture noise is added")
    if steps is not None and look is not None:
        raise BadValue("--steps", steps, "left out with --look, which draws nothing", "Give --at, the times to look at")
    places = tuple(_place(text) for text in place or ())
    times = tuple(parse_number("--at", text) for text in at.split(",")) if at else _TIMES
    asked = wanted(argument, Flags(seed, steps, size), model)
    picture = None if look is None else read_picture("--look", look)
    Output.at(f"{out}/", 1)
    with bar(f"Loading {Path(asked.model).name}") as shown:
        pipe = load(asked.model)
        check_model(asked, pipe.model.ref, model is not None)
        for notice in unknown_words(pipe, asked.recipe):
            shown.say(notice)
        capture = _capture(words, probe, () if by is None else _KEPT[by], places)
        pictures: list[Path] = []
        if picture is None:
            image, seen = _drawn(pipe, asked, capture, shown, Path(out))
            pictures = [Path(out) / _PICTURE]
        else:
            image, seen = _looked_at(pipe, asked, capture, picture, times)
    files = _write(Path(out), image, seen, _title(asked, look), by if by or look is None else "step", scale, pdf=pdf)
    if left := of_maps(Path(out), [*files, *pictures]):
        say(told(Path(out), left))
    print(files[-1])


def _capture(words: str, probe: str, keep: tuple[Axis, ...], places: tuple[Place, ...]) -> Capture:
    from pipelines.asked import Probe
    from pipelines.capture import Capture

    named: tuple[Any, ...] = phrases(words) or ("*",)
    probes = tuple(Probe(text) for text, _ in map(_text, phrases(probe, "--probe")))
    return Capture((*named, *probes), keep, places=places)


def _text(phrase: str | tuple[str, int]) -> tuple[str, int]:
    if isinstance(phrase, str):
        return phrase, 1
    raise BadValue("--probe", ":".join(map(str, phrase)), "text without a number: a probe is not in the prompt")


def _place(text: str) -> tuple[float, float]:
    from pipelines.asked import point

    parts = text.split(",")
    if len(parts) != 2:
        raise BadValue("--place", text, "X,Y in fractions of the picture", "Try --place 0.5,0.25")
    return point("--place", *(parse_number("--place", part) for part in parts))


def _drawn(pipe: Pipeline, asked: Wanted, capture: Capture, shown: Bar, folder: Path) -> tuple[Image, AttentionMaps]:
    result = next(draw(pipe, [replace(asked.recipe, model=None)], shown, capture))
    assert result.maps is not None, "words were asked for"
    make_folder(folder)
    result.save(folder / _PICTURE)
    return result.image, result.maps


def _looked_at(
    pipe: Pipeline, asked: Wanted, capture: Capture, look: Asset, times: tuple[float, ...]
) -> tuple[Image, AttentionMaps]:
    from pipelines.look import opened_picture

    recipe = asked.recipe
    picture = opened_picture(look)
    seen = pipe.look(
        picture,
        recipe.prompt,
        at=times,
        maps=capture,
        seed=recipe.seed or 0,
        width=recipe.width,
        height=recipe.height,
        syntax=recipe.syntax,
    )
    return picture, seen


def _title(asked: Wanted, look: str | None) -> str:
    return asked.recipe.prompt if look is None else Path(look).name


def _write(
    folder: Path, image: Image, seen: AttentionMaps, title: str, by: str | None, scale: str, *, pdf: bool
) -> list[Path]:
    """Everything but the picture; the files, the sheet last."""
    from pipelines.figures import contact_sheet, overlay, shared_range, where_sheet, write_figure

    make_folder(folder)
    files = [*seen.save(folder)]
    heats = [seen[word] for word in seen.words]
    between = shared_range(seen, heats) if scale == "shared" else None
    for word, heat in zip(seen.words, heats, strict=True):
        name = f"{seen.file_name(word)}-overlay.png"
        files.append(write_figure(overlay(image, heat, between=between), folder / name))
    places = () if seen.places is None else seen.places.words
    for number, place in enumerate(places, 1):
        found = seen.where(*place)  # type: ignore[misc]  # the command line knows points only
        print(found)
        files.append(write_figure(where_sheet(image, found), folder / f"place-{number}.png"))
    sheet = contact_sheet(image, seen, by=by, scale=scale, title=title)  # type: ignore[arg-type]  # both were checked
    if pdf:
        files.append(write_figure(sheet, folder / "sheet.pdf"))
    return [*files, write_figure(sheet, folder / "sheet.png")]


def phrases(words: str, flag: str = "--words") -> tuple[str | tuple[str, int], ...]:
    """What `--words` or another flag names: "fox,ice cream,cat:2". Raises BadValue."""
    return tuple(_phrase(part.strip(), flag) for part in words.split(",")) if words.strip() else ()


def _phrase(text: str, flag: str) -> str | tuple[str, int]:
    if not text:
        raise BadValue(flag, text, "words with commas between", f'Try {flag} "fox,purple"')
    word, colon, number = text.rpartition(":")
    if colon and number.isascii() and number.isdigit():
        return word, int(number)
    return text
