"""What happens to a picture to begin with: it goes on the canvas, is painted on, and goes away again."""

from __future__ import annotations

from typing import Any

import gradio as gr

from pipelines.assets import Asset
from ui.web.begin import begin_view, begun_id, read_picture, thumbnail
from ui.web.edits import field_asset
from ui.web.page import Page
from ui.web.runs import png
from ui.web.studio import Studio
from ui.web.telling import QUIET
from ui.web.views import view_of
from xattn.errors import XattnError

_ASPECT = 0.01
"""Shapes that differ by more are told: drawing stretches."""


class BeginEvents:
    """Handlers; each takes what its components hold."""

    def __init__(self, page: Page, studio: Studio) -> None:
        self._page, self._studio = page, studio

    def wire(self) -> None:
        """Connect them; to be called inside the gr.Blocks."""
        page, edit = self._page, self._page.edit
        fast: dict[str, Any] = {"queue": False, **QUIET}
        held = [edit.begin, edit.picture, edit.mask, edit.masked, page.viewer]
        before = [edit.picture, edit.mask, page.settings.width, page.settings.height]
        edit.begin.chosen(self.choose, before, held, **fast)
        edit.begin.shown(self.choose_shown, [page.run, *before], held, **fast)
        edit.begin.onto(self.show, [edit.picture, edit.mask], [page.viewer], **fast)
        edit.begin.removed(self.remove, [page.run], held, **fast)
        painted = [edit.mask, edit.masked]
        # always_last: the newest stroke has all that was painted before it
        page.viewer.mask(self.paint, [edit.picture, edit.mask], painted, trigger_mode="always_last", **fast)

    def choose(
        self, before: Asset | None, mask: str | None, width: float | None, height: float | None, event: gr.EventData
    ) -> tuple[Any, ...]:
        """A picture was chosen or dropped; one that cannot be read leaves the one before."""
        try:
            asset = read_picture(event._data.get("data"), self._studio.limits)
            size = f"{asset.width}×{asset.height}"
            if width and height and abs(asset.width * height / (asset.height * width) - 1) > _ASPECT:
                size += f", stretched to {width:.0f}×{height:.0f} by Draw"
            return self._begun(asset, before, mask, size)
        except XattnError as error:
            return _refused(before, str(error))

    def choose_shown(
        self, shown: str | None, before: Asset | None, mask: str | None, *_size: float | None
    ) -> tuple[Any, ...]:
        """The shown picture is to begin with."""
        try:
            run = self._studio.runs.get(shown)
        except XattnError:
            return _refused(before, "No picture is shown yet.")
        return self._begun(Asset.from_bytes(png(run.image)), before, mask, "The shown picture")

    def _begun(self, asset: Asset, before: Asset | None, mask: str | None, what: str) -> tuple[Any, ...]:
        """On the canvas it goes; where it is the same one as before, with the mask that it has."""
        kept = mask if asset == before else None
        told = {"src": thumbnail(asset), "text": f"{what}. Paint on it what may change, or all of it is drawn anew."}
        view = begin_view(asset, kept).to_json()
        return told, asset, kept, gr.skip() if kept is not None else False, view

    def show(self, picture: Asset | None, mask: str | None) -> Any:
        """Back on the canvas, with its mask."""
        return gr.skip() if picture is None else begin_view(picture, mask).to_json()

    def remove(self, shown: str | None) -> tuple[Any, ...]:
        """The picture begins as noise; the canvas shows the one that was drawn last."""
        return None, None, None, False, drawn_view(self._studio, shown)

    def paint(self, picture: Asset | None, mask: str | None, event: gr.EventData) -> tuple[Any, Any]:
        """A stroke ended. The first one says that only what is painted is to change."""
        skip = gr.skip()
        if picture is None or event._data.get("id") != begun_id(picture):
            return skip, skip
        fields = event._data.get("fields") or {}
        painted = fields["0"].get("png") if "0" in fields else None
        if painted is None:
            return None, False
        try:
            field_asset(painted, self._studio.limits)
        except XattnError:
            return skip, skip
        return painted, True if mask is None else skip


def drawn_view(studio: Studio, shown: str | None) -> Any:
    """The picture that was drawn last, for the canvas; None where there is none."""
    try:
        return view_of(studio.runs.get(shown)).to_json(compress=True)
    except XattnError:
        return None


def _refused(before: Asset | None, text: str) -> tuple[Any, ...]:
    """Why a picture does not begin; the one before stays."""
    return {"src": None if before is None else thumbnail(before), "text": text}, *(gr.skip(),) * 4
