"""Boxes with prompts of their own; before and after."""

from __future__ import annotations

from typing import Any

import pytest

from tests.ui.viewer.conftest import GREY, Shown, png, view
from ui.web.viewer import Region


def box(region: dict[str, Any]) -> tuple[float, ...]:
    return tuple(region[side] for side in ("left", "top", "right", "bottom"))


def last(viewer: Shown) -> list[dict[str, Any]]:
    return list(viewer.events("regions")[-1]["regions"])


def test_a_box_is_drawn_named_moved_and_pulled(shown: Any) -> None:
    viewer = shown(view(mode="regions"))
    viewer.drag((0.1, 0.2), (0.4, 0.6))
    (region,) = last(viewer)
    assert box(region) == pytest.approx((0.1, 0.2, 0.4, 0.6), abs=0.005)
    viewer.page.get_by_label("Prompt of region r1").fill("a fox")
    viewer.page.keyboard.press("Tab")
    viewer.settle()
    assert last(viewer)[0]["prompt"] == "a fox"
    viewer.drag((0.25, 0.4), (0.45, 0.5))
    assert box(last(viewer)[0]) == pytest.approx((0.3, 0.3, 0.6, 0.7), abs=0.008)
    viewer.drag((0.6, 0.7), (0.9, 0.8))
    assert box(last(viewer)[0]) == pytest.approx((0.3, 0.3, 0.9, 0.8), abs=0.008)
    viewer.away()
    inside, outside = viewer.pixel(0.5, 0.55), viewer.pixel(0.1, 0.9)
    assert outside.tolist() == [GREY] * 3
    assert inside[0] > GREY + 15 > inside[2] + 15


def test_a_box_stays_in_the_picture(shown: Any) -> None:
    viewer = shown(view(mode="regions", regions=(Region("r1", 0.4, 0.4, 0.8, 0.8),)))
    viewer.drag((0.6, 0.6), (0.99, 0.99))
    assert box(last(viewer)[0]) == pytest.approx((0.6, 0.6, 1, 1), abs=0.002)


def test_regions_are_undone_removed_and_added_without_a_pointer(shown: Any) -> None:
    viewer = shown(view(mode="regions"))
    viewer.page.get_by_role("button", name="Add a region").click()
    viewer.page.get_by_role("button", name="Add a region").click()
    assert [region["id"] for region in last(viewer)] == ["r1", "r2"]
    assert len({region["color"] for region in last(viewer)}) == 2
    viewer.page.locator(".xv-frame").focus()
    viewer.page.keyboard.press("ArrowRight")
    viewer.page.keyboard.press("Shift+ArrowDown")
    assert box(last(viewer)[1]) == pytest.approx((0.32, 0.3, 0.72, 0.72))
    viewer.page.keyboard.press("Delete")
    assert [region["id"] for region in last(viewer)] == ["r1"]
    viewer.page.keyboard.press("Control+z")
    assert box(last(viewer)[1]) == pytest.approx((0.32, 0.3, 0.72, 0.72))
    viewer.page.get_by_role("button", name="Remove region r1").click()
    assert [region["id"] for region in last(viewer)] == ["r2"]


def test_a_click_draws_no_speck(shown: Any) -> None:
    viewer = shown(view(mode="regions"))
    viewer.click(0.5, 0.5)
    assert viewer.events("regions") == []


def test_regions_may_come_before_the_first_picture(shown: Any) -> None:
    viewer = shown(view(picture=None, maps=(), modes=("regions",), mode="regions"))
    viewer.drag((0.1, 0.1), (0.5, 0.5))
    assert box(last(viewer)[0]) == pytest.approx((0.1, 0.1, 0.5, 0.5), abs=0.005)


def compared(shown: Any) -> Shown:
    viewer: Shown = shown(view(picture=png((30, 60, 200)), before=png((200, 60, 30)), before_label="source"))
    viewer.page.locator(".xv-mode[data-mode=compare]").click()
    viewer.settle()
    return viewer


def test_the_divide_parts_before_from_after(shown: Any) -> None:
    viewer = compared(shown)
    assert viewer.pixel(0.3, 0.8).tolist() == [200, 60, 30]
    assert viewer.pixel(0.7, 0.8).tolist() == [30, 60, 200]
    viewer.drag((0.5, 0.5), (0.8, 0.5))
    assert viewer.pixel(0.7, 0.8).tolist() == [200, 60, 30]
    assert viewer.events("compare")[-1]["at"] == pytest.approx(0.8, abs=0.01)
    viewer.page.get_by_label("Divide").fill("0.1")
    viewer.settle()
    assert viewer.pixel(0.3, 0.8).tolist() == [30, 60, 200]
    viewer.page.locator(".xv-frame").focus()
    viewer.page.keyboard.press("Shift+ArrowRight")
    assert viewer.state()["compareAt"] == pytest.approx(0.2)


def test_what_changed_is_black_where_nothing_did(shown: Any) -> None:
    viewer = compared(shown)
    viewer.page.get_by_label("What changed, alone").check()
    viewer.settle()
    assert viewer.pixel(0.5, 0.8).tolist() == [170, 0, 170]


def test_compare_is_offered_only_with_two_pictures(shown: Any) -> None:
    viewer = shown(view())
    assert not viewer.page.locator(".xv-mode[data-mode=compare]").is_visible()
    viewer.call("viewer.patch({id: 'run', before: argument})", png((1, 2, 3)))
    assert viewer.page.locator(".xv-mode[data-mode=compare]").is_visible()
