"""What happens in the area Keep: files for the browser, text that makes the picture again, settings that come back."""

from __future__ import annotations

import base64
import itertools
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr

from pipelines.assets import Asset
from pipelines.infotext_reader import Imported
from pipelines.metadata import file_bytes, keep_assets, read_any
from pipelines.recipe import Recipe
from ui.outputs import slug
from ui.web.begin import begin_view, here, painted_of, thumbnail
from ui.web.begin_events import drawn_view
from ui.web.copies import copies
from ui.web.edit_events import DROPPED
from ui.web.edits import kept_of_first, named
from ui.web.forms import Form, carried, model_of, without_adapters
from ui.web.kept import PageStore
from ui.web.page import Page
from ui.web.runs import Run, png
from ui.web.sharing import share_page
from ui.web.studio import Studio, sentence
from ui.web.telling import QUIET, Teller, status
from xattn.errors import BadValue, CannotWrite, XattnError

_MEDIA = {"PNG": ("image/png", ".png"), "JPEG": ("image/jpeg", ".jpg"), "WEBP": ("image/webp", ".webp")}
_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".json")
_count = itertools.count(1)


class KeepEvents:
    """Handlers; each takes what its components hold."""

    def __init__(self, page: Page, studio: Studio, teller: Teller) -> None:
        self._page, self._studio, self._teller = page, studio, teller

    def wire(self, picked: gr.events.Dependency) -> None:
        """Connect them; to be called inside the gr.Blocks. picked: a picture of the strip is shown."""
        page, keep = self._page, self._page.keep
        fast: dict[str, Any] = {"queue": False, **QUIET}
        files = [keep.saver, page.status]
        page.run.change(self.follow, [page.run], [keep.copies], **fast)
        picked.then(self.follow, [page.run], [keep.copies], **fast)
        keep.download.click(self.download, [page.run, keep.form, keep.inside], files, **fast)
        keep.share.click(self.share, [page.run], files, **fast)
        keep.sheet.click(self.sheet, [page.run], files, **fast)
        settings = [*page.settings.all, page.model, page.base, page.carried, page.reset, page.lock]
        edit = page.edit
        restored = [keep.drop, page.status, edit.edits, edit.origin, edit.target]
        restored += [edit.keep_words, edit.keep_layout, edit.blend]
        begun = [edit.picture, edit.begin, edit.mask, edit.masked, page.viewer]
        keep.drop.dropped(self.dropped, [page.model, page.run, edit.picture], [*settings, *restored, *begun], **fast)

    def follow(self, shown: str | None) -> dict[str, Any]:
        """Another picture is shown."""
        try:
            run = self._studio.runs.get(shown)
        except XattnError:
            return {"copies": []}
        folder = self._studio.models.folder(model_of(run.recipe))
        try:
            self._keep(run.recipe)  # what the texts leave out; an edited picture is drawn from it, too
            lacking = ""
        except CannotWrite as error:
            lacking = f"It needs the picture that it begins with, which could not be kept. {error}"
        told = copies(run.recipe, folder)
        return {"copies": [{"label": one.label, "hint": lacking or one.hint, "text": one.text} for one in told]}

    def download(self, shown: str | None, form: str, inside: bool) -> tuple[Any, Any]:
        """The picture as a file."""
        kind = str(form).upper()

        def made(run: Run) -> tuple[str, str, bytes]:
            media, suffix = _MEDIA.get(kind, _MEDIA["PNG"])
            name = _name(run, suffix)
            if inside:
                self._keep(run.recipe, name)  # a JPEG has no room for them
            return name, media, file_bytes(run, kind, metadata=bool(inside))

        return self._file(shown, made)

    def share(self, shown: str | None) -> tuple[Any, Any]:
        """The picture as a page."""
        return self._file(shown, lambda run: (_name(run, ".html"), "text/html", share_page(run).encode()))

    def sheet(self, shown: str | None) -> tuple[Any, Any]:
        """All words side by side, as one picture."""

        def made(run: Run) -> tuple[str, str, bytes]:
            from ui.web.figure import side_by_side

            if run.maps is None:
                raise BadValue("maps", None, "kept", "A smaller picture, or fewer words, keeps them")
            return _name(run, "-words.png"), "image/png", png(side_by_side(run))

        return self._file(shown, made)

    def _keep(self, recipe: Recipe, name: str | None = None) -> None:
        """Raises CannotWrite."""
        if recipe.assets:
            keep_assets(recipe, name, PageStore.here(self._studio.limits.store_bytes))

    def _file(self, shown: str | None, made: Callable[[Run], tuple[str, str, bytes]]) -> tuple[Any, Any]:
        try:
            name, media, data = made(self._studio.runs.get(shown))
        except Exception as error:  # noqa: BLE001  told on the page, and logged where it is nobody's mistake
            text = "Draw a picture first." if shown is None else sentence(error)
            return gr.skip(), status("failed", text)
        encoded = base64.b64encode(data).decode("ascii")
        told = status("idle", f"{name}, {len(data) / 1024:.0f} kB.")
        return {"name": name, "media": media, "data": encoded, "number": next(_count)}, told

    def dropped(self, model: str, shown: str | None, before: Asset | None, event: gr.EventData) -> tuple[Any, ...]:
        """A picture's or recipe's settings come back into the form, with a list of what could not be brought."""
        settings = len(self._page.settings.all) + 5
        skips = (gr.skip(),) * settings
        try:
            imported = read_dropped(event._data.get("name"), event._data.get("data"), self._studio)
        except Exception as error:  # noqa: BLE001  as above
            text = sentence(error)
            return *skips, {"text": text}, status("failed", text), *(gr.skip(),) * 11
        recipe, adapters = without_adapters(imported.recipe)
        notes = [*imported.notes, *adapters]
        name = model_of(recipe)
        if name is not None and name not in self._studio.models.names:
            notes.append(f"It was drawn by the model {name}, which is not here; {model} is used.")
            name = None
        form = self._filled(Form.of(recipe.source or recipe), name or model)
        rest = carried(recipe)
        edits = named(recipe.document().get("edits", []))  # type: ignore[arg-type]
        if edits or recipe.source is not None:
            notes.append("Its edits come back in Edit once the picture that they change is drawn: press Draw.")
        init, *begun = self._begun(recipe, notes)
        canvas = begin_view(init, begun[1]).to_json() if init is not None else gr.skip()
        if init is None and before is not None:  # what is on the canvas begins nothing any more
            canvas = drawn_view(self._studio, shown)
        base = None if not rest else replace(recipe, model=None, edits=(), source=None, init=None, mask=None).to_json()
        values = [getattr(form, field) for field in Form.__slots__]
        return (
            *values,
            name or model,
            base,
            {"fields": list(rest)},
            gr.Button(visible=bool(rest)),
            form.seed != "",
            {"text": "Its settings are back." if not notes else "Its settings are back, but:", "notes": notes},
            status(
                "idle",
                "Settings are back, but not all: see Keep." if notes else "Settings are back: Draw makes it again.",
            ),
            edits,
            DROPPED if edits or recipe.source is not None else None,
            recipe.prompt,
            *(kept_of_first(edits) if form.prompt != recipe.prompt else (gr.skip(), gr.skip(), "")),
            init,
            *begun,
            canvas,
        )

    def _filled(self, form: Form, model: str) -> Form:
        """With what a model usually draws with where a recipe leaves it open: fields of the form cannot be empty."""
        width, height, steps, guidance = self._studio.models.usual(model)
        return replace(
            form,
            steps=steps if form.steps is None else form.steps,
            guidance=guidance if form.guidance is None else form.guidance,
            scheduler=form.scheduler or self._studio.models.usual_scheduler(model),
            width=form.width or width,
            height=form.height or height,
        )

    def _begun(self, recipe: Recipe, notes: list[str]) -> tuple[Any, ...]:
        """The picture that a recipe begins with, how it is shown, its mask, and whether there is one."""
        if recipe.init is None:
            return None, None, None, False
        init = here(recipe.init, self._studio.limits)
        mask = None if recipe.mask is None else here(recipe.mask, self._studio.limits)
        if init is None:
            notes.append("The picture that it began with is not inside; choose it again in Edit.")
            return None, None, None, False
        if mask is None and recipe.mask is not None:
            notes.append("Where it was drawn anew is not inside; paint it again in Edit.")
        told = {"src": thumbnail(init), "text": f"The picture's own, {init.width}×{init.height}."}
        return init, told, None if mask is None else painted_of(mask), mask is not None


def read_dropped(name: object, data: object, studio: Studio) -> Imported:
    """The recipe in a dropped file. It is read from a file of our own, never from a path that came. Raises BadValue."""
    suffix = Path(str(name)).suffix.lower()
    if suffix not in _SUFFIXES:
        raise BadValue("file", str(name)[-60:], "a .png, .jpg, .webp or .json")
    if not isinstance(data, str):
        raise BadValue("file", type(data).__name__, "a file's bytes as base64")
    try:
        raw = base64.b64decode(data, validate=True)
    except ValueError as error:  # letters beyond ASCII are no binascii.Error
        raise BadValue("file", "text", "base64", str(error)) from error
    with tempfile.TemporaryDirectory(prefix="xattn-") as folder:
        path = Path(folder) / f"dropped{suffix}"
        path.write_bytes(raw)
        try:
            imported = read_any(path)
        except BadValue as error:
            if error.got == str(path):
                raise BadValue("file", str(name)[-60:], error.expected, error.remedy) from error
            raise
    studio.limits.check_recipe(replace(imported.recipe, width=None, height=None))
    return imported


def _name(run: Run, suffix: str) -> str:
    return f"{slug(run.recipe.prompt)}-{run.recipe.seed}{suffix}"
