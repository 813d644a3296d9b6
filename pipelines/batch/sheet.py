"""Contact sheets: a batch's pictures over one or two fields that vary."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import fields as dataclass_fields
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from pipelines.batch.manifest import Entry
from pipelines.batch.paths import lookup
from pipelines.batch.table import entries
from pipelines.figures import INK, PAPER, QUIET
from pipelines.files import write_whole
from pipelines.lettering import Font, length, write
from pipelines.recipe import Recipe
from xattn.errors import BadValue, UnknownName

SIDE = 128
_GAP, _MARGIN, _LINE, _ACROSS = 6, 16, 18, 10
_MOST_PIXELS = 48_000_000
_LABEL = 220


def sheets(folder: str | Path, down: str, across: str | None = None, *, side: int = SIDE) -> list[Image.Image]:
    """The batch's pictures as contact sheets.

    down: the field whose values go down the sheet, by its path: "prompt", "guidance_scale", "edits.0.scale", or "row"
    across: the field whose values go across; None puts all pictures of one value beside each other
    side: of a picture on the sheet, in pixels; smaller where the sheet would pass 48 megapixels
    A sheet has one picture for each pair of values; where there are more, further sheets have them.
    Raises BadValue where no picture has the field, UnknownName for what is no field.
    """
    found = entries(folder)
    for field in (down, across):
        if field is not None:
            _check(field, found)
    cells: dict[tuple[object, object], list[Entry]] = {}
    for entry in found:
        second: object = None if across is None else _value(entry, across)
        cells.setdefault((_value(entry, down), second), []).append(entry)
    rows = _ordered({first for first, _ in cells})
    if across is None:
        return [_beside(Path(folder), down, rows, {first: made for (first, _), made in cells.items()}, side)]
    columns = _ordered({second for _, second in cells})
    pages = max(len(made) for made in cells.values())
    made = []
    for page in range(pages):
        shown = {key: entry[page] for key, entry in cells.items() if page < len(entry)}
        made.append(_grid(Path(folder), (down, across), rows, columns, shown, side))
    return made


def save_sheets(folder: str | Path, down: str, across: str | None = None) -> tuple[Path, ...]:
    """Write sheet.png, and sheet-2.png … where there are more; those of an earlier call are replaced."""
    written = []
    for number, image in enumerate(sheets(folder, down, across), 1):
        buffer = io.BytesIO()
        image.save(buffer, "PNG", optimize=True)
        name = "sheet.png" if number == 1 else f"sheet-{number}.png"
        written.append(write_whole(Path(folder) / name, buffer.getvalue()))
    return tuple(written)


def _check(field: str, found: Sequence[Entry]) -> None:
    known = ("row", *(one.name for one in dataclass_fields(Recipe)))
    if field.split(".")[0] not in known:
        raise UnknownName("recipe field", field, known)
    if field != "row" and all(lookup(entry.recipe, field) is None for entry in found):
        raise BadValue("sheet", field, "a field that some picture sets")


def _value(entry: Entry, field: str) -> object:
    if field == "row":
        return entry.row
    value = lookup(entry.recipe, field)
    return json.dumps(value, ensure_ascii=False) if isinstance(value, Mapping | list) else value


def _ordered(values: set[object]) -> list[object]:
    """Numbers by size, then text, then what is not set; so that a sheet does not depend on the order of drawing."""
    numbers = sorted(value for value in values if isinstance(value, int | float))
    return [*numbers, *sorted(value for value in values if isinstance(value, str)), *({None} & values)]


def _grid(
    folder: Path,
    names: tuple[str, str],
    rows: list[object],
    columns: list[object],
    shown: Mapping[tuple[object, object], Entry],
    side: int,
) -> Image.Image:
    side = _fitting(side, len(rows), len(columns))
    left, top = _MARGIN + _LABEL, _MARGIN + 2 * _LINE
    sheet, draw = _blank(left + len(columns) * (side + _GAP), top + len(rows) * (side + _GAP))
    font = ImageFont.load_default(13)
    write(draw, (_MARGIN, _MARGIN), f"{names[0]} down, {names[1]} across", fill=QUIET, font=font)
    for place, value in enumerate(columns):
        text = _cut(_said(value), side, draw, font)
        write(draw, (left + place * (side + _GAP), _MARGIN + _LINE), text, fill=INK, font=font)
    for down, first in enumerate(rows):
        y = top + down * (side + _GAP)
        write(draw, (_MARGIN, y + side // 2 - 8), _cut(_said(first), _LABEL - 10, draw, font), fill=INK, font=font)
        for place, second in enumerate(columns):
            if (first, second) in shown:
                _paste(sheet, folder, shown[first, second], (left + place * (side + _GAP), y), side)
    return sheet


def _beside(
    folder: Path, name: str, rows: list[object], shown: Mapping[object, Sequence[Entry]], side: int
) -> Image.Image:
    lines = [(first, shown[first][at : at + _ACROSS]) for first in rows for at in range(0, len(shown[first]), _ACROSS)]
    across = max(len(made) for _, made in lines)
    side = _fitting(side, len(lines), across)
    left, top = _MARGIN + _LABEL, _MARGIN + _LINE
    sheet, draw = _blank(left + across * (side + _GAP), top + len(lines) * (side + _GAP))
    font = ImageFont.load_default(13)
    write(draw, (_MARGIN, _MARGIN), f"{name} down", fill=QUIET, font=font)
    for down, (first, made) in enumerate(lines):
        y = top + down * (side + _GAP)
        write(draw, (_MARGIN, y + side // 2 - 8), _cut(_said(first), _LABEL - 10, draw, font), fill=INK, font=font)
        for place, entry in enumerate(made):
            _paste(sheet, folder, entry, (left + place * (side + _GAP), y), side)
    return sheet


def _fitting(side: int, rows: int, columns: int) -> int:
    most = int((_MOST_PIXELS / max(1, rows * columns)) ** 0.5) - _GAP
    if most < 8:
        raise BadValue("sheet", f"{columns} by {rows} pictures", "few enough to be seen", "Choose other fields")
    return min(side, most)


def _blank(width: int, height: int) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    sheet = Image.new("RGB", (width + _MARGIN - _GAP, height + _MARGIN - _GAP), PAPER)
    return sheet, ImageDraw.Draw(sheet)


def _paste(sheet: Image.Image, folder: Path, entry: Entry, at: tuple[int, int], side: int) -> None:
    try:
        with Image.open(folder / entry.file) as image:
            image.draft("RGB", (side, side))
            small = image.convert("RGB")
    except OSError as error:
        remedy = "Run the batch again: it draws what is missing"
        raise BadValue("sheet", entry.file, "a picture that is in the folder", remedy) from error
    small.thumbnail((side, side), Image.Resampling.LANCZOS)
    sheet.paste(small, (at[0] + (side - small.width) // 2, at[1] + (side - small.height) // 2))


def _said(value: object) -> str:
    return "default" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _cut(text: str, width: int, draw: ImageDraw.ImageDraw, font: Font) -> str:
    """The text, with an ellipsis where it is wider than its place."""
    if length(draw, text, font) <= width:
        return text
    while text and length(draw, f"{text}…", font) > width:
        text = text[:-1]
    return f"{text}…"
