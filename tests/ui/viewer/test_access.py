"""For every hand and eye: names, keys, focus, narrow pages, both themes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.ui.viewer.conftest import Shown, joint, png, summary, view
from tests.ui.viewer.test_place import answer
from ui.web.viewer import Word, word_color

pytestmark = pytest.mark.slow

MODES = ("look", "words", "paint", "regions", "compare")


def full(shown: Any, **size: Any) -> Shown:
    """Everything that a view can have, a long word among it."""
    told = view(maps=(joint(), summary()), before=png((1, 2, 3)), note="mean of conditional rows")
    viewer: Shown = shown(told, **size)
    viewer.call("viewer.patch(argument)", answer())
    return viewer


def go(viewer: Shown, mode: str) -> None:
    viewer.call("viewer.mode(argument)", mode)
    if mode == "regions" and not viewer.call("viewer.regions()"):
        viewer.page.get_by_role("button", name="Add a region").click()
        viewer.settle()


@pytest.mark.parametrize("mode", MODES)
def test_every_control_has_a_name_of_its_own(shown: Any, mode: str) -> None:
    viewer = full(shown)
    go(viewer, mode)
    client = viewer.page.context.new_cdp_session(viewer.page)
    kinds = {"button", "slider", "checkbox", "textbox", "application"}
    named = [
        (node["role"]["value"], node.get("name", {}).get("value", ""))
        for node in client.send("Accessibility.getFullAXTree")["nodes"]
        if node.get("role", {}).get("value") in kinds and not node.get("ignored")
    ]
    assert len(named) > 5
    assert [role for role, name in named if not name] == []
    assert len(set(named)) == len(named)


@pytest.mark.parametrize("mode", MODES)
def test_320_pixels_are_enough(shown: Any, mode: str) -> None:
    viewer = full(shown, width=320, height=640, touch=True)
    go(viewer, mode)
    assert viewer.page.evaluate("document.documentElement.scrollWidth") == 320
    cut_off = """[...document.querySelectorAll('.xv button, .xv input, .xv label')].filter((node) => {
        const box = node.getBoundingClientRect();
        return box.width && (box.left < 0 || box.right > 320 || node.scrollWidth > node.clientWidth + 1);
    }).map((node) => node.outerHTML)"""
    assert viewer.page.evaluate(cut_off) == []


@pytest.mark.parametrize("width", [320, 600, 800, 1100])
def test_nothing_sticks_out_of_its_card(shown: Any, width: int) -> None:
    viewer = full(shown, width=width)
    out = """[...document.querySelectorAll('.xv-card *')].filter((node) => {
        const box = node.getBoundingClientRect();
        const card = node.closest('.xv-card').getBoundingClientRect();
        return box.width && !node.closest('svg') && (box.left < card.left || box.right > card.right);
    }).map((node) => node.outerHTML)"""
    for mode in MODES:
        go(viewer, mode)
        assert viewer.page.evaluate(out) == []


def test_fingers_have_room(shown: Any) -> None:
    viewer = full(shown, width=320, height=640, touch=True)
    small = """[...document.querySelectorAll('.xv button, .xv input')].filter((node) => {
        const box = (node.closest('label') || node).getBoundingClientRect();
        return box.width && (box.height < 24 || box.width < 24);
    }).map((node) => node.outerHTML)"""
    for mode in MODES:
        go(viewer, mode)
        assert viewer.page.evaluate(small) == []


def luminance(color: str) -> float:
    channels = np.array([int(color[place : place + 2], 16) for place in (1, 3, 5)]) / 255
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("theme", ["", "dark"])
def test_letters_stand_out_in_both_themes(shown: Any, theme: str) -> None:
    viewer = shown(view(), around=theme)
    names = ["paper", "panel", "sunk", "ink", "quiet", "edge", "accent", "on-accent", "focus", "alarm"]
    read = "(node, names) => names.map((name) => getComputedStyle(node).getPropertyValue('--' + name).trim())"
    values = dict(zip(names, viewer.page.locator(".xv").evaluate(read, names), strict=True))
    for letters, below in [("ink", "paper"), ("ink", "panel"), ("ink", "sunk"), ("quiet", "paper"), ("quiet", "panel"),
                           ("quiet", "sunk"), ("on-accent", "accent"), ("alarm", "paper")]:  # fmt: skip
        assert contrast(values[letters], values[below]) >= 4.5, (letters, below)
    for line, below in [("edge", "panel"), ("edge", "paper"), ("focus", "paper"), ("focus", "panel")]:
        assert contrast(values[line], values[below]) >= 3, (line, below)


def test_a_chosen_words_letters_stand_out_on_every_colour(shown: Any) -> None:
    colors = [word_color(index) for index in range(30)]
    words = tuple(Word(f"w{index}", color) for index, color in enumerate(colors))
    viewer = shown(view(words=words, prompt=(), maps=()))
    read = "(chips) => chips.map((chip) => chip.style.getPropertyValue('--on-word'))"
    inks = viewer.page.locator(".xv-word").evaluate_all(read)
    for color, ink in zip(colors, inks, strict=True):
        assert contrast(color, ink) >= 4.5, color


def test_dark_is_dark_and_light_is_light(shown: Any) -> None:
    for theme, low, high in (("", 200, 256), ("dark", 0, 60)):
        viewer = full(shown)
        viewer.page.evaluate(f"document.body.className = '{theme}'")
        viewer.settle()
        card = viewer.pixels(".xv-place")
        assert low <= np.median(card) < high


def test_the_focus_is_seen(shown: Any) -> None:
    viewer = full(shown)
    seen = set()
    for _ in range(45):
        viewer.page.keyboard.press("Tab")
        where = viewer.page.evaluate("""(() => {
            const node = document.activeElement;
            if (!node.closest('.xv')) return null;
            const { outlineStyle, outlineWidth } = getComputedStyle(node);
            return [node.className + node.name, outlineStyle, parseFloat(outlineWidth)];
        })()""")
        if where is None:
            break
        seen.add(where[0])
        assert where[1] == "solid"
        assert where[2] >= 2
    assert len(seen) >= 8


def test_text_fields_keep_their_letters_and_ctrl_enter_is_the_apps(shown: Any) -> None:
    viewer = full(shown)
    listen = "document.addEventListener('keydown', (e) => { window.ran ||= e.ctrlKey && e.key === 'Enter'; })"
    viewer.page.evaluate(listen)
    go(viewer, "regions")
    viewer.page.get_by_label("Prompt of region r1").press_sequentially("bear [e]")
    assert viewer.page.get_by_label("Prompt of region r1").input_value() == "bear [e]"
    viewer.page.locator(".xv-frame").focus()
    viewer.page.keyboard.press("Control+Enter")
    assert viewer.page.evaluate("window.ran") is True
