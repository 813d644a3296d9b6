"""Screenshots of the web page in every state, both themes, wide and narrow, and the animation of painting a word.

    python docs/screenshots.py [--out out/screenshots] [--docs]

Needs the extra `dev` and the system's Chromium. With --docs the pictures of README and docs/ui.md are made anew, with a
seed of their own, and the animation.
"""

from __future__ import annotations

import argparse
import io
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

IMAGES = Path(__file__).parent / "images"
SIZES = {"wide": (1366, 900), "narrow": (390, 844)}
PATIENCE = 300_000
STROKES = (0.16, 0.23, 0.30)
"""Where the brush goes down the picture, as fractions across."""
LANE = """() => {
  const viewer = document.querySelector(".xv").xattnViewer;
  viewer.mode("look");
  viewer.select({ step: 12, layers: ["mid_block.attentions.0.transformer_blocks.0.attn2"], head: 1 });
}"""
"""One step, layer and head, whose scores are shown."""


@contextmanager
def served() -> Iterator[str]:
    """The page, in a process of its own, until this is left."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "ui.cli", "ui", "--port", str(port)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        for line in process.stderr:
            if found := re.search(r"xattn is at (\S+)", line):
                yield found[1]
                break
        else:
            raise SystemExit("The page did not start.")
    finally:
        process.terminate()
        process.communicate(timeout=60)


class Tour:
    """One tab, going through every state; `shot` keeps what it sees."""

    def __init__(self, page: Page, folder: Path, name: str) -> None:
        self.page, self._folder, self._name = page, folder, name

    def shot(self, state: str, *, whole: bool = True) -> None:
        """A PNG of the page."""
        if not whole:
            self.page.evaluate("scrollTo(0, 0)")
        self.page.wait_for_timeout(250)
        self.page.screenshot(path=self._folder / f"{state}-{self._name}.png", full_page=whole)

    def draw(self, button: str = "#draw") -> None:
        """Press it, and wait for one more picture."""
        before = self.page.locator(".strip-one").count()
        self.page.click(button)
        grown = "before => document.querySelectorAll('.strip-one').length > before"
        self.page.wait_for_function(grown, arg=before, timeout=PATIENCE)
        self.page.wait_for_timeout(900)

    def place(self, x: float, y: float) -> tuple[float, float]:
        """A place of the picture in the window's pixels."""
        frame = self.page.locator(".xv-frame").first
        if self._name != "docs":  # there all fits, and nothing should jump
            frame.scroll_into_view_if_needed()
        box: Any = frame.bounding_box()
        return box["x"] + x * box["width"], box["y"] + y * box["height"]

    def area(self, name: str) -> None:
        """Go to an area."""
        self.page.click(f".area-tab[data-area={name}]")

    def form(self, prompt: str, seed: str) -> None:
        """Fill it in."""
        self.page.fill("#prompt textarea", prompt)
        self.page.locator("#seed textarea, #seed input").first.fill(seed)
        self.page.check("#lock input")

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """From one place of the picture to another."""
        self.page.mouse.move(*self.place(*start))
        self.page.mouse.down()
        self.page.mouse.move(*self.place(*end), steps=6)
        self.page.mouse.up()
        self.page.wait_for_timeout(200)

    def brush(self, *, watch: Any = None) -> None:
        """Paint fox on the left; `watch` is called as the brush goes."""
        self.area("edit")
        self.page.locator(".weight", has_text="fox").locator(".weight-paint").click()
        self.page.wait_for_timeout(400)
        for across in STROKES:
            self.page.mouse.move(*self.place(across, 0.2))
            self.page.mouse.down()
            for part in range(1, 9):
                self.page.mouse.move(*self.place(across, 0.2 + 0.08 * part))
                if watch is not None and part % 2 == 0:
                    watch()
            self.page.mouse.up()
        self.page.wait_for_selector(".edit")


def tour(browser: Browser, address: str, folder: Path, theme: str, size: str) -> None:
    """Every state once."""
    width, height = SIZES[size]
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=theme)  # type: ignore[arg-type]
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    page.goto(address)
    page.wait_for_selector(".word.object")
    here = Tour(page, folder, f"{theme}-{size}")
    here.shot("1-start")
    here.form("a fx on (purple:1.3)", "43")
    page.wait_for_selector(".chip.unknown")
    here.shot("2-unknown", whole=False)
    here.form("a fox on purple", "19")
    page.click("#draw")
    page.wait_for_selector("[data-state=drawing]")
    page.wait_for_timeout(700)
    here.shot("3-drawing", whole=False)
    page.wait_for_selector(".strip-one")
    page.wait_for_timeout(900)
    here.area("see")
    page.mouse.click(*here.place(0.45, 0.45))
    page.wait_for_timeout(500)
    here.shot("4-see")
    page.evaluate(LANE)
    page.wait_for_timeout(300)
    page.locator(".xv-toggle", has_text="Begin and end").click()
    page.mouse.click(*here.place(0.5, 0.5))
    page.wait_for_timeout(500)
    here.shot("4-see-one-head")
    page.evaluate("document.querySelector('.xv').xattnViewer.select({ step: null, layers: null, head: null })")
    page.evaluate("document.querySelector('.xv').xattnViewer.mode('words')")
    here.shot("5-words")
    here.brush()
    here.shot("6-paint")
    here.draw("#draw-edits")
    here.shot("7-compare")
    page.locator("#target textarea, #target input").first.fill("a panda on purple")
    page.wait_for_selector(".pair.replaced")
    here.shot("8-replace")
    page.locator("#blend textarea, #blend input").first.fill("panda")
    page.wait_for_selector(".edit:has-text('Change only where')")
    here.draw("#draw-edits")
    page.locator(".edit-veil").click()
    here.shot("8-blend")
    page.click("#clear-edits")
    page.evaluate("document.querySelector('.xv').xattnViewer.mode('regions')")
    here.drag((0.05, 0.2), (0.45, 0.8))
    page.locator(".xv-regions input").last.fill("a panda on purple")
    page.keyboard.press("Tab")
    here.drag((0.55, 0.2), (0.95, 0.8))
    page.locator(".xv-regions input").last.fill("a fox on purple")
    page.keyboard.press("Tab")
    page.wait_for_selector(".edit")
    here.shot("8-regions")
    page.click("#clear-edits")
    page.click("#begin-with > button, #begin-with .label-wrap")
    page.locator(".begin-button", has_text="Use the shown one").click()
    page.wait_for_selector(".begin-picture")
    here.shot("8-begin")
    page.locator(".begin-button", has_text="Remove").click()
    here.area("keep")
    here.shot("9-keep")
    here.area("make")
    page.fill("#prompt textarea", "")
    page.click("#draw")
    page.wait_for_selector("[data-state=failed]")
    here.shot("10-mistake", whole=False)
    context.close()


def for_docs(browser: Browser, address: str) -> None:
    """The pictures of the docs, and the animation (WebP, under 3 MB)."""
    context = browser.new_context(viewport={"width": 1440, "height": 1080}, color_scheme="light")
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    page.goto(address)
    page.wait_for_selector(".word.object")
    here = Tour(page, IMAGES, "docs")
    here.form("a fox on purple", "19")
    here.draw()
    here.area("see")
    page.mouse.click(*here.place(0.45, 0.45))
    page.wait_for_timeout(600)
    page.evaluate("scrollTo(0, 0)")
    keep(page, "ui-see.png")
    frames: list[Image.Image] = [frame(page)]
    here.brush(watch=lambda: frames.append(frame(page)))
    keep(page, "ui-paint.png")
    page.click("#draw-edits")
    before = page.locator(".strip-one").count()
    while page.locator(".strip-one").count() == before:
        frames.append(frame(page))
        page.wait_for_timeout(120)
    page.wait_for_timeout(900)
    keep(page, "ui-compare.png")
    for part in (0.5, 0.35, 0.2, 0.05, 0.2, 0.35, 0.5, 0.65, 0.8, 0.95, 0.8, 0.65, 0.5):
        page.mouse.move(*here.place(part, 0.5))
        if part == 0.5 and len(frames) < 100:
            page.mouse.down()
        frames.append(frame(page))
    page.mouse.up()
    animated = IMAGES / "ui-paint.webp"
    still = [*[110] * (len(frames) - 1), 1600]
    frames[0].save(animated, save_all=True, append_images=frames[1:], duration=still, loop=0, quality=60, method=4)
    context.close()


def frame(page: Page) -> Image.Image:
    """What is seen now, half as large."""
    image = Image.open(io.BytesIO(page.screenshot(type="png"))).convert("RGB")
    return image.resize((image.width * 5 // 8, image.height * 5 // 8), Image.Resampling.LANCZOS)


def keep(page: Page, name: str) -> None:
    """A picture for the docs."""
    image = Image.open(io.BytesIO(page.screenshot(type="png"))).convert("RGB")
    image.save(IMAGES / name, optimize=True)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("out/screenshots"))
    parser.add_argument("--docs", action="store_true", help="make the pictures of the docs instead")
    parser.add_argument("--only", choices=[f"{theme}-{size}" for theme in ("light", "dark") for size in SIZES])
    parser.add_argument("--at", help="the address of a page that is served already")
    asked = parser.parse_args()
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        raise SystemExit("There is no Chromium on this machine: apt install chromium")
    asked.out.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        if asked.at:
            _make(browser, asked.at, asked)
        else:
            with served() as address:
                _make(browser, address, asked)
        browser.close()


def _make(browser: Browser, address: str, asked: argparse.Namespace) -> None:
    if asked.docs:
        for_docs(browser, address)
        return
    for theme in ("light", "dark"):
        for size in SIZES:
            if asked.only in (None, f"{theme}-{size}"):
                tour(browser, address, asked.out, theme, size)
                sys.stdout.write(f"{theme}, {size}: {asked.out}\n")


if __name__ == "__main__":
    main()
