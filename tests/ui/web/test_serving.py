"""Who may come in, several models, what is not served, and no public address by itself."""

from __future__ import annotations

import contextlib
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.models import write_model
from tests.ui.conftest import Done, environment, python
from tests.ui.web.conftest import PATIENCE, Desk, listening, serve

pytestmark = pytest.mark.slow
OpenDesk = Callable[..., Desk]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The page with the embedded model and two tiny ones, for who knows the password."""
    shelf = tmp_path_factory.mktemp("shelf")
    for name in ("first", "second"):
        write_model(shelf / name)
    (shelf / "no-model").mkdir()
    yield from serve(tmp_path_factory.mktemp("served"), "--models-dir", str(shelf), "--auth", "ann:long-and-secret")


def enter(desk: Desk, password: str) -> None:
    """Fill in the form that asks who comes."""
    fields = desk.page.locator("form input, .wrap input, input")
    fields.nth(0).fill("ann")
    fields.nth(1).fill(password)
    desk.page.get_by_role("button", name=re.compile("log ?in", re.IGNORECASE)).click()


def test_only_who_knows_the_password_comes_in_and_chooses_a_model(open_desk: OpenDesk, address: str) -> None:
    for path in ("config", "gradio_api/info"):
        assert httpx.get(f"{address}/{path}", timeout=300).status_code == 401
    desk = open_desk(enters=False)
    enter(desk, "guessed")
    desk.page.wait_for_timeout(1500)
    assert desk.page.locator("#prompt textarea").count() == 0
    enter(desk, "long-and-secret")
    desk.page.wait_for_selector("#prompt textarea")
    desk.complaints[:] = [told for told in desk.complaints if "40" not in told]  # the refusal, as browsers tell it

    desk.type("prompt", "a fox")
    desk.page.click("#more > button")
    desk.page.click("#model input")
    offered = [one.strip() for one in desk.page.locator("[role=option]").all_inner_texts()]
    assert [re.sub(r"\W*", "", one[:1]) + one[1:] for one in offered if "no-model" in one] == []
    desk.page.get_by_role("option", name="second").click()
    desk.page.wait_for_function("() => /second/.test(document.querySelector('#notice').innerText)")
    assert desk.value("width") == "64"
    desk.draw()
    desk.area("Keep")
    assert "second" in desk.page.inner_text(".copies-text")


@pytest.mark.parametrize("cookie", [{}, {"access-token-1": "guessed"}], ids=["no cookie", "a guessed one"])
def test_who_does_not_know_the_password_is_answered_nothing(address: str, cookie: dict[str, str]) -> None:
    gets = ["config", "config/", "gradio_api/info", "gradio_api/openapi.json", "gradio_api/file=/etc/hostname"]
    gets += ["gradio_api/heartbeat/x", "gradio_api/queue/data?session_hash=x", "gradio_api/call/generate/x"]
    posts = ["queue/join", "run/predict", "run/generate", "api/generate", "call/generate", "call/v2/where", "cancel"]
    asked = [("GET", path) for path in (*gets, "gradio_api/mcp/", "gradio_api//mcp/sse")]
    asked += [("POST", f"gradio_api/{path}") for path in (*posts, "component_server", "mcp/")]
    with httpx.Client(base_url=address, timeout=300, cookies=cookie) as client:
        told = {
            (method, path): client.request(method, f"/{path}", json={"data": []}).status_code for method, path in asked
        }
        assert {one for one, status in told.items() if status not in (401, 404)} == set()
        assert {one for one, status in told.items() if status == 404} == {("GET", "gradio_api//mcp/sse")}
        page = client.get("/").text
        assert '"auth_required":true' in page
        assert "a fox on purple" not in page, "nothing of the page itself"
        wrong = client.post("/login", data={"username": "ann", "password": "long-and-secreT"})
        assert (wrong.status_code, "set-cookie" in wrong.headers) == (400, False)


def test_an_address_that_others_reach_without_a_password_is_warned_of(tmp_path: Path) -> None:
    told: list[str] = []
    with listening(tmp_path, "--host", "0.0.0.0", told=told):
        pass
    assert any("nobody is asked for a password. Add --auth" in line for line in told)
    told.clear()
    with listening(tmp_path, "--host", "0.0.0.0", "--auth", "ann:long-and-secret", told=told):
        pass
    assert not any("--auth" in line for line in told)


def test_a_killed_page_leaves_nothing_and_its_tab_says_so_and_comes_back(chromium: Any, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    homes = {"XATTN_CACHE": str(tmp_path / "cache"), "GRADIO_TEMP_DIR": str(tmp_path / "gradio")}
    begin = [sys.executable, "-m", "ui.cli", "ui", "--port", str(port)]

    def started() -> subprocess.Popen[bytes]:
        process = subprocess.Popen(begin, cwd=tmp_path, env=environment(**homes))
        while True:
            with contextlib.suppress(httpx.HTTPError):
                if "x-starting" not in httpx.get(f"http://127.0.0.1:{port}/", timeout=60).headers:
                    return process
            time.sleep(0.1)

    process, tab = started(), chromium.new_page()
    try:
        tab.goto(f"http://127.0.0.1:{port}/")
        tab.locator("#prompt textarea").fill("a cat on red", timeout=PATIENCE)
        steps = tab.locator("#steps input[type=number]").first
        steps.fill("100")
        steps.press("Tab")
        tab.click("#draw")
        tab.wait_for_function("() => /Step/.test(document.querySelector('#status').innerText)", timeout=PATIENCE)
        (left,) = (tmp_path / "gradio").iterdir()
        process.kill()
        process.wait(60)
        tab.wait_for_function("() => /does not answer any more/.test(document.querySelector('#status').innerText)")
        process = started()
        assert not left.exists()
        tab.wait_for_function("() => document.body.dataset.state === 'idle'", timeout=PATIENCE)
        tab.wait_for_function("() => document.querySelector('#prompt textarea')?.value === 'a cat on red'")
    finally:
        tab.close()
        process.terminate()
        process.wait(60)
    assert list((tmp_path / "gradio").iterdir()) == []
    assert [one for one in (tmp_path / "cache").rglob("*") if ".tmp" in one.name] == [], "nothing is half written"


def test_without_the_extra_mcp_is_a_sentence(tmp_path: Path) -> None:
    if find_spec("mcp") is not None:
        pytest.skip("the extra mcp is installed")
    done = python("-m", "ui.cli", "ui", "--mcp", folder=tmp_path)
    assert (done.code, "pip install 'xattn[mcp]'" in done.err) == (2, True)


def test_sharing_never_happens_by_itself_and_without_a_network_is_a_sentence(tmp_path: Path) -> None:
    refused: Done = python("-m", "ui.cli", "ui", "--share", folder=tmp_path)
    assert (refused.code, "together with --auth" in refused.err) == (2, True)
    nowhere = {"HTTPS_PROXY": "http://127.0.0.1:9", "NO_PROXY": "127.0.0.1,localhost", "GRADIO_SHARE": "true"}
    told: list[str] = []
    with listening(tmp_path, "--share", "--auth", "ann:long-and-secret", told=told, **nowhere):
        assert any("There is no public address" in line for line in told)
    told.clear()
    with listening(tmp_path, told=told, **nowhere) as address:
        assert address.startswith("http://127.0.0.1:")
        assert not any("public" in line for line in told), "not even where the environment asks for it"


def test_a_port_that_is_taken_and_a_folder_that_is_none_are_sentences(tmp_path: Path, address: str) -> None:
    port = address.rsplit(":", 1)[1]
    taken = python("-m", "ui.cli", "ui", "--port", port, folder=tmp_path)
    assert (taken.code, "Something is served there already" in taken.err) == (2, True)
    none = python("-m", "ui.cli", "ui", "--models-dir", "nowhere", folder=tmp_path)
    assert (none.code, "is no folder" in none.err) == (2, True)


def test_what_is_typed_and_drawn_while_it_starts_is_drawn_when_it_has(chromium: Any, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    homes = {"XATTN_CACHE": str(tmp_path / "cache"), "GRADIO_TEMP_DIR": str(tmp_path / "gradio")}
    process = subprocess.Popen(
        [sys.executable, "-m", "ui.cli", "ui", "--port", str(port)], cwd=tmp_path, env=environment(**homes)
    )
    tab = chromium.new_page()
    try:
        while True:
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", port), 5).close()
                break
            time.sleep(0.02)
        tab.goto(f"http://127.0.0.1:{port}/")
        tab.keyboard.type("a cat on red")  # the prompt has the focus
        tab.keyboard.press("Control+Enter")
        tab.get_by_role("button", name="Do not draw yet").click()
        assert "the page comes by itself" in tab.get_by_role("status").inner_text()
        tab.get_by_role("button", name="Draw", exact=True).click()
        assert "Drawn as soon as" in tab.get_by_role("status").inner_text()
        assert tab.locator("#prompt textarea").count() == 0, "it still starts"
        tab.wait_for_function(
            "() => document.querySelector('#prompt textarea')?.value === 'a cat on red'", timeout=PATIENCE
        )
        assert tab.locator("#xattn-shell").count() == 0
        drawn = tab.wait_for_selector(".strip-one", timeout=PATIENCE)
        assert "a cat on red" in drawn.get_attribute("aria-label")
    finally:
        tab.close()
        process.terminate()
        process.wait(60)
    assert list((tmp_path / "gradio").iterdir()) == [], "its own folder is gone"
