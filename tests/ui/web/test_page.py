"""The main path, in a real browser: draw, look, paint, compare, keep, bring back; by pixels and values."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipelines.metadata import read_recipe
from tests.ui.web.conftest import Desk, ground

OpenDesk = Callable[..., Desk]


def downloaded(desk: Desk, button: str, folder: Path) -> Path:
    """The file that a button hands out."""
    with desk.page.expect_download() as waiting:
        desk.page.click(f"#{button}")
    folder.mkdir(exist_ok=True)
    target = folder / waiting.value.suggested_filename
    waiting.value.save_as(target)
    return target


def test_from_a_prompt_to_a_painted_picture_and_back(open_desk: OpenDesk, tmp_path: Path) -> None:
    desk = open_desk()
    desk.type("prompt", "a fox on purple")
    desk.type("seed", "10")
    desk.page.check("#lock input")
    desk.draw()

    # the picture, with nothing over it: purple round a fox
    plain = desk.pixels()
    corner, middle = plain[12, 12], plain[plain.shape[0] // 2, plain.shape[1] // 2]
    assert corner[2] > corner[1] + 40, "the corner is purple"
    assert np.abs(corner - middle).sum() > 90, "something is drawn in the middle"

    # a word: chosen by its chip, laid over the picture, and answered at a place
    desk.page.locator(".chip-word", has_text="purple").click()
    assert desk.viewer("viewer.state().selection.words") == [3]
    fox = desk.page.locator(".chip-word", has_text="fox")
    fox.click()
    assert desk.viewer("viewer.state().selection.words") == [1]
    fox.click()
    assert desk.viewer("viewer.state().selection.words") == [], "again: the picture alone"
    fox.click()
    desk.viewer("viewer.opacity(0.8)")
    desk.page.wait_for_timeout(300)
    assert np.abs(desk.pixels() - plain).mean() > 8, "the map lies over the picture"
    inside, outside = desk.viewer("viewer.valueAt(0.45, 0.45)"), desk.viewer("viewer.valueAt(0.95, 0.05)")
    assert inside > 1.3 * outside, "fox looks where the fox is"
    desk.page.mouse.click(*desk.place(0.45, 0.45))
    # not any per cent: the opacity's stands there before the answer comes
    desk.page.wait_for_function("() => /Begin of text takes/.test(document.querySelector('.xv-meaning')?.textContent)")
    shares = [float(one) for one in re.findall(r"([\d.]+) %", desk.page.locator(".xv").inner_text())]
    assert any(abs(one - 100 * min(inside, 1.0)) < 1 for one in shares), (inside, shares)
    stages = desk.page.locator(".xv-table thead th").all_inner_texts()
    assert [one.split("\n")[0] for one in stages] == ["Softmax", "Sum"]
    layer = "mid_block.attentions.0.transformer_blocks.0.attn2"
    desk.viewer(f"viewer.select({{step: 10, layers: ['{layer}'], head: 1}})")
    desk.page.mouse.click(*desk.place(0.5, 0.5))
    desk.page.wait_for_function(
        "() => /50 % across[^]*head 2 · mid · step 10/.test(document.querySelector('.xv-place').innerText)"
    )
    assert desk.page.locator(".xv-table [data-stage=score]").count() > 0
    desk.viewer("viewer.select({step: null, layers: null, head: null})")

    # painted to the left, drawn again, compared
    desk.area("Edit")
    desk.page.locator(".weight", has_text="fox").locator(".weight-paint").click()
    desk.page.wait_for_function("() => document.querySelector('.xv').xattnViewer.state().mode === 'paint'")
    for across in (0.12, 0.2, 0.28):
        desk.stroke((across, 0.2), (across, 0.85))
    desk.page.wait_for_selector(".edit")
    desk.draw("draw-edits")
    assert desk.viewer("viewer.state().mode") == "compare"
    desk.area("Keep")
    after = downloaded(desk, "download", tmp_path)
    recipe = read_recipe(after)
    assert (recipe.prompt, recipe.seed) == ("a fox on purple", 10)
    assert [(edit.kind, getattr(edit, "word", None)) for edit in recipe.edits] == [("paint_map", "fox")]
    with Image.open(after) as image:
        moved = ground(image)[0]
    desk.page.locator(".strip-one").last.click()
    desk.page.wait_for_function("() => document.querySelector('.xv').xattnViewer.state().mode !== 'compare'")
    desk.page.wait_for_timeout(500)
    before = downloaded(desk, "download", tmp_path / "first")
    with Image.open(before) as image:
        assert moved < ground(image)[0] - 0.01, "the fox went to where it was painted"

    # dropped back: its settings stand in the form again
    desk.area("Make")
    desk.type("prompt", "a cat")
    desk.type("seed", "")
    desk.area("Keep")
    desk.page.set_input_files("#drop-file", str(before))
    desk.page.wait_for_selector(".drop-text")
    assert desk.value("prompt") == "a fox on purple"
    assert desk.value("seed") == "10"

    # shared: one file that works by itself
    page = downloaded(desk, "share-page", tmp_path)
    assert page.stat().st_size < 3_000_000
    told: list[str] = []
    alone = desk.page.context.new_page()
    alone.on("request", lambda request: told.append(request.url))
    alone.on("pageerror", lambda error: told.append(str(error)))
    alone.goto(page.as_uri())
    alone.wait_for_selector(".xv[data-ready=true]")
    value: Any = alone.evaluate("XattnViewer.viewer.select({words: [1]}), XattnViewer.viewer.valueAt(0.45, 0.45)")
    assert value == pytest.approx(inside, rel=0.02), "the page has the same maps"
    assert [url for url in told if not url.startswith(("file:", "data:", "blob:"))] == []


def test_chips_say_how_the_prompt_is_read_and_mend_it(open_desk: OpenDesk) -> None:
    desk = open_desk()
    desk.page.wait_for_selector(".word.object")
    desk.type("prompt", "a (fax:1.3) on purple")
    desk.page.wait_for_selector(".chip.unknown .chip-swap")
    assert desk.page.inner_text(".chip.unknown .chip-weight") == "×1.3"
    desk.page.locator(".chip-swap", has_text="fox").first.click()
    assert desk.value("prompt") == "a (fox:1.3) on purple"
    desk.page.wait_for_function("() => !document.querySelector('.chip.unknown')")
    assert "4 of 75 tokens" in desk.page.inner_text(".chips-foot")
    desk.page.locator(".word.object", has_text="panda").click()
    assert "panda" in desk.value("prompt")
    desk.page.locator(".word.color", has_text="green").click()
    assert desk.value("prompt").endswith("on green")


def test_what_chips_write_is_taken_back_as_typing_is(open_desk: OpenDesk) -> None:
    desk = open_desk()
    desk.page.wait_for_selector(".word.object")
    typed = "\N{FOX FACE}, a fax on purple"
    desk.type("prompt", typed)
    desk.page.locator(".chip-swap", has_text="fox").first.click()
    mended = typed.replace("fax", "fox")
    assert desk.value("prompt") == mended, "places are counted in characters"
    desk.page.locator(".word.object", has_text="panda").click()
    assert desk.value("prompt") == typed.replace("fax", "panda")
    for before in (mended, typed):
        desk.page.locator("#prompt textarea").press("Control+z")
        assert desk.value("prompt") == before
    # every token is a chip's, the comma and both halves of the face too
    desk.page.wait_for_selector(".chip-swap")
    assert desk.page.locator("#chips .chip-token").all_inner_texts()[:4] == ["\N{FOX FACE}", "\N{MIDDLE DOT}", ",", "a"]
    assert f"{desk.page.locator('#chips .chip-token').count()} of 75 tokens" in desk.page.inner_text(".chips-foot")


def test_a_mistake_is_a_sentence_and_leaves_the_page_alive(open_desk: OpenDesk) -> None:
    desk = open_desk()
    desk.type("prompt", "")
    desk.page.click("#draw")
    desk.page.wait_for_function("() => document.body.dataset.state === 'failed'")
    assert "prompt is empty, but it must be" in desk.said()
    assert "Traceback" not in desk.said()
