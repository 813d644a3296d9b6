"""The picture with a map over it, by its pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.ui.viewer.conftest import GREY, joint, png, summary, view
from ui.web.viewer import View, word_color

CELLS = {0: (2.5 / 8, 1.5 / 6), 1: (1.5 / 8, 4.5 / 6), 2: (6.5 / 8, 3.5 / 6)}


def rgb(color: str) -> np.ndarray:
    return np.array([int(color[place : place + 2], 16) for place in (1, 3, 5)])


def hue(color: np.ndarray) -> np.ndarray:
    """Where a colour leans, whatever its lightness."""
    away = color - color.mean()
    return np.asarray(away / (np.linalg.norm(away) or 1))


@pytest.mark.parametrize("word", [0, 1, 2])
def test_a_words_map_is_bright_where_it_looks_dark_elsewhere_and_of_its_colour(shown: Any, word: int) -> None:
    viewer = shown(view(plain=True))
    viewer.page.locator(f".xv-word[data-word='{word}']").click()
    viewer.away()
    seen = viewer.pixels()
    height, width = seen.shape[:2]
    for other, (x, y) in CELLS.items():
        brightness = seen[int(y * height), int(x * width)].mean()
        assert brightness > GREY + 40 if other == word else brightness < GREY - 30
    # Half-way up the ramp, beside the peak, the colour is the word's own.
    x, y = CELLS[word]
    beside = seen[int(y * height), int(x * width) : int((x + 0.12) * width)]
    leaning = max(float(hue(pixel) @ hue(rgb(word_color(word)))) for pixel in beside)
    assert leaning > 0.97


def test_the_picture_is_seen_alone_until_a_word_is_chosen_and_when_it_is_chosen_again(shown: Any) -> None:
    viewer = shown(view(plain=True, main=1, maps=(joint(),)))

    def alone() -> bool:
        viewer.away()
        return bool(np.unique(viewer.pixels()[20:-20, 20:-20]).tolist() == [GREY])

    def chosen() -> list[int]:
        return list(viewer.state()["selection"]["words"])

    assert (alone(), chosen()) == (True, [])
    assert viewer.page.locator(".xv-value").inner_text() == "Click a word to see where it looks."
    fox = viewer.page.locator(".xv-word[data-word='0']")
    fox.click()
    assert (alone(), chosen()) == (False, [0])
    fox.click()
    assert (alone(), chosen(), fox.get_attribute("aria-pressed")) == (True, [], "false")
    viewer.call("viewer.set(argument)", view(id="next", plain=True, main=1, maps=(joint(1),)).to_json())
    assert (alone(), chosen()) == (True, []), "the next picture is not covered either"
    viewer.page.locator("input[name=step]").fill("2")
    assert (alone(), chosen()) == (False, [1]), "who scrubs means the word to begin with"
    viewer.call("viewer.set(argument)", view(id="last", plain=True, main=0, maps=(joint(2),)).to_json())
    assert (alone(), chosen()) == (False, [1]), "what is chosen stays"


def test_without_opacity_the_picture_is_as_it_is(shown: Any) -> None:
    viewer = shown(view(mode="look"))
    viewer.call("viewer.opacity(0)")
    inside = viewer.pixels()[20:-20, 20:-20]
    assert np.unique(inside).tolist() == [GREY]


def test_opacity_by_slider_darkens_at_once_and_asks_nobody(shown: Any) -> None:
    viewer = shown(view())
    brightness = []
    for opacity in ("0.2", "0.5", "1"):
        viewer.page.get_by_label("Opacity").fill(opacity)
        viewer.settle()
        brightness.append(viewer.pixel(0.9, 0.1).mean())
    assert brightness[0] > brightness[1] + 15 > brightness[2] + 30
    assert viewer.page.evaluate("events") == []


def test_cells_have_sharp_edges_and_smooth_maps_have_not(shown: Any) -> None:
    viewer = shown(view())
    viewer.call("viewer.select({words: [0]})")

    def steepest() -> float:
        seen = viewer.pixels().mean(axis=2)
        return float(np.abs(np.diff(seen[int(1.5 / 6 * len(seen)), 8:-8])).max())

    smooth = steepest()
    viewer.page.get_by_label("Cells as they are").check()
    viewer.settle()
    assert steepest() > 100 > 20 > smooth


def test_the_legend_has_the_ends_of_the_scale_and_the_value_under_the_pointer(shown: Any) -> None:
    viewer = shown(view())
    viewer.call("viewer.select({words: [0]})")
    assert viewer.page.locator(".xv-low").inner_text() == "0.000"
    assert viewer.page.locator(".xv-high").inner_text() == "0.500"
    viewer.page.mouse.move(*viewer.at(*CELLS[0]))
    viewer.settle()
    assert viewer.page.locator(".xv-value").inner_text() == "fox 0.500 · row 2, column 3"
    needle, bar = (viewer.page.locator(part).bounding_box() for part in (".xv-needle", ".xv-bar"))
    assert needle["x"] + needle["width"] / 2 == pytest.approx(bar["x"] + bar["width"], abs=1)
    viewer.page.mouse.move(*viewer.at(0.99, 0.99))
    viewer.settle()
    assert viewer.page.locator(".xv-value").inner_text() == "fox 0.000 · row 6, column 8"


def test_one_scale_for_all_words_makes_a_quiet_word_dim(shown: Any) -> None:
    block = summary()
    quiet = type(block)(block.bytes, (0.05, 0.5, 0.5))
    viewer = shown(view(maps=(quiet,)))
    viewer.call("viewer.select({words: [0]})")
    own = viewer.pixel(*CELLS[0]).mean()
    viewer.page.get_by_label("One scale for all words").check()
    viewer.settle()
    assert viewer.pixel(*CELLS[0]).mean() < own - 60
    assert viewer.page.locator(".xv-high").inner_text() == "0.500"


def test_a_phrase_shows_every_word_in_its_own_colour(shown: Any) -> None:
    viewer = shown(view())
    viewer.page.locator(".xv-word[data-word='0']").click()
    viewer.page.locator(".xv-word[data-word='2']").click(modifiers=["Control"])
    viewer.away()
    assert viewer.state()["selection"]["words"] == [0, 2]
    assert viewer.events("word")[-1] == {"id": "run", "words": [0, 2], "texts": ["fox", "purple"]}
    seen = viewer.pixels()
    height, width = seen.shape[:2]
    for word in (0, 2):
        x, y = CELLS[word]
        beside = seen[int(y * height), int((x - 0.12) * width) : int((x + 0.12) * width)]
        assert max(float(hue(pixel) @ hue(rgb(word_color(word)))) for pixel in beside) > 0.97


def test_the_plus_adds_words_where_there_is_no_control_key(shown: Any) -> None:
    viewer = shown(view(), touch=True)
    viewer.page.locator(".xv-word[data-word='0']").tap()
    viewer.page.get_by_role("button", name="Choose several words").tap()
    viewer.page.locator(".xv-word[data-word='1']").tap()
    viewer.page.locator(".xv-word[data-word='0']").tap()
    assert [event["words"] for event in viewer.events("word")] == [[0], [0, 1], [1]]


def test_layers_have_as_many_pixels_as_the_screen(shown: Any) -> None:
    viewer = shown(view(), ratio=2)
    shape = "(layer) => [layer.width / layer.clientWidth, layer.height / layer.clientHeight]"
    assert viewer.page.locator(".xv-heat").evaluate(shape) == pytest.approx([2, 2], abs=0.01)


def test_all_words_stand_side_by_side_and_a_click_enlarges_one(shown: Any) -> None:
    viewer = shown(view())
    viewer.page.locator(".xv-mode[data-mode=words]").click()
    viewer.settle()
    prints = viewer.page.locator(".xv-print")
    assert [prints.nth(place).locator("b").inner_text() for place in range(prints.count())] == ["fox", "on", "purple"]
    for word, (x, y) in CELLS.items():
        window = f".xv-print[data-word='{word}'] .xv-window"
        assert viewer.pixel(x, y, window).mean() > viewer.pixel(0.95, 0.05, window).mean() + 80
    prints.nth(2).click()
    viewer.settle()
    assert (viewer.state()["mode"], viewer.state()["selection"]["words"]) == ("look", [2])


def test_steps_play_to_the_last_one(shown: Any) -> None:
    viewer = shown(view(maps=(joint(),)))
    viewer.page.get_by_role("button", name="Play through the steps").click()
    viewer.page.wait_for_function("viewer.state().selection.step === 4")
    viewer.page.get_by_role("button", name="Play through the steps").wait_for()


def test_nothing_yet_and_progress_are_shown(shown: Any) -> None:
    viewer = shown(None)
    assert viewer.page.get_by_text("No picture yet").is_visible()
    told: View = view(maps=())
    viewer.call("viewer.set(argument)", told.to_json())
    viewer.call("viewer.patch({id: 'run', progress: {step: 5, steps: 20, note: '2 s left'}})")
    assert viewer.page.locator(".xv-progress").inner_text().strip() == "step 5 of 20 · 2 s left"
    viewer.call("viewer.patch({id: 'run', progress: null})")
    assert not viewer.page.locator(".xv-progress").is_visible()


def test_the_picture_grows_without_the_maps_of_the_one_before(shown: Any) -> None:
    viewer = shown(view())
    viewer.away()
    assert viewer.pixel(0.9, 0.1).mean() < GREY - 30
    viewer.call("viewer.patch(argument)", {"progress": {"step": 1, "steps": 4}, "picture": png((200, 40, 40))})
    assert viewer.pixel(0.9, 0.1).tolist() == [200, 40, 40]
    assert not viewer.page.locator(".xv-scale").is_visible()
    viewer.call("viewer.patch({progress: null})")
    assert viewer.pixel(0.9, 0.1).mean() < GREY - 30, "the one before is back, with its map"


def test_a_picture_that_is_looked_at_stays_while_another_one_is_drawn(shown: Any) -> None:
    viewer = shown(view())
    drawing = {"progress": {"step": 1, "steps": 4}, "picture": png((200, 40, 40))}
    viewer.call("viewer.patch(argument)", drawing)
    viewer.call("viewer.stay('other')")
    viewer.call("viewer.set(argument)", view(id="other", mode="look").to_json())
    viewer.call("viewer.patch(argument)", drawing)
    viewer.call("viewer.opacity(0)")
    viewer.away()
    assert viewer.pixel(0.9, 0.1).tolist() == [GREY] * 3
    viewer.call("viewer.patch({progress: null})")  # it was stopped: the next one is seen again
    viewer.call("viewer.patch(argument)", drawing)
    assert viewer.pixel(0.9, 0.1).tolist() == [200, 40, 40]


def test_what_enlarging_overshoots_is_told_as_1_and_what_an_edit_raised_as_it_is(shown: Any) -> None:
    for raised, told in ((False, "1.00"), (True, "1.05")):
        viewer = shown(view(maps=(summary(1.05),), raised=raised))
        viewer.call("viewer.select({words: [0]})")
        assert viewer.page.locator(".xv-high").inner_text() == told
        viewer.page.mouse.move(*viewer.at(*CELLS[0]))
        viewer.settle()
        assert viewer.page.locator(".xv-value").inner_text() == f"fox {told} · row 2, column 3"
        assert viewer.call("viewer.valueAt(argument[0], argument[1])", CELLS[0]) == pytest.approx(1.05)
        viewer.call("viewer.mode('words')")
        assert viewer.page.locator(".xv-peak").first.inner_text() == f"to {told}"


def test_shift_chooses_a_phrase_from_the_first_word_to_the_last(shown: Any) -> None:
    viewer = shown(view())
    for word, shift, chosen in (
        (0, False, [0]),
        (2, True, [0, 1, 2]),
        (1, True, [0, 1]),
        (2, False, [2]),
        (1, True, [1, 2]),
    ):
        viewer.page.locator(f".xv-word[data-word='{word}']").click(modifiers=["Shift"] if shift else [])
        assert viewer.state()["selection"]["words"] == chosen


def test_the_next_picture_is_seen_at_the_same_step_layer_and_head_where_it_has_them(shown: Any) -> None:
    viewer = shown(view(maps=(joint(),)))
    viewer.call("viewer.select({step: 3, layers: ['up.attn2'], head: 1})")
    viewer.call("viewer.set(argument)", view(id="next", maps=(joint(1),)).to_json())
    seen = viewer.state()["selection"]
    assert (seen["step"], seen["layers"], seen["head"]) == (3, ["up.attn2"], 1)
    viewer.call("viewer.set(argument)", view(id="last", maps=(summary(),)).to_json())
    seen = viewer.state()["selection"]
    assert (seen["step"], seen["layers"], seen["head"]) == (None, None, None)
