"""What is dropped on the page, as a person drops it: another tool's picture, broken ones, a picture to begin with."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from pipelines.metadata import file_bytes
from tests.ui.web.conftest import Desk
from tests.ui.web.test_endpoints import TWO
from tests.ui.web.test_line import run

pytestmark = pytest.mark.slow
OpenDesk = Callable[..., Desk]
THEIRS = (
    "a (fox:1.2) on purple <lora:ink:0.8>\nNegative prompt: blurry\nSteps: 12, Sampler: DPM++ 2M, "
    "Schedule type: Karras, CFG scale: 6.5, Seed: 42, Size: 192x128, Model: dreamshaper_8, ENSD: 31337, Version: v1.9.4"
)
CARRY = """([name, data]) => { const carried = new DataTransfer();
  const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
  carried.items.add(new File([bytes], name)); return carried; }"""


def drop(desk: Desk, where: str, name: str, data: bytes) -> None:
    """A file of this name, let go over what `where` finds."""
    carried = desk.page.evaluate_handle(CARRY, [name, base64.b64encode(data).decode()])
    for kind in ("dragenter", "dragover", "drop"):
        desk.page.dispatch_event(where, kind, {"dataTransfer": carried})


def png(texts: PngInfo | None = None) -> bytes:
    """A picture of 64 × 64."""
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64), "orange").save(buffer, "PNG", pnginfo=texts)
    return buffer.getvalue()


def test_another_tools_picture_brings_its_settings_and_the_list_of_what_it_could_not_bring(open_desk: OpenDesk) -> None:
    desk = open_desk()
    desk.page.click("#more > button")
    texts = PngInfo()
    texts.add_itxt("parameters", THEIRS)
    drop(desk, "#viewer", "00001-42.png", png(texts))
    desk.page.wait_for_selector(".drop-notes li")
    brought = [desk.value(name) for name in ("prompt", "negative", "seed", "width", "height")]
    assert brought == ["a (fox:1.2) on purple", "blurry", "42", "192", "128"]
    assert (desk.value("steps"), desk.value("guidance")) == ("12", "6.5")
    assert desk.page.locator(".drop-notes").is_visible(), "it was dropped in Make, and is to be seen"
    notes = " ".join(desk.page.locator(".drop-notes li").all_inner_texts())
    assert "dreamshaper_8" in notes
    assert "ENSD" in notes
    assert "The LoRA 'ink'" in notes, "told now, and not first by Draw"
    assert "see Keep" in desk.said()


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("recipe.json", b'{"version": 1, "prompt": "a fox", "sead": 3}', 'Did you mean "seed"'),
        ("recipe.json", b'{"version": 1, "prompt"', "JSON"),
        ("torn.png", file_bytes(run())[:90], "broken"),
        ("holiday.gif", b"GIF89a", ".png, .jpg, .webp or .json"),
        ("plain.png", png(), "carries no recipe"),
    ],
)
def test_what_cannot_be_read_is_a_sentence_and_changes_nothing(
    open_desk: OpenDesk, name: str, data: bytes, said: str
) -> None:
    desk = open_desk()
    desk.type("prompt", "a cat")
    drop(desk, "#prompt", name, data)
    desk.page.wait_for_function("() => document.body.dataset.state === 'failed'")
    assert said in desk.said()
    assert "xattn-" not in desk.said(), "no path of this machine"
    assert desk.value("prompt") == "a cat"


def test_a_file_that_is_too_large_is_told_where_it_was_dropped(open_desk: OpenDesk) -> None:
    desk = open_desk()
    drop(desk, "#prompt", "large.png", b"\0" * (30 * 2**20))
    desk.page.wait_for_function(
        "() => /large.png has 30.0 MB; at most 16 MB/.test(document.querySelector('#status').innerText)"
    )


def test_a_picture_dropped_on_the_place_to_begin_with_begins(open_desk: OpenDesk) -> None:
    desk = open_desk()
    desk.area("Edit")
    desk.page.click("#begin-with > button")
    drop(desk, ".x-begin", "orange.png", png())
    desk.page.wait_for_selector(".begin-picture")
    assert "64×64" in desk.page.inner_text(".begin-text")
    drop(desk, ".x-begin", "large.png", b"\0" * (17 * 2**20))
    desk.page.wait_for_function("() => /at most 16 MB/.test(document.querySelector('.begin-text').textContent)")


def test_of_several_files_the_first_is_read_and_said(open_desk: OpenDesk) -> None:
    desk = open_desk()
    desk.page.wait_for_selector(".word.object")  # the page listens
    carried = desk.page.evaluate_handle(CARRY, ["one.json", base64.b64encode(b'{"prompt": "a fox"}').decode()])
    carried.evaluate("(carried) => { carried.items.add(new File(['x'], 'two.png')); }")
    desk.page.dispatch_event("#viewer", "drop", {"dataTransfer": carried})
    desk.page.wait_for_function("() => /first of 2 files is read: one.json/.test(document.body.innerText)")
    assert desk.value("prompt") == "a fox"
    drop(desk, "#viewer", "one.json", b'{"prompt": "a cat"}')
    desk.page.wait_for_function("() => !/first of 2/.test(document.body.textContent)")


def test_edits_that_cannot_both_hold_are_a_sentence_and_one_of_them_draws(open_desk: OpenDesk) -> None:
    """The page makes none such, but a recipe of somebody else may have them."""
    desk = open_desk()
    recipe = {"prompt": "a fox", "seed": 1, "num_inference_steps": 4, "edits": TWO}
    drop(desk, "#prompt", "recipe.json", json.dumps(recipe).encode())
    desk.page.wait_for_function("() => /see Keep/.test(document.querySelector('#status').innerText)")
    desk.area("Edit")
    desk.page.click("#draw-edits")
    desk.page.wait_for_function("() => /Press Draw first/.test(document.querySelector('#status').innerText)")
    assert desk.value("scheduler") == "DDIM", "what the recipe leaves open is the model's"
    desk.page.click("#draw")
    desk.page.wait_for_selector(".strip-one")
    desk.page.click("#draw-edits")
    desk.page.wait_for_function("() => /cannot both hold/.test(document.querySelector('#status').innerText)")
    assert "cannot both hold: both set the map of one token. Keep one of them, or use a gain." in desk.said()
    desk.page.get_by_label("Remove fox").first.click()
    desk.page.click("#draw-edits")
    desk.page.wait_for_function("() => document.querySelectorAll('.strip-one').length === 2")
