"""What the page asks without an event, in about a millisecond. These get no session: the run's id is what is known.

They hold to the same limits as everything else, and answer a mistake with a sentence where the viewer shows one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ui.web.ledger_view import chips
from ui.web.studio import Studio, sentence
from ui.web.where import where as where_of
from xattn.errors import BadValue

_NAME = 64


def ledger_function(studio: Studio) -> Callable[..., Any]:
    """`ledger` as the chips call it: with the prompt."""

    def ledger(prompt: Any) -> dict[str, Any]:
        """The prompt's words and tokens (ledger_view.chips)."""
        try:
            return chips(studio.models.loaded, prompt if isinstance(prompt, str) else "", studio.limits)
        except Exception as error:  # noqa: BLE001  a bare 500 would say nothing
            return chips(None, "", studio.limits) | {"error": sentence(error)}

    return ledger


def server_functions(studio: Studio) -> list[Callable[..., Any]]:
    """`where` and `maps` as the viewer calls them: each with one list."""

    def where(asked: Any) -> dict[str, Any] | None:
        """[id, x, y, selection] → the place's answer."""
        try:
            run_id, x, y, selection = _arguments(asked, 4)
            return where_of(studio.runs.get(run_id), x, y, _selection(selection)).to_json()
        except Exception as error:  # noqa: BLE001  a bare 500 would say nothing
            return {"x": 0.5, "y": 0.5, "tokens": [], "note": sentence(error)}

    def maps(asked: Any) -> list[dict[str, Any]]:
        """[id, selection] → blocks of maps."""
        try:
            run_id, selection = _arguments(asked, 2)
            kept = studio.runs.get(run_id).maps
            return [] if kept is None else [kept.cut(_selection(selection)).to_json(compress=True)]
        except Exception as error:  # noqa: BLE001  as above; the viewer then shows what it has
            sentence(error)
            return []

    return [where, maps]


def _arguments(asked: object, count: int) -> list[Any]:
    if not isinstance(asked, list) or len(asked) != count:
        raise BadValue("arguments", type(asked).__name__, f"a list of {count}")
    return asked


def _selection(selection: object) -> Mapping[str, object]:
    if selection is None:
        return {}
    if not isinstance(selection, Mapping) or len(selection) > 16:
        raise BadValue("selection", type(selection).__name__, "an object with step, layers and head")
    layers = selection.get("layers") or []
    if isinstance(layers, list) and len(layers) > _NAME:
        raise BadValue("layers", f"a list of {len(layers)}", f"at most {_NAME} long")
    return selection
