"""What docs/ui.md prints for programs runs as it is; mistakes are sentences; a run that is cancelled ends."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest
from gradio_client import Client
from PIL import Image

from pipelines.folders import locate
from pipelines.metadata import read_recipe
from pipelines.recipe import EMBEDDED, Recipe

TWO = [
    {"kind": "paint_map", "id": name, "word": "fox", "op": "set", "field": {"box": box}}
    for name, box in (("left", [0, 0, 0.5, 1]), ("right", [0.5, 0, 1, 1]))
]
"""Edits that cannot both hold."""
PAGE = Path(__file__).parents[3] / "docs" / "ui.md"


@pytest.fixture(scope="module")
def client(address: str) -> Any:
    """As a program has it."""
    return Client(address, verbose=False, httpx_kwargs={"timeout": 300})


def test_the_documented_programs_run_as_they_are(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second, _ = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(compile(first.replace("http://127.0.0.1:7860", address), "docs/ui.md", "exec"), names)
    exec(compile(second, "docs/ui.md", "exec"), names)
    assert "[1, 20, 16, 16]" in capsys.readouterr().out
    assert read_recipe("fox.png") == Recipe.from_json(names["recipe"])
    with Image.open("fox.png") as image:
        assert image.size == (128, 128)
    shares = {token["text"]: token["share"] for token in names["place"]["tokens"]}
    assert sum(shares.values()) == pytest.approx(1.0, abs=0.05)
    assert Recipe.from_json(names["edited_recipe"]).edits[0].kind == "reweight"
    assert names["edited"] != names["picture"]
    assert names["edited_run"] != names["run"]


@pytest.mark.parametrize(
    ("endpoint", "arguments", "said"),
    [
        ("/generate", ['{"prompt": ""}'], "text with at least one word"),
        (
            "/generate",
            ['{"prompt": "a fox", "width": 2048, "height": 2048, "num_inference_steps": 900}'],
            "pixel-steps",
        ),
        ("/generate", [json.dumps({"prompt": "fox " * 2000})], "at most 4000 characters"),
        ("/generate", ['{"prompt": "a fox", "model": "/etc"}'], "no model"),
        ("/edit", ['{"prompt": "a fox"}', "["], "a list of edits as JSON"),
        ("/edit", ['{"prompt": "a fox"}', '[{"kind": "nope"}]'], 'no kind of edit "nope"'),
        ("/edit", ['{"prompt": "a fox"}', json.dumps([{"kind": "reweight"}] * 40)], "at most 32 long"),
        (
            "/edit",
            ['{"prompt": "a fox"}', json.dumps(TWO)],
            "both set the map of one token. Keep one of them, or use a gain.",
        ),
        ("/edit", ['{"prompt": "a fox"}', '{"edit": []}'], 'no part of edits_json "edit". Known: prompt, edits.'),
        ("/maps", ["made-up", [], "none"], "not kept any more"),
        ("/where", ["made-up", 0.5, 0.5], "not kept any more"),
    ],
)
def test_a_mistake_is_answered_with_a_sentence(client: Any, endpoint: str, arguments: list[Any], said: str) -> None:
    with pytest.raises(Exception, match=re.escape(said)) as caught:
        client.predict(*arguments, api_name=endpoint)
    assert "Traceback" not in str(caught.value)


def test_a_cancelled_run_makes_way_for_the_next(client: Any) -> None:
    job = client.submit('{"prompt": "a fox", "num_inference_steps": 900}', api_name="/generate")
    while not job.outputs():
        time.sleep(0.1)
    job.cancel()
    began = time.monotonic()
    client.predict('{"prompt": "a cat", "num_inference_steps": 2}', api_name="/generate")
    assert time.monotonic() - began < 60, "the long one would have taken a minute and more"


def test_the_form_begins_with_what_the_model_usually_draws_with(address: str) -> None:
    import httpx

    parts = [one["props"] for one in httpx.get(f"{address}/config", timeout=300).json()["components"]]
    shown = {one.get("elem_id"): one.get("value") for one in parts}
    told = json.loads((locate(EMBEDDED)[1] / "defaults.json").read_text())
    assert (shown["guidance"], shown["steps"]) == (told["guidance_scale"], told["num_inference_steps"])
    assert (shown["width"], shown["height"]) == (128, 128)


def test_nothing_of_the_machine_can_be_fetched(address: str) -> None:
    import httpx

    for path in ("/etc/passwd", "pyproject.toml", "/proc/self/environ"):
        assert httpx.get(f"{address}/gradio_api/file={path}", timeout=300).status_code in (403, 404)
    large = httpx.post(f"{address}/gradio_api/call/generate", content=b"x" * (25 * 2**20), timeout=300)
    assert (large.status_code, "at most 24 MB are read" in large.text) == (413, True)
    named = httpx.post(f"{address}/gradio_api/call/nope", json={"data": []}, timeout=300)
    assert (named.status_code, "edit, generate, maps, where" in named.text) == (404, True)


def test_what_an_event_did_not_expect_has_an_id_and_no_trace(address: str) -> None:
    """As forged data have it: the page sends none such, but what is wrong with it would be told the same way."""
    import httpx

    asked = httpx.get(f"{address}/config", timeout=300).json()
    weigh = next(one for one in asked["dependencies"] if any(target[1] == "weigh" for target in one["targets"]))
    sent = {"fn_index": weigh["id"], "data": [None] * len(weigh["inputs"]), "session_hash": "x", "event_data": 3}
    told = httpx.post(f"{address}/gradio_api/run/predict", json=sent, timeout=300)
    assert re.search(r"not your mistake \(error [0-9a-f]{8}; the log has it\)", told.text)
    assert "Traceback" not in told.text
    sent["data"] = []
    assert (
        "0 values were sent, but this takes 3"
        in httpx.post(f"{address}/gradio_api/run/predict", json=sent, timeout=300).text
    )


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "upload"),
        ("GET", "file=https://example.com/"),
        ("GET", "file=HTTP://127.0.0.1/"),
        ("GET", "proxy=https://example.hf.space/"),
        ("POST", "process_recording"),
        ("POST", "vibe-edit"),
        ("GET", "deep_link?session_hash=x"),
    ],
)
def test_what_nothing_here_needs_is_not_served(address: str, method: str, path: str) -> None:
    import httpx

    answer = httpx.request(method, f"{address}/gradio_api/{path}", timeout=300)
    assert (answer.status_code, answer.text) == (404, "There is nothing here.\n")


def test_callers_without_a_session_share_one_place_and_cannot_push_out_others(client: Any, address: str) -> None:
    """curl's way: each call would else be a session of its own, and 64 of them all that is kept."""
    import httpx

    long = json.dumps({"prompt": "a fox", "num_inference_steps": 900})
    for _ in range(8):
        httpx.post(f"{address}/gradio_api/call/generate", json={"data": [long]}, timeout=300)
    time.sleep(3)
    answers = []
    for _ in range(2):
        event = httpx.post(f"{address}/gradio_api/call/generate", json={"data": [long]}, timeout=300).json()["event_id"]
        with httpx.stream("GET", f"{address}/gradio_api/call/generate/{event}", timeout=300) as told:
            answers.append(next(line for line in told.iter_lines() if line.startswith("data:") and "wait" in line))
    assert all("4 of your own pictures wait already" in one for one in answers)
