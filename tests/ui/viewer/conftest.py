"""A real browser on a bare page: the component without the app, its events written down, no error overlooked."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from ui.web.viewer import Block, Layer, Piece, View, Word, word_color
from ui.web.viewer.assets import script, style

GREY = 128
WORDS = ("fox", "on", "purple")


def png(color: tuple[int, int, int] = (GREY, GREY, GREY), size: tuple[int, int] = (64, 48)) -> str:
    """A picture of one colour as a `data:` URL."""
    file = io.BytesIO()
    Image.new("RGB", size, color).save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def hot(row: int, column: int, value: int = 255) -> NDArray[np.uint8]:
    """A map of 6 × 8 cells, nothing but at one of them."""
    cells = np.zeros((6, 8), np.uint8)
    cells[row, column] = value
    return cells


def summary(scale: float = 0.5) -> Block:
    """Every word at a cell of its own: (1, 2), (4, 1), (3, 6)."""
    cells = np.stack([hot(1, 2), hot(4, 1), hot(3, 6)])[:, None, None, None]
    return Block(cells, (scale,) * 3)


def joint(seed: int = 0) -> Block:
    """Random bytes along every axis, one scale a slice; the second layer lacks the third head."""
    random = np.random.default_rng(seed)
    cells = random.integers(0, 256, (3, 4, 2, 3, 6, 8), dtype=np.uint8)
    scale = tuple(float(f"{value:.4g}") for value in random.uniform(0.1, 1, 3 * 4 * 2 * 3))
    layers = (Layer("down.attn2", "down 1", (6, 8), 3), Layer("up.attn2", "up 1", (3, 4), 2))
    return Block(cells, scale, (1, 2, 3, 4), layers, (0, 1, 2))


def view(**changes: Any) -> View:
    """Three words on a grey picture of 64 × 48."""
    fields: dict[str, Any] = {
        "id": "run",
        "picture": png(),
        "width": 64,
        "height": 48,
        "words": tuple(Word(text, word_color(index)) for index, text in enumerate(WORDS)),
        "prompt": (Piece("a"), Piece("fox", 0), Piece("on", 1), Piece("purple", 2)),
        "maps": (summary(),),
    }
    return View(**(fields | changes))


@dataclass
class Shown:
    """A viewer on a page: what a test asks of it."""

    page: Any

    def call(self, code: str, argument: Any = None) -> Any:
        """JavaScript with `viewer` in reach; a promise is waited for, and so is what it draws."""
        told = self.page.evaluate(f"async (argument) => {{ const told = await ({code}); return told; }}", argument)
        self.settle()
        return told

    def settle(self) -> None:
        """Until everything asked for is drawn: the viewer draws in the next frame."""
        self.page.wait_for_selector(".xv[data-ready=true]")
        self.page.evaluate("() => new Promise((go) => requestAnimationFrame(() => requestAnimationFrame(go)))")

    def events(self, name: str) -> list[dict[str, Any]]:
        """The details of an event so far."""
        return [detail for kind, detail in self.page.evaluate("events") if kind == name]

    def state(self) -> dict[str, Any]:
        """What the viewer says it shows."""
        return dict(self.page.evaluate("viewer.state()"))

    def at(self, x: float, y: float) -> tuple[float, float]:
        """A place of the picture in the page's pixels."""
        box = self.page.locator(".xv-frame").bounding_box()
        return box["x"] + x * box["width"], box["y"] + y * box["height"]

    def click(self, x: float, y: float) -> None:
        """Click a place of the picture."""
        self.page.mouse.click(*self.at(x, y))
        self.settle()

    def drag(self, start: tuple[float, float], *places: tuple[float, float]) -> None:
        """Press at a place, move over others, let go at the last."""
        self.page.mouse.move(*self.at(*start))
        self.page.mouse.down()
        for place in places:
            self.page.mouse.move(*self.at(*place), steps=4)
        self.page.mouse.up()
        self.settle()

    def away(self) -> None:
        """Move the pointer off the picture, so that no brush's ring is in the way."""
        self.page.mouse.move(0, 0)
        self.settle()

    def pixels(self, selector: str = ".xv-frame") -> NDArray[np.int64]:
        """What a person sees of an element: [y, x, 3]."""
        shot = self.page.locator(selector).first.screenshot(animations="disabled")
        return np.asarray(Image.open(io.BytesIO(shot)).convert("RGB")).astype(np.int64)

    def pixel(self, x: float, y: float, selector: str = ".xv-frame") -> NDArray[np.int64]:
        """The colour at a place (fractions) of an element."""
        seen = self.pixels(selector)
        return np.asarray(seen[int(y * seen.shape[0]), int(x * seen.shape[1])])


def document(told: View | None, around: str = "") -> str:
    """A page with nothing but the viewer."""
    data = "null" if told is None else json.dumps(told.to_json()).replace("<", "\\u003c")
    return f"""<!doctype html><html lang="en"><meta charset="utf-8"><title>viewer</title><link rel="icon" href="data:,">
<style>{style()}body {{ margin: 12px; background: #fbfaf7; }} body.dark {{ background: #161614; }}</style>
<body class="{around}"><div id="host"></div><script>
const XattnViewer = {script()};
var events = [];
var viewer = XattnViewer.mount(document.getElementById("host"), {data});
viewer.on("*", (name, detail) => events.push([name, detail]));
</script></body></html>"""


class Pages:
    """Pages by their size, opened once and emptied for each test; what they complain of is gathered."""

    def __init__(self, browser: Any) -> None:
        self.browser = browser
        self.complaints: list[str] = []
        self._pages: dict[tuple[Any, ...], Any] = {}

    def open(
        self, *, width: int = 900, height: int = 700, ratio: float = 1, touch: bool = False, theme: str = "light"
    ) -> Any:
        """An empty page."""
        key = (width, height, ratio, touch, theme)
        if key not in self._pages:
            context = self.browser.new_context(
                viewport={"width": width, "height": height},
                device_scale_factor=ratio,
                has_touch=touch,
                color_scheme=theme,
            )
            page = self._pages[key] = context.new_page()
            page.on("console", lambda message: self.complaints.append(f"{message.type}: {message.text}"))
            page.on("pageerror", lambda error: self.complaints.append(str(error)))
            page.on("request", lambda request: self.complaints.append(request.url) if _outside(request.url) else None)
        self._pages[key].goto("about:blank")
        return self._pages[key]


@pytest.fixture(scope="session")
def pages(chromium: Any) -> Pages:
    """The pages of this session."""
    return Pages(chromium)


@pytest.fixture
def open_page(pages: Pages) -> Iterator[Callable[..., Any]]:
    """Opens a page of some size; none may write to the console, or ask any host for anything."""
    pages.complaints.clear()
    yield pages.open
    assert pages.complaints == []


def _outside(url: str) -> bool:
    return not url.startswith(("data:", "file:", "about:"))


@pytest.fixture
def shown(open_page: Callable[..., Any]) -> Callable[..., Shown]:
    """Puts a view on a bare page."""

    def put(told: View | None, around: str = "", **size: Any) -> Shown:
        page = open_page(**size)
        page.set_content(document(told, around))
        viewer = Shown(page)
        viewer.settle()
        return viewer

    return put
