"""The list of edits as the page keeps it: JSON documents, in order, that become a recipe in one place.

Painting, weighing and drawing regions each put something into the list; the list itself is what a person turns on and
off, orders, and takes away from.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

from pipelines.assets import Asset
from pipelines.ledger import Ledger, Phrase, holds, phrase_parts
from pipelines.recipe import Recipe
from pipelines.techniques.edit import Edit
from ui.web.limits import Limits
from xattn.errors import BadValue

Doc = dict[str, Any]
PAINTED, WEIGHED, REGIONS = "paint-", "weigh-", "regions"
WORDS, LAYOUT, BLEND = "words", "layout", "blend"
UNSAID = "unsaid"
"""Marks an edit that is off only because the prompt lacks its word: it comes back with the word. No recipe has it."""
NEW: Doc = {"op": "set", "amount": 4.0, "renormalise": "others"}
"""What a first stroke does (docs/ui.md has the measurement)."""
SOFT: Doc = {"hard": False}
STRENGTH = 0.7
"""What new regions are: soft ones keep both objects of a pair more often than sharp ones (docs/control.md)."""
_BEFORE = ("paint_map", "replace", "refine")
"""Whose maps would be undone where a later edit made the other words share out anew (xattn.conflicts)."""


def word_of(phrase: Phrase) -> str | list[Any]:
    """A phrase as JSON has it."""
    text, occurrence = phrase_parts(phrase)
    return text if occurrence == 1 else [text, occurrence]


def name_of(word: object) -> str:
    """The same as a person reads it."""
    if isinstance(word, list) and len(word) == 2:
        return f"{word[0]} ({word[1]})"
    return str(word)


def weighed(edits: Sequence[Doc], phrase: Phrase, scale: float) -> list[Doc]:
    """With a word turned up or down; at 1 the edit goes."""
    word = word_of(phrase)
    made: Doc = {"kind": "reweight", "id": f"{WEIGHED}{name_of(word)}", "word": word, "scale": round(float(scale), 3)}
    return _put(edits, made, keep=abs(scale - 1.0) > 1e-6)


def painted(edits: Sequence[Doc], fields: object, words: Sequence[Phrase], limits: Limits) -> list[Doc]:
    """With the painted fields as they are now: one edit a word; a word whose field is empty has none.

    fields: the viewer's, by word index; of words that it does not show, edits stay as they are. Raises BadValue.
    """
    if not isinstance(fields, Mapping):
        raise BadValue("fields", fields, "an object of painted fields by word")
    limits.check_edits([*fields])
    present: dict[str, Doc] = {}
    for key, field in fields.items():
        index = int(key) if str(key).isdigit() else -1
        if not 0 <= index < len(words) or not isinstance(field, Mapping):
            raise BadValue("fields", key, f"the place of a word, 0 to {len(words) - 1}")
        word = word_of(words[index])
        asset = field_asset(field.get("png"), limits)
        present[f"{PAINTED}{name_of(word)}"] = {"word": word, "field": asset.document()}
    shown = {f"{PAINTED}{name_of(word_of(word))}" for word in words}
    made: list[Doc] = []
    for edit in edits:
        ident = str(edit.get("id", ""))
        if ident in shown:
            if ident in present:
                made.append({**edit, **present.pop(ident)})
            continue
        made.append(edit)
    for ident, part in present.items():
        made.append({"kind": "paint_map", "id": ident, **_stroke(made), **part})
    return made


def settled(edits: Sequence[Doc], before: Sequence[Doc] = ()) -> list[Doc]:
    """With one word at most whose others make room, ahead of the other painted ones: the only order that can be drawn.

    Where several ask for it, the one that did not do so `before` has it, else the first; the others leave theirs as
    they are. Beside a changed prompt's words none has it. Nobody who paints should have to know this.
    """
    asking = [edit for edit in edits if _makes_room(edit)]
    if not asking:
        return list(edits)
    if any(edit.get("kind") in ("replace", "refine") and _on(edit) for edit in edits):
        return [_alone(edit) if _makes_room(edit) else edit for edit in edits]
    had = {edit.get("id") for edit in before if _makes_room(edit)}
    chosen = next((edit for edit in asking if edit.get("id") not in had), asking[0])
    made = [edit if edit is chosen or not _makes_room(edit) else _alone(edit) for edit in edits]
    first = next(place for place, edit in enumerate(made) if edit.get("kind") == "paint_map" and _on(edit))
    made.remove(chosen)
    return [*made[:first], chosen, *made[first:]]


def _on(edit: Doc) -> bool:
    return edit.get("enabled") is not False


def _makes_room(edit: Doc) -> bool:
    """Whether the other words share out anew what it leaves; a gain by the softmax is no more than a bias."""
    how = edit.get("renormalise", "none")
    bias = how == "softmax" and edit.get("op", "gain") == "gain"
    return edit.get("kind") == "paint_map" and _on(edit) and how != "none" and not bias


def _stroke(edits: Sequence[Doc]) -> Doc:
    """What a first stroke of a word does: NEW where nothing before it forbids that."""
    before = any(edit.get("kind") in _BEFORE and _on(edit) for edit in edits)
    return _alone(NEW) if before else dict(NEW)


def field_asset(png: object, limits: Limits) -> Asset:
    """A painted field's bytes, checked by their header before anything is decoded. Raises BadValue."""
    if not isinstance(png, str) or len(png) > 4 * limits.field_side**2:
        raise BadValue(
            "field", "no text" if not isinstance(png, str) else f"{len(png)} characters", "a small PNG as base64"
        )
    try:
        asset = Asset.from_bytes(base64.b64decode(png, validate=True))
    except ValueError as error:  # letters beyond ASCII are no binascii.Error
        raise BadValue("field", "text", "base64", str(error)) from error
    limits.check_field(asset)
    return asset


def regioned(edits: Sequence[Doc], regions: object) -> list[Doc]:
    """With the regions as they are now, in one edit; those without a prompt wait for one. Raises BadValue."""
    old = next((edit for edit in edits if edit.get("id") == REGIONS), SOFT)
    strength = next((one.get("strength", 1.0) for one in old.get("regions", ())), STRENGTH)
    if not isinstance(regions, list):
        raise BadValue("regions", regions, "a list of regions")
    made = []
    for one in regions:
        if not isinstance(one, Mapping):
            raise BadValue("regions", one, "objects with left, top, right, bottom and prompt")
        prompt = str(one.get("prompt") or "").strip()
        if prompt:
            box = [float(one[side]) for side in ("left", "top", "right", "bottom")]
            made.append({"prompt": prompt, "field": {"box": [round(side, 4) for side in box]}, "strength": strength})
    return _put(edits, {"kind": "regions", "id": REGIONS, **old, "regions": made}, keep=bool(made))


def reworded(edits: Sequence[Doc], kind: str, layout: bool, blend: Sequence[str], *, same: bool) -> list[Doc]:
    """With what a changed prompt takes over from the first one. kind: "replace", "refine", or "" for nothing.

    layout: whether places look at each other as before; blend: words outside of which nothing changes
    same: the prompt is not changed, so there is nothing to take over
    """
    other = "refine" if kind == "replace" else "replace"
    made = [
        edit
        for edit in edits
        if not (edit.get("id") == WORDS and edit.get("kind") in (other, "" if kind else edit.get("kind")))
    ]
    # first in the list: whatever else is edited comes on top of what was taken over
    ahead: list[Doc] = []
    if kind and not same and not any(edit.get("id") == WORDS for edit in made):
        ahead.append({"kind": kind, "id": WORDS})
    keeps = layout and not same
    if keeps and not any(edit.get("id") == LAYOUT for edit in made):
        ahead.append({"kind": "inject", "id": LAYOUT})
    made = [*ahead, *(edit for edit in made if edit.get("id") != LAYOUT or keeps)]
    if same:
        made = [edit for edit in made if edit.get("id") != WORDS]
    elif any(edit.get("id") == WORDS for edit in made):
        # maps that are taken over leave nothing to be shared out: the list shows that the others stay
        made = [_alone(edit) if str(edit.get("id", "")).startswith(PAINTED) else edit for edit in made]
    return _put(made, {"kind": "local_blend", "id": BLEND, "words": list(blend)}, keep=bool(blend) and not same)


def _alone(edit: Doc) -> Doc:
    return {name: value for name, value in edit.items() if name != "renormalise"}


def only_said(edits: Sequence[Doc], said: Sequence[Ledger]) -> list[Doc]:
    """With edits of words that the edited picture's prompt lacks switched off, and on again where it has them back.

    What a person switched off stays off. said: what the prompt says over the steps
    """
    made: list[Doc] = []
    for edit in edits:
        plain = {name: value for name, value in edit.items() if name != UNSAID}
        marked = UNSAID in edit
        if not is_said(edit, said):
            made.append({**plain, "enabled": False, UNSAID: True} if marked or _on(edit) else plain)
        elif marked:
            made.append({name: value for name, value in plain.items() if name != "enabled"})
        else:
            made.append(plain)
    # one that comes back may not make room beside another that does so meanwhile
    back = any(UNSAID in old and _makes_room(new) for old, new in zip(edits, made, strict=True))
    return settled(made) if back else made


def is_said(edit: Doc, said: Sequence[Ledger]) -> bool:
    """Whether a prompt has the word that an edit is about at any step; so it is where it is about none."""
    word = edit.get("word")
    phrase: Any = tuple(word) if isinstance(word, list) else word
    try:
        return word is None or any(holds(ledger, phrase) for ledger in said)
    except BadValue:  # no word at all: the recipe will say so
        return True


def remarked(edits: Sequence[Doc], before: Sequence[Doc]) -> list[Doc]:
    """A recipe's edits, those marked that are off for want of their word in the list it was made from."""
    marked = {edit.get("id") for edit in before if UNSAID in edit and edit.get("id")}
    return [{**edit, UNSAID: True} if not _on(edit) and edit.get("id") in marked else edit for edit in edits]


def named(edits: Sequence[Doc]) -> list[Doc]:
    """Edits from elsewhere with the ids by which this page finds its own: else a brush or a slider would put a second
    one beside each. Where several are alike the first has it.
    """
    taken = {str(edit["id"]) for edit in edits if edit.get("id")}
    made: list[Doc] = []
    for edit in edits:
        ident = _own_id(edit)
        if ident is None or ident in taken:
            made.append(dict(edit))
        else:
            taken.add(ident)
            made.append({**edit, "id": ident})
    return made


def _own_id(edit: Doc) -> str | None:
    match edit.get("kind"):
        case "paint_map" | "paint_with_words":
            return f"{PAINTED}{name_of(edit.get('word'))}"
        case "reweight":
            return f"{WEIGHED}{name_of(edit.get('word'))}"
        case "replace" | "refine":
            return WORDS
        case "inject":
            return LAYOUT
        case "local_blend":
            return BLEND
        case "regions":
            return REGIONS
    return None


def kept_of_first(edits: Sequence[Doc]) -> tuple[bool, bool, str]:
    """What `reworded` was told for these: do words keep their places, does the layout stay, where it blends."""
    ids = {str(edit.get("id")) for edit in edits}
    blend = next((edit for edit in edits if edit.get("id") == BLEND), {})
    return WORDS in ids, LAYOUT in ids, ", ".join(name_of(word) for word in blend.get("words", ()))


def _put(edits: Sequence[Doc], made: Doc, *, keep: bool) -> list[Doc]:
    """The list with an edit in the place of the one of its id, at the end where there is none, or without it."""
    place = next((number for number, edit in enumerate(edits) if edit.get("id") == made["id"]), None)
    if place is None:
        return [*edits, made] if keep else list(edits)
    return [*edits[:place], *([{**edits[place], **made}] if keep else []), *edits[place + 1 :]]


def edited_recipe(base: Recipe, target: str, edits: Sequence[Doc]) -> Recipe:
    """The recipe of `base` changed: another prompt, and edits; `base` is its source where any of them takes from it.

    Raises XattnError with a sentence.
    """
    edits = _unmarked(edits)
    plain = {name: value for name, value in base.document().items() if name not in ("edits", "source")}
    document: Doc = {**plain, "prompt": target.strip() or base.prompt, "edits": edits}
    without = Recipe.from_json({**document, "edits": []})
    changed = without.prompt != base.prompt
    if changed or _takes_source(edits):
        document["source"] = plain
    return Recipe.from_json(document)


def _takes_source(edits: Sequence[Doc]) -> bool:
    """Whether one of them wants the picture that this one starts from."""
    return any(edit.takes_source for edit in techniques_of(edits) if edit.enabled)


def techniques_of(edits: Sequence[Doc]) -> tuple[Edit, ...]:
    """The edits themselves. Raises XattnError with a sentence."""
    from pipelines.techniques import TECHNIQUES
    from pipelines.techniques.codec import read_edits

    return read_edits(_unmarked(edits), TECHNIQUES)


def _unmarked(edits: Sequence[Doc]) -> list[Doc]:
    return [{name: value for name, value in edit.items() if name != UNSAID} for edit in edits]


def read_list(given: object, limits: Limits) -> list[Doc]:
    """A list of edits as the page or a caller sends it; what each says is checked where the recipe is made."""
    if not isinstance(given, list) or not all(isinstance(one, Mapping) for one in given):
        raise BadValue("edits", given, 'a list of objects such as {"kind": "reweight", "word": "fox", "scale": 2}')
    limits.check_edits(given)
    return [dict(one) for one in given]
