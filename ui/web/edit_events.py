"""What happens in the area Edit: every way to change the picture puts something into one list, which is then drawn."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import gradio as gr

from pipelines.attention_maps import AttentionMaps
from pipelines.ledger import Ledger
from pipelines.prompt import readings
from ui.web.colors import word_colors
from ui.web.edit_list import shown_list
from ui.web.edits import (
    Doc,
    edited_recipe,
    kept_of_first,
    only_said,
    painted,
    read_list,
    regioned,
    remarked,
    reworded,
    settled,
    techniques_of,
    weighed,
    word_of,
)
from ui.web.page import Page
from ui.web.runs import Run
from ui.web.studio import Happening, Studio
from ui.web.telling import QUIET, TOLD, Teller, Told
from ui.web.views import blends_of, fields_of, regions_of, words_of
from xattn.errors import XattnError

DROPPED = "dropped"
"""In place of the edited run's id: edits came with a picture, and the run that they change is not drawn yet."""
_NONE = (gr.skip(), gr.skip())


class EditEvents:
    """Handlers; each takes what its components hold."""

    def __init__(self, page: Page, studio: Studio, teller: Teller) -> None:
        self._page, self._studio, self._teller = page, studio, teller

    def wire(self, picked: gr.events.Dependency) -> None:
        """Connect them; to be called inside the gr.Blocks. picked: a picture of the strip is shown."""
        page, edit, studio_list = self._page, self._page.edit, [self._page.edit.list, self._page.edit.edits]
        fast: dict[str, Any] = {"queue": False, **QUIET}
        following = [page.run, edit.edits, edit.origin, edit.target]
        followed = [edit.weights, edit.target, edit.alignment, *studio_list, edit.origin]
        page.run.change(self.follow, following, followed, **fast)
        first = [edit.keep_words, edit.keep_layout, edit.blend]
        picked.then(self.pick, following, [*followed, *first], **fast)
        listing = [edit.edits, page.run, edit.target]
        # always_last: what is done while one is answered counts; each event has all of its kind (viewer/js/newest.js)
        newest = fast | {"trigger_mode": "always_last"}
        edit.weights.weigh(self.weigh, listing, [*studio_list, edit.weights], **newest)
        page.viewer.paint(self.paint, listing, studio_list, **newest)
        page.viewer.regions(self.regions, listing, studio_list, **newest)
        reword = [edit.target, edit.keep_words, edit.keep_layout, edit.blend]
        gr.on(
            [edit.target.change, edit.keep_words.input, edit.keep_layout.input, edit.blend.change],
            self.reword,
            [*reword, edit.edits, edit.origin, page.run],
            [edit.alignment, *studio_list],
            **newest,
        )
        edit.list.edited(self.listed, listing, [*studio_list, page.status, edit.weights], **newest)
        cleared = [edit.target, edit.blend, edit.weights, *studio_list]
        # what is painted and boxed goes in the browser, without an event that would come in between
        edit.clear.click(self.clear, [page.run], cleared, js="(run) => (window.xattnErase?.(), run)", **fast)
        edit.draw.click(
            self.draw,
            [edit.target, edit.edits, edit.origin, page.run],
            self._teller.outputs,
            js=TOLD,
            trigger_mode="multiple",
            concurrency_limit=None,
            **QUIET,
        )

    def draw(
        self, request: gr.Request, target: str, edits: list[Doc], origin: str | None, shown: str | None
    ) -> Iterator[Told]:
        """The picture that is shown, changed."""

        def begin(session: str) -> Iterator[Happening]:
            run = self._origin(origin, shown)
            listed, said = read_list(edits, self._studio.limits), self._said(run, target)
            recipe = edited_recipe(run.recipe, target or "", listed if said is None else only_said(listed, said))
            return self._studio.draw(session, recipe, before=run)

        yield from self._teller.tell(request, begin)

    def _origin(self, origin: str | None, shown: str | None) -> Run:
        if origin in (None, DROPPED) and shown is None:
            raise XattnError("There is no picture to edit yet. Press Draw first.")
        return self._studio.runs.get(shown if origin in (None, DROPPED) else origin)

    def follow(
        self, shown: str | None, edits: list[Doc], origin: str | None, target: str, *, picked: bool = False
    ) -> tuple[Any, ...]:
        """Another picture is shown: its words, and the edits that it has or may keep.

        picked: it was drawn before; one that was just drawn leaves a list alone that was changed meanwhile
        """
        skip = gr.skip()
        try:
            run = self._studio.runs.get(shown)
        except XattnError:
            return (skip,) * 6
        if run.edited:
            own = [dict(one) for one in run.recipe.document().get("edits", [])]  # type: ignore[attr-defined]
            own = remarked(own, edits)
            if not picked and self._changed(edits, run, target):
                return self._weights(run, edits), skip, skip, *self._stays(edits, run, target), run.origin
            return self._weights(run, own), skip, skip, *self._list(own, run, target), run.origin
        if origin == DROPPED:  # what a dropped picture brought waits for the picture that it changes
            return self._weights(run, edits), skip, skip, *self._stays(edits, run, target), run.id
        before = self._quiet(origin)
        kept = [] if before is None or before.recipe.prompt != run.recipe.prompt else edits
        prompt = run.recipe.prompt
        return self._weights(run, kept), prompt, {"links": []}, *self._stays(kept, run, prompt), run.id

    def _changed(self, edits: Sequence[Doc], run: Run, target: str) -> bool:
        """Whether the list is another than the one that an edited picture was drawn with."""
        try:
            return techniques_of(self._list(edits, run, target)[1]) != run.recipe.edits
        except XattnError:
            return True

    def _stays(self, edits: Sequence[Doc], run: Run, target: str) -> tuple[dict[str, Any], list[Doc]]:
        """The list, which stays for a picture that was drawn without it: the canvas has what it paints, too."""
        told, made = self._list(edits, run, target)
        given = techniques_of(made)
        fields = {str(place): field for place, field in fields_of(given, words_of(run)).items()}
        regions = [region.to_json() for region in regions_of(given)]
        return told | {"canvas": {"id": run.id, "fields": fields, "regions": regions}}, made

    def pick(self, shown: str | None, edits: list[Doc], origin: str | None, target: str) -> tuple[Any, ...]:
        """A picture of the strip is shown: an edited one with the changed prompt that it was drawn from."""
        skip, run = gr.skip(), self._quiet(shown)
        if run is None or not run.edited:
            return *self.follow(shown, edits, origin, target), skip, skip, skip
        target = run.recipe.prompt
        weights, _, _, told, made, origin = self.follow(shown, edits, origin, target, picked=True)
        before = self._quiet(origin)
        if before is None or before.recipe.prompt == target:
            return weights, target, {"links": []}, told, made, origin, skip, skip, ""
        links = {"links": _aligned(before.ledger, run.ledger)}
        return weights, target, links, told, made, origin, *kept_of_first(made)

    def weigh(self, edits: list[Doc], shown: str | None, target: str, event: gr.EventData) -> tuple[Any, ...]:
        """Words' sliders came to rest: those that the list does not have yet, by the place of their word."""
        run, scales = self._quiet(shown), event._data.get("scales")
        if run is None or not isinstance(scales, Mapping):
            return *_NONE, gr.skip()
        made = list(edits)
        for place, word in enumerate(words_of(run)):
            scale = scales.get(str(place))
            if isinstance(scale, int | float):
                made = weighed(made, word, scale)
        told, made = self._list(made, run, target)
        return told, made, self._weights(run, made) | {"turn": event._data.get("turn")}

    def paint(self, edits: list[Doc], shown: str | None, target: str, event: gr.EventData) -> tuple[Any, Any]:
        """A stroke ended."""
        run = self._quiet(event._data.get("id")) or self._quiet(shown)
        if run is None:
            return _NONE
        try:
            made = painted(edits, event._data.get("fields") or {}, words_of(run), self._studio.limits)
        except XattnError as error:
            return {**self._list(edits, run, target)[0], "error": str(error)}, gr.skip()
        return self._list(made, run, target)

    def regions(self, edits: list[Doc], shown: str | None, target: str, event: gr.EventData) -> tuple[Any, Any]:
        """A region was drawn, moved, named or removed."""
        run = self._quiet(shown)
        try:
            made = regioned(edits, event._data.get("regions"))
        except (XattnError, TypeError, ValueError, KeyError) as error:
            told = {"edits": []} if run is None else self._list(edits, run, target)[0]
            return {**told, "error": str(error)}, gr.skip()
        return _NONE if run is None else self._list(made, run, target)

    def reword(
        self,
        target: str,
        keep_words: bool,
        keep_layout: bool,
        blend: str,
        edits: list[Doc],
        origin: str | None,
        shown: str | None,
    ) -> tuple[Any, ...]:
        """The changed prompt, aligned with the first one, and the edits that this makes."""
        run, pipe = self._quiet(origin) or self._quiet(shown), self._studio.models.loaded
        if run is None or pipe is None or origin == DROPPED:
            return gr.skip(), *_NONE
        changed = (target or "").strip()
        words = tuple(word for word in re.split(r"\s*,\s*", (blend or "").strip()) if word)
        seen = self._quiet(shown)
        if not changed or changed == run.recipe.prompt:
            made = reworded(edits, "", False, words, same=True)
            return {"links": []}, *self._list(made, run, changed, seen)
        try:
            self._studio.limits.check_text("prompt", changed)
            links = _aligned(run.ledger, pipe.ledger(changed, run.recipe.syntax))
        except XattnError as error:
            return {"links": [], "error": str(error)}, *_NONE
        kind = "replace" if any(link["kind"] == "replaced" for link in links) else "refine"
        made = reworded(edits, kind if keep_words else "", keep_layout, words, same=False)
        return {"links": links}, *self._list(made, run, changed, seen)

    def listed(
        self,
        before: list[Doc],
        shown: str | None,
        target: str,
        event: gr.EventData,
    ) -> tuple[Any, Any, Any, Any]:
        """The list itself was changed; it shows that already, but for what one word alone may have, or has no word."""
        run, skip = self._quiet(shown), gr.skip()
        try:
            given = read_list(event._data.get("edits"), self._studio.limits)
        except XattnError as error:
            return skip, skip, {"state": "failed", "text": str(error), "done": 0}, skip
        edits, turn = settled(given, before), {"turn": event._data.get("turn")}
        if run is None:
            return skip if edits == given else {"edits": shown_list(edits, ()), **turn}, edits, skip, skip
        told, edits = self._list(edits, run, target)
        return skip if edits == given else told | turn, edits, skip, self._weights(run, edits)

    def clear(self, shown: str | None) -> tuple[Any, ...]:
        """No edits."""
        run = self._quiet(shown)
        prompt = "" if run is None else (run.recipe.source or run.recipe).prompt
        weights = {"words": []} if run is None else self._weights(run, [])
        return prompt, "", weights, {"edits": []}, []

    def _quiet(self, run_id: object) -> Run | None:
        try:
            return self._studio.runs.get(run_id)
        except XattnError:
            return None

    def _list(
        self, edits: Sequence[Doc], run: Run, target: str, seen: Run | None = None
    ) -> tuple[dict[str, Any], list[Doc]]:
        """The list as it is shown and as it is kept, edits of words that the edited picture lacks being off.

        seen: the picture that is shown, where that is not `run`
        """
        said = self._said(run, target)
        made = list(edits) if said is None else only_said(edits, said)
        return {"edits": shown_list(made, words_of(run), said, blends_of(seen or run))}, made

    def _said(self, run: Run, target: str) -> tuple[Ledger, ...] | None:
        """What the edited picture's prompt says over its steps; None where it cannot be read."""
        prompt = (target or "").strip() or (run.recipe.source or run.recipe).prompt
        pipe, steps = self._studio.models.loaded, run.recipe.num_inference_steps or 1
        if pipe is None:
            return None
        try:
            self._studio.limits.check_text("prompt", prompt)
            every = dict.fromkeys(readings(prompt, steps, run.recipe.syntax))
            return tuple(pipe.model.text.ledger(reading) for reading in every)
        except XattnError:  # told where the prompt is aligned, or drawn
            return None

    def _weights(self, run: Run, edits: Sequence[Doc]) -> dict[str, Any]:
        words = words_of(run)
        scales = {str(one.get("word")): one.get("scale") for one in edits if one.get("kind") == "reweight"}
        made = []
        for word, color in zip(words, word_colors(words), strict=True):
            scale = scales.get(str(word_of(word)), 1.0)
            # a browser's 2.0 comes as 2; points over the steps have no place on a slider
            number = float(scale) if isinstance(scale, int | float) else 1.0
            made.append({"text": AttentionMaps.label(word), "color": color, "scale": number})
        return {"words": made}


def _aligned(first: Ledger, changed: Ledger) -> list[dict[str, Any]]:
    """Who takes over whose place, for js/alignment.js."""
    from pipelines.techniques.alignment import align

    links = align(first, changed).links
    return [{"kind": link.kind, "source": link.source, "target": link.target} for link in links]
