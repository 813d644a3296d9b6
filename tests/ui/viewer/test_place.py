"""A click on the picture: the question, and the answer in three stages."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.ui.viewer.conftest import GREY, Shown, joint, view
from ui.web.viewer import PlaceAnswer, PlaceToken

TOKENS = (
    PlaceToken("", 0.7, score=6.0, output=0.05, role="start"),
    PlaceToken("fox", 0.16, word=0, score=4.0, output=0.4),
    PlaceToken("on", 0.04, word=1, score=-2.0, output=0.1),
    PlaceToken("", 0.1, score=3.0, output=0.05, role="end"),
)


def looks() -> np.ndarray:
    cells = np.zeros((6, 8), np.float32)
    cells[5, 7] = 0.25
    return cells


def answer(**changes: Any) -> dict[str, Any]:
    told = PlaceAnswer(0.25, 0.75, TOKENS, "step 20", looks()).to_json()
    return {"id": "run", "place": told} | changes


def bar(viewer: Shown, row: int, stage: str) -> tuple[float, float]:
    """Left and width of a bar, as fractions of its track."""
    cell = viewer.page.locator(f".xv-table tbody tr:nth-child({row + 1}) td[data-stage={stage}]")
    track, drawn = (cell.locator(part).bounding_box() for part in (".xv-track", ".xv-track i"))
    return (drawn["x"] - track["x"]) / track["width"], drawn["width"] / track["width"]


def test_a_click_asks_about_that_place_and_marks_it(shown: Any) -> None:
    viewer = shown(view())
    viewer.call("viewer.select({words: [0], step: null})")
    dark = viewer.pixel(0.25, 0.75).mean()
    viewer.click(0.25, 0.75)
    viewer.away()
    (asked,) = viewer.events("place")
    assert (asked["id"], asked["selection"]["words"]) == ("run", [0])
    assert (asked["x"], asked["y"]) == pytest.approx((0.25, 0.75), abs=0.003)
    assert viewer.pixel(0.25, 0.75).mean() > 200 > 100 > dark
    viewer.page.keyboard.press("Escape")
    viewer.settle()
    assert viewer.state()["marker"] is None
    assert viewer.pixel(0.25, 0.75).mean() == pytest.approx(dark, abs=1)


def test_without_an_answer_the_maps_own_shares_are_shown(shown: Any) -> None:
    viewer = shown(view())
    viewer.click(2.5 / 8, 1.5 / 6)
    rows = viewer.page.locator(".xv-table tbody tr")
    assert [text.split("\n")[0].split("\t")[0] for text in rows.all_inner_texts()] == ["fox", "on", "purple"]
    assert rows.nth(0).locator("td").inner_text() == "50 %"
    assert rows.nth(1).locator("td").inner_text() == "0.0 %"


def test_an_answer_is_told_as_scores_softmax_and_sum(shown: Any) -> None:
    viewer = shown(view())
    viewer.call("viewer.patch(argument)", answer())
    heads = viewer.page.locator(".xv-table thead th").all_inner_texts()
    assert [head.split("\n")[0] for head in heads] == ["Scores", "Softmax", "Sum"]
    # scores from −2 to 4: zero stands a third from the left
    assert bar(viewer, 0, "score") == pytest.approx((1 / 3, 2 / 3), abs=0.02)
    assert bar(viewer, 1, "score") == pytest.approx((0, 1 / 3), abs=0.02)
    assert bar(viewer, 0, "share") == pytest.approx((0, 1), abs=0.02)
    assert bar(viewer, 1, "share") == pytest.approx((0, 0.25), abs=0.02)
    widths = [part.bounding_box()["width"] for part in viewer.page.locator(".xv-sum i").all()]
    assert widths[0] / widths[1] == pytest.approx(4, rel=0.05)


def test_begin_of_text_is_hidden_with_its_share_said_and_shown_on_demand(shown: Any) -> None:
    viewer = shown(view())
    viewer.call("viewer.patch(argument)", answer())
    assert viewer.page.locator(".xv-table tbody tr").count() == 2
    assert viewer.page.locator(".xv-place .xv-note").inner_text().startswith("80 % goes to begin and end of text")
    viewer.page.get_by_label("Begin and end of text").check()
    viewer.settle()
    assert viewer.page.locator(".xv-table tbody tr").count() == 4
    assert bar(viewer, 1, "share")[1] == pytest.approx(0.16 / 0.7, abs=0.02)


def test_stages_that_were_not_told_are_left_out(shown: Any) -> None:
    viewer = shown(view())
    place = PlaceAnswer(0.5, 0.5, (PlaceToken("fox", 0.2, word=0),)).to_json()
    viewer.call("viewer.place(argument)", place)
    assert viewer.page.locator(".xv-table thead th").count() == 1


def test_where_a_place_looks_lies_over_the_picture(shown: Any) -> None:
    viewer = shown(view())
    viewer.call("viewer.patch(argument)", answer())
    viewer.page.get_by_label("Where this place looks").check()
    viewer.away()
    viewer.settle()
    assert viewer.pixel(7.5 / 8, 5.5 / 6).mean() > GREY + 40 > GREY - 30 > viewer.pixel(0.5, 0.2).mean()
    assert viewer.call("viewer.valueAt(0.99, 0.99)") == pytest.approx(0.25)


def test_an_answer_to_another_run_is_dropped(shown: Any) -> None:
    viewer = shown(view())
    viewer.call("viewer.patch(argument)", answer(id="before"))
    assert viewer.state()["marker"] is None


def test_the_keys_ask_too(shown: Any) -> None:
    viewer = shown(view())
    viewer.page.locator(".xv-frame").focus()
    for key in ("ArrowRight", "Shift+ArrowDown", "Shift+ArrowLeft", "Enter"):
        viewer.page.keyboard.press(key)
    viewer.settle()
    (asked,) = viewer.events("place")
    assert (asked["x"], asked["y"]) == pytest.approx((0.41, 0.6))


def test_the_numbers_at_a_place_follow_the_scrubs(shown: Any) -> None:
    viewer = shown(view(maps=(joint(),)))
    viewer.click(0.25, 0.75)
    viewer.call("viewer.patch(argument)", answer())
    assert viewer.page.locator(".xv-place .xv-note").inner_text() != "read from the maps of these words"
    viewer.page.get_by_label("Step", exact=True).press("ArrowRight")
    viewer.settle()
    assert viewer.page.locator(".xv-place .xv-note").inner_text() == "read from the maps of these words"
    assert [event["selection"]["step"] for event in viewer.events("place")] == [None, 1]
    (shares,) = viewer.page.locator(".xv-table tbody tr").first.locator("[data-stage=share]").all_inner_texts()
    viewer.call("viewer.select({words: [0]})")
    assert float(shares.split()[0]) == pytest.approx(100 * viewer.call("viewer.valueAt(0.25, 0.75)"), abs=0.6)
    assert len(viewer.events("place")) == 2, "another word asks nothing anew"
