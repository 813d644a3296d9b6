"""Small components of our own, each one JavaScript file under js/: the template stays, `watch` draws what changes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr

from ui.web.viewer.assets import newest
from ui.web.viewer.component import WithoutStub

_HERE = Path(__file__).parent
MARK = _HERE / "mark.svg"


def script(name: str) -> str:
    """A JavaScript file of js/."""
    return (_HERE / "js" / f"{name}.js").read_text(encoding="utf-8")


def styles() -> str:
    """All of css/, in order of their names."""
    return "\n".join(path.read_text(encoding="utf-8") for path in sorted((_HERE / "css").glob("*.css")))


def mark() -> str:
    """The mark, as SVG: a small attention matrix that looks at one place."""
    return MARK.read_text(encoding="utf-8")


class Part(gr.HTML, metaclass=WithoutStub):
    """A component whose value is JSON and whose look is js/<name>.js; `elem_id` is its name unless given."""

    def __init__(
        self,
        name: str,
        value: Any = None,
        *,
        server_functions: list[Callable[..., Any]] | None = None,
        elem_id: str | None = None,
        visible: bool = True,
        render: bool = True,
    ) -> None:
        super().__init__(
            value,
            html_template=f'<div class="x-{name}"></div>',
            js_on_load=f"{newest()}\ntrigger = newestOf(trigger);\n"
            f"const root = element.querySelector('.x-{name}');\n{script(name)}",
            apply_default_css=False,
            elem_id=elem_id or name,
            elem_classes=["x-part"],
            server_functions=server_functions,
            visible=visible,
            render=render,
        )

    def postprocess(self, value: Any) -> Any:
        """JSON goes as it is: there is no HTML in it that a browser would read."""
        return value

    def api_info(self) -> dict[str, Any]:
        """Any JSON."""
        return {"type": "object"}
