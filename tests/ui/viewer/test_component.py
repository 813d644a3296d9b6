"""The viewer inside Gradio: values in, events out, patches, server functions."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from tests.ui.viewer.conftest import Shown, joint, png, view
from tests.ui.viewer.test_place import answer
from ui.web.viewer.component import Viewer
from ui.web.viewer.view import View


def test_a_view_becomes_json_and_no_stub_is_written_beside_the_source() -> None:
    told = view()
    assert Viewer(told).postprocess(told) == told.to_json()
    folder = Path(sys.modules[Viewer.__module__].__file__ or "").parent
    assert list(folder.glob("*.pyi")) == []


def test_every_event_can_be_listened_to_and_a_prop_is_none() -> None:
    viewer = Viewer()
    for event in ("word", "place", "view", "slice", "paint", "regions", "compare", "mode"):
        assert callable(getattr(viewer, event))
    # Gradio would send a listener in place of the prop, were it to take its name for an event's.
    assert not hasattr(viewer, "patch")


def test_the_exported_page_needs_neither_gradio_nor_torch() -> None:
    code = "import sys, ui.web.viewer; sys.exit(bool({'gradio', 'torch'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def where(question: list[Any]) -> dict[str, Any] | None:
    """A server function: the place that was asked about."""
    run, x, y, _ = question
    return None if run != "run" else answer()["place"] | {"x": x, "y": y}


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """An app of a viewer, a text of what its events held, and a button for each way to change it."""
    with gr.Blocks(analytics_enabled=False) as demo:
        viewer = Viewer(view(plain=True), server_functions=[where], elem_id="viewer")
        told = gr.Textbox(label="told")
        draw, preview = gr.Button("draw"), gr.Button("preview")

        def word(event: gr.EventData) -> str:
            return f"{event.id} {event.texts}"

        def paint(event: gr.EventData) -> str:
            return f"{event.id} {sorted(event.fields)} {event.fields['0']['png'][:5]}"

        def drawn() -> View:
            return view(id="next", maps=(joint(),))

        def previewed() -> Viewer:
            return Viewer(patch={"picture": png((10, 200, 30)), "progress": {"step": 1, "steps": 2}})

        viewer.word(word, None, told, queue=False)
        viewer.paint(paint, None, told, queue=False)
        draw.click(drawn, None, viewer)
        preview.click(previewed, None, viewer, queue=False)
    _, url, _ = demo.launch(prevent_thread_lock=True, server_name="127.0.0.1", quiet=True, run_history=False)
    yield url
    demo.close()


@pytest.fixture
def app(open_page: Callable[..., Any], pages: Any, address: str) -> Shown:
    """The app, open in the browser."""
    page = open_page()
    page.goto(address)
    shown = Shown(page)
    shown.page.wait_for_selector(".xv[data-ready=true]")
    shown.page.evaluate("window.viewer = document.querySelector('.xv').xattnViewer")
    pages.complaints[:] = [line for line in pages.complaints if not line.startswith(address)]
    return shown


@pytest.mark.slow
def test_events_reach_python_and_values_and_patches_reach_the_page(app: Shown, pages: Any, address: str) -> None:
    told = app.page.get_by_label("told")
    app.page.locator(".xv-word[data-word='2']").click()
    app.page.wait_for_function("document.querySelector('textarea').value !== ''")
    assert told.input_value() == "run ['purple']"
    app.click(0.25, 0.75)
    app.page.wait_for_selector(".xv-table [data-stage=score]")
    app.page.locator(".xv-word[data-word='0']").click()
    app.page.locator(".xv-mode[data-mode=paint]").click()
    app.settle()
    app.click(0.5, 0.5)
    app.page.wait_for_function("document.querySelector('textarea').value.includes('iVBOR')")
    assert told.input_value() == "run ['0'] iVBOR"
    app.page.get_by_role("button", name="preview").click()
    app.page.wait_for_selector(".xv-progress:not([hidden])")
    app.page.wait_for_function("document.querySelector('.xv-picture').complete")
    assert list(app.call("viewer.fields()")) == ["0"]
    app.call("viewer.mode('regions')")
    app.away()
    assert app.pixel(0.1, 0.1).tolist() == [10, 200, 30]
    app.page.get_by_role("button", name="draw").click()
    app.page.wait_for_function("viewer.state().id === 'next'")
    assert app.call("viewer.fields()") == {}
    assert app.page.locator("[data-row=step]").count() == 1
    pages.complaints[:] = [line for line in pages.complaints if not line.startswith(address)]
