"""A picture to begin with, on the canvas: its mask, and what was there before and comes back."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.ui.viewer.conftest import Shown, png, view
from ui.web.viewer import Word

BLUE = (20, 40, 200)


def begun() -> dict[str, Any]:
    """As JSON, for viewer.set."""
    word = Word("what is drawn anew", "#14c3c3")
    changes = {"id": "begin-1", "picture": png(BLUE), "words": (word,), "prompt": (), "maps": (), "mask": True}
    return view(**changes, modes=("paint",), mode="paint").to_json()


def painted(viewer: Shown) -> list[str]:
    return list(viewer.call("viewer.fields()"))


def test_its_strokes_are_a_mask_and_no_words(shown: Any) -> None:
    viewer = shown(view())
    viewer.call("viewer.set(argument)", begun())
    viewer.away()
    assert not viewer.page.get_by_role("button", name="Clear word").is_visible()
    assert viewer.pixel(0.5, 0.5).tolist() == list(BLUE)
    viewer.drag((0.3, 0.5), (0.7, 0.5))
    viewer.page.wait_for_function("events.some(([name]) => name === 'mask')")
    (event,) = viewer.events("mask")
    assert event["id"] == "begin-1"
    assert list(event["fields"]) == ["0"]
    assert viewer.events("paint") == []
    viewer.call("viewer.erase()")
    assert painted(viewer) == ["0"], "no list of edits has it"


def test_what_was_painted_before_comes_back_with_its_picture(shown: Any) -> None:
    viewer = shown(view(mode="paint"))
    viewer.call("viewer.select({words: [2]})")
    viewer.drag((0.3, 0.5), (0.7, 0.5))
    viewer.call("viewer.set(argument)", begun())
    assert painted(viewer) == []
    viewer.call("viewer.select({words: [2]})")
    viewer.drag((0.2, 0.2), (0.4, 0.2))
    assert painted(viewer) == ["0"], "a word that it has not leaves the brush with its mask"
    viewer.call("viewer.set(argument)", view().to_json())
    assert painted(viewer) == ["2"]
    viewer.call("viewer.set(argument)", begun())
    viewer.call("viewer.erase(['purple'])")
    viewer.call("viewer.set(argument)", view().to_json())
    assert painted(viewer) == [], "it went from the list meanwhile"


def test_the_mode_before_comes_back(shown: Any) -> None:
    viewer = shown(view(mode="words"))
    viewer.call("viewer.set(argument)", begun())
    assert viewer.state()["mode"] == "paint"
    viewer.call("viewer.set(argument)", view(id="next").to_json())
    assert viewer.state()["mode"] == "words"


def test_after_a_preview_its_own_picture_is_back(shown: Any) -> None:
    viewer = shown(None)
    viewer.call("viewer.set(argument)", begun())
    for size in ((64, 48), (32, 48)):
        preview = {"progress": {"step": 1, "steps": 9}, "picture": png((250, 0, 0), size), "width": 64, "height": 48}
        viewer.call("viewer.patch(argument)", preview)
        viewer.away()
        assert viewer.pixel(0.5, 0.3).tolist() == [250, 0, 0]
    viewer.call("viewer.patch({progress: null})")
    viewer.away()
    assert np.abs(viewer.pixel(0.5, 0.3) - BLUE).max() == 0
    viewer.call("viewer.patch({picture: argument})", png((0, 250, 0)))
    viewer.call("viewer.patch({progress: null})")
    viewer.away()
    assert viewer.pixel(0.5, 0.3).tolist() == [0, 250, 0], "a picture without progress is no preview"
