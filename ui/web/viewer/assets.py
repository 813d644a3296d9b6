"""The viewer's JavaScript and CSS, joined from their small files. There is no build step."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

SCRIPTS = (
    "dom",
    "blocks",
    "color",
    "heat",
    "png",
    "fields",
    "model",
    "edits",
    "stage",
    "marks",
    "pointer",
    "words",
    "controls",
    "look",
    "legend",
    "contact",
    "place",
    "tools",
    "viewer",
)
STYLES = ("tokens", "layout", "stage", "controls", "touch")


def _read(folder: str, name: str) -> str:
    return files("ui.web.viewer").joinpath(folder, name).read_text(encoding="utf-8")


@cache
def style() -> str:
    """The CSS of the component: every rule stays inside elements of class `xv`."""
    return "".join(_read("css", f"{name}.css") for name in STYLES)


@cache
def page_style() -> str:
    """The CSS of what stands around the component on the exported page."""
    return _read("css", "page.css")


@cache
def mark() -> str:
    """The mark of the app, as SVG."""
    return files("ui.web").joinpath("mark.svg").read_text(encoding="utf-8")


@cache
def newest() -> str:
    """`newestOf`, through which everything that fires an event in Gradio does so."""
    return _read("js", "newest.js")


@cache
def script(extra: str = "") -> str:
    """One function that gives {mount}; the files share its scope and nothing becomes global.

    extra: "gradio" or "page", the file that ties the viewer to where it stands; its mount function is given too
    """
    names = (*SCRIPTS, *((extra,) if extra else ()))
    body = "\n".join(_read("js", f"{name}.js") for name in names)
    given = {"": "mount", "gradio": "mount, mountInGradio", "page": "mount, mountPage"}[extra]
    return f'(() => {{\n"use strict";\n{body}\nreturn {{ {given} }};\n}})()'
