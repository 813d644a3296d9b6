"""Letters on figures. Pillow's own font has Latin ones only; for others a font of the machine's that has them is found.

Where none has, a symbol is written by its name, ":fox face:", and a letter by its number, "U+72D0": boxes say nothing.
Text that Pillow's font can write is drawn as Pillow draws it, pixel by pixel.
"""

from __future__ import annotations

import os
import sys
import unicodedata
from collections.abc import Iterable
from functools import cache
from itertools import groupby
from pathlib import Path

from PIL import ImageDraw, ImageFont

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
"""Pillow's own, of some size: `ImageFont.load_default(14)`."""
Color = tuple[int, int, int]
_NOTHING = "\U0010ffff"
"""What no font has: its box is what stands for a letter that is not there."""
_LAST = ("bold", "italic", "oblique", "light", "thin", "black", "condensed", "narrow", "mono", "serif", "math")
"""What the file's name says of a font that is taken only where no plain one has a letter."""
_NEVER = ("lastresort", "blank")
_MOST = 500
"""Fonts that are looked into, plain ones first."""
_SIGNS = {"·": "-", "−": "-", "–": "-", "—": "-", "×": "x", "’": "'", "‘": "'", "“": '"', "”": '"'}
_PLACES: dict[str, str | None] = {}
"""In which file a letter was found, or in none: looked for once."""


def length(draw: ImageDraw.ImageDraw, text: str, font: Font) -> float:
    """Pixels that the text takes."""
    return sum(draw.textlength(piece, font=own) for piece, own in _pieces(text, font))


def write(
    draw: ImageDraw.ImageDraw, at: tuple[float, float], text: str, *, fill: Color, font: Font, anchor: str = "la"
) -> None:
    """As `draw.text`, with the anchors "la", "lm" and "rm"."""
    pieces = _pieces(text, font)
    if not isinstance(font, ImageFont.FreeTypeFont) or all(own is font for _, own in pieces):
        draw.text(at, "".join(piece for piece, _ in pieces), fill=fill, font=font, anchor=anchor)
        return
    up, down = font.getmetrics()
    left, top = at
    left -= length(draw, text, font) if anchor[0] == "r" else 0
    base = top + (up if anchor[1] == "a" else (up - down) / 2)
    for piece, own in pieces:
        draw.text((left, base), piece, fill=fill, font=own, anchor="ls")
        left += draw.textlength(piece, font=own)


def _pieces(text: str, font: Font) -> list[tuple[str, Font]]:
    """The text cut where another font has to write it; what none can write is spelled out."""
    if text.isascii() or not isinstance(font, ImageFont.FreeTypeFont):
        return [(text, font)]
    places = _found({letter for letter in text if not (letter.isascii() or _plain(letter))})
    written: list[tuple[str, Font]] = []
    for letter in text:
        place = places.get(letter)
        if place is not None:
            written.append((letter, _opened(place, font.size)))
        else:
            written.append((_spelled(letter) if letter in places else letter, font))
    groups = [list(group) for _, group in groupby(written, key=lambda one: id(one[1]))]
    return [("".join(letter for letter, _ in group), group[0][1]) for group in groups]


def _spelled(letter: str) -> str:
    kind = unicodedata.category(letter)
    if kind in ("Cf", "Mn", "Me", "Sk"):  # joins, accents and skins of the symbol before
        return ""
    if plain := unicodedata.normalize("NFKD", letter).encode("ascii", "ignore").decode("ascii").strip():
        return plain  # without its accent
    name = unicodedata.name(letter, "").lower()
    if kind == "So" and name:
        return f":{name}:"
    return _SIGNS.get(letter) or f"U+{ord(letter):04X}"


def _found(letters: set[str]) -> dict[str, str | None]:
    """The file of a font for each letter; None where there is none."""
    missing = letters - _PLACES.keys()
    if missing:
        for path in _files():
            if not missing:
                break
            for letter in _held(path, missing):
                _PLACES[letter] = path
                missing.discard(letter)
        _PLACES.update(dict.fromkeys(missing))
    return {letter: _PLACES[letter] for letter in letters}


def _held(path: str, letters: Iterable[str]) -> list[str]:
    """Those that the font has."""
    try:
        font = ImageFont.truetype(path, 16)  # not kept open: a machine may have thousands
        return [letter for letter in letters if _has(font, letter)]
    except (OSError, ValueError):  # broken, or pictures of one size only
        return []


@cache
def _opened(path: str, size: float) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(path, size)


@cache
def _plain(letter: str) -> bool:
    """Whether Pillow's own font has it."""
    font = ImageFont.load_default(16)
    return not isinstance(font, ImageFont.FreeTypeFont) or _has(font, letter)


def _has(font: ImageFont.FreeTypeFont, letter: str) -> bool:
    if letter.isspace():
        return True
    mask, none = font.getmask(letter), font.getmask(_NOTHING)
    return mask.getbbox() is not None and (mask.size, bytes(mask)) != (none.size, bytes(none))


@cache
def _files() -> tuple[str, ...]:
    """Fonts of this machine, plain ones first."""
    found = {
        str(path)
        for folder in _folders()
        for path in folder.rglob("*")
        if path.suffix.lower() in (".ttf", ".otf", ".ttc") and not any(word in path.name.lower() for word in _NEVER)
    }
    return tuple(sorted(found, key=lambda path: (_against(Path(path).name.lower()), path))[:_MOST])


def _against(name: str) -> int:
    """How many words of its name speak against a font."""
    return sum(word in name for word in _LAST)


def _folders() -> list[Path]:
    """Where fonts lie, as Pillow looks for them."""
    home = Path(os.path.expanduser("~"))  # noqa: PTH111  Path.home() raises where there is none
    if sys.platform == "win32":
        return [Path(os.environ.get("WINDIR", r"C:\Windows")) / "Fonts", home / "AppData/Local/Microsoft/Windows/Fonts"]
    if sys.platform == "darwin":
        return [Path("/System/Library/Fonts"), Path("/Library/Fonts"), home / "Library/Fonts"]
    data = [os.environ.get("XDG_DATA_HOME") or str(home / ".local/share")]
    data += (os.environ.get("XDG_DATA_DIRS") or "/usr/local/share:/usr/share").split(":")
    return [*(Path(one) / "fonts" for one in data), home / ".fonts"]
