"""Who may come in, several models, tools for language models, and no public address by itself."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import httpx
import pytest

from tests.models import write_model
from tests.ui.conftest import Done, python
from tests.ui.web.conftest import Desk, listening, serve

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


@pytest.mark.skipif(find_spec("mcp") is None, reason="the extra mcp is not installed")
def test_tools_for_language_models_are_the_four_endpoints(tmp_path: Path) -> None:
    with listening(tmp_path, "--mcp") as address:
        asked = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
        accepts = {"Accept": "application/json, text/event-stream"}
        told = httpx.post(f"{address}/gradio_api/mcp/", json=asked, headers=accepts, timeout=300).text
        for name in ("generate", "maps", "edit", "where"):
            assert re.search(rf'"name":\s*"\w*{name}"', told)
        drawn = {"name": "generate", "arguments": {"recipe_json": '{"prompt": "a fox", "num_inference_steps": 2}'}}
        called = asked | {"method": "tools/call", "params": drawn}
        told = httpx.post(f"{address}/gradio_api/mcp/", json=called, headers=accepts, timeout=300).text
        answer = json.loads(told[told.index("{") :])["result"]["content"]
        assert [part["type"] for part in answer] == ["image", "text", "text", "text"]
        assert answer[0]["mimeType"] == "image/png"
        link = answer[1]["text"].removeprefix("Image URL: ")
        assert httpx.get(link, timeout=300).content.startswith(b"\x89PNG")
        assert json.loads(answer[2]["text"])["prompt"] == "a fox"


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
