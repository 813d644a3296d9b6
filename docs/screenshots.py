"""Screenshots of the web page in every state, both themes, wide and narrow, and the animation of painting a word.

    python docs/screenshots.py [--out out/screenshots] [--sizes wide narrow] [--parts see edit] [--docs]

Needs the extra `dev` and the system's Chromium. screenshots_tour.py has the states. With --docs the pictures of README
and docs/ui.md are made anew, with a seed of their own, and the animation.
"""

from __future__ import annotations

import argparse
import io
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright
from screenshots_tour import SIZES, THEMES, Tour, beginning, editing, keeping, making, more, seeing

from ui.web.app import Serving, start
from ui.web.early import Early
from ui.web.limits import Limits
from ui.web.models import Models
from ui.web.studio import Studio

IMAGES = Path(__file__).parent / "images"
PARTS = ("start", "make", "see", "edit", "begin", "keep", "more")


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


def starting(browser: Browser, folder: Path, looks: Sequence[tuple[str, str]], states: str) -> None:
    """What is met before the page can be used: its look, a model that loads, or cannot be, and who asks a name."""
    early = Early("127.0.0.1", None)
    here = Tour(browser.new_page(), folder, looks, states)
    here.page.goto(early.address)
    here.page.fill("textarea", "a fox on")
    here.shot("01-early")
    here.page.close()  # else it loads what comes next by itself
    early.close()
    with tempfile.TemporaryDirectory() as broken:
        (Path(broken) / "broken").mkdir()
        failing = Models({"broken": Path(broken) / "broken"}, default="broken")
        for state, models, auth in (
            ("02-loading", Models(), None),
            ("03-no-model", failing, None),
            ("04-login", Models(), ("ann", "long-and-secret")),
            ("05-gone", Models(), None),
        ):
            blocks, address, _ = start(Studio(models, Limits()), Serving(auth=auth))
            if models is failing:
                models.load_soon().join()
            here = here.another(browser)
            here.page.goto(address)
            here.page.wait_for_selector("#prompt textarea" if auth is None else "input[type=password]")
            here.page.wait_for_timeout(1500)
            if state == "05-gone":
                blocks.close(verbose=False)
                here.page.wait_for_timeout(8000)
            here.shot(state)
            here.page.close()
            blocks.close(verbose=False)


def tour(
    browser: Browser, address: str, folder: Path, looks: Sequence[tuple[str, str]], states: str, parts: Sequence[str]
) -> None:
    """Every state once."""
    if "start" in parts:
        starting(browser, folder, looks, states)
    here = Tour(browser.new_page(), folder, looks, states)
    here.open(address)
    if "make" in parts:
        making(here, browser, address)
    if {"see", "edit", "begin", "keep"} & {*parts}:
        seeing(here)
    if "edit" in parts:
        editing(here)
    if "begin" in parts:
        here.area("edit")
        beginning(here)
    if "keep" in parts:
        keeping(here, browser, folder)
    here.page.close()
    if "more" in parts:
        here = Tour(browser.new_page(), folder, looks, states)
        here.open(address)
        more(here)
        here.page.close()


def for_docs(browser: Browser, address: str) -> None:
    """The pictures of the docs, and the animation (WebP, under 3 MB)."""
    context = browser.new_context(viewport={"width": 1440, "height": 1120}, color_scheme="light")
    page = context.new_page()
    here = Tour(page, IMAGES, ())
    here.open(address)
    here.form("a fox on purple", "19")
    here.draw()
    here.area("see")
    here.word("fox")
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
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=["wide", "narrow"])
    parser.add_argument("--themes", nargs="+", choices=THEMES, default=THEMES)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="of the tour; all unless given")
    parser.add_argument("--states", default="", help="a pattern: pictures of these states alone, such as 2[0-3]")
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
    looks = [(theme, size) for theme in asked.themes for size in asked.sizes]
    tour(browser, address, asked.out, looks, asked.states, asked.parts)
    sys.stdout.write(f"{asked.out}\n")


if __name__ == "__main__":
    main()
