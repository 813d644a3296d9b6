"""How soon the page is there, and how fast it answers: python -m benchmarks.web --help

Seconds are from the start of the process; "processor" is what it used until then, user and system, over all its
threads: that is what a busy machine does not change. A browser is started before.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from ui.web.runs import Run

ROOT = Path(__file__).resolve().parents[1]
_TICK = os.sysconf("SC_CLK_TCK")
PATIENCE = 300_000
"""Milliseconds that a browser waits for anything."""


class Process:
    """`xattn ui` on a free port, and its clocks."""

    def __init__(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])
        self.address = f"http://127.0.0.1:{self.port}/"
        self._begun = time.perf_counter()
        command = [sys.executable, "-m", "ui.cli", "ui", "--port", str(self.port)]
        self._child = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)

    def mark(self) -> tuple[float, float]:
        """Seconds since its start: on the wall, and of a processor."""
        fields = Path(f"/proc/{self._child.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return time.perf_counter() - self._begun, (int(fields[11]) + int(fields[12])) / _TICK

    def answers(self) -> bool | None:
        """Whether the page is there; None where the waiting page answers, or nobody does."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), 5) as asking:
                asking.settimeout(60)
                asking.sendall(b"GET / HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n")
                head = asking.recv(4096).lower()
        except OSError:
            return None
        return None if not head else b"x-starting" not in head

    def end(self) -> None:
        """By a signal, as Ctrl-C does."""
        self._child.terminate()
        self._child.wait(60)


def started(browser: Any) -> tuple[dict[str, tuple[float, float]], Process, Any]:
    """When something is seen and a prompt asked for, when the page is sent, can be typed into, and has drawn that."""
    process = Process()
    marks: dict[str, tuple[float, float]] = {}
    while process.answers() is None:
        time.sleep(0.01)
    marks["first byte"] = process.mark()
    tab = browser.new_page(viewport={"width": 1366, "height": 900})
    tab.set_default_timeout(PATIENCE)
    tab.goto(process.address)
    tab.keyboard.type("a fox on purple")
    tab.keyboard.press("Control+Enter")
    marks["a prompt typed, Draw pressed"] = process.mark()
    while not process.answers():
        time.sleep(0.01)
    marks["first byte of the page itself"] = process.mark()
    tab.wait_for_selector("#prompt textarea")
    tab.wait_for_selector(".area-tab")
    marks["interactive in the browser"] = process.mark()
    tab.wait_for_selector(".strip-one")
    marks["the picture"] = process.mark()
    return marks, process, tab


def round_trips(tab: Any, times: int) -> dict[str, list[float]]:
    """Milliseconds in the browser, from an act to its answer on the page."""
    tab.wait_for_selector(".xv[data-ready=true]")
    tab.wait_for_timeout(1500)
    return {name: [float(tab.evaluate(code)) for _ in range(times)] for name, code in ACTS.items()}


ACTS = {
    "a word, to its map drawn": """async () => {
      const viewer = document.querySelector(".xv").xattnViewer, start = performance.now();
      window.turn = (window.turn || 0) + 1;
      viewer.select({ words: [window.turn % 4] });
      await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
      return performance.now() - start; }""",
    "step, layer and head, to their map drawn": """async () => {
      const viewer = document.querySelector(".xv").xattnViewer, start = performance.now();
      window.turn = (window.turn || 0) + 1;
      viewer.select({ words: [1], step: 1 + (window.turn % 20), layers: null, head: window.turn % 3 });
      await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
      return performance.now() - start; }""",
    "a place, to the server's answer": """async () => {
      const viewer = document.querySelector(".xv").xattnViewer;
      viewer.place(null);
      await new Promise((done) => setTimeout(done, 150));
      const frame = document.querySelector(".xv-frame"), box = frame.getBoundingClientRect();
      window.turn = (window.turn || 0) + 1;
      const at = { bubbles: true, pointerId: 1, button: 0, pointerType: "mouse", isPrimary: true,
        clientX: box.left + box.width * (0.2 + 0.06 * (window.turn % 10)), clientY: box.top + box.height * 0.5 };
      frame.setPointerCapture = () => {};
      const start = performance.now();
      frame.dispatchEvent(new PointerEvent("pointerdown", at));
      frame.dispatchEvent(new PointerEvent("pointerup", at));
      while (!/Begin of text takes/.test(document.querySelector(".xv-meaning").textContent))
        await new Promise((done) => setTimeout(done, 2));
      return performance.now() - start; }""",
}


def large() -> Run:
    """A picture's maps as large as a session keeps them: Stable Diffusion 1.5 at 512², ten words, 50 steps."""
    from PIL import Image

    from pipelines.recipe import Recipe
    from ui.web.runs import Run
    from ui.web.stored_maps import StoredMaps
    from ui.web.viewer.data import Layer

    rng = np.random.default_rng(0)

    def some(words: int, rest: StoredMaps | None = None) -> StoredMaps:
        layers = tuple(Layer(f"up.{place}.attn2", f"up {place}", (16, 16), 8) for place in range(16))
        values = rng.integers(0, 255, (words, 50, 16, 8, 16, 16), dtype=np.uint8)
        scales = rng.random((words, 50, 16, 8), dtype=np.float32) / words
        looks = (rng.integers(0, 255, (256, 16, 16), dtype=np.uint8), np.ones(256, np.float32))
        lengths = rng.random((words, 16, 8), dtype=np.float32)
        names = tuple(f"word{place}" for place in range(words))
        return StoredMaps(values, scales, names, tuple(range(1, 51)), layers, rest, looks, lengths)

    image = Image.new("RGB", (512, 512))
    none: Any = None
    return Run(image, Recipe("ten words"), none, none, 1.0, some(10, some(4)))


def answers(times: int) -> dict[str, list[float]]:
    """Milliseconds of a processor in the server for each question of See, of the largest maps that are kept."""
    from ui.web.where import where

    run = large()
    assert run.maps is not None
    maps = run.maps
    one = {"step": 25, "layers": ["up.3.attn2"], "head": 2}
    asked: dict[str, Callable[[], object]] = {
        "where, means": lambda: where(run, 0.4, 0.6).to_json(),
        "where, one lane": lambda: where(run, 0.4, 0.6, one).to_json(),
        "maps, one step": lambda: maps.cut({"step": 25}).to_json(compress=True),
        "maps, one layer": lambda: maps.cut({"layers": ["up.3.attn2"]}).to_json(compress=True),
        "maps, one head": lambda: maps.cut({"head": 2}).to_json(compress=True),
        "maps, one lane": lambda: maps.cut(one).to_json(compress=True),
    }
    return {name: [_timed(act) for _ in range(times)] for name, act in asked.items()}


def _timed(act: Callable[[], object]) -> float:
    begun = time.process_time()
    act()
    return 1000 * (time.process_time() - begun)


def main(arguments: list[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.web", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--times", type=int, default=20, help="questions of each kind")
    parser.add_argument("--starts", type=int, default=3, help="starts of the page; 0 leaves the browser out")
    asked = parser.parse_args(arguments)
    made: dict[str, object] = {}
    print("in the server, processor ms, largest maps kept    median   worst")
    for name, took in answers(asked.times).items():
        made[name] = took
        print(f"  {name:46}{statistics.median(took):8.1f}{max(took):8.1f}", flush=True)
    if asked.starts:
        _with_browser(asked.starts, asked.times, made)
    print(json.dumps(made))
    return 0


def _with_browser(starts: int, times: int, made: dict[str, object]) -> None:
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        raise SystemExit("There is no Chromium on this machine: apt install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for start in range(starts):
            marks, process, tab = started(browser)
            try:
                print(f"start {start + 1}, seconds since the process began     wall   processor")
                for name, (wall, used) in marks.items():
                    print(f"  {name:46}{wall:8.2f}{used:8.2f}", flush=True)
                made[f"start {start + 1}"] = marks
                if start == starts - 1:
                    print("in the browser, ms                                median   worst")
                    for name, took in round_trips(tab, times).items():
                        made[name] = took
                        print(f"  {name:46}{statistics.median(took):8.1f}{max(took):8.1f}", flush=True)
            finally:
                tab.close()
                process.end()
        browser.close()


if __name__ == "__main__":
    sys.exit(main())
