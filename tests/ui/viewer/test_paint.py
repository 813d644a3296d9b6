"""The brush: what is seen, and what is handed out."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.ui.viewer.conftest import GREY, Shown, view
from ui.web.viewer import word_color


def painter(shown: Any, **size: Any) -> Shown:
    """In paint mode, the word "fox" chosen, no map beneath."""
    viewer: Shown = shown(view(mode="paint", maps=()), **size)
    viewer.call("viewer.select({words: [0]})")
    return viewer


def field(viewer: Shown, word: int = 0) -> np.ndarray:
    """The field that was told last, as another program reads it."""
    viewer.page.wait_for_function("events.some(([name]) => name === 'paint')")
    told = viewer.events("paint")[-1]["fields"].get(str(word))
    if told is None:
        return np.zeros((192, 256))
    image = Image.open(io.BytesIO(base64.b64decode(told["png"])))
    assert (image.format, image.mode) == ("PNG", "L")
    assert image.size == (told["width"], told["height"])
    return np.asarray(image).astype(int)


def told_times(viewer: Shown, times: int) -> None:
    viewer.page.wait_for_function(f"events.filter(([name]) => name === 'paint').length >= {times}")
    viewer.settle()


def test_a_stroke_is_seen_in_the_words_colour_and_told_as_a_grey_png(shown: Any) -> None:
    viewer = painter(shown)
    viewer.drag((0.3, 0.5), (0.7, 0.5))
    viewer.away()
    color = np.array([int(word_color(0)[place : place + 2], 16) for place in (1, 3, 5)])
    assert np.abs(viewer.pixel(0.5, 0.5) - (0.82 * color + 0.18 * GREY)).max() <= 3
    assert viewer.pixel(0.5, 0.1).tolist() == [GREY] * 3
    painted = field(viewer)
    assert painted.shape == (192, 256)
    assert painted[96, 128] == painted[96, 80] == 255
    assert painted[20, 128] == painted[96, 20] == 0
    (event,) = viewer.events("paint")
    assert event["fields"]["0"]["word"] == "fox"
    assert event["fields"]["0"]["cover"] == pytest.approx(painted.mean() / 255, abs=1e-3)


def test_the_brush_is_as_wide_as_its_ring(shown: Any) -> None:
    viewer = painter(shown)
    viewer.page.get_by_label("Size").fill("0.2")
    viewer.click(0.5, 0.5)
    painted = field(viewer)
    across = np.flatnonzero(painted[96])
    assert across[-1] - across[0] + 1 == pytest.approx(2 * 0.2 * 256, abs=6)
    assert 100 < painted[96, 128 + 38] < 155  # half-way through the soft edge


def test_each_word_has_a_field_of_its_own(shown: Any) -> None:
    viewer = painter(shown)
    viewer.click(0.25, 0.5)
    viewer.page.locator(".xv-word[data-word='2']").click()
    viewer.click(0.75, 0.5)
    told_times(viewer, 2)
    fox, purple = field(viewer, 0), field(viewer, 2)
    assert (fox[96, 64], fox[96, 192], purple[96, 64], purple[96, 192]) == (255, 0, 0, 255)
    assert viewer.page.locator(".xv-painted-list b").all_inner_texts() == ["fox", "purple"]


def test_the_eraser_takes_away_and_undo_and_redo_go_through_all_of_it(shown: Any) -> None:
    viewer = painter(shown)
    viewer.drag((0.2, 0.5), (0.8, 0.5))
    viewer.page.keyboard.press("e")
    viewer.click(0.5, 0.5)
    told_times(viewer, 2)
    erased = field(viewer)
    assert (erased[96, 128], erased[96, 60]) == (0, 255)
    viewer.page.keyboard.press("Control+z")
    told_times(viewer, 3)
    assert field(viewer)[96, 128] == 255
    viewer.page.keyboard.press("Control+z")
    told_times(viewer, 4)
    assert viewer.events("paint")[-1]["fields"] == {}
    assert viewer.page.get_by_role("button", name="Undo").is_disabled()
    viewer.page.keyboard.press("Control+Shift+z")
    viewer.page.keyboard.press("Control+Shift+z")
    told_times(viewer, 5)
    viewer.page.wait_for_function("events.at(-1)[1].fields['0'] !== undefined")
    assert np.array_equal(field(viewer), erased)


def test_what_is_left_of_a_dab_under_a_wider_eraser_is_nothing(shown: Any) -> None:
    viewer = painter(shown)
    viewer.click(0.5, 0.5)
    viewer.page.keyboard.press("e")
    for _ in range(2):
        viewer.page.keyboard.press("]")
    viewer.click(0.5, 0.5)
    told_times(viewer, 2)
    assert viewer.events("paint")[-1]["fields"] == {}, "not a ring that nobody sees"


def test_a_brush_that_leaves_the_picture_paints_nothing_along_its_border(shown: Any) -> None:
    viewer = painter(shown)
    viewer.drag((0.9, 0.25), (1.2, 0.25), (1.2, 0.75), (0.9, 0.75))
    painted = field(viewer)
    assert (painted[48, -1], painted[144, -1]) == (255, 255), "out and in again"
    assert painted[96, -10:].max() == 0


def test_strength_is_the_value_that_is_painted_and_going_over_it_again_adds_nothing(shown: Any) -> None:
    viewer = painter(shown)
    viewer.page.get_by_label("Strength").fill("0.5")
    viewer.drag((0.3, 0.5), (0.7, 0.5), (0.3, 0.5))
    assert field(viewer).max() == 128


def test_a_rectangle_fills_its_box_exactly(shown: Any) -> None:
    viewer = painter(shown)
    viewer.page.get_by_role("button", name="Rectangle").click()
    viewer.drag((0.75, 0.75), (0.25, 0.25))
    painted = field(viewer)
    expected = np.zeros((192, 256), int)
    expected[48:144, 64:192] = 255
    assert np.abs(painted - expected).mean() / 255 < 0.02  # a pixel of the page is less than one of the field


def test_clear_empties_one_word_or_all(shown: Any) -> None:
    viewer = painter(shown)
    viewer.click(0.25, 0.5)
    viewer.page.locator(".xv-word[data-word='1']").click()
    viewer.click(0.75, 0.5)
    viewer.page.get_by_role("button", name="Clear word").click()
    told_times(viewer, 3)
    assert list(viewer.events("paint")[-1]["fields"]) == ["0"]
    viewer.page.get_by_role("button", name="Clear all").click()
    told_times(viewer, 4)
    assert viewer.events("paint")[-1]["fields"] == {}


def test_fields_that_were_handed_in_come_out_again_byte_for_byte(shown: Any) -> None:
    random = np.random.default_rng(0).integers(0, 256, (192, 256), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(random).save(file, "PNG")
    told = view(mode="paint", fields={1: base64.b64encode(file.getvalue()).decode()})
    out = shown(told).call("viewer.fields()")
    assert list(out) == ["1"]
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(base64.b64decode(out["1"]["png"])))), random)


def test_the_keys_paint_too(shown: Any) -> None:
    viewer = painter(shown)
    viewer.page.locator(".xv-frame").focus()
    for key in ("]", "]", "Shift+ArrowRight", "Space"):
        viewer.page.keyboard.press(key)
    viewer.settle()
    assert viewer.state()["size"] == pytest.approx(0.07 * 1.25**2)
    assert field(viewer)[96, int(0.6 * 256)] == 255


def test_a_finger_paints_and_does_not_scroll(shown: Any) -> None:
    viewer = painter(shown, touch=True, height=420)
    client = viewer.page.context.new_cdp_session(viewer.page)

    def touch(kind: str, *places: tuple[float, float]) -> None:
        points = [{"x": x, "y": y} for x, y in (viewer.at(*place) for place in places)]
        client.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    touch("touchStart", (0.5, 0.3))
    for y in (0.4, 0.5, 0.6, 0.7):
        touch("touchMove", (0.5, y))
    touch("touchEnd")
    viewer.settle()
    assert field(viewer)[[60, 96, 130], 128].tolist() == [255] * 3
    assert viewer.page.evaluate("scrollY") == 0


def test_a_new_run_begins_unpainted(shown: Any) -> None:
    viewer = painter(shown)
    viewer.click(0.5, 0.5)
    viewer.call("viewer.set(argument)", view(id="next", mode="paint", maps=()).to_json())
    assert viewer.call("viewer.fields()") == {}
    viewer.away()
    assert viewer.pixel(0.5, 0.5).tolist() == [GREY] * 3
