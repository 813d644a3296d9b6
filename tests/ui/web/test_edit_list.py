"""The list of edits beside a changed prompt: what it has no word for is off, however the two were made."""

from __future__ import annotations

import asyncio
import base64
import io
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
import pytest
from PIL import Image

from pipelines.assets import Asset
from pipelines.recipe import Recipe
from ui.web import edits as listed
from ui.web.edit_events import EditEvents
from ui.web.edits import named, techniques_of, weighed
from ui.web.limits import Limits
from ui.web.models import Models
from ui.web.page import Page, build_page
from ui.web.runs import Run
from ui.web.studio import Drawn, Studio
from ui.web.telling import Teller
from ui.web.views import view_of, words_of

OFF = "off: the changed prompt has no such word"
FIELD = Asset.from_image(Image.fromarray(np.full((4, 4), 255, np.uint8)))
PNG = base64.b64encode(FIELD.data or b"").decode()
REQUEST = gr.Request(session_hash="ann")
Edits = list[dict[str, Any]]


@pytest.fixture(scope="module")
def studio(model: Path) -> Studio:
    studio = Studio(Models.in_folder(model.parent), Limits())
    studio.models.get("tiny")
    return studio


@pytest.fixture(scope="module")
def events(studio: Studio) -> EditEvents:
    async def built() -> Page:  # gradio would leave a loop of its own open where none runs
        with gr.Blocks():
            return build_page(studio)

    with ThreadPoolExecutor(1) as thread:  # a browser of other tests may run a loop in this one
        page = thread.submit(lambda: asyncio.run(built())).result()
    return EditEvents(page, studio, Teller(page, studio))


@pytest.fixture(scope="module")
def fox(studio: Studio) -> Run:
    return drawn(studio, Recipe("a fox on purple", seed=1, num_inference_steps=2, width=64, height=64))


def drawn(studio: Studio, recipe: Recipe) -> Run:
    *_, last = studio.draw("ann", recipe, model="tiny")
    assert isinstance(last, Drawn)
    return last.run


def happens(**data: object) -> gr.EventData:
    return gr.EventData(None, data)


def painted(events: EditEvents, run: Run, target: str, *words: str, before: Edits | None = None) -> tuple[Any, Edits]:
    """What the list shows and keeps once these words are painted."""
    fields = {str(words_of(run).index(word)): {"png": PNG} for word in words}
    shown, kept = events.paint(before or [], run.id, target, happens(id=run.id, fields=fields))
    return shown["edits"], kept


def reworded(events: EditEvents, run: Run, target: str, edits: Edits) -> Edits:
    """The list once the changed prompt is typed."""
    kept: Edits = events.reword(target, True, True, "", edits, run.id, run.id)[2]
    return kept


def by_id(edits: Edits) -> dict[str, bool]:
    """Whether each edit is on."""
    return {one["id"]: one.get("enabled", True) for one in edits}


def test_a_word_painted_or_weighed_after_the_prompt_lost_it_is_off_and_the_picture_is_drawn(
    events: EditEvents, studio: Studio, fox: Run
) -> None:
    shown, kept = painted(events, fox, "a cat on purple", "fox")
    assert [one["what"] for one in shown] == [OFF]
    scales = {str(words_of(fox).index("fox")): 2}
    told, kept, weights = events.weigh(kept, fox.id, "a cat on purple", happens(scales=scales, turn=7))
    assert weights["turn"] == 7
    assert [one["what"] for one in told["edits"]] == [OFF, OFF]
    assert by_id(kept) == {"paint-fox": False, "weigh-fox": False}
    shown, kept = painted(events, fox, "a cat on purple", "fox", "purple", before=kept)
    assert [one["what"] == OFF for one in shown] == [True, True, False], "a further stroke keeps the sentence"
    *_, last = events.draw(REQUEST, "a cat on purple", kept, fox.id, fox.id)
    assert last[1]["state"] == "idle", last[1]
    recipe = studio.runs.get(last[3]).recipe
    assert [edit.enabled for edit in recipe.edits] == [False, False, True]
    assert "unsaid" not in recipe.to_json()


def test_a_list_that_does_not_know_of_the_new_prompt_yet_is_drawn_as_if_it_did(events: EditEvents, fox: Run) -> None:
    _, kept = painted(events, fox, "", "fox")
    assert by_id(kept) == {"paint-fox": True}
    *_, last = events.draw(REQUEST, "a cat on purple", kept, fox.id, fox.id)
    assert last[1]["state"] == "idle", last[1]


def test_an_edit_comes_back_with_its_word_unless_a_person_switched_it_off(events: EditEvents, fox: Run) -> None:
    _, kept = painted(events, fox, "", "fox", "purple")
    by_hand = [one | ({"enabled": False} if one["id"] == "paint-purple" else {}) for one in kept]
    given = happens(edits=by_hand)
    kept = events.listed(kept, fox.id, "", given)[1]
    lost = reworded(events, fox, "a cat on red", kept)
    assert by_id(lost) == {"words": True, "layout": True, "paint-fox": False, "paint-purple": False}
    assert by_id(reworded(events, fox, "a fox on purple", lost)) == {"paint-fox": True, "paint-purple": False}
    switched = [one | ({"enabled": True} if one["id"] == "paint-fox" else {}) for one in lost]
    shown, kept, *_ = events.listed(lost, fox.id, "a cat on red", happens(edits=switched))
    assert by_id(kept)["paint-fox"] is False
    assert OFF in [one["what"] for one in shown["edits"]], "switching it on beside such a prompt is answered"


def test_it_comes_back_after_the_picture_without_it_was_drawn(events: EditEvents, studio: Studio, fox: Run) -> None:
    _, kept = painted(events, fox, "a cat on purple", "fox")
    *_, last = events.draw(REQUEST, "a cat on purple", kept, fox.id, fox.id)
    cat = studio.runs.get(last[3])
    _, _, _, shown, kept, origin = events.follow(cat.id, kept, fox.id, "a cat on purple")
    assert origin == fox.id
    assert OFF in [one["what"] for one in shown["edits"]]
    shown, kept = painted(events, cat, "a cat on purple", "cat", before=kept)
    assert by_id(kept) == {"paint-fox": False, "paint-cat": True}, "a stroke on what is shown leaves it in the list"
    back = events.reword("a fox on purple", True, True, "", kept, fox.id, cat.id)[2]
    assert by_id(back) == {"paint-fox": True, "paint-cat": False}


def test_one_that_comes_back_makes_no_room_beside_another(events: EditEvents, fox: Run) -> None:
    target = "a cat on purple"
    _, kept = painted(events, fox, "", "fox")
    kept = events.reword(target, False, False, "", kept, fox.id, fox.id)[2]
    _, kept = painted(events, fox, target, "fox", "purple", before=kept)
    asks = [one | ({"renormalise": "others"} if one["id"] == "paint-purple" else {}) for one in kept]
    kept = events.listed(kept, fox.id, target, happens(edits=asks))[1]
    kept = events.reword("a fox on purple", False, False, "", kept, fox.id, fox.id)[2]
    assert by_id(kept) == {"paint-fox": True, "paint-purple": True}
    assert sum(one.get("renormalise", "none") != "none" for one in kept) == 1
    *_, last = events.draw(REQUEST, "a fox on purple", kept, fox.id, fox.id)
    assert last[1]["state"] == "idle", last[1]


def test_the_second_of_a_word_is_off_where_the_prompt_has_one(events: EditEvents, studio: Studio) -> None:
    run = drawn(studio, Recipe("a cat and a cat", seed=1, num_inference_steps=2, width=64, height=64))
    assert ("cat", 2) in words_of(run)
    edits = [{"kind": "reweight", "id": f"weigh-{number}", "word": ["cat", number], "scale": 2} for number in (1, 2)]
    assert by_id(reworded(events, run, "a cat and a dog", edits)) == {
        "words": True, "layout": True, "weigh-1": True, "weigh-2": False,
    }  # fmt: skip


def test_a_word_that_is_said_at_later_steps_is_said(events: EditEvents, fox: Run) -> None:
    _, kept = painted(events, fox, "a [cat:fox:0.5] on purple", "fox")
    assert by_id(kept) == {"paint-fox": True}


def test_sliders_stand_where_the_list_has_them(events: EditEvents, fox: Run) -> None:
    edits = [{"kind": "reweight", "id": "weigh-fox", "word": "fox", "scale": 2}]
    weights = events.follow(fox.id, edits, fox.id, "")[0]["words"]
    assert {one["text"]: one["scale"] for one in weights}["fox"] == 2.0
    *_, weights = events.listed(edits, fox.id, "", happens(edits=[]))
    assert {one["scale"] for one in weights["words"]} == {1.0}, "what went from the list is not on a slider any more"


def test_sliders_that_were_moved_while_another_was_answered_count_all(events: EditEvents, fox: Run) -> None:
    told, kept, weights = events.weigh([], fox.id, "", happens(scales={"1": 2, "3": 0.5}, turn=3))
    assert [(one["title"], one["what"]) for one in told["edits"]] == [("fox", "counts ×2.0"), ("purple", "counts ×0.5")]
    assert [one["scale"] for one in weights["words"]] == [1.0, 2.0, 1.0, 0.5]
    _, kept, _ = events.weigh(kept, fox.id, "", happens(scales={"1": 1}, turn=4))
    assert by_id(kept) == {"weigh-purple": True}


def test_where_the_shown_picture_was_blended_is_in_the_list_and_on_the_canvas(
    events: EditEvents, studio: Studio
) -> None:
    source = Recipe("a fox on purple", seed=1, num_inference_steps=3, width=64, height=64)
    fox = drawn(studio, source)
    kept = events.reword("a cat on purple", True, True, "cat", [], fox.id, fox.id)[2]
    *_, last = events.draw(REQUEST, "a cat on purple", kept, fox.id, fox.id)
    cat = studio.runs.get(last[3])
    (mask,) = cat.blends.values()
    assert set(np.unique(mask)) <= {0.0, 1.0}
    assert mask.any()
    shown = events.follow(cat.id, kept, fox.id, "a cat on purple")[3]["edits"]
    (png,) = [one["blend"] for one in shown if one["blend"]]
    assert [one["doc"]["kind"] for one in shown if one["blend"]] == ["local_blend"]
    assert png == f"data:image/png;base64,{view_of(cat).blend}"
    with Image.open(io.BytesIO(base64.b64decode(view_of(cat).blend or ""))) as image:
        assert np.array_equal(np.asarray(image) / 255, mask)
    assert view_of(fox).blend is None


def test_a_list_that_stays_for_another_picture_is_on_its_canvas(events: EditEvents, studio: Studio, fox: Run) -> None:
    edits: Edits = [
        {"kind": "paint_map", "id": "paint-fox", "word": "fox", "field": FIELD.document(), "op": "set"},
        {"kind": "regions", "id": "regions", "regions": [{"prompt": "a cat", "field": {"box": [0, 0, 0.5, 1]}}]},
    ]
    edited = drawn(studio, replace(fox.recipe, edits=techniques_of(edits)))
    assert "canvas" not in events.follow(edited.id, edits, fox.id, fox.recipe.prompt)[3], "it brings its own"
    _, target, _, told, kept, origin = events.follow(fox.id, edits, fox.id, fox.recipe.prompt)
    assert (target, kept, origin) == (fox.recipe.prompt, edits, fox.id)
    assert told["canvas"]["id"] == fox.id
    assert told["canvas"]["fields"] == {"1": PNG}
    assert [one["prompt"] for one in told["canvas"]["regions"]] == ["a cat"]
    json.dumps(told)


def test_what_is_changed_while_a_picture_is_drawn_stays_in_the_list(
    events: EditEvents, studio: Studio, fox: Run
) -> None:
    _, drawn_with = painted(events, fox, "", "fox")
    *_, last = events.draw(REQUEST, "", drawn_with, fox.id, fox.id)
    edited = studio.runs.get(last[3])
    *_, told, kept, origin = events.follow(edited.id, drawn_with, fox.id, "")
    assert ("canvas" in told, by_id(kept), origin) == (False, {"paint-fox": True}, fox.id)
    meanwhile = weighed(painted(events, fox, "", "fox", "purple", before=drawn_with)[1], "purple", 2.0)
    *_, told, kept, origin = events.follow(edited.id, meanwhile, fox.id, "")
    assert (by_id(kept), origin) == ({"paint-fox": True, "paint-purple": True, "weigh-purple": True}, fox.id)
    assert sorted(told["canvas"]["fields"]) == sorted(str(words_of(fox).index(word)) for word in ("fox", "purple"))
    kept = events.pick(edited.id, meanwhile, fox.id, "")[4]
    assert by_id(kept) == {"paint-fox": True}, "one of the strip brings its own"


def test_an_edited_picture_of_the_strip_brings_its_changed_prompt_back(
    events: EditEvents, studio: Studio, fox: Run
) -> None:
    edits: Edits = [
        {"kind": "replace", "id": "words"},
        {"kind": "local_blend", "id": "blend", "words": ["cat"]},
    ]
    recipe = replace(fox.recipe, prompt="a cat on purple", edits=techniques_of(edits), source=fox.recipe)
    *_, last = studio.draw("ann", recipe, model="tiny", before=fox)
    assert isinstance(last, Drawn)
    _, target, links, _, kept, origin, *first = events.pick(last.run.id, [], fox.id, "a fox on purple")
    assert target == "a cat on purple"
    assert {"kind": "replaced", "source": "fox", "target": "cat"} in links["links"]
    assert ([one["id"] for one in kept], origin) == (["words", "blend"], fox.id)
    assert first == [True, False, "cat"]
    # what its text boxes then tell changes nothing
    assert events.reword(target, *first, kept, origin, last.run.id)[2] == kept
    assert events.pick(fox.id, kept, fox.id, target)[1] == "a fox on purple"


def test_edits_from_elsewhere_are_found_again_by_brush_slider_and_boxes() -> None:
    given: Edits = [
        {"kind": "reweight", "word": "fox", "scale": 2.0},
        {"kind": "paint_map", "word": "fox", "field": FIELD.document()},
        {"kind": "paint_map", "word": "fox", "field": FIELD.document(), "op": "move"},
        {"kind": "regions", "regions": [{"prompt": "a cat", "field": {"box": [0, 0, 0.5, 1]}}]},
        {"kind": "paint_map", "id": "mine", "word": "purple", "field": FIELD.document()},
    ]
    made = named(given)
    assert [one.get("id") for one in made] == ["weigh-fox", "paint-fox", None, "regions", "paint-purple"]
    assert len(weighed(made, "fox", 3.0)) == len(made), "the slider moves it, and makes no second one"
    assert len(listed.painted(made, {"1": {"png": PNG}}, ("a", "fox"), Limits())) == len(made)
