"""Pictures that know how they were made: writing the recipe into a PNG, and reading it back.

Three texts go in, as uncompressed iTXt, which holds any script and has no limit of Pillow's when read: `parameters` for
other people's tools (infotext.py), the whole recipe under `xattn`, what it was made on under `xattn-provenance`.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from pipelines import recipe_json
from pipelines.assets import INLINE_BYTES, AssetStore
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

RECIPE_KEY = "xattn"
PROVENANCE_KEY = "xattn-provenance"
_MAX_RECIPE_BYTES = 16 * 2**20
_EXPECTED = "a PNG that xattn saved, or a recipe as .json"


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
    if target.suffix.lower() != ".png":
        raise CannotWrite(path, f"pictures are saved as PNG; call it {target.stem}.png")
    return target


def save_png(picture: Picture, path: str | Path) -> Path:
    """Write a PNG with its recipe inside, whole or not at all; an older file there is replaced. Raises CannotWrite.

    Pictures that the recipe refers to go into it too, or, where they are large, into the store in the cache root.
    """
    target = check_output(path)
    keep_assets(picture.recipe)
    return write_whole(target, png_bytes(picture))


def keep_assets(recipe: Recipe) -> None:
    """Keep what the recipe's JSON leaves out, so that it can be drawn again from a file. Raises CannotWrite."""
    if any(asset.data is not None and len(asset.data) > INLINE_BYTES for asset in recipe.assets):
        AssetStore.default().keep(recipe.assets)


def png_bytes(picture: Picture) -> bytes:
    """The file's bytes. They hold no path of this machine: models go by name and hash."""
    from PIL.PngImagePlugin import PngInfo

    recipe = picture.recipe.portable()
    texts = PngInfo()
    texts.add_itxt("parameters", infotext(recipe, f"xattn {__version__}"))
    texts.add_itxt(RECIPE_KEY, recipe.to_json())
    texts.add_itxt(PROVENANCE_KEY, recipe_json.canonical(picture.provenance.document()))
    buffer = io.BytesIO()
    picture.image.save(buffer, format="PNG", pnginfo=texts)
    return buffer.getvalue()


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
    other = "only another tool's parameters" if "parameters" in texts else "no recipe"
    raise BadValue(
        "path", str(path), _EXPECTED, f"This picture carries {other}; pictures sent through chats lose theirs"
    )


def _texts(path: Path) -> dict[str, str]:
    _check_there(path)
    try:
        with path.open("rb") as file:
            if file.read(len(SIGNATURE)) != SIGNATURE:
                raise BadValue("path", str(path), _EXPECTED, "This file is no PNG")
            file.seek(0)
            return read_text(file)
    except BrokenPng as error:
        raise BadValue("path", str(path), _EXPECTED, f"This PNG is broken: {error}") from error
    except OSError as error:
        raise _unreadable(path, error) from error


def _check_there(path: Path) -> None:
    try:
        kind = "a folder" if path.is_dir() else None if path.is_file() else "no file"
    except (OSError, ValueError):  # a name too long, or with a null byte
        kind = "no file"
    if kind is not None:
        raise BadValue("path", str(path), _EXPECTED, f"There is {kind} of this name")


def _unreadable(path: Path, error: OSError) -> BadValue:
    return BadValue("path", str(path), "a file that can be read", f"The system says: {error.strerror}")
