"""The server that docs/backend.md prints, run as printed under uvicorn, does what the page says."""

from __future__ import annotations

import io
import re
import resource
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import uvicorn
from PIL import Image

from pipelines.metadata import read_recipe
from pipelines.pipeline import Finished, Pipeline, StepEvent
from pipelines.recipe import Recipe
from tests.models import write_model

PAGE = (Path(__file__).parents[2] / "docs" / "backend.md").read_text(encoding="utf-8")
FOX = Recipe("a fox on purple", negative_prompt="a dog", seed=7, num_inference_steps=4, guidance_scale=5.0)
CAT = replace(FOX, prompt="a cat on red", seed=8, width=96)
LONG = replace(FOX, num_inference_steps=900)
WAIT = 60.0
"""Seconds after which a test that waits for the server has failed."""


@dataclass
class Run:
    """What a test sees of one run from outside."""

    steps: int = 0
    after_cancel: int = 0
    begun: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)


class Watched(Pipeline):
    """A pipeline that notes what its streams do, and lets a test hold them before their first event."""

    def __init__(self, pipe: Pipeline, meet: threading.Barrier | None = None) -> None:
        super().__init__(pipe.model)
        self.runs: list[Run] = []
        self.meet = meet

    def stream(self, *args: Any, cancel: threading.Event | None = None, **fields: Any) -> Iterator[Any]:
        return self._watch(super().stream(*args, cancel=cancel, **fields), cancel)

    def _watch(self, events: Iterator[StepEvent | Finished], cancel: threading.Event | None) -> Iterator[Any]:
        run = Run()
        self.runs.append(run)
        try:
            for event in events:
                run.steps += isinstance(event, StepEvent)
                run.after_cancel += cancel is not None and cancel.is_set()
                if self.meet is not None and run.steps == 1:
                    self.meet.wait(WAIT)  # both runs are between their first and their second step now
                run.begun.set()
                yield event
        finally:
            run.ended.set()


@pytest.fixture(scope="module")
def make_app() -> Callable[..., Any]:
    (source,) = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert len([line for line in source.splitlines() if line.strip()]) <= 50, "some 40 lines, said the plan"
    names: dict[str, Any] = {}
    exec(compile(source, "docs/backend.md", "exec"), names)
    return names["make_app"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def pipe(folder: Path) -> Pipeline:
    return Pipeline.from_pretrained(folder)


@contextmanager
def serving(app: Any) -> Iterator[httpx.Client]:
    """A client of a real uvicorn on a free port of 127.0.0.1."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", ws="none", lifespan="off"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            with httpx.Client(base_url=url, timeout=WAIT, trust_env=False) as client:
                yield client
        finally:
            server.should_exit = True
            thread.join(WAIT)
    assert not thread.is_alive()


def ask(client: httpx.Client, recipe: Recipe, **how: Any) -> httpx.Response:
    return client.post("/draw", content=recipe.to_json(), **how)


def pixels(answer: httpx.Response) -> np.ndarray:
    assert answer.status_code == 200, answer.text
    return np.asarray(Image.open(io.BytesIO(answer.content)))


def test_two_concurrent_requests_get_what_each_gets_alone(
    make_app: Callable[..., Any], pipe: Pipeline, tmp_path: Path
) -> None:
    watched = Watched(pipe, threading.Barrier(2))
    with serving(make_app(watched)) as client, ThreadPoolExecutor(2) as both:
        answers = list(both.map(lambda recipe: ask(client, recipe), (FOX, CAT)))
    for answer, recipe in zip(answers, (FOX, CAT), strict=True):
        np.testing.assert_array_equal(pixels(answer), np.asarray(pipe(recipe).image))
        (tmp_path / "drawn.png").write_bytes(answer.content)
        assert read_recipe(tmp_path / "drawn.png").prompt == recipe.prompt


def test_a_dropped_client_stops_its_run_within_a_step(make_app: Callable[..., Any], pipe: Pipeline) -> None:
    watched = Watched(pipe)
    with serving(make_app(watched)) as client:
        url = client.base_url
        body = LONG.to_json().encode()
        with socket.create_connection((url.host, url.port)) as raw:
            raw.sendall(b"POST /draw HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
            until(lambda: bool(watched.runs) and watched.runs[0].begun.is_set())
        (run,) = watched.runs
        assert run.ended.wait(WAIT)
    assert run.steps < 900
    assert run.after_cancel <= 1


def test_a_deadline_ends_a_run_with_a_sentence(make_app: Callable[..., Any], pipe: Pipeline) -> None:
    watched = Watched(pipe)
    with serving(make_app(watched, seconds=0.5)) as client:
        answer = ask(client, LONG)
        assert (answer.status_code, answer.text) == (504, "It took longer than 0.5 seconds; ask for fewer steps.")
        until(lambda: bool(watched.runs))  # on a busy machine half a second ends before the run has begun
        (run,) = watched.runs
        assert run.ended.wait(WAIT)
    assert run.steps < 900
    assert run.after_cancel <= 1


def test_a_request_whose_deadline_passes_while_it_waits_never_begins(
    make_app: Callable[..., Any], pipe: Pipeline
) -> None:
    meet = threading.Barrier(2)
    watched = Watched(pipe, meet)
    with serving(make_app(watched, seconds=2, at_once=1)) as client, ThreadPoolExecutor(2) as both:
        answers = list(both.map(lambda recipe: ask(client, recipe), (LONG, LONG)))
        assert [answer.status_code for answer in answers] == [504, 504]
        meet.wait(WAIT)  # only now may the first go on
        assert watched.runs[0].ended.wait(WAIT)
    assert [run.steps for run in watched.runs] == [1]


def test_running_out_of_memory_leaves_the_pipeline_usable(make_app: Callable[..., Any], folder: Path) -> None:
    # the backend that materialises N × N: 2048 pixels are 65536 tokens, 137 GB; below the limit nothing is reserved
    pipe = Pipeline.from_pretrained(folder, backend="explicit")
    before = np.asarray(pipe(FOX).image)
    with serving(make_app(pipe)) as client:
        with address_space(2**36):
            answer = ask(client, replace(FOX, width=2048, height=2048))
        assert answer.status_code == 503
        assert answer.text == "This machine has not enough memory for it; ask for a smaller picture."
        np.testing.assert_array_equal(pixels(ask(client, FOX)), before)


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ('{"prompt": "a fox", "width": 65}', "width is 65, but it must be a multiple of 8 from 8 to 2048. "),
        ('{"prompt": "a fox", "steps": 4}', 'There is no recipe field "steps". '),
        ("a fox", "recipe is 'a fox', but it must be a JSON object; "),
    ],
)
def test_wrong_input_is_told_in_a_sentence(
    make_app: Callable[..., Any], pipe: Pipeline, body: str, sentence: str
) -> None:
    with serving(make_app(pipe)) as client:
        answer = client.post("/draw", content=body)
        assert answer.status_code == 422
        assert answer.text.startswith(sentence)
        assert ask(client, FOX).status_code == 200


def until(happened: Callable[[], bool]) -> None:
    """Wait for what another thread does."""
    end = time.monotonic() + WAIT
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.005)


@contextmanager
def address_space(limit: int) -> Iterator[None]:
    """At most `limit` bytes for this process, so that what is asked for beyond is refused and not merely promised."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
