"""The page's look where it can be measured: room for fingers, long prompts and many pictures in their place."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.ui.web.conftest import Desk

OpenDesk = Callable[..., Desk]
pytestmark = pytest.mark.slow

SMALL = """() => [...document.querySelectorAll('button, select, summary, textarea, input')].filter((node) => {
  const box = (node.closest('label, .tab-like-container, .wrap-inner') || node).getBoundingClientRect();
  const seen = box.width && box.height && !node.closest('footer') && getComputedStyle(node).pointerEvents !== 'none';
  return seen && box.height < (node.type === 'checkbox' ? 24 : 36);
}).map((node) => node.outerHTML.slice(0, 160))"""
"""What is seen and lower than a finger: 40 px as designed; 36 for numbers beside sliders, WCAG's 24 for ticks."""


def test_fingers_have_room(open_desk: OpenDesk) -> None:
    desk = open_desk(width=390, height=844)
    desk.type("prompt", "a fox on (purple:1.3)")
    desk.draw()
    desk.page.click("#more .label-wrap")
    desk.area("Edit")
    desk.page.locator(".weight-slider").nth(1).fill("2")
    desk.page.wait_for_selector(".edit")
    desk.page.click("#begin-with .label-wrap")
    for area in ("Make", "See", "Edit", "Keep"):
        desk.area(area)
        assert desk.page.evaluate(SMALL) == [], area


def test_a_long_prompt_leaves_what_can_be_done_with_it_on_the_first_screen(open_desk: OpenDesk) -> None:
    desk = open_desk()
    desk.page.wait_for_selector(".word.object")
    desk.type("prompt", ", ".join(["a rocket to the left of a panda"] * 20))
    desk.page.wait_for_selector(".chips-cut")
    desk.page.fill("#steps input[type=number]", "1")
    desk.draw()
    for node in ("#draw", ".area-tab", ".xv-mode", ".xv-frame"):
        box = desk.page.locator(node).first.bounding_box()
        assert box["y"] < 600, node


def test_many_pictures_scroll_inside_the_page(open_desk: OpenDesk) -> None:
    desk = open_desk(width=390, height=844)
    desk.type("prompt", "a fox on purple")
    desk.page.fill("#steps input[type=number]", "1")
    desk.page.fill("#count input[type=number]", "8")
    desk.draw()
    desk.page.wait_for_function("() => document.querySelectorAll('.strip-one').length === 8")
    wide = desk.page.evaluate(
        "(() => { const strip = document.querySelector('.x-strip'), stage = document.querySelector('#stage');"
        " return [strip.scrollWidth - strip.clientWidth, stage.getBoundingClientRect().right"
        " - strip.getBoundingClientRect().right, document.documentElement.scrollWidth - innerWidth]; })()"
    )
    assert wide[0] > 100, "there is more to scroll to"
    assert wide[1] >= 0, "it ends inside its card"
    assert wide[2] <= 0, "the page itself does not scroll sideways"
