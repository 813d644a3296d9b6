"""The viewer as a Gradio component. The only file here that imports gradio."""

from __future__ import annotations

import json
from abc import ABCMeta
from collections.abc import Callable
from typing import Any

import gradio as gr
from gradio.component_meta import updateable

from ui.web.viewer.assets import newest, script, style
from ui.web.viewer.data import Json
from ui.web.viewer.view import View

# The style goes in beside the viewer, not through css_template: that one is a template, and would read our braces.
_ON_LOAD = """
const host = element.querySelector(".xv-host");
const sheet = document.createElement("style");
sheet.textContent = %s;
host.before(sheet);
%s
const XattnViewer = %s;
XattnViewer.mountInGradio({ element, props, trigger: newestOf(trigger), watch, server });
"""


class WithoutStub(type(gr.HTML)):  # type: ignore[misc]  # mypy wants a class by name; gradio exports none
    """Makes a component's class without writing a .pyi file beside its source, as gradio's own metaclass does.

    Such a file would be written into site-packages at every start, and hide the class's types from mypy.
    """

    def __new__(mcs, name: str, bases: tuple[type, ...], attrs: dict[str, Any]) -> Any:
        """As gradio's, less the stub; the events are those of the class it is made from."""
        if "__init__" in attrs:
            attrs["__init__"] = updateable(attrs["__init__"])  # type: ignore[no-untyped-call]
        return ABCMeta.__new__(mcs, name, bases, attrs)


class Viewer(gr.HTML, metaclass=WithoutStub):
    """A picture, its words' maps over it, and a brush. README.md beside this file has its props and events.

    value: a View, or its JSON; None is the empty state. Never make the viewer an *input* of an event: its value holds
        the maps. What a person did comes with the events `word, place, view, slice, paint, mask, regions, compare,
        mode`.
    patch: a part of a view, laid over what is shown, without sending the rest again
    server_functions: `where` and `maps` are called by the viewer where they are given
    """

    def __init__(
        self,
        value: View | Json | None = None,
        *,
        patch: Json | None = None,
        server_functions: list[Callable[..., Any]] | None = None,
        elem_id: str | None = None,
        elem_classes: list[str] | str | None = None,
        visible: bool = True,
        scale: int | None = None,
        min_width: int | None = None,
        render: bool = True,
    ) -> None:
        super().__init__(
            value,
            html_template='<div class="xv-host"></div>',
            js_on_load=_ON_LOAD % (json.dumps(style()), newest(), script("gradio")),
            apply_default_css=False,
            padding=False,
            server_functions=server_functions,
            elem_id=elem_id,
            elem_classes=elem_classes,
            visible=visible,
            scale=scale,
            min_width=min_width,
            render=render,
            patch=patch,
        )

    def postprocess(self, value: View | Json | None) -> Json | None:  # type: ignore[override]  # gr.HTML says str
        """From what a handler returns to what the browser reads."""
        return value.to_json() if isinstance(value, View) else value

    def preprocess(self, payload: Json | None) -> Json | None:  # type: ignore[override]
        """The value as the browser has it, where somebody made the viewer an input all the same."""
        return payload

    def api_info(self) -> Json:
        """The value's schema: any object."""
        return {"type": "object", "description": "a view, see ui/web/viewer/README.md"}

    def example_payload(self) -> Json | None:
        """Nothing: a view is made by a run."""
        return None

    def example_value(self) -> Json | None:
        """Nothing: a view is made by a run."""
        return None
