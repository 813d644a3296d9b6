"""The page that is handed on: by itself, small, and safe."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.ui.viewer.conftest import Shown, joint, png, summary, view
from ui.web.viewer import Block, Layer, Piece, fitting, page
from ui.web.viewer.page import LIMIT
from xattn.errors import BadValue


def opened(open_page: Callable[..., Any], text: str, folder: Path, **size: Any) -> Shown:
    """The page as somebody opens it: a file, with no server."""
    target = folder / "page.html"
    target.write_text(text, encoding="utf-8")
    tab = open_page(**size)
    tab.context.set_offline(True)
    tab.goto(target.as_uri())
    shown = Shown(tab)
    shown.settle()
    return shown


def test_words_steps_and_heads_work_from_a_file_without_a_network(open_page: Any, tmp_path: Path) -> None:
    told = page(view(maps=(joint(),)), title="a fox on purple", about={"Seed": "10"})
    shown = opened(open_page, told, tmp_path)
    assert shown.page.title() == "a fox on purple"
    assert shown.page.locator("footer dl").inner_text().split() == ["Seed", "10"]
    shown.page.locator(".xv-word[data-word='2']").click()
    before = shown.pixels()
    for label in ("Step", "Head"):
        shown.page.get_by_label(label, exact=True).fill("2")
    shown.settle()
    assert shown.page.locator("[data-row=step] output").inner_text() == "2 of 4"
    assert np.abs(shown.pixels() - before).mean() > 3


def test_a_prompt_cannot_break_out_of_the_page(open_page: Any, tmp_path: Path) -> None:
    nasty = "</script><script>window.broken = true</script><img src=x onerror='window.broken = true'>\u2028&amp;"
    told = page(
        view(prompt=(Piece(nasty), Piece("fox", 0)), note=nasty), title=nasty, about={nasty: nasty}, recipe=nasty
    )
    shown = opened(open_page, told, tmp_path)
    assert shown.page.evaluate("window.broken") is None
    assert shown.page.locator(".xv-plain").first.inner_text().startswith("</script><script>")
    assert shown.page.title().startswith("</script>")


def test_the_page_names_no_host() -> None:
    told = page(view(), title="x")
    assert set(re.findall(r"https?://[^\"' )]+", told)) == {"http://www.w3.org/2000/svg"}


def test_a_page_with_every_step_layer_and_head_of_a_small_run_fits() -> None:
    whole = np.random.default_rng(0).integers(0, 256, (3, 20, 7, 7, 8, 8), dtype=np.uint8)
    layers = tuple(Layer(f"l{index}", f"l{index}", (16, 16), 7) for index in range(7))
    block = Block(whole, (1.0,) * 3, tuple(range(1, 21)), layers, tuple(range(7)))
    assert len(page(view(maps=(summary(), block)), title="x").encode()) < LIMIT


def test_too_large_a_page_is_refused_and_fitting_keeps_what_fits() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (3, 20, 1, 10, 64, 64), dtype=np.uint8)
    large = Block(noise, (1.0,) * 3, steps=tuple(range(1, 21)), heads=tuple(range(10)))
    with pytest.raises(BadValue, match=r"bytes', but it must be 3,000,000 at most"):
        page(view(maps=(summary(), large)), title="x")
    kept = fitting((summary(), large), budget=LIMIT // 2)
    assert len(kept) == 1
    assert len(page(view(maps=kept), title="x").encode()) < LIMIT


def test_a_picture_that_would_have_to_be_fetched_is_refused() -> None:
    with pytest.raises(BadValue, match="data:image"):
        page(view(picture="/file=fox.png"), title="x")
    with pytest.raises(BadValue, match="before"):
        page(view(before="https://example.org/fox.png"), title="x")


def test_the_page_is_dark_where_the_system_is(open_page: Any, tmp_path: Path) -> None:
    shown = opened(open_page, page(view(before=png()), title="x"), tmp_path, theme="dark")
    assert np.median(shown.pixels("body")) < 60
