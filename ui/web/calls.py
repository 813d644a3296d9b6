"""What programs may ask, whichever way a call comes: gradio_client, curl (endpoints.py), or as a tool (tools.py)."""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from pipelines.attention_maps import AttentionMaps
from pipelines.ledger import phrase_parts, word_key
from pipelines.recipe import Recipe
from ui.web.edits import edited_recipe, read_list
from ui.web.runs import Run
from ui.web.studio import Happening, Studio
from ui.web.where import where as where_of
from xattn.errors import BadValue, UnknownName, UnknownWord

Json = dict[str, Any]
AXES = ("none", "step", "layer", "head")
CHANGES = ("prompt", "edits")


class Calls:
    """The four of them. Each raises XattnError with a sentence for the caller's mistakes.

    session: whose run it is (studio.Studio.draw); cancel: ends it within a step once set
    """

    def __init__(self, studio: Studio) -> None:
        self._studio = studio

    def generate(self, session: str, recipe_json: object, cancel: threading.Event | None = None) -> Iterator[Happening]:
        """Draw a recipe."""
        return self._studio.draw(session, self._recipe(recipe_json), cancel=cancel)

    def edit(
        self, session: str, recipe_json: object, edits_json: object, cancel: threading.Event | None = None
    ) -> Iterator[Happening]:
        """Draw it again with edits."""
        studio, base = self._studio, self._recipe(recipe_json)
        given = _parsed(studio.limits.check_json("edits_json", edits_json))
        prompt, listed = _apart(given) if isinstance(given, dict) else ("", given)
        read = read_list(listed, studio.limits)
        target = studio.limits.check_text("prompt", prompt)
        return studio.draw(session, edited_recipe(_seeded(base), target, read), cancel=cancel)

    def maps(self, run_id: object, words: object, axis: object) -> Json:
        """Where words looked: words, axis, labels along it, shape and values."""
        run = self._studio.runs.get(run_id)
        if axis not in AXES:
            raise UnknownName("axis", str(axis)[:60], AXES)
        return _maps(run, words, str(axis))

    def where(self, run_id: object, x: object, y: object) -> Json:
        """What a place asked of the words (where.py)."""
        return dict(where_of(self._studio.runs.get(run_id), x, y).to_json())

    def _recipe(self, text: object) -> Recipe:
        return Recipe.from_json(self._studio.limits.check_json("recipe_json", text))


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadValue("edits_json", text[:60], "a list of edits as JSON", str(error)) from error


def _seeded(base: Recipe) -> Recipe:
    """With a seed, which what is made of it shares; not by a pipeline, as the recipe's model may not be loaded yet."""
    theirs = None if base.source is None else base.source.seed
    return base if base.seed is not None else replace(base, seed=secrets.randbelow(2**32) if theirs is None else theirs)


def _apart(given: Json) -> tuple[object, object]:
    """The prompt and the edits of an object that has both."""
    for name in given:
        if name not in CHANGES:
            raise UnknownName("part of edits_json", name[:60], CHANGES)
    return given.get("prompt", ""), given.get("edits", [])


def _maps(run: Run, words: object, axis: str) -> Json:
    kept = run.maps
    if kept is None:
        raise BadValue("run", "without maps", "a picture whose maps were kept", "A smaller picture keeps them")
    if not isinstance(words, list) or len(words) > len(kept.words):
        raise BadValue("words", words if isinstance(words, str) else "a list too long", "a list of words of the prompt")
    chosen = [_place(run, word) for word in words] or list(range(len(kept.words)))
    labels = {
        "none": [],
        "step": list(kept.steps),
        "layer": [layer.name for layer in kept.layers],
        "head": list(range(kept.values.shape[3])),
    }[axis]
    if axis != "none" and not labels:
        raise BadValue("axis", axis, "left out: these maps were not kept by it", "A smaller picture keeps all axes")
    values = kept.mean(words=chosen, keep=() if axis == "none" else (axis,))
    shaped = values.reshape(len(chosen), -1, *values.shape[4:])
    return {
        "words": [AttentionMaps.label(kept.words[place]) for place in chosen],
        "axis": axis,
        "labels": labels,
        "shape": list(shaped.shape),
        "values": [[[[round(float(v), 6) for v in row] for row in one] for one in word] for word in shaped],
    }


def _place(run: Run, word: object) -> int:
    assert run.maps is not None
    labels = [AttentionMaps.label(known) for known in run.maps.words]
    wanted = word_key(str(word)) if isinstance(word, str) else ""
    for place, (label, known) in enumerate(zip(labels, run.maps.words, strict=True)):
        if wanted == word_key(label) or (phrase_parts(known)[1] == 1 and wanted == word_key(phrase_parts(known)[0])):
            return place
    raise UnknownWord(str(word)[:60], labels)
