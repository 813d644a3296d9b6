"""Pictures that know how they were made: writing the recipe into a PNG, JPEG or WebP, and reading it back.

Three texts go in: `parameters` for other people's tools (infotext.py), the whole recipe under `xattn`, what it was made
on under `xattn-provenance`. In a PNG they are uncompressed iTXt, which holds any script and has no limit of Pillow's
when read; in the others EXIF (exif_text.py).
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from pipelines import recipe_json
from pipelines.assets import INLINE_BYTES, AssetStore
from pipelines.exif_text import JPEG_LIMIT, BrokenExif, read_exif, write_exif
from pipelines.files import check_writable, write_whole
from pipelines.infotext import infotext
from pipelines.infotext_reader import Imported, read_infotext
from pipelines.png_text import SIGNATURE, BrokenPng, read_text
from pipelines.provenance import Provenance
from pipelines.recipe import Recipe
from xattn import __version__
from xattn.errors import BadValue, CannotWrite

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.PngImagePlugin import PngInfo

RECIPE_KEY = "xattn"
PROVENANCE_KEY = "xattn-provenance"
_MAX_RECIPE_BYTES = 16 * 2**20
_TOOLS = {
    "invokeai_metadata": "InvokeAI",
    "sd-metadata": "InvokeAI",
    "Dream": "InvokeAI",
    "workflow": "ComfyUI",
    "prompt": "ComfyUI",
}
"""Whose pictures have these texts and no `parameters`."""
_EXPECTED = "a picture that xattn saved, or a recipe as .json"
FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
"""What a file's name says of its form."""
_WEBP_SIDE = 16383
_TOO_LONG = "its recipe is too long for a JPEG; save it as .png, or without metadata"


class Picture(Protocol):
    """What is saved: a pipeline's Result."""

    @property
    def image(self) -> Image:
        """The pixels."""

    @property
    def recipe(self) -> Recipe:
        """How it was made."""

    @property
    def provenance(self) -> Provenance:
        """On what it was made."""


def check_output(path: str | Path) -> Path:
    """A picture's path as far as it can be told before there is a picture. Raises CannotWrite."""
    target = check_writable(path)
    if target.suffix.lower() not in FORMATS:
        raise CannotWrite(path, f"pictures are saved as .png, .jpg, .jpeg or .webp; call it {target.stem}.png")
    return target


def check_room(recipe: Recipe, path: str | Path) -> None:
    """That the file will hold the resolved recipe, before there is a picture. Raises CannotWrite as save_picture."""
    if not has_room(recipe, path):
        raise CannotWrite(path, _TOO_LONG)


def has_room(recipe: Recipe, path: str | Path) -> bool:
    """Whether a file of this name can hold the resolved recipe: a JPEG has 64 kB."""
    if not _is_jpeg(path):
        return True
    return len(write_exif("", {RECIPE_KEY: _recipe_text(recipe.portable(), inline=False)})) <= JPEG_LIMIT


def save_picture(picture: Picture, path: str | Path, *, metadata: bool = True) -> Path:
    """Write a PNG, JPEG or WebP, whole or not at all; an older file there is replaced. Raises CannotWrite.

    metadata: whether the recipe goes inside. Pictures that it refers to go along, or, where they are large, into the
        store in the cache root.

    PNG and WebP keep every bit of the picture, JPEG (quality 95) does not. A JPEG has 64 kB for the recipe, so pictures
    that it refers to go into the store whatever their size; where prompts of thousands of words leave too little room,
    provenance is left out, then `parameters`, and where the recipe itself does not fit, the error says so.
    """
    target = check_output(path)
    data = file_bytes(picture, FORMATS[target.suffix.lower()], metadata=metadata, path=path)
    if metadata:
        keep_assets(picture.recipe, path)
    return write_whole(target, data)


def keep_assets(recipe: Recipe, path: str | Path | None = None, store: AssetStore | None = None) -> None:
    """Keep what the recipe's JSON leaves out, so that it can be drawn again from a file. Raises CannotWrite.

    path: the file that the recipe goes into; a JPEG holds no pictures. store: where to, by default the cache root's
    """
    inline = 0 if path is not None and _is_jpeg(path) else INLINE_BYTES
    for asset in recipe.assets:
        if asset.data is not None and len(asset.data) > inline:
            (store or AssetStore.default()).put(asset)


def file_bytes(picture: Picture, form: str = "PNG", *, metadata: bool = True, path: str | Path = "the file") -> bytes:
    """The file's bytes. They hold no path of this machine: models go by name and hash.

    form: one of FORMATS'; path: what an error is about. Raises CannotWrite as save_picture.
    """
    buffer = io.BytesIO()
    if form == "PNG":
        picture.image.save(buffer, format=form, pnginfo=_png_texts(picture) if metadata else None)
        return buffer.getvalue()
    if form == "WEBP" and max(picture.image.size) > _WEBP_SIDE:
        raise CannotWrite(path, f"a WebP has at most {_WEBP_SIDE} pixels a side; save it as .png")
    exif = _exif(picture, form, path) if metadata else b""
    if form == "WEBP":
        picture.image.save(buffer, format=form, exif=exif, lossless=True)
    else:
        picture.image.save(buffer, format=form, exif=exif, quality=95, subsampling=0)
    return buffer.getvalue()


def _png_texts(picture: Picture) -> PngInfo:
    from PIL.PngImagePlugin import PngInfo

    texts = PngInfo()
    for key, text in _written(picture).items():
        texts.add_itxt(key, text)
    return texts


def _exif(picture: Picture, form: str, path: str | Path) -> bytes:
    texts = _written(picture, inline=form != "JPEG")
    parameters = texts.pop("parameters")
    only = {RECIPE_KEY: texts[RECIPE_KEY]}
    for notes, comment in ((texts, parameters), (only, parameters), (only, "")):
        exif = write_exif(comment, notes)
        if form != "JPEG" or len(exif) <= JPEG_LIMIT:
            return exif
    raise CannotWrite(path, _TOO_LONG)


def _written(picture: Picture, *, inline: bool = True) -> dict[str, str]:
    """The three texts. inline: with the small pictures that the recipe refers to."""
    recipe = picture.recipe.portable()
    return {
        "parameters": infotext(recipe, f"xattn {__version__}"),
        RECIPE_KEY: _recipe_text(recipe, inline=inline),
        PROVENANCE_KEY: recipe_json.canonical(picture.provenance.document()),
    }


def _recipe_text(recipe: Recipe, *, inline: bool) -> str:
    return recipe.to_json() if inline else recipe_json.canonical(_referring(recipe.document()))


def _referring(document: Any) -> Any:
    """A recipe's JSON that knows every picture in it by its sha256 alone: its own, its source's, its edits'."""
    if isinstance(document, Mapping):
        kept = {name: _referring(value) for name, value in document.items()}
        return kept | {"data": None} if {"sha256", "data"} <= kept.keys() else kept
    return [_referring(value) for value in document] if isinstance(document, list) else document


def _is_jpeg(path: str | Path) -> bool:
    return FORMATS.get(Path(path).suffix.lower()) == "JPEG"


def read_recipe(path: str | Path) -> Recipe:
    """The recipe in a saved picture or a .json file. Raises BadValue with a sentence where there is none."""
    source = Path(path)
    if source.suffix.lower() == ".json":
        return Recipe.from_json(_bytes(source))
    return Recipe.from_json(_text(source, RECIPE_KEY))


def read_any(path: str | Path) -> Imported:
    """The recipe in a saved picture, a .json file, or a picture of another tool's, with what could not be brought.

    Raises BadValue with a sentence where there is neither a recipe nor another tool's `parameters`.
    """
    source = Path(path)
    if source.suffix.lower() != ".json":
        texts = _texts(source)
        if RECIPE_KEY not in texts and "parameters" in texts:
            return read_infotext(texts["parameters"])
    return Imported(read_recipe(source))


def read_provenance(path: str | Path) -> Provenance:
    """What a saved picture was made on. Raises BadValue where it does not say."""
    return Provenance.from_document(recipe_json.parse(_text(Path(path), PROVENANCE_KEY)))


def _bytes(path: Path) -> bytes:
    _check_there(path)
    try:
        if path.stat().st_size > _MAX_RECIPE_BYTES:
            raise BadValue("path", str(path), f"a recipe of at most {_MAX_RECIPE_BYTES} bytes")
        return path.read_bytes()
    except OSError as error:
        raise _unreadable(path, error) from error


def _text(path: Path, key: str) -> str:
    texts = _texts(path)
    if key in texts:
        return texts[key]
    tool = next((tool for key, tool in _TOOLS.items() if key in texts), None)
    if tool is not None and "parameters" not in texts:
        remedy = f"This picture is {tool}'s, whose settings have a form of their own; A1111's and its kin's are read"
        raise BadValue("path", str(path), _EXPECTED, remedy)
    other = "only another tool's parameters" if "parameters" in texts else "no recipe"
    raise BadValue(
        "path", str(path), _EXPECTED, f"This picture carries {other}; pictures sent through chats lose theirs"
    )


def _texts(path: Path) -> dict[str, str]:
    _check_there(path)
    try:
        with path.open("rb") as file:
            if file.read(len(SIGNATURE)) == SIGNATURE:
                file.seek(0)
                return read_text(file)
            file.seek(0)
            texts = read_exif(file)
    except (BrokenPng, BrokenExif) as error:
        form = "PNG" if isinstance(error, BrokenPng) else "picture"
        raise BadValue("path", str(path), _EXPECTED, f"This {form} is broken: {error}") from error
    except OSError as error:
        raise _unreadable(path, error) from error
    if texts is None:
        raise BadValue("path", str(path), _EXPECTED, "This file is no PNG, JPEG or WebP")
    return texts


def _check_there(path: Path) -> None:
    try:
        kind = "a folder" if path.is_dir() else None if path.is_file() else "no file"
    except (OSError, ValueError):  # a name too long, or with a null byte
        kind = "no file"
    if kind is not None:
        raise BadValue("path", str(path), _EXPECTED, f"There is {kind} of this name")


def _unreadable(path: Path, error: OSError) -> BadValue:
    return BadValue("path", str(path), "a file that can be read", f"The system says: {error.strerror}")
