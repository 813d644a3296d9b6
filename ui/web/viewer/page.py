"""The viewer as one self-contained page: picture, maps and code in a single HTML text that works without a network."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping

from ui.web.viewer.assets import mark, page_style, script, style
from ui.web.viewer.data import Block
from ui.web.viewer.view import View
from xattn.errors import BadValue

LIMIT = 3_000_000
"""Bytes. Above it a page no longer goes through a mail or a chat."""

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'; \
script-src 'unsafe-inline'">
<meta name="generator" content="xattn">
<title>{title}</title>
<link rel="icon" href="data:,">
<style>{style}</style>
</head>
<body class="xv-page">
<script>document.body.classList.toggle("dark", matchMedia("(prefers-color-scheme: dark)").matches);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", (e) => document.body.classList.toggle("dark", \
e.matches));</script>
<header>{mark}<b>xattn</b><span>where words look</span></header>
<main><div id="xattn-viewer"></div>
<noscript><p>This page shows where words look in a picture; it needs JavaScript, and no network.</p></noscript></main>
<footer>{about}{recipe}</footer>
<script type="application/json" id="xattn-view">{view}</script>
<script>const XattnViewer = {script}; XattnViewer.viewer = XattnViewer.mountPage();</script>
</body>
</html>
"""


def page(view: View, *, title: str, about: Mapping[str, str] | None = None, recipe: str = "") -> str:
    """One HTML text that shows `view` anywhere, offline, without Python.

    title: of the page, such as the prompt
    about: lines below the viewer, such as {"Seed": "10"}
    recipe: JSON that makes the picture again, shown folded
    Raises BadValue where a picture is not a `data:` URL, or where the page would have more than LIMIT bytes: then
    hand in blocks that keep fewer axes (`fitting` does), or a smaller picture.
    """
    for name in ("picture", "before"):
        source = getattr(view, name)
        if source is not None and not source.startswith("data:image/"):
            raise BadValue(name, source[:60], "a data:image/… URL, for the page must work by itself")
    lines = "".join(
        f"<dt>{html.escape(key)}</dt><dd>{html.escape(value)}</dd>" for key, value in (about or {}).items() if value
    )
    text = _PAGE.format(
        title=html.escape(title),
        style=style() + page_style(),
        mark=mark(),
        about=f"<dl>{lines}</dl>" if lines else "",
        recipe=f"<details><summary>Recipe</summary><pre>{html.escape(recipe)}</pre></details>" if recipe else "",
        view=_for_script(json.dumps(view.to_json(compress=True), ensure_ascii=False, separators=(",", ":"))),
        script=script("page"),
    )
    size = len(text.encode())
    if size > LIMIT:
        raise BadValue("page", f"{size:,} bytes", f"{LIMIT:,} at most", "Keep fewer axes of the maps (`fitting`)")
    return text


def fitting(blocks: tuple[Block, ...], *, budget: int) -> tuple[Block, ...]:
    """Those of `blocks`, in the order of their worth, whose compressed maps have at most `budget` bytes together."""
    kept: list[Block] = []
    for block in blocks:
        size = len(json.dumps(block.to_json(compress=True)))
        if size <= budget:
            kept.append(block)
            budget -= size
    return tuple(kept)


def _for_script(text: str) -> str:
    """JSON that cannot end the script element it stands in."""
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
