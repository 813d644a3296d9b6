"""The page as people have it: `xattn ui` in a process of its own, and a real browser."""

from __future__ import annotations

import io
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.ui.conftest import ROOT, environment

PATIENCE = 180_000
"""Milliseconds: a drawing takes two seconds, and far longer beside other work."""


@contextmanager
def listening(folder: Path, *arguments: str, told: list[str] | None = None, **settings: str) -> Iterator[str]:
    """`xattn ui` on a free port, and its address; ended by a signal, as Ctrl-C does. told: what it says meanwhile."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    homes = {"XATTN_CACHE": str(folder / "cache"), "GRADIO_TEMP_DIR": str(folder / "gradio"), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, "-m", "ui.cli", "ui", "--port", str(port), *arguments],
        cwd=folder,
        env=environment(**homes, **settings),
        stderr=subprocess.PIPE,
        text=True,
    )
    told = [] if told is None else told
    reading: threading.Thread | None = None
    try:
        assert process.stderr is not None
        for line in process.stderr:
            told.append(line)
            if found := re.search(r"xattn is at (\S+)", line):
                # read on, or the process stops at a full pipe
                reading = threading.Thread(target=lambda: told.extend(process.stderr or ()), daemon=True)
                reading.start()
                yield found[1].rstrip("/")
                break
        else:
            pytest.fail("".join(told))
    finally:
        process.terminate()
        process.wait(240)
        if reading is not None:
            reading.join(10)
        if process.stderr is not None:
            process.stderr.close()


def serve(folder: Path, *arguments: str) -> Iterator[str]:
    """The same, for a fixture to yield from."""
    with listening(folder, *arguments) as address:
        yield address


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The page with the embedded model."""
    yield from serve(tmp_path_factory.mktemp("served"))


@dataclass
class Desk:
    """One tab of a browser, and what a person does there."""

    page: Any
    complaints: list[str] = field(default_factory=list)

    def type(self, name: str, text: str) -> None:
        """Into the field of this id."""
        self.page.locator(f"#{name} textarea, #{name} input").first.fill(text)

    def value(self, name: str) -> str:
        """What stands in it."""
        return str(self.page.locator(f"#{name} textarea, #{name} input").first.input_value())

    def area(self, name: str) -> None:
        """Go to Make, See, Edit or Keep."""
        self.page.get_by_role("tab", name=name, exact=True).click()

    def pictures(self) -> int:
        """How many the strip has."""
        return int(self.page.locator(".strip-one").count())

    def draw(self, button: str = "draw") -> None:
        """Press it, and wait for one more picture."""
        before = self.pictures()
        self.page.click(f"#{button}")
        self.page.wait_for_function(
            "before => document.querySelectorAll('.strip-one').length > before"
            " || document.body.dataset.state === 'failed'",
            arg=before,
            timeout=PATIENCE,
        )
        assert self.state() != "failed", self.said()
        self.page.wait_for_selector(".xv[data-ready=true]")
        self.page.wait_for_function("() => document.querySelector('.xv').xattnViewer.state().id")
        self.page.wait_for_timeout(300)

    def state(self) -> str:
        """What the status line's state is."""
        return str(self.page.evaluate("document.body.dataset.state"))

    def said(self) -> str:
        """What the status line says."""
        return str(self.page.text_content("#status"))

    def viewer(self, code: str) -> Any:
        """JavaScript with `viewer` in reach."""
        return self.page.evaluate(
            f"(() => {{ const viewer = document.querySelector('.xv').xattnViewer; return {code}; }})()"
        )

    def place(self, x: float, y: float) -> tuple[float, float]:
        """A place of the picture, in the window's pixels."""
        self.page.locator(".xv-frame").first.scroll_into_view_if_needed()
        box = self.page.locator(".xv-frame").first.bounding_box()
        return box["x"] + x * box["width"], box["y"] + y * box["height"]

    def stroke(self, *places: tuple[float, float]) -> None:
        """Press at the first, move over the others, let go."""
        self.page.mouse.move(*self.place(*places[0]))
        self.page.mouse.down()
        for one in places[1:]:
            self.page.mouse.move(*self.place(*one), steps=6)
        self.page.mouse.up()

    def pixels(self) -> NDArray[np.int64]:
        """What is seen where the picture is: [y, x, 3]."""
        self.page.mouse.move(2, 2)
        # always at the same place of the window: part of a pixel outside of it would shift the rest
        self.page.locator(".xv-frame").first.evaluate("(frame) => frame.scrollIntoView({ block: 'center' })")
        shot = self.page.locator(".xv-frame").first.screenshot(animations="disabled")
        return np.asarray(Image.open(io.BytesIO(shot)).convert("RGB")).astype(np.int64)


@pytest.fixture
def open_desk(chromium: Any, address: str) -> Iterator[Callable[..., Desk]]:
    """Opens a tab, in a browser profile of its own; none may complain, or ask any other host for anything."""
    desks: list[Desk] = []

    def open_one(
        *, width: int = 1366, height: int = 900, theme: str = "light", at: str = address, enters: bool = True
    ) -> Desk:
        context = chromium.new_context(
            viewport={"width": width, "height": height}, color_scheme=theme, accept_downloads=True
        )
        context.set_default_timeout(PATIENCE)
        desk = Desk(context.new_page())
        desks.append(desk)
        note = desk.complaints.append
        desk.page.on("console", lambda message: note(message.text) if message.type in ("error", "warning") else None)
        desk.page.on("pageerror", lambda error: note(str(error)))
        desk.page.on("request", lambda request: None if _ours(request.url, at) else note(f"asked for {request.url}"))
        desk.page.goto(at)
        if enters:
            desk.page.wait_for_selector("#prompt textarea")
        return desk

    yield open_one
    for desk in desks:
        desk.page.context.close()
    assert [told for desk in desks for told in desk.complaints] == []


def _ours(url: str, address: str) -> bool:
    return url.startswith((address, address.replace("http", "ws"), "data:", "blob:", "about:"))


def ground(image: Image.Image) -> tuple[float, float]:
    """Where what is not background is: the centre of it, as fractions across and down."""
    pixels = np.asarray(image.convert("RGB")).astype(np.float64)
    far = np.abs(pixels - np.median(pixels[:4].reshape(-1, 3), axis=0)).sum(axis=2) > 90
    rows, columns = np.nonzero(far)
    return float(columns.mean()) / pixels.shape[1], float(rows.mean()) / pixels.shape[0]


__all__ = ["ROOT", "Desk", "ground", "listening", "serve"]
