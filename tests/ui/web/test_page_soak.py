"""What takes longer: two people at once, stopping, a full line, narrow and dark, keys, many runs without growth."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.ui.web.conftest import PATIENCE, Desk, serve

pytestmark = pytest.mark.slow
OpenDesk = Callable[..., Desk]
BUSY = "() => ['drawing', 'waiting'].includes(document.body.dataset.state)"
IDLE = "() => !['drawing', 'waiting'].includes(document.body.dataset.state)"


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory, model: Path) -> Iterator[str]:
    """The page with the embedded model and a tiny one."""
    yield from serve(tmp_path_factory.mktemp("served"), "--models-dir", str(model.parent))


def long_run(desk: Desk, steps: int = 50) -> None:
    """Begin one that takes a while, and do not wait for it."""
    desk.type("prompt", "a fox on purple")
    box = desk.page.locator("#steps input[type=number]").first
    box.fill(str(steps))
    box.press("Tab")
    desk.page.keyboard.press("Control+Enter")
    desk.page.wait_for_function(BUSY)


def test_two_people_see_only_their_own(open_desk: OpenDesk) -> None:
    ann, bob = open_desk(), open_desk()
    long_run(ann)
    bob.type("prompt", "a cat on red")
    bob.page.click("#draw")
    bob.page.wait_for_function("() => /Waiting for one other/.test(document.querySelector('#status').innerText)")
    assert "fox" not in bob.page.inner_text("#status")
    bob.page.wait_for_selector(".strip-one")
    assert ann.pictures() == bob.pictures() == 1
    assert "fox" in ann.page.locator(".strip-one").get_attribute("aria-label")
    assert "cat" in bob.page.locator(".strip-one").get_attribute("aria-label")


def test_escape_stops_within_a_step_and_the_next_one_draws(open_desk: OpenDesk) -> None:
    desk = open_desk()
    long_run(desk)
    desk.page.wait_for_function("() => /Step/.test(document.querySelector('#status').innerText)")
    desk.page.keyboard.press("Escape")
    desk.page.wait_for_function(IDLE)
    assert "Stopped" in desk.said()
    assert desk.pictures() == 0
    desk.draw()
    assert desk.pictures() == 1


def test_what_was_typed_last_is_drawn_however_slow_the_server_is(open_desk: OpenDesk) -> None:
    desk = open_desk()
    box = desk.page.locator("#steps input[type=number]").first
    box.fill("2")
    desk.type("prompt", "a fox on purple")
    desk.type("seed", "77")
    desk.draw()
    assert desk.page.locator(".strip-one").get_attribute("aria-label").endswith("seed 77")
    desk.area("Edit")

    def slowly(route: Any) -> None:
        time.sleep(1.0)
        route.continue_()

    desk.page.route("**/gradio_api/run/**", slowly)
    desk.type("target", "a panda on purple")
    drawn_with_keys(desk, 2)
    assert [edit["kind"] for edit in recipe_of(desk)["edits"]] == ["replace", "inject"]
    # a region's prompt is told when its field is left, and Ctrl+Enter does not leave it
    desk.page.click("#clear-edits")
    desk.viewer("viewer.mode('regions')")
    desk.stroke((0.1, 0.2), (0.5, 0.8))
    desk.page.locator(".xv-regions input").last.fill("a panda on purple")
    drawn_with_keys(desk, 3)
    (regions,) = recipe_of(desk)["edits"]
    assert [one["prompt"] for one in regions["regions"]] == ["a panda on purple"]


def drawn_with_keys(desk: Desk, pictures: int) -> None:
    """Ctrl+Enter where the focus is, and so many pictures in the strip."""
    desk.page.keyboard.press("Control+Enter")
    desk.page.wait_for_function(
        "(wanted) => document.querySelectorAll('.strip-one').length === wanted", arg=pictures, timeout=PATIENCE
    )


def recipe_of(desk: Desk) -> Any:
    """The shown picture's, as Keep's Python has it."""
    desk.area("Keep")
    desk.page.wait_for_timeout(4000)  # its texts are slow to come, too
    (text,) = re.findall(r"from_json\('(.*?)'\)", desk.page.inner_text("#area-keep"), re.DOTALL)
    desk.area("Edit")
    return json.loads(text.replace("\\'", "'"))


def test_escape_stops_also_where_a_place_was_clicked_and_steps_are_not_all_said(open_desk: OpenDesk) -> None:
    desk = open_desk()
    desk.type("prompt", "a fox on purple")
    desk.draw()
    desk.page.mouse.click(*desk.place(0.5, 0.5))
    heard = """() => { window.heard = []; const node = document.querySelector(".status-said");
      new MutationObserver(() => window.heard.push(node.textContent)).observe(node, { childList: true }); }"""
    desk.page.evaluate(heard)
    long_run(desk, 60)
    desk.page.wait_for_function("() => /step [12]\\d/i.test(document.querySelector('#status').innerText)")
    assert len(desk.page.evaluate("window.heard")) <= 3, "a step is no news, a quarter of a minute is"
    desk.page.locator(".xv-frame").focus()
    desk.page.keyboard.press("Escape")
    desk.page.wait_for_function(IDLE)
    assert desk.page.evaluate("window.heard").pop() == "Stopped."
    assert desk.pictures() == 1


def test_the_next_one_waits_its_turn_and_too_many_are_told(open_desk: OpenDesk) -> None:
    desk = open_desk()
    long_run(desk)
    for _ in range(2):
        desk.page.keyboard.press("Control+Enter")
    desk.page.wait_for_function("() => /2 more of yours wait/.test(document.querySelector('#status').innerText)")
    for _ in range(4):
        desk.page.keyboard.press("Control+Enter")
    desk.page.wait_for_function(
        "() => /of your own pictures wait already/.test(document.querySelector('#status').innerText)"
    )
    # it stays long enough to be read, though the next step is told
    still = "/of your own/.test(document.querySelector('#status').innerText)"
    desk.page.wait_for_function(f"() => document.body.dataset.state === 'drawing' && {still}")
    desk.page.context.close()  # a closed tab ends its runs: the next test would wait for them otherwise


def test_a_closed_tab_ends_its_run(open_desk: OpenDesk) -> None:
    gone = open_desk()
    gone.page.click("#more > button")
    for side in ("width", "height"):
        gone.type(side, "256")
    long_run(gone, 100)
    gone.page.wait_for_function("() => /Step/.test(document.querySelector('#status').innerText)")
    step, steps = map(int, re.findall(r"\d+", gone.said())[:2])
    assert step < steps == 100
    desk = open_desk()
    desk.type("prompt", "a cat")
    desk.page.click("#draw")
    desk.page.wait_for_function("() => /Waiting for one other/.test(document.querySelector('#status').innerText)")
    began = time.monotonic()
    gone.page.close()
    desk.page.wait_for_selector(".strip-one")
    assert time.monotonic() - began < 60, "the long one would have taken minutes"


@pytest.mark.parametrize(("width", "theme"), [(390, "light"), (390, "dark"), (1366, "dark")])
def test_nothing_is_cut_off_and_text_can_be_read(open_desk: OpenDesk, width: int, theme: str) -> None:
    desk = open_desk(width=width, height=844, theme=theme)
    desk.type("prompt", "a fox on purple")
    desk.draw()
    desk.area("Edit")
    desk.page.locator(".weight-slider").nth(1).fill("2")
    desk.page.get_by_label("fox: on").uncheck()  # an edit that is off is to be read, too
    for area in ("Make", "See", "Edit", "Keep"):
        desk.area(area)
        wide = desk.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wide <= 0, f"{area} is {wide} pixels too wide"
        assert desk.page.evaluate(CONTRAST) == [], area


def test_every_control_has_a_name(open_desk: OpenDesk) -> None:
    desk = open_desk()
    desk.type("prompt", "a fox on purple")
    desk.draw()
    for area in ("Make", "See", "Edit", "Keep"):
        desk.area(area)
        assert desk.page.evaluate(NAMELESS) == [], area


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[str]:
    """A page that nobody has used: what other tests left would count as growth, or hide it."""
    yield from serve(tmp_path)


def test_thirty_runs_do_not_make_the_process_grow(fresh: str) -> None:
    from gradio_client import Client

    client: Any = Client(fresh, verbose=False, httpx_kwargs={"timeout": 300})
    recipe = json.dumps({"prompt": "a fox on purple", "num_inference_steps": 2})
    for _ in range(5):
        client.predict(recipe, api_name="/generate")
    before = _resident(fresh)
    for _ in range(30):
        client.predict(recipe, api_name="/generate")
    assert _resident(fresh) - before < 60 * 2**20


def _resident(address: str) -> int:
    """Bytes of memory that the process behind an address has."""
    port = int(address.rsplit(":", 1)[1])
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                line = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if b"ui" in line and str(port).encode() in line:
                status = (entry / "status").read_text()
                return int(next(row for row in status.splitlines() if row.startswith("VmRSS")).split()[1]) * 1024
    raise AssertionError("the process is gone")


CONTRAST = """() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgb = (text) => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = text; canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data; return [r, g, b, a / 255]; };
  const part = (v) => (v / 255 <= 0.03928 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4);
  const light = ([r, g, b]) => {
    return 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b); };
  const behind = (node) => { let under = null;
    for (let at = node; at; at = at.parentElement) { const own = rgb(getComputedStyle(at).backgroundColor);
      if (own[3] > 0.95) { under = own; break; } }
    return under || [255, 255, 255, 1]; };
  const bad = [];
  for (const node of document.querySelectorAll("#desk *")) {
    const text = [...node.childNodes].some((one) => one.nodeType === 3 && one.textContent.trim());
    const left = ".xv-frame, .xv-window, [disabled], [aria-disabled], svg, select, option";
    if (!text || node.closest(left) || !node.checkVisibility({ opacityProperty: true })) continue;
    const style = getComputedStyle(node);
    let seen = 1;
    for (let at = node; at; at = at.parentElement) seen *= Number(getComputedStyle(at).opacity);
    const back = behind(node), front = rgb(style.color).map((part, place) => part * seen + back[place] * (1 - seen));
    const [one, other] = [light(front), light(back)].sort((a, b) => b - a);
    const ratio = (one + 0.05) / (other + 0.05);
    if (ratio < 4.5) bad.push(`${node.textContent.trim().slice(0, 30)}: ${ratio.toFixed(2)}`);
  }
  return [...new Set(bad)];
}"""
NAMELESS = """() => [...document.querySelectorAll("#desk button, #desk input, #desk textarea, #desk select")]
  .filter((node) => node.checkVisibility())
  .filter((node) => !(node.getAttribute("aria-label") || node.getAttribute("aria-labelledby") || node.title
    || node.textContent.trim() || node.labels?.length || node.closest("label")))
  .map((node) => node.outerHTML.slice(0, 160))"""
