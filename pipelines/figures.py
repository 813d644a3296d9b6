"""Pictures about pictures: heat maps laid over what was drawn, side by side with their words."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from pipelines.asked import Asked, label
from pipelines.attention_maps import AttentionMaps, Axis, scaled
from pipelines.files import write_whole
from pipelines.lettering import length, write
from pipelines.sheet import COLORMAP, LINE, Bar, Panel, Row, fitted, sheet, shortened
from pipelines.sheet import INK as INK
from pipelines.sheet import PAPER as PAPER
from pipelines.sheet import QUIET as QUIET
from pipelines.techniques.values import Box
from pipelines.where import REST, Where
from xattn.errors import BadValue, UnknownName

Scale = Literal["shared", "each"]
Range = tuple[float, float]
Titled = tuple[str, NDArray[np.float32] | None]
MOST = 10
"""Panels beside each other; of more steps so many are shown, evenly spread, the first and the last among them."""
_ACROSS = 6
"""Panels of a row where words follow each other: a sheet of a long prompt stays one that fits a screen."""
_LINE = 14
"""Pixels of a line of small letters: what a bar takes at least."""
OWN_SCALE = Bar("least", "most", "attention, each map on its own scale")
_SHARES = {
    "mean": "share of a place's attention",
    "sum": "sum of shares of a place's attention",
    "daam": "sum over steps of the share of a place's attention",
}


def overlay(
    image: Image.Image,
    heat: NDArray[np.float32],
    *,
    opacity: float = 0.75,
    between: Range | None = None,
) -> Image.Image:
    """The picture in grey with a map over it: the warmer, the more a place looked at the word.

    heat: [y, x], any size, resized to the picture's. between: the values drawn coldest and warmest; None are the map's
    own least and greatest.
    """
    from cmap import Colormap

    values = Image.fromarray(scaled(heat, between)).resize(image.size, Image.Resampling.BICUBIC)
    strength = np.clip(np.asarray(values, dtype=np.float32), 0.0, 1.0)
    colors = np.asarray(Colormap(COLORMAP)(strength), dtype=np.float32)[..., :3]
    grey = np.asarray(image.convert("L"), dtype=np.float32)[..., None] / 255.0
    mixed = (1.0 - opacity) * grey + opacity * colors
    return Image.fromarray(np.rint(np.clip(mixed, 0, 1) * 255).astype(np.uint8))


def contact_sheet(
    image: Image.Image,
    maps: AttentionMaps,
    *,
    words: Sequence[Asked] | None = None,
    by: Axis | None = None,
    scale: Scale = "each",
    title: str = "",
) -> Image.Image:
    """The picture, then an overlay for each word, six across, with the words over them and a colour bar below.

    by: an axis that was kept: a row for each word, along it that axis; heads stand in a row for each layer where layers
        were kept too
    scale: "each" draws every map from its own least value to its greatest; "shared" from nothing to the greatest of
        all, so that maps compare.
    Raises UnknownName, UnknownWord, BadValue.
    """
    if scale not in ("shared", "each"):
        raise UnknownName("scale", scale, ("shared", "each"))
    chosen = maps.words if words is None else tuple(words)
    if by is not None:
        return _by_axis(image, maps, chosen, by, scale)
    heats = [maps[word] for word in chosen]
    between = shared_range(maps, heats) if scale == "shared" else None
    panels = [Panel(title or "picture", image.convert("RGB"))]
    panels += [
        Panel(label(word), _laid_over(image, heat, between, 320)) for word, heat in zip(chosen, heats, strict=True)
    ]
    rows = [Row(tuple(panels[start : start + _ACROSS])) for start in range(0, len(panels), _ACROSS)]
    return sheet(rows, _bar(between, maps), indent=1)


def where_sheet(image: Image.Image, where: Where) -> Image.Image:
    """A place on the picture, where it looks in the picture (where that was kept), and its words' shares as bars."""
    side = 320
    marked = _marked(fitted(image.convert("RGB"), side), where)
    panels = [Panel(label(where.place), marked)]
    if where.looks is not None:
        panels.append(Panel("looks at", _marked(_laid_over(image, where.looks, None, side), where)))
    # a wide picture is low, and every share needs a line
    panels.append(Panel("words' shares", _shares(where, (side, max(marked.height, 3 * side // 4)))))
    return sheet([Row(tuple(panels))], None if where.looks is None else OWN_SCALE, side=side, indent=1)


def write_figure(image: Image.Image, path: str | Path) -> Path:
    """Write a figure as .png or .pdf, whole or not at all. Raises BadValue for other names, CannotWrite."""
    suffix = Path(path).suffix.lower()
    if suffix not in (".png", ".pdf"):
        raise BadValue("path", str(path), "a name that ends in .png or .pdf")
    buffer = io.BytesIO()
    if suffix == ".pdf":
        image.convert("RGB").save(buffer, format="PDF", resolution=144, quality=95)
    else:
        image.save(buffer, format="PNG")  # "optimize" takes 2.5 times as long for 1 % less
    return write_whole(path, buffer.getvalue())


def short_site(name: str) -> str:
    """A site as a person reads it: "up_blocks.1.attentions.0.transformer_blocks.0.attn2" is "up 2.1"."""
    found = re.match(r"(down|mid|up)_block(?:s\.(\d+))?\.attentions\.(\d+)\.transformer_blocks\.(\d+)", name)
    if found is None:
        return name
    place, block, attention, depth = found.groups()
    numbers = [] if block is None else [int(block) + 1, int(attention) + 1]
    numbers += [int(depth) + 1] if depth != "0" else []
    return f"{place} {'.'.join(map(str, numbers))}".strip()


def _by_axis(image: Image.Image, maps: AttentionMaps, words: Sequence[Asked], by: Axis, scale: Scale) -> Image.Image:
    maps.along(by)  # raises where it was not kept
    made: list[tuple[str, list[Titled]]] = []
    fewer = ""
    for word in words:
        if by == "head" and maps.layers:
            made += [
                (f"{label(word)} · {short_site(one.layers[0])}", _heads(one, word, len(maps.heads)))
                for one in maps.along("layer")
            ]
        else:
            names = _names(maps, by)
            made.append((label(word), _spread([(n, m[word]) for n, m in zip(names, maps.along(by), strict=True)])))
            fewer = left_out(len(names), "time" if by == "step" and maps.times else by)
    heats = [heat for _, row in made for _, heat in row if heat is not None]
    between = shared_range(maps, heats) if scale == "shared" else None
    side = 160 if max(len(row) for _, row in made) <= 6 else 120
    rows = []
    for number, (name, row) in enumerate(made):
        panels = [Panel("" if number else "picture", None if number else image.convert("RGB"))]
        panels += [
            Panel("" if number else title, None if heat is None else _laid_over(image, heat, between, side))
            for title, heat in row
        ]
        rows.append(Row(tuple(panels), name))
    return sheet(rows, _bar(between, maps), side=side, indent=1, note=fewer)


def _heads(maps: AttentionMaps, word: Asked, most: int) -> list[Titled]:
    """One layer's heads, and nothing for those that it lacks."""
    kept = maps.heads
    return [(f"head {head}", maps.at(head=head)[word] if head in kept else None) for head in range(most)]


def _names(maps: AttentionMaps, by: Axis) -> list[str]:
    """What stands over the maps along an axis that was kept."""
    if by == "step":
        return [f"time {time:g}" for time in maps.times] or [f"step {step}" for step in maps.steps]
    if by == "layer":
        return [short_site(layer) for layer in maps.layers]
    return [f"head {head}" for head in maps.heads] if by == "head" else list(maps.resolutions)


def left_out(count: int, axis: str) -> str:
    """What a sheet of so many maps says of those along its axis that it does not show."""
    return "" if count <= MOST else f"{MOST} of {count} {axis}s, evenly spread; the maps have all of them."


def _spread(every: list[Titled]) -> list[Titled]:
    if len(every) <= MOST:
        return every
    return [every[round(place * (len(every) - 1) / (MOST - 1))] for place in range(MOST)]


def shared_range(maps: AttentionMaps, heats: Sequence[NDArray[np.float32]]) -> Range:
    """What is drawn coldest and warmest where some of these maps share a scale: nothing, and the greatest of all.

    A share passes 1 where an edit has raised it. Elsewhere it is the overshoot of a coarse map that was enlarged, which
    the numbers keep, and which is drawn as 1. Edits may also turn a word round: then the coldest is the least of all.
    """
    low, high = min(0.0, *(float(heat.min()) for heat in heats)), max(float(heat.max()) for heat in heats)
    raised = maps.made.reduce != "mean" or (maps.made.edited and maps.made.at == "edited")
    return low, high if raised else min(high, 1.0)


def _bar(between: Range | None, maps: AttentionMaps) -> Bar:
    if between is None:
        return OWN_SCALE
    low, high = between
    over = maps.made.reduce == "mean" and high > 1
    note = f"{_SHARES[maps.made.reduce]}{'; over 1 by edits or enlarging' if over else ', one scale for all'}"
    return Bar(f"{low:.2g}" if low else "0", f"{high:.2g}", note)


def _laid_over(image: Image.Image, heat: NDArray[np.float32], between: Range | None, side: int) -> Image.Image:
    # at the figure's size: a small picture enlarged afterwards would blur the map twice
    return overlay(fitted(image, side), heat, between=between)


def _marked(image: Image.Image, where: Where) -> Image.Image:
    made, place = image.copy(), where.place
    draw = ImageDraw.Draw(made)
    if isinstance(place, tuple) and not isinstance(place[0], str):
        x, y = float(place[0]) * made.width, float(place[1]) * made.height
        for radius, width, color in ((9, 5, (20, 20, 24)), (8, 2, PAPER)):
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), outline=color, width=width)
    if isinstance(place, Box):
        box = (place.left * made.width, place.top * made.height, place.right * made.width, place.bottom * made.height)
        for grow, width, color in ((1, 4, (20, 20, 24)), (0, 2, PAPER)):
            draw.rectangle((box[0] - grow, box[1] - grow, box[2] + grow, box[3] + grow), outline=color, width=width)
    return made


def _shares(where: Where, size: tuple[int, int]) -> Image.Image:
    """Bars of a place's shares, the words first; of more than there is room for the greatest, and the others' sum."""
    rest = [(name, share, QUIET) for name in REST if (share := getattr(where, name)) is not None]
    told = [*greatest(where, size[1] // _LINE - len(rest)), *rest]
    made = Image.new("RGB", size, PAPER)
    draw = ImageDraw.Draw(made)
    high = min(34, size[1] // max(1, len(told)))
    font = ImageFont.load_default(max(9, min(15, high - 8)))
    most = max((abs(share) for _, share, _ in told), default=0.0) or 1.0
    names = min(120, max((length(draw, name, font) for name, _, _ in told), default=0))
    room = size[0] - names - 74
    from cmap import Colormap

    ramp = np.asarray(Colormap(COLORMAP)(np.array([0.62, 0.3], dtype=np.float32)))[:, :3]
    for place, (name, share, color) in enumerate(told):
        middle = place * high + high // 2
        write(draw, (names, middle), shortened(name, font, names, draw), fill=color, font=font, anchor="rm")
        left, tall = names + 10, max(3, high // 4)
        draw.rectangle((left, middle - tall, left + room, middle + tall), fill=LINE)
        fill = tuple(round(255 * part) for part in ramp[0 if color is INK else 1])
        draw.rectangle((left, middle - tall, left + room * abs(share) / most, middle + tall), fill=fill)
        write(draw, (size[0], middle), f"{100 * share:.1f} %", fill=color, font=font, anchor="rm")
    return made


def greatest(where: Where, room: int) -> list[tuple[str, float, tuple[int, int, int]]]:
    """A place's words in so many lines, in their order."""
    words = where.words
    if len(words) <= room:
        return [(label(word), share, INK) for word, share in words]
    ranked = sorted(range(len(words)), key=lambda place: -abs(words[place][1]))
    kept, left = sorted(ranked[: room - 1]), ranked[room - 1 :]
    told = [(label(words[place][0]), words[place][1], INK) for place in kept]
    return [*told, (f"{len(left)} other words", sum(words[place][1] for place in left), QUIET)]
