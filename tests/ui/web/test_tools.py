"""The endpoints as tools, by a real client of the protocol: names, types, answers, mistakes, two at once."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import re
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from gradio_client import Client
from PIL import Image

from pipelines.metadata import read_recipe
from tests.ui.web.conftest import listening

mcp = pytest.importorskip("mcp", reason="the extra mcp is not installed: pip install 'xattn[mcp]'")
pytestmark = pytest.mark.slow
QUICK = {"prompt": "a fox on purple", "seed": 10, "num_inference_steps": 2}
LONG = {"prompt": "a fox on purple", "seed": 10, "num_inference_steps": 900}


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The page with its tools."""
    with listening(tmp_path_factory.mktemp("served"), "--mcp") as address:
        yield address


def with_tools(address: str, act: Callable[[Any], Awaitable[Any]], headers: dict[str, str] | None = None) -> Any:
    """Run `act` with a client's session."""
    from mcp.client.session import ClientSession
    from mcp.client.streamable_http import streamable_http_client

    async def run() -> Any:
        where = f"{address}/gradio_api/mcp/"
        async with (
            httpx.AsyncClient(headers=headers, timeout=300) as http,
            streamable_http_client(where, http_client=http) as (read, write, _),
            ClientSession(read, write) as session,
        ):
            await session.initialize()
            return await act(session)

    return asyncio.run(run())


def test_each_tool_says_what_it_takes_and_is_for(address: str) -> None:
    listed = with_tools(address, lambda session: session.list_tools()).tools
    tools = {tool.name: tool for tool in listed}
    assert set(tools) == {"generate", "maps", "edit", "where"}
    types = {
        name: {key: value.get("type") for key, value in tool.inputSchema["properties"].items()}
        for name, tool in tools.items()
    }
    assert types == {
        "generate": {"recipe_json": "string"},
        "edit": {"recipe_json": "string", "edits_json": "string"},
        "maps": {"run_id": "string", "words": "array", "axis": None},
        "where": {"run_id": "string", "x": "number", "y": "number"},
    }
    assert tools["maps"].inputSchema["properties"]["words"]["items"] == {"type": "string"}
    assert tools["maps"].inputSchema["properties"]["axis"]["enum"] == ["none", "step", "layer", "head"]
    for tool in tools.values():
        assert set(tool.inputSchema["required"]) == set(tool.inputSchema["properties"])
        assert all(len(one["description"]) > 10 for one in tool.inputSchema["properties"].values()), tool.name
        assert tool.description
        assert "Returns: " in tool.description


def test_a_picture_is_drawn_seen_questioned_and_edited(address: str, tmp_path: Path) -> None:
    async def act(session: Any) -> list[Any]:
        told: list[tuple[float, float | None, str | None]] = []

        async def progress(done: float, total: float | None, text: str | None) -> None:
            told.append((done, total, text))

        drawn = await session.call_tool("generate", {"recipe_json": json.dumps(QUICK)}, progress_callback=progress)
        _, link, recipe, run = (getattr(part, "text", "") for part in drawn.content)
        maps = await session.call_tool("maps", {"run_id": run, "words": ["fox"], "axis": "step"})
        where = await session.call_tool("where", {"run_id": run, "x": 0.5, "y": 0.5})
        changed = json.dumps({"prompt": "a cat on purple", "edits": [{"kind": "replace"}]})
        edited = await session.call_tool("edit", {"recipe_json": recipe, "edits_json": changed})
        return [drawn, link, maps, where, edited, told]

    drawn, link, maps, where, edited, told = with_tools(address, act)
    assert [part.type for part in drawn.content] == ["image", "text", "text", "text"]
    raw = base64.b64decode(drawn.content[0].data)
    assert httpx.get(link.removeprefix("Image URL: "), timeout=300).content == raw
    (tmp_path / "fox.png").write_bytes(raw)
    assert read_recipe(tmp_path / "fox.png").prompt == "a fox on purple"
    with Image.open(io.BytesIO(raw)) as image:
        assert np.asarray(image).std() > 5
    assert (2, 2) in [(done, total) for done, total, _ in told], told
    assert json.loads(maps.content[0].text) == maps.structuredContent
    assert maps.structuredContent["shape"] == [1, 2, 16, 16]
    shares = {token["text"]: token["share"] for token in where.structuredContent["tokens"]}
    assert sum(shares.values()) == pytest.approx(1.0, abs=0.05)
    assert json.loads(edited.content[2].text)["source"]["prompt"] == "a fox on purple"


@pytest.mark.parametrize(
    ("tool", "arguments", "said"),
    [
        ("generate", {"recipe_json": "{"}, "JSON"),
        ("generate", {"recipe_json": '{"prompt": ""}'}, "text with at least one word"),
        ("generate", {"recipe_json": json.dumps({"prompt": "fox " * 2000})}, "at most 4000 characters"),
        ("generate", {}, "'recipe_json' is a required property"),
        ("generate", {"recipe_json": "{}", "session": "ann"}, "session"),
        ("edit", {"recipe_json": json.dumps(QUICK), "edits_json": '[{"kind": "nope"}]'}, 'no kind of edit "nope"'),
        ("maps", {"run_id": "made-up", "words": [], "axis": "none"}, "not kept any more"),
        ("maps", {"run_id": "made-up", "words": [], "axis": "all"}, "'all' is not one of"),
        ("where", {"run_id": "made-up", "x": "left", "y": 0}, "is not of type 'number'"),
        ("draw", {}, 'no tool "draw"'),
    ],
)
def test_a_mistake_is_a_sentence(address: str, tool: str, arguments: dict[str, Any], said: str) -> None:
    answer = with_tools(address, lambda session: session.call_tool(tool, arguments))
    assert answer.isError
    assert said in answer.content[0].text
    assert "Traceback" not in answer.content[0].text


def test_who_goes_away_ends_only_its_own_run(address: str) -> None:
    """Two at the same time: one is cut off, the other gets its picture, and soon."""

    async def cut_off(session: Any) -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(session.call_tool("generate", {"recipe_json": json.dumps(LONG)}), 4)

    async def both() -> Any:
        gone = asyncio.create_task(asyncio.to_thread(with_tools, address, cut_off))
        await asyncio.sleep(2)
        asked = {"recipe_json": json.dumps({**QUICK, "prompt": "a cat on red"})}
        other = await asyncio.to_thread(with_tools, address, lambda session: session.call_tool("generate", asked))
        await gone
        return other

    began = time.monotonic()
    answer = asyncio.run(both())
    assert not answer.isError
    assert json.loads(answer.content[2].text)["prompt"] == "a cat on red"
    assert "fox" not in "".join(getattr(part, "text", "") for part in answer.content)
    assert time.monotonic() - began < 60, "the long one would have taken minutes"


def test_tools_take_their_share_of_the_line_and_leave_the_rest_to_others(address: str) -> None:
    async def many(session: Any) -> list[Any]:
        asked = {"recipe_json": json.dumps(LONG)}
        calls = [asyncio.create_task(session.call_tool("generate", asked)) for _ in range(7)]
        done, waiting = await asyncio.wait(calls, timeout=8)
        for one in waiting:
            one.cancel()
        return [one.result().content[0].text for one in done]

    refused = with_tools(address, many)
    assert len(refused) == 2
    assert all("4 of your own pictures wait already" in one for one in refused)
    page = Client(address, verbose=False, httpx_kwargs={"timeout": 300})
    picture, _, _ = page.predict(json.dumps(QUICK), api_name="/generate")
    assert Path(picture).stat().st_size > 1000
    page.close()


def test_with_a_password_tools_ask_for_it_too(tmp_path: Path) -> None:
    with listening(tmp_path, "--mcp", "--auth", "ann:long-and-secret") as address:
        for headers in ({}, {"Authorization": "Basic " + base64.b64encode(b"ann:guessed").decode()}):
            answer = httpx.post(f"{address}/gradio_api/mcp/", json={}, headers=headers, timeout=300)
            assert answer.status_code == 401
            assert "HTTP Basic" in answer.text
        known = {"Authorization": "Basic " + base64.b64encode(b"ann:long-and-secret").decode()}
        asked = {"recipe_json": json.dumps(QUICK)}
        answer = with_tools(address, lambda session: session.call_tool("generate", asked), known)
        assert json.loads(answer.content[2].text)["prompt"] == "a fox on purple"


def test_the_documented_program_runs_as_it_is(address: str, capsys: pytest.CaptureFixture[str]) -> None:
    page = (Path(__file__).parents[3] / "docs" / "ui.md").read_text(encoding="utf-8")
    program = re.findall(r"```python\n(.*?)```", page, re.DOTALL)[-1]
    exec(compile(program.replace("http://127.0.0.1:7860", address), "docs/ui.md", "exec"), {})
    assert "[1, 1, 16, 16]" in capsys.readouterr().out
