"""The list of edits as a person reads it: a title, what it does, the word's colour, a copy of what was painted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipelines.ledger import Ledger, Phrase
from ui.web.colors import word_colors
from ui.web.edits import Doc, is_said, name_of, word_of

_WHAT = {
    "set": "looks here, and only here",
    "gain": "looks more here",
    "add": "looks here too",
    "move": "moves",
}
_STEPS = {
    "replace": [0.0, 0.8],
    "refine": [0.0, 0.8],
    "inject": [0.0, 0.4],
    "paint_map": [0.0, 0.5],
    "attend_and_excite": [0.0, 0.5],
}
"""Where the techniques' own default window ends, so that the list can show it."""


def shown_list(
    edits: Sequence[Doc],
    words: Sequence[Phrase],
    said: Sequence[Ledger] | None = None,
    blends: Mapping[str, str] | None = None,
) -> list[dict[str, Any]]:
    """For js/edits.js.

    said: what the edited picture's prompt says; None where that is not known (edits.only_said)
    blends: where the shown picture was blended, by the edit's id, as grey PNGs in base64
    """
    colors = {name_of(word_of(word)): color for word, color in zip(words, word_colors(words), strict=True)}
    made = []
    for edit in edits:
        title, what = _said(edit)
        unsaid = said is not None and not is_said(edit, said)
        if unsaid:
            what = "off: the changed prompt has no such word"
        made.append(
            {
                "doc": edit,
                "title": title,
                "what": what,
                "unsaid": unsaid,
                "color": colors.get(name_of(edit.get("word"))),
                "thumb": _thumb(edit),
                "blend": _png((blends or {}).get(str(edit.get("id")))),
                "steps": _STEPS.get(str(edit.get("kind"))),
            }
        )
    return made


def _said(edit: Doc) -> tuple[str, str]:
    kind, word = str(edit.get("kind")), name_of(edit.get("word"))
    match kind:
        case "reweight":
            return word, f"counts ×{edit.get('scale')}"
        case "paint_map":
            return word, _WHAT.get(str(edit.get("op", "gain")), "")
        case "paint_with_words":
            return word, "is drawn here"
        case "neg_pip":
            return word, "is kept out"
        case "replace" | "refine":
            return "Words keep their places", "new ones take over the old ones' maps" if kind == "replace" else ""
        case "inject":
            return "Keep the layout", "places look at each other as before"
        case "local_blend":
            return "Change only where", ", ".join(name_of(one) for one in edit.get("words", ()))
        case "regions":
            prompts = [str(one.get("prompt")) for one in edit.get("regions", ())]
            return "Regions", "; ".join(prompts)
    return kind.replace("_", " "), ""


def _thumb(edit: Doc) -> str | None:
    field = edit.get("field")
    return _png(field.get("data") if isinstance(field, dict) else None)


def _png(data: str | None) -> str | None:
    return f"data:image/png;base64,{data}" if data else None
