"""Image-to-image and inpainting on the canvas, in a real browser: a picture of one's own, its mask, and both again."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from pipelines.assets import Asset
from tests.ui.web.conftest import Desk
from tests.ui.web.test_page_drops import drop
from tests.ui.web.test_page_edits import kept, paint, titles, wait_for_canvas

pytestmark = pytest.mark.slow
OpenDesk = Callable[..., Desk]
LEFT, RIGHT = (230, 120, 20), (30, 60, 190)
CHECKED = "() => document.querySelector('#masked input').checked"


def own(size: tuple[int, int] = (128, 128)) -> bytes:
    """Orange beside blue."""
    image = Image.new("RGB", size, LEFT)
    image.paste(RIGHT, (size[0] // 2, 0, *size))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def choose(desk: Desk, path: Path) -> None:
    """In the area Edit."""
    desk.area("Edit")
    if not desk.page.locator("#begin-file").count() or not desk.page.locator(".begin-row").is_visible():
        desk.page.click("#begin-with > button")
    desk.page.set_input_files("#begin-file", str(path))
    wait_for_canvas(desk)


def halves(seen: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The mean colours at the middle of the left and of the right edge: no brush was there."""
    height, width = seen.shape[:2]
    rows = slice(height // 3, height * 2 // 3)
    left, right = seen[rows, width // 20 : width // 8], seen[rows, -width // 8 : -width // 20]
    return left.mean(axis=(0, 1)), right.mean(axis=(0, 1))


def assert_own(seen: NDArray[np.int64], within: float) -> None:
    """Orange to the left and blue to the right."""
    for found, wanted in zip(halves(seen), (LEFT, RIGHT), strict=True):
        assert np.abs(found - wanted).max() <= within, (found, wanted)


def test_an_own_picture_is_painted_on_before_anything_is_drawn_and_a_second_seed_has_the_same_mask(
    open_desk: OpenDesk, tmp_path: Path
) -> None:
    (tmp_path / "own.png").write_bytes(own())
    given = np.asarray(Image.open(tmp_path / "own.png")).astype(np.float64)
    desk = open_desk()
    desk.type("prompt", "a panda on purple")
    choose(desk, tmp_path / "own.png")
    assert_own(desk.pixels(), 2)
    desk.stroke((0.5, 0.3), (0.5, 0.7))
    desk.page.wait_for_function(CHECKED)
    assert titles(desk) == []

    drawn = []
    for seed in ("7", "8"):
        desk.area("Make")
        desk.type("seed", seed)
        desk.page.check("#lock input")
        desk.draw()
        assert desk.viewer("viewer.state().mask") is False
        desk.viewer("viewer.opacity(0)")
        desk.page.wait_for_timeout(200)
        assert_own(desk.pixels(), 24)
        recipe, pixels, _ = kept(desk, tmp_path / seed)
        assert recipe.seed == int(seed)
        assert isinstance(recipe.mask, Asset)
        changed = np.abs(pixels - given).mean(axis=2)
        outside = np.concatenate([changed[:, :32].ravel(), changed[:, 96:].ravel()])
        inside = changed[48:80, 58:70]
        assert outside.mean() < 8, "only what was painted is drawn anew"
        assert inside.mean() > 30
        drawn.append(pixels)
    between = np.abs(drawn[0] - drawn[1]).mean(axis=2)
    assert between[:, :32].mean() < 2
    assert between[48:80, 58:70].mean() > 8, "another seed, another middle"

    # back on the canvas its mask is still there; erased, all of it is drawn anew
    desk.page.locator(".begin-button", has_text="Paint on it").click()
    wait_for_canvas(desk)
    assert list(desk.page.evaluate("document.querySelector('.xv').xattnViewer.fields()")) == ["0"]
    assert_own(desk.pixels(), 2)
    desk.page.locator(".xv [data-do=clear]").first.click()
    desk.page.wait_for_function("() => !document.querySelector('#masked input').checked")
    desk.draw()
    recipe, pixels, _ = kept(desk, tmp_path / "all")
    assert recipe.mask is None
    assert recipe.init is not None
    desk.page.locator(".begin-button", has_text="Remove").click()
    desk.page.wait_for_function("() => !document.querySelector('.begin-picture')")
    assert desk.viewer("viewer.state().mask") is False


def test_what_comes_to_nothing_leaves_the_own_picture_on_the_canvas(open_desk: OpenDesk, tmp_path: Path) -> None:
    (tmp_path / "own.png").write_bytes(own((200, 100)))
    desk = open_desk()
    choose(desk, tmp_path / "own.png")
    assert "stretched to 128×128" in desk.page.inner_text(".begin-text")
    desk.page.click("#draw")
    desk.page.wait_for_function("() => document.body.dataset.state === 'failed'")
    assert_own(desk.pixels(), 2)

    desk.type("prompt", "a panda on purple")
    box = desk.page.locator("#steps input[type=number]").first
    desk.area("Make")
    box.fill("100")
    box.press("Tab")
    picture = desk.page.get_attribute(".xv-picture", "src")
    desk.page.click("#draw")
    desk.page.wait_for_function(
        "(own) => document.querySelector('.xv-picture').getAttribute('src') !== own", arg=picture
    )
    desk.page.keyboard.press("Escape")
    desk.page.wait_for_function("() => /Stopped/.test(document.querySelector('#status').innerText)")
    desk.page.wait_for_function(
        "(own) => document.querySelector('.xv-picture').getAttribute('src') === own", arg=picture
    )
    assert_own(desk.pixels(), 2)


def test_words_that_were_painted_are_there_after_the_mask(open_desk: OpenDesk) -> None:
    desk = open_desk()
    desk.type("prompt", "a fox on purple")
    desk.draw()
    desk.area("Edit")
    paint(desk, "fox", (0.3, 0.25))
    desk.page.click("#begin-with > button")
    desk.page.locator(".begin-button", has_text="Use the shown one").click()
    wait_for_canvas(desk)
    desk.stroke((0.5, 0.3), (0.5, 0.7))
    desk.page.wait_for_function(CHECKED)
    assert titles(desk) == ["fox"]
    desk.page.locator(".weight", has_text="purple").locator(".weight-paint").click()
    desk.page.wait_for_function("() => !document.querySelector('.xv').xattnViewer.state().mask")
    desk.page.wait_for_function("() => document.querySelector('.xv').xattnViewer.state().selection.words[0] === 3")
    desk.stroke((0.8, 0.3), (0.8, 0.7))
    desk.page.wait_for_selector(".edit:has-text('purple')")
    assert titles(desk) == ["fox", "purple"]


def test_a_large_picture_is_inside_the_download_and_comes_back_with_its_mask(
    open_desk: OpenDesk, tmp_path: Path
) -> None:
    noisy = np.random.default_rng(0).integers(0, 80, (400, 400, 3))
    with Image.open(io.BytesIO(own((400, 400)))) as image:
        Image.fromarray((np.asarray(image) // 2 + noisy).clip(0, 255).astype(np.uint8)).save(tmp_path / "large.png")
    assert (tmp_path / "large.png").stat().st_size > 200_000
    desk = open_desk()
    desk.type("prompt", "a fox on purple")
    choose(desk, tmp_path / "large.png")
    desk.stroke((0.5, 0.3), (0.5, 0.7))
    desk.page.wait_for_function(CHECKED)
    desk.draw()
    recipe, pixels, _ = kept(desk, tmp_path / "first")
    assert recipe.init is not None
    assert recipe.init.data is not None
    assert (recipe.init.width, recipe.init.height) == (128, 128)
    (file,) = (tmp_path / "first").iterdir()

    other = open_desk()
    drop(other, "#viewer", file.name, file.read_bytes())
    wait_for_canvas(other)
    other.area("Edit")
    other.page.click("#begin-with > button")
    assert other.page.locator(".begin-picture").is_visible()
    other.page.wait_for_function(CHECKED)
    other.draw()
    again, same, _ = kept(other, tmp_path / "again")
    assert again == recipe
    assert np.array_equal(same, pixels)
