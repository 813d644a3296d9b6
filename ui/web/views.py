"""From a run to what the viewer shows: the picture, the prompt's words with their colours, the maps."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipelines.assets import Asset
from pipelines.attention_maps import AttentionMaps
from pipelines.ledger import Ledger, Phrase, phrase_parts, word_key
from pipelines.techniques.values import Box
from ui.web.colors import word_colors
from ui.web.viewer.colors import word_color
from ui.web.viewer.data import Mode, Piece, Region, Word
from ui.web.viewer.view import View

if TYPE_CHECKING:
    from pipelines.techniques.edit import Edit
    from ui.web.runs import Run

_SMALL_WORDS = frozenset(
    ("a", "an", "the", "of", "on", "in", "at", "to", "by", "and", "or", "with", "image", "picture", "photo")
)
_SMALL = 900_000
"""Characters of a picture that is sent exactly."""


def data_url(image: Image.Image, form: str = "PNG", quality: int = 85) -> str:
    """The picture as a `data:` URL, for a page that asks no host for anything."""
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, form, quality=quality)
    return f"data:image/{form.lower()};base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"


def small_url(image: Image.Image) -> str:
    """The same: as a PNG where that is small, else as a JPEG."""
    exact = data_url(image)
    return exact if len(exact) <= _SMALL else data_url(image, "JPEG", 88)


def words_of(run: Run) -> tuple[Phrase, ...]:
    """The words that the viewer knows: those with maps, or where there are none the prompt's own."""
    if run.maps is not None:
        return run.maps.words
    return phrases(run.ledger)


def phrases(ledger: Ledger) -> tuple[Phrase, ...]:
    """Each word of the prompt, told apart where it stands twice."""
    seen: dict[str, int] = {}
    made: list[Phrase] = []
    for word in ledger.words:
        key = word_key(word.text)
        seen[key] = seen.get(key, 0) + 1
        made.append(word.text if seen[key] == 1 else (word.text, seen[key]))
    return tuple(made)


def pieces(ledger: Ledger, words: tuple[Phrase, ...]) -> tuple[Piece, ...]:
    """The prompt as it is written, cut at its words; each word knows its place among `words`."""
    places = {_key(word): place for place, word in enumerate(words)}
    made: list[Piece] = []
    at = 0
    for word, phrase in zip(ledger.words, phrases(ledger), strict=True):
        if word.start < at:  # two readings of one stretch: the first has it
            continue
        if word.start > at:
            made.append(Piece(ledger.prompt[at : word.start]))
        made.append(Piece(ledger.prompt[word.start : word.end], places.get(_key(phrase))))
        at = word.end
    if at < len(ledger.prompt):
        made.append(Piece(ledger.prompt[at:]))
    return tuple(made)


def _key(phrase: Phrase) -> tuple[str, int]:
    text, occurrence = phrase_parts(phrase)
    return word_key(text), occurrence


def view_of(run: Run, *, mode: Mode | None = None) -> View:
    """Everything that the viewer shows of a run; an edited one begins with the comparison and with what was painted."""
    words = words_of(run)
    if mode is None and run.before is not None:
        mode = "compare"
    kept = () if run.maps is None else run.maps.blocks()
    return View(
        id=run.id,
        picture=data_url(run.image),
        width=run.image.width,
        height=run.image.height,
        words=tuple(
            Word(AttentionMaps.label(word), color) for word, color in zip(words, word_colors(words), strict=True)
        ),
        prompt=pieces(run.ledger, words),
        maps=kept,
        before=None if run.before is None else data_url(run.before),
        mode=mode,
        fields=fields_of(run.recipe.edits, words),
        regions=regions_of(run.recipe.edits),
        note=_note(run),
        blend=_blend(run),
        raised=run.raised,
        main=_main(words),
        plain=True,
    )


def _main(words: tuple[Phrase, ...]) -> int | None:
    """The word to look at first: the first that is not one of the small ones."""
    return next((place for place, word in enumerate(words) if _key(word)[0] not in _SMALL_WORDS), None)


def grey(mask: NDArray[np.float32]) -> str:
    """A mask [height, width] of 0 to 1 as a grey PNG, a pixel a place, in base64."""
    buffer = io.BytesIO()
    Image.fromarray(np.rint(mask * 255).astype(np.uint8)).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode("ascii")


def blends_of(run: Run) -> dict[str, str]:
    """The masks of its local blending, as `grey` writes them, by the id of their edit."""
    return {run.recipe.edits[place].id: grey(mask) for place, mask in run.blends.items()}


def _blend(run: Run) -> str | None:
    """Where local blending let it differ from the picture before: where each of several did."""
    if run.before is None or not run.blends:
        return None
    return grey(np.multiply.reduce([*run.blends.values()]))


def fields_of(edits: Sequence[Edit], words: tuple[Phrase, ...]) -> dict[int, str]:
    """Painted fields of these, by the place of their word, as base64."""
    places = {_key(word): place for place, word in enumerate(words)}
    made = {}
    for edit in edits:
        field, word = getattr(edit, "field", None), getattr(edit, "word", None)
        if word is not None and isinstance(field, Asset) and field.data is not None and _key(word) in places:
            made[places[_key(word)]] = base64.b64encode(field.data).decode("ascii")
    return made


def regions_of(edits: Sequence[Edit]) -> tuple[Region, ...]:
    """Boxes of these that have a prompt of their own."""
    boxes = [
        (one.field, one.prompt) for edit in edits for one in getattr(edit, "regions", ()) if isinstance(one.field, Box)
    ]
    return tuple(
        Region(f"r{number}", box.left, box.top, box.right, box.bottom, prompt, word_color(number - 1))
        for number, (box, prompt) in enumerate(boxes, start=1)
    )


def _note(run: Run) -> str:
    recipe = run.recipe
    said = f"seed {recipe.seed} · {recipe.num_inference_steps} steps · {recipe.scheduler} · {run.seconds:.1f} s"
    if run.maps is None:
        return f"{said} · no maps: they would not fit"
    sizes = dict(zip(("steps", "layers", "heads"), run.maps.values.shape[1:4], strict=True))
    kept = [f"{size} {name}" for name, size in sizes.items() if size > 1]
    return f"{said} · maps of {' × '.join(kept) or 'all steps together'}"
