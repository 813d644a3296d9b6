"""Every state of the web page that a person meets, one after another; docs/screenshots.py runs it.

A state is reached once, and then looked at in every look that is asked for: the window's size and the theme change
under it, as they may for anyone.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image
from PIL.PngImagePlugin import PngInfo
from playwright.sync_api import Browser, Page

SIZES = {
    "wide": (1366, 900),
    "narrow": (390, 844),
    "tablet": (820, 1180),
    "small": (1024, 768),
    "large": (1920, 1080),
    "huge": (2560, 1440),
}
THEMES = ("light", "dark")
PATIENCE = 300_000
"""Milliseconds: a picture takes two seconds, and far longer beside other work."""
STROKES = (0.16, 0.23, 0.30)
"""Where the brush goes down the picture, as fractions across."""
LONG = ", ".join(f"a {thing} to the left of a {other}" for thing in ("fox", "panda", "car", "house", "star", "balloon")
                 for other in ("cat", "tiger", "rocket", "tulip"))  # fmt: skip
"""A prompt of three chunks of 77 tokens."""
ODD = """a fox on purple <lora:watercolour:0.8>
Negative prompt: blue
Steps: 20, Sampler: Restart, CFG scale: 1.5, Seed: 19, Size: 128x128, Model: other, Clip skip: 2, ENSD: 31337"""
"""What another web UI writes into a picture, part of which cannot be brought."""


class Tour:
    """One tab. looks: (theme, size) in turn; states: of which pictures are kept, a pattern."""

    def __init__(self, page: Page, folder: Path, looks: Sequence[tuple[str, str]], states: str = "") -> None:
        self.page, self._folder, self._looks, self._states = page, folder, looks, re.compile(states)
        page.set_default_timeout(PATIENCE)
        self._devtools = page.context.new_cdp_session(page)

    def another(self, browser: Browser) -> Tour:
        """Somebody else's tab, seen in the same looks."""
        return Tour(browser.new_page(), self._folder, self._looks, self._states.pattern)

    def shot(self, state: str, *, whole: bool = True) -> None:
        """A PNG of the page in each look: whole, or what the window shows of its top."""
        if not self._states.search(state):
            return
        self.page.mouse.move(2, 2)
        for theme, size in self._looks:
            self._look(theme, size)
            if not whole:
                self.page.evaluate("scrollTo(0, 0)")
            self.page.wait_for_timeout(250)
            self.page.screenshot(path=self._folder / f"{state}-{theme}-{size}.png", full_page=whole)
        self._look("light", "wide")

    def _look(self, theme: str, size: str) -> None:
        width, height = SIZES[size]
        touched = {"enabled": size in ("narrow", "tablet"), "maxTouchPoints": 5}
        self._devtools.send("Emulation.setTouchEmulationEnabled", touched)
        self.page.set_viewport_size({"width": width, "height": height})
        self.page.emulate_media(color_scheme=theme)  # type: ignore[arg-type]
        dark = "dark => document.body.classList.toggle('dark', dark)"
        self.page.evaluate(dark, theme == "dark")

    def open(self, address: str) -> None:
        """The page, with a model."""
        self.page.goto(address)
        self.page.wait_for_selector(".word.object")

    def draw(self, button: str = "#draw") -> None:
        """Press it, and wait for one more picture."""
        before = self.page.locator(".strip-one").count()
        self.page.click(button)
        grown = "before => document.querySelectorAll('.strip-one').length > before"
        self.page.wait_for_function(grown, arg=before, timeout=PATIENCE)
        self.page.wait_for_selector(".x-status[data-state=done], .x-status[data-state=idle]", state="attached")
        self.page.wait_for_timeout(900)

    def place(self, x: float, y: float) -> tuple[float, float]:
        """A place of the picture in the window's pixels."""
        frame = self.page.locator(".xv-frame").first
        if self._looks:  # for the docs all fits, and nothing should jump
            frame.scroll_into_view_if_needed()
        box: Any = frame.bounding_box()
        return box["x"] + x * box["width"], box["y"] + y * box["height"]

    def area(self, name: str) -> None:
        """Go to an area."""
        self.page.click(f".area-tab[data-area={name}]")

    def fill(self, name: str, text: str) -> None:
        """Type into the field of this id."""
        self.page.locator(f"#{name} textarea, #{name} input").first.fill(text)

    def form(self, prompt: str, seed: str) -> None:
        """Fill it in."""
        self.area("make")
        self.fill("prompt", prompt)
        self.fill("seed", seed)
        self.page.check("#lock input")

    def viewer(self, code: str) -> None:
        """JavaScript with `viewer` in reach."""
        self.page.evaluate(f"(() => {{ const viewer = document.querySelector('.xv').xattnViewer; {code} }})()")
        self.page.wait_for_timeout(400)

    def word(self, text: str) -> None:
        """Show where this word looks."""
        chosen = self.page.locator(".xv-word", has_text=re.compile(f"^{text}$"))
        if chosen.get_attribute("aria-pressed") != "true":
            chosen.click()
        self.page.wait_for_timeout(300)

    def click_at(self, x: float, y: float) -> None:
        """A click on the picture."""
        self.page.mouse.click(*self.place(x, y))
        self.page.wait_for_timeout(500)

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

    def wait(self, state: str) -> None:
        """Until the status line is in this state."""
        self.page.wait_for_selector(f".x-status[data-state={state}]", state="attached")


def making(here: Tour, browser: Browser, address: str) -> None:
    """From an empty page to pictures: what is typed, what is drawn, who waits, what goes wrong."""
    page = here.page
    here.shot("10-start")
    page.fill("#prompt textarea", "a fx on (purple:1.3)")
    page.wait_for_selector(".chip.unknown")
    here.shot("11-unknown", whole=False)
    page.fill("#prompt textarea", LONG)
    page.wait_for_selector(".chips-cut")
    here.shot("12-long")
    page.fill("#prompt textarea", "a red balloon and a green fox")
    page.wait_for_selector(".chip.odd")
    page.click("#more .label-wrap")
    here.shot("13-more")
    page.click("#more .label-wrap")
    page.fill("#prompt textarea", " ")
    page.click("#draw")
    here.wait("failed")
    here.shot("14-failed", whole=False)
    here.form("a fox on purple", "19")
    here.fill("steps", "100")
    here.fill("count", "8")
    page.click("#draw")
    here.wait("drawing")
    page.wait_for_timeout(2500)
    here.shot("15-drawing", whole=False)
    other = here.another(browser)
    other.open(address)
    other.form("a panda on blue", "1")
    other.page.click("#draw")
    other.wait("waiting")
    other.shot("16-waiting", whole=False)
    for _ in range(5):
        other.page.click("#draw")
        other.page.wait_for_timeout(300)
    other.page.wait_for_selector(".x-status.refused", state="attached")
    other.shot("17-full", whole=False)
    other.page.context.close()
    page.click("#stop")
    here.wait("idle")
    here.shot("18-stopped", whole=False)
    here.fill("steps", "20")
    here.fill("count", "1")


def seeing(here: Tour) -> None:
    """Where words look: maps, places, self-attention, all words; one step, layer and head."""
    page = here.page
    here.form("a fox on purple", "19")
    here.draw()
    here.area("see")
    here.shot("20-see")
    here.word("fox")
    here.click_at(0.45, 0.45)
    here.shot("21-place")
    page.locator(".xv-toggle", has_text="Where this place looks").click()
    page.wait_for_timeout(600)
    here.shot("22-looks")
    page.locator(".xv-toggle", has_text="Where this place looks").click()
    one = "step: 12, layers: ['mid_block.attentions.0.transformer_blocks.0.attn2'], head: 1"
    here.viewer(f"viewer.select({{ {one} }})")
    page.locator(".xv-toggle", has_text="Begin and end").click()
    here.click_at(0.5, 0.5)
    here.shot("23-one-head")
    here.viewer("viewer.select({ step: null, layers: null, head: null }); viewer.mode('words')")
    here.shot("24-words")


def editing(here: Tour) -> None:
    """The list of edits, and everything that puts something into it."""
    page = here.page
    here.viewer("viewer.mode('look')")
    here.area("edit")
    here.shot("30-edit")
    here.brush()
    page.locator("#weight-3").fill("2")
    page.locator("#weight-3").dispatch_event("change")
    page.wait_for_selector(".edit:nth-of-type(2)")
    here.shot("31-paint")
    here.draw("#draw-edits")
    here.shot("32-compare")
    here.fill("target", "a panda on purple")
    page.wait_for_selector(".pair.replaced")
    here.shot("33-replace")
    here.fill("blend", "panda")
    page.wait_for_selector(".edit:has-text('Change only where')")
    here.draw("#draw-edits")
    page.locator(".edit-veil").click()
    here.shot("34-blend")
    page.click("#clear-edits")
    here.viewer("viewer.mode('regions')")
    here.shot("35-no-regions")
    for box, prompt in (
        (((0.05, 0.2), (0.45, 0.8)), "a panda on purple"),
        (((0.55, 0.2), (0.95, 0.8)), "a fox on purple"),
    ):
        here.drag(*box)
        page.locator(".xv-regions input").last.fill(prompt)
        page.keyboard.press("Tab")
    page.wait_for_selector(".edit")
    page.evaluate("document.activeElement.blur()")
    here.shot("36-regions")
    page.click("#clear-edits")


def beginning(here: Tour) -> None:
    """A picture to begin with, and what may change of it."""
    page = here.page
    page.click("#begin-with > button, #begin-with .label-wrap")
    here.shot("40-begin-none")
    page.locator(".begin-button", has_text="Use the shown one").click()
    page.wait_for_selector(".begin-picture")
    page.wait_for_timeout(400)
    here.shot("41-begin")
    here.drag((0.2, 0.2), (0.5, 0.5))
    page.wait_for_timeout(500)
    here.shot("42-mask")
    page.locator(".begin-button", has_text="Remove").click()
    page.click("#begin-with > button, #begin-with .label-wrap")


def keeping(here: Tour, browser: Browser, folder: Path) -> None:
    """Copies, dropped pictures, and the page to share."""
    page = here.page
    here.area("keep")
    here.shot("50-keep")
    page.locator(".copies-tab", has_text="Command").click()
    here.shot("51-command")
    written, info = io.BytesIO(), PngInfo()
    info.add_itxt("parameters", ODD)
    Image.new("RGB", (128, 128), "purple").save(written, "PNG", pnginfo=info)
    page.set_input_files("#drop-file", [{"name": "odd.png", "mimeType": "image/png", "buffer": written.getvalue()}])
    page.wait_for_selector(".drop-notes")
    here.shot("52-dropped")
    here.area("keep")
    with page.expect_download() as told:
        page.click("#share-page")
    shared = folder / "shared.html"
    told.value.save_as(shared)
    shared_page(here.another(browser), shared, "60-shared")


def shared_page(there: Tour, file: Path, state: str) -> None:
    """A page that needs no server."""
    there.page.goto(file.resolve().as_uri())
    there.page.wait_for_selector(".xv[data-ready=true]")
    there.shot(state)
    there.viewer("viewer.mode('look')")
    there.click_at(0.5, 0.5)
    there.page.locator("summary").click()
    there.shot(f"{state}-place")
    there.page.close()


def more(here: Tour) -> None:
    """Pictures that are not square, many of them, and many words."""
    page = here.page
    here.form("a rocket to the left of a panda", "3")
    page.click("#more .label-wrap")
    here.fill("width", "128")
    here.fill("height", "192")
    here.draw()
    here.area("see")
    here.click_at(0.3, 0.5)
    here.shot("70-tall")
    here.area("make")
    here.fill("width", "192")
    here.fill("height", "128")
    here.draw()
    here.viewer("viewer.mode('words')")
    here.shot("71-broad")
    here.viewer("viewer.mode('look')")
    here.fill("width", "128")
    page.click("#more .label-wrap")
    here.fill("count", "4")
    here.fill("steps", "8")
    here.form("a sailboat on blue", "5")
    here.draw()
    here.form("a red balloon and a blue car", "6")
    here.draw()
    here.shot("72-many", whole=False)
    here.fill("count", "1")
    here.form(LONG, "7")
    here.draw()
    here.area("see")
    here.shot("73-many-words")
    here.viewer("viewer.mode('words')")
    here.shot("74-many-words-side-by-side")
