"""Writing coloured objects: with a model that lists which it knows in which colours."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest

from tests.models import write_model
from tests.ui.web.conftest import Desk, serve

OpenDesk = Callable[..., Desk]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The page with a tiny model beside the embedded one."""
    shelf = tmp_path_factory.mktemp("shelf")
    folder = write_model(shelf / "tiny")
    kinds = {
        "object": ["fox", "ice cream", "cat", "dog"],
        "color": ["purple", "red"],
        "relation": ["and"],
        "filler": ["a", "on"],
        "colorable": ["cat", "dog"],
        "tint": ["red", "purple"],
    }
    (folder / "vocabulary.json").write_text(json.dumps({"version": 1, "kinds": kinds}))
    (folder / "defaults.json").write_text(json.dumps({"num_inference_steps": 2}))
    yield from serve(tmp_path_factory.mktemp("served"), "--models-dir", str(shelf))


def test_chips_put_a_colour_before_what_may_have_it_and_tell_where_none_may(open_desk: OpenDesk) -> None:
    desk = open_desk()
    desk.page.wait_for_selector(".word.object")
    desk.page.click("#more > button")
    desk.page.click("#model input")
    desk.page.get_by_role("option", name="tiny").click()
    desk.page.wait_for_function("() => document.querySelectorAll('.word.object').length === 4")
    things = desk.page.locator(".word.object").all_inner_texts()
    assert things == ["cat", "dog", "fox", "ice cream"], "those that may be coloured first, and each once"
    assert desk.page.locator(".word.object.colorable").all_inner_texts() == ["cat", "dog"]

    def click(chips: str, name: str, *, beside: bool = False) -> str:
        chip = desk.page.locator(f".word.{chips}").get_by_text(name, exact=True)
        chip.click(modifiers=["Shift"] if beside else [])
        return desk.value("prompt")

    assert click("tint", "red") == "", "nothing there may be coloured"
    assert desk.page.locator(".words-note.asked").count() == 1, "and a sentence says what may"
    assert click("object", "cat") == "a cat"
    assert click("object", "dog", beside=True) == "a cat and a dog"
    assert click("tint", "red") == "a red cat and a dog"
    assert desk.page.locator(".words-note.asked").count() == 0
    assert click("tint", "purple") == "a red cat and a purple dog"
    assert click("tint", "red") == "a red cat and a red dog"
    assert click("color", "purple") == "a red cat and a red dog on purple"
    assert click("object", "cat") == "a red cat and a red cat on purple", "the colour stays with what may have it"
    assert click("object", "ice cream") == "a red cat and an ice cream on purple"

    desk.draw()
    desk.type("prompt", "a purple cat and a red fox on red")
    desk.page.wait_for_selector(".chip.odd")
    assert desk.page.locator(".chip.odd").all_inner_texts() == ["red"]
    assert desk.page.locator(".chips-note").all_inner_texts() == [
        'This model knows "fox" in its own colours only. Things it knows in others: cat, dog.'
    ]
