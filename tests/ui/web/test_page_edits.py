"""Every way to edit, in a real browser, with what it does to recipe and pixels."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from pipelines.assets import Asset
from pipelines.metadata import read_recipe
from pipelines.recipe import Recipe
from tests.ui.web.conftest import Desk, ground

pytestmark = pytest.mark.slow
OpenDesk = Callable[..., Desk]


@pytest.fixture
def desk(open_desk: OpenDesk) -> Desk:
    """With a fox on purple, drawn."""
    made = open_desk()
    made.type("prompt", "a fox on purple")
    made.type("seed", "10")
    made.page.check("#lock input")
    made.draw()
    made.area("Edit")
    return made


def kept(desk: Desk, folder: Path) -> tuple[Recipe, NDArray[np.float64], Image.Image]:
    """The shown picture's recipe, its pixels, and itself."""
    folder.mkdir(exist_ok=True)
    desk.area("Keep")
    with desk.page.expect_download() as waiting:
        desk.page.click("#download")
    path = folder / waiting.value.suggested_filename
    waiting.value.save_as(path)
    desk.area("Edit")
    with Image.open(path) as image:
        image.load()
        return read_recipe(path), np.asarray(image.convert("RGB")).astype(np.float64), image.copy()


def paint(desk: Desk, word: str, *strokes: tuple[float, float]) -> None:
    """Down the picture, at each of these (across, from the top)."""
    desk.page.locator(".weight", has_text=word).locator(".weight-paint").click()
    desk.page.wait_for_function("() => document.querySelector('.xv').xattnViewer.state().mode === 'paint'")
    for across, top in strokes:
        desk.stroke((across, top), (across, top + 0.5))
    desk.page.wait_for_selector(f".edit:has-text('{word}')")


def wait_for_canvas(desk: Desk) -> None:
    """Until the picture to begin with is on it."""
    desk.page.wait_for_function(
        "() => { const now = document.querySelector('.xv').xattnViewer.state(); return now.mask && now.ready; }"
    )


def titles(desk: Desk) -> list[str]:
    """Of the edits in the list."""
    return [str(one) for one in desk.page.locator(".edit-title b").all_inner_texts()]


def test_strokes_move_the_fox(desk: Desk, tmp_path: Path) -> None:
    paint(desk, "fox", (0.68, 0.2), (0.8, 0.2))
    desk.draw("draw-edits")
    recipe, _, image = kept(desk, tmp_path)
    assert recipe.edits[0].renormalise == "others"  # type: ignore[attr-defined]
    assert ground(image)[0] > 0.6


def test_two_painted_words_go_together_and_clear_takes_both(desk: Desk, tmp_path: Path) -> None:
    paint(desk, "fox", (0.3, 0.25))
    paint(desk, "purple", (0.8, 0.25))
    assert titles(desk) == ["fox", "purple"]
    desk.draw("draw-edits")
    recipe, _, _ = kept(desk, tmp_path)
    assert [edit.renormalise for edit in recipe.edits] == ["others", "none"]  # type: ignore[attr-defined]

    # one goes from the list, and its paint from the picture; then all
    desk.viewer("viewer.mode('paint')")
    desk.page.get_by_label("Remove purple").click()
    assert list(desk.page.evaluate("document.querySelector('.xv').xattnViewer.fields()")) == ["1"]
    desk.page.click("#clear-edits")
    desk.page.wait_for_function("() => !document.querySelector('.edit')")
    assert desk.page.evaluate("document.querySelector('.xv').xattnViewer.fields()") == {}
    paint(desk, "purple", (0.2, 0.25))
    assert titles(desk) == ["purple"], "what was cleared does not come back with the next stroke"


def test_regions_have_prompts_of_their_own(desk: Desk, tmp_path: Path) -> None:
    desk.viewer("viewer.mode('regions')")
    for left, prompt in ((0.04, "a panda on purple"), (0.56, "a strawberry on purple")):
        desk.stroke((left, 0.2), (left + 0.4, 0.8))
        desk.page.locator(".xv-regions input").last.fill(prompt)
        desk.page.keyboard.press("Tab")
        desk.page.wait_for_function("(said) => document.body.innerText.includes(said)", arg=prompt)
    desk.draw("draw-edits")
    recipe, _, _ = kept(desk, tmp_path)
    (edit,) = recipe.edits
    assert edit.kind == "regions"
    assert [one.prompt for one in edit.regions] == ["a panda on purple", "a strawberry on purple"]  # type: ignore[attr-defined]
    first = edit.regions[0].field  # type: ignore[attr-defined]
    assert (first.left, first.right) == (pytest.approx(0.04, abs=0.02), pytest.approx(0.44, abs=0.02))
    desk.page.click("#clear-edits")
    desk.page.wait_for_function("() => document.querySelector('.xv').xattnViewer.regions().length === 0")


def test_only_what_was_painted_is_drawn_anew(desk: Desk, tmp_path: Path) -> None:
    before = kept(desk, tmp_path / "before")[1]
    desk.page.click("#begin-with > button")
    desk.page.locator(".begin-button", has_text="Use the shown one").click()
    desk.page.wait_for_selector(".begin-picture")
    wait_for_canvas(desk)
    for across in (0.45, 0.55):
        desk.stroke((across, 0.3), (across, 0.8))
    desk.page.wait_for_function("() => document.querySelector('#masked input').checked")
    assert titles(desk) == [], "a mask is no edit of a word"
    desk.area("Make")
    desk.type("prompt", "a panda on purple")
    desk.type("seed", "77")
    desk.draw()
    recipe, after, _ = kept(desk, tmp_path / "after")
    assert recipe.seed == 77
    assert isinstance(recipe.mask, Asset)
    changed = np.abs(after - before).mean(axis=2)
    outside = np.concatenate([changed[:, :20].ravel(), changed[:, 105:].ravel()])
    assert outside.mean() < 5, "the sides were not painted"
    assert changed[45:95, 55:73].mean() > outside.mean() + 10, "a panda's face is no fox's"

    # without the mask all of it, and a strength that says how far
    desk.page.uncheck("#masked input")
    box = desk.page.locator("#strength input[type=number]").first
    box.fill("0.5")
    box.press("Tab")
    desk.draw()
    recipe, _, image = kept(desk, tmp_path / "whole")
    assert recipe.mask is None
    assert recipe.init is not None
    assert recipe.strength == pytest.approx(0.5)
    assert image.size == (128, 128)
    desk.page.locator(".begin-button", has_text="Remove").click()
    desk.page.wait_for_function("() => !document.querySelector('.begin-picture')")


def test_a_picture_of_ones_own_begins_and_a_broken_one_is_told(desk: Desk, tmp_path: Path) -> None:
    Image.new("RGB", (128, 128), "orange").save(tmp_path / "orange.png")
    (tmp_path / "broken.png").write_bytes(b"\x89PNG nothing")
    desk.page.click("#begin-with > button")
    desk.page.set_input_files("#begin-file", str(tmp_path / "broken.png"))
    desk.page.wait_for_function("() => /PNG, JPEG or WebP/.test(document.querySelector('.begin-text').textContent)")
    desk.page.set_input_files("#begin-file", str(tmp_path / "orange.png"))
    desk.page.wait_for_selector(".begin-picture")
    desk.draw()
    recipe, _, _ = kept(desk, tmp_path)
    assert recipe.init is not None
    assert recipe.init.width == 128


def test_a_changed_word_changes_only_where_it_is(desk: Desk, tmp_path: Path) -> None:
    before = kept(desk, tmp_path / "before")[1]
    paint(desk, "fox", (0.3, 0.25))  # goes off: the changed prompt has no fox
    desk.type("target", "a panda on purple")
    desk.page.wait_for_selector(".pair.replaced")
    desk.page.wait_for_selector(".edit:has-text('the changed prompt has no such word')")
    desk.type("blend", "panda")
    desk.page.wait_for_selector(".edit:has-text('Change only where')")
    desk.draw("draw-edits")
    recipe, after, _ = kept(desk, tmp_path / "after")
    assert [edit.kind for edit in recipe.edits if edit.enabled] == ["replace", "inject", "local_blend"]
    assert recipe.source is not None
    changed = np.abs(after - before).mean(axis=2)
    corners = np.concatenate([changed[:10, :10].ravel(), changed[:10, -10:].ravel()])
    assert corners.mean() < 6, "the background is the first picture's"
    assert changed[40:90, 40:90].mean() > 15, "a panda is no fox"


def test_the_word_that_makes_room_stays_ahead_and_it_draws(desk: Desk, tmp_path: Path) -> None:
    paint(desk, "fox", (0.3, 0.25))
    paint(desk, "purple", (0.8, 0.25))
    desk.page.get_by_label("Move purple up").click()
    desk.page.wait_for_timeout(1000)
    assert titles(desk) == ["fox", "purple"], "in the other order they could not both hold"
    desk.page.locator(".edit", has_text="purple").locator(".edit-title").click()
    desk.page.locator(".edit:has-text('purple') select").last.select_option("others")
    desk.page.wait_for_function("() => document.querySelector('.edit-title b').innerText === 'purple'")
    desk.draw("draw-edits")
    edits = kept(desk, tmp_path)[0].document()["edits"]
    assert [(one["word"], one.get("renormalise", "none")) for one in edits] == [("purple", "others"), ("fox", "none")]


def test_a_word_painted_once_the_prompt_lacks_it_is_off_and_comes_back_with_it(desk: Desk) -> None:
    desk.type("target", "a panda on purple")
    desk.page.wait_for_selector(".pair.replaced")
    paint(desk, "fox", (0.75, 0.25))
    fox = ".edit:has(.edit-title b:text-is('fox'))"
    off = f"{fox}.off:has-text('the changed prompt has no such word')"
    desk.page.wait_for_selector(off)
    paint(desk, "purple", (0.2, 0.25))
    desk.page.wait_for_selector(".edit:has-text('purple')")
    assert desk.page.locator(off).count() == 1, "a further stroke keeps the sentence"
    desk.page.locator(f"{fox} .edit-title").click()
    desk.page.locator(f"{fox} select").first.select_option("gain")
    desk.page.wait_for_timeout(500)
    assert desk.page.locator(off).count() == 1, "so does another way of painting"
    desk.page.get_by_label("fox: on").click()  # check() would go on until it is
    desk.page.wait_for_timeout(800)
    assert desk.page.locator(off).count() == 1
    assert not desk.page.get_by_label("fox: on").is_checked(), "and switching it on"
    desk.draw("draw-edits")
    desk.page.wait_for_selector(off)
    desk.type("target", "a fox on purple")
    desk.page.wait_for_selector(f"{fox}:not(.off):has-text('looks more here')")
    desk.page.get_by_label("fox: on").uncheck()
    desk.type("target", "a panda on purple")
    desk.page.wait_for_selector(f"{fox}.off:has-text('the changed prompt has no such word')")
    desk.type("target", "a fox on purple")
    desk.page.wait_for_selector(f"{fox}.off:has-text('looks more here')")


def test_ctrl_enter_draws_with_edits_from_the_edit_part_and_without_from_the_prompt(desk: Desk, tmp_path: Path) -> None:
    def press() -> None:
        before = desk.pictures()
        desk.page.keyboard.press("Control+Enter")
        desk.page.wait_for_function("n => document.querySelectorAll('.strip-one').length > n", arg=before)
        desk.page.wait_for_function("() => document.body.dataset.state === 'idle'")

    desk.page.focus("#weight-1")
    desk.page.keyboard.press("ArrowRight")
    desk.page.wait_for_selector(".edit:has-text('counts ×1.05')")
    assert desk.page.evaluate("document.activeElement.id") == "weight-1", "the slider is not made anew under the hand"
    press()
    assert [edit.kind for edit in kept(desk, tmp_path / "edited")[0].edits] == ["reweight"]
    desk.page.focus("#prompt textarea")
    press()
    assert kept(desk, tmp_path / "plain")[0].edits == ()

    # painted on the picture: that is an edit, too
    desk.viewer("viewer.mode('paint')")
    desk.stroke((0.3, 0.25), (0.3, 0.75))
    desk.page.wait_for_selector(".edit:has-text('looks here')")
    press()
    assert "paint_map" in [edit.kind for edit in kept(desk, tmp_path / "painted")[0].edits]


HOLD = """() => {
  const sent = window.fetch;
  window.held = [];
  window.fetch = async (...told) => {
    const body = String(told[1]?.body ?? "");
    if (body.includes('"event_data":{"') && window.held) await new Promise((go) => window.held.push(go));
    return sent(...told);
  };
}"""
"""Answers no event with data until `released` is run: as a server that has its hands full does."""
RELEASE = "() => { const held = window.held; window.held = null; held.forEach((go) => go()); return held.length; }"


def test_what_is_done_while_something_is_answered_is_not_lost(desk: Desk) -> None:
    paint(desk, "fox", (0.3, 0.25))
    desk.page.evaluate(HOLD)
    for word, across in (("purple", 0.5), ("on", 0.7), ("a", 0.9)):
        place = ["a", "fox", "on", "purple"].index(word)
        desk.viewer(f"viewer.select({{words: [{place}]}})")
        desk.stroke((across, 0.25), (across, 0.6))
        desk.page.wait_for_timeout(150)
    assert titles(desk) == ["fox"]
    assert desk.page.evaluate(RELEASE) >= 1
    desk.page.wait_for_function("() => document.querySelectorAll('.edit').length === 4")
    assert sorted(titles(desk)) == ["a", "fox", "on", "purple"]

    desk.page.evaluate(HOLD)
    for place, scale in (("1", "2"), ("3", "0.5"), ("1", "3")):
        desk.page.fill(f"#weight-{place}", scale)
        desk.page.wait_for_timeout(100)
    desk.page.evaluate(RELEASE)
    desk.page.wait_for_selector(".edit:has-text('counts ×3.0')")
    desk.page.wait_for_selector(".edit:has-text('counts ×0.5')")
    assert desk.page.input_value("#weight-3") == "0.5"
    desk.page.get_by_label("Remove fox").last.click()
    desk.page.wait_for_function("() => document.querySelector('#weight-1').value === '1'")

    # switched off and on: as it was left
    desk.page.evaluate(HOLD)
    on = desk.page.get_by_label("purple: on").first
    on.uncheck()
    desk.page.wait_for_timeout(100)
    on.check()
    desk.page.wait_for_timeout(100)
    desk.page.get_by_label("purple: on").first.uncheck()
    desk.page.evaluate(RELEASE)
    desk.page.wait_for_timeout(800)
    desk.draw("draw-edits")
    assert not desk.page.get_by_label("purple: on").first.is_checked()


def test_where_it_was_blended_is_shown_on_the_picture(desk: Desk) -> None:
    desk.type("target", "a panda on purple")
    desk.page.wait_for_selector(".pair.replaced")
    desk.type("blend", "panda")
    desk.page.wait_for_selector(".edit:has-text('Change only where')")
    assert desk.page.locator(".edit-veil").count() == 0
    desk.draw("draw-edits")
    desk.viewer("viewer.mode('compare')")
    desk.page.get_by_label("Divide").fill("0")
    plain = desk.pixels()
    desk.page.locator(".edit-veil").click()
    desk.page.wait_for_timeout(300)
    assert desk.page.get_by_label("Where it may differ", exact=True).is_checked()
    dimmed = desk.pixels()
    height, width = plain.shape[:2]
    down, across = height // 2, width // 2
    corner, middle = (slice(4, 30), slice(4, 30)), (slice(down, down + 20), slice(across, across + 20))
    assert dimmed[corner].mean() < 0.6 * plain[corner].mean(), "there it is the first picture"
    assert np.abs(dimmed[middle] - plain[middle]).max() <= 2, "the panda is as it was"
    desk.page.get_by_label("Where it may differ", exact=True).uncheck()
    assert np.abs(desk.pixels() - plain).max() <= 2


def test_a_chip_whose_word_the_shown_picture_has_not_says_so(desk: Desk) -> None:
    desk.type("prompt", "a panda on purple")
    desk.page.locator(".chip-word", has_text="panda").click()
    desk.page.wait_for_function("() => /has no “panda”/.test(document.querySelector('#status').innerText)")
    desk.page.locator(".chip-word", has_text="purple").click()
    assert desk.viewer("viewer.state().selection.words") == [3]


def test_a_picture_of_the_strip_has_its_own_list_canvas_and_texts(desk: Desk) -> None:
    painted = "document.querySelector('.xv').xattnViewer.fields().then((told) => Object.keys(told))"
    paint(desk, "fox", (0.75, 0.2))
    desk.draw("draw-edits")
    assert "paint_map" in desk.page.text_content(".copies-text")
    desk.page.locator(".strip-one").last.click()
    desk.page.wait_for_function(f"() => {painted}.then((words) => words.join() === '1')")
    assert titles(desk) == ["fox"], "what changed it may be changed further"
    desk.page.wait_for_function("() => !/paint_map/.test(document.querySelector('.copies-text').textContent)")
    paint(desk, "purple", (0.2, 0.2))
    assert titles(desk) == ["fox", "purple"], "a further stroke takes no other word's away"
    desk.page.locator(".strip-one").first.click()
    desk.page.wait_for_function("() => document.querySelectorAll('.edit').length === 1")
    desk.page.wait_for_function("() => /paint_map/.test(document.querySelector('.copies-text').textContent)")

    # a changed prompt is the picture's, too
    desk.type("target", "a panda on purple")
    desk.page.wait_for_selector(".pair.replaced")
    desk.draw("draw-edits")
    desk.page.locator(".strip-one").nth(1).click()
    desk.page.wait_for_function("() => document.querySelector('#target textarea').value === 'a fox on purple'")
    desk.page.locator(".strip-one").first.click()
    desk.page.wait_for_function("() => document.querySelector('#target textarea').value === 'a panda on purple'")
    desk.page.wait_for_timeout(800)
    assert titles(desk) == ["Words keep their places", "Keep the layout", "fox"]


def test_on_a_phone_paint_brings_the_whole_picture_and_fingers_do_not_scroll_it_away(open_desk: OpenDesk) -> None:
    desk = open_desk(width=390, height=844)
    desk.type("prompt", "a fox on purple")
    desk.draw()
    desk.area("Edit")
    desk.page.locator(".weight", has_text="fox").locator(".weight-paint").click()
    whole = "() => { const { top, bottom } = document.querySelector('.xv-frame').getBoundingClientRect(); "
    desk.page.wait_for_function(f"{whole} return top > -1 && bottom < innerHeight + 1; }}")
    box = desk.page.locator(".xv-frame").bounding_box()
    session = desk.page.context.new_cdp_session(desk.page)
    before = desk.page.evaluate("scrollY")
    for part in range(9):
        point = {"x": box["x"] + 0.3 * box["width"], "y": box["y"] + (0.1 + 0.1 * part) * box["height"]}
        kind = "touchMove" if part else "touchStart"
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [point]})
    session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    desk.page.wait_for_selector(".edit:has-text('fox')")
    assert desk.page.evaluate("scrollY") == before
