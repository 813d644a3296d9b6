"""The address answers before the page is there, and makes way for it; gradio is imported without its stubs."""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.ui.conftest import python
from ui.web.app import build
from ui.web.early import PORTS, Early
from ui.web.limits import Limits
from ui.web.models import Models
from ui.web.stubs import without_servers
from ui.web.studio import Studio
from xattn.errors import BadValue


def test_it_answers_at_once_and_then_makes_way() -> None:
    early = Early("127.0.0.1", None)
    try:
        assert early.port in PORTS
        page = httpx.get(early.address)
        assert page.status_code == 200
        assert "Starting" in page.text
        assert "<svg" in page.text
        for answer in (
            httpx.get(f"{early.address}config"),
            httpx.post(f"{early.address}gradio_api/run/predict", json={}),
        ):
            assert (answer.status_code, answer.text) == (503, "xattn is starting; ask again in a moment.\n")
        assert (httpx.head(early.address).status_code, httpx.head(early.address).content) == (200, b"")
        waits: list[int] = []
        waiting = threading.Thread(
            target=lambda: waits.append(httpx.get(f"{early.address}starting", timeout=60).status_code)
        )
        waiting.start()
        time.sleep(0.3)  # it asks
        with pytest.raises(BadValue, match="free"):
            Early("127.0.0.1", early.port)
    finally:
        early.close()
    waiting.join(30)
    assert waits == [200]
    with socket.socket() as again:  # as gradio asks for it
        again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        again.bind(("127.0.0.1", early.port))


def test_a_tab_that_is_closed_while_it_waits_says_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    early = Early("127.0.0.1", None)
    waiting = socket.create_connection(("127.0.0.1", early.port))
    waiting.sendall(b"GET /starting HTTP/1.1\r\nHost: here\r\n\r\n")
    time.sleep(0.3)  # it asks
    waiting.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset: what is sent then fails
    waiting.close()
    early.close()
    time.sleep(0.3)
    assert capfd.readouterr().err == ""


def test_an_address_that_is_not_ours_is_a_sentence() -> None:
    with pytest.raises(BadValue, match="--host"):
        Early("203.0.113.7", 0)


def test_gradio_comes_without_stubs_servers_and_torch(tmp_path: Path) -> None:
    code = """
import sys
from ui.web.stubs import without_servers, without_stubs
with without_stubs():
    import ui.web.app
    from ui.web.limits import Limits
    from ui.web.models import Models
    from ui.web.studio import Studio
with without_servers():
    assert ui.web.app.build(Studio(Models(), Limits())).app is None
from gradio import component_meta
assert component_meta.create_or_modify_pyi(1, 2, 3) is None
import gradio
assert callable(gradio.Button.click) and callable(gradio.Textbox.submit)
assert gradio.Blocks().app is not None
print([name for name in ("torch", "diffusers", "transformers") if name in sys.modules])
"""
    done = python("-c", code, folder=tmp_path)
    assert done.out.strip() == "[]", done.err
    assert sys.meta_path == [one for one in sys.meta_path if "stubs" not in type(one).__module__]


def test_the_model_waits_for_the_page_but_not_for_ever(model: Path) -> None:
    first, second, third = (Models({model.name: model}, default=model.name) for _ in range(3))
    waiting = first.load_soon(patience=600)
    assert (first.loaded, waiting.is_alive()) == (None, True)
    first.page_is_there()
    waiting.join(60)
    assert first.loaded is not None
    second.load_soon(patience=0.1).join(60)
    assert second.loaded is not None
    third.load_soon(patience=600)
    assert third.get() is third.loaded, "who asks for it need not wait"
    third.page_is_there()


def test_a_page_that_is_drawn_lets_the_model_be_loaded(model: Path) -> None:
    models = Models({model.name: model}, default=model.name)

    async def built() -> Any:  # gradio would leave a loop of its own open where none runs
        return build(Studio(models, Limits()))

    with without_servers(), ThreadPoolExecutor(1) as thread:
        blocks = thread.submit(lambda: asyncio.run(built())).result()
    waiting = models.load_soon(patience=600)
    (ready,) = [one.fn for one in blocks.fns.values() if one.name == "ready"]
    assert ready()[0]["text"] == f"Loading {model.name} …"
    waiting.join(60)
    assert models.loaded is not None
