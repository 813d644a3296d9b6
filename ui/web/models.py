"""The models that a page may draw with: the embedded one, and the folders in `--models-dir`. One is in memory at once.

Nothing that comes from outside is ever opened as a path: a model is one of the listed names.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.folders import Defaults, locate
from pipelines.recipe import EMBEDDED as DEFAULT_MODEL
from pipelines.vocabulary import Vocabulary
from ui.process import without_collection
from xattn.errors import BadModel, UnknownName, XattnError

if TYPE_CHECKING:
    from pipelines.pipeline import Pipeline

_log = logging.getLogger("xattn.web")


class Models:
    """A shelf of models, loaded when they are asked for.

    folders: by name; the embedded model needs none
    """

    def __init__(self, folders: Mapping[str, Path] | None = None, *, default: str = DEFAULT_MODEL) -> None:
        self._folders: dict[str, Path | None] = {DEFAULT_MODEL: None, **(folders or {})}
        if default not in self._folders:
            raise UnknownName("model", default, tuple(self._folders))
        self.default = default
        self._lock = threading.Lock()
        self._loaded: tuple[str, Pipeline] | None = None
        self._failed: str = ""
        self._page = threading.Event()

    @classmethod
    def in_folder(cls, folder: str | Path | None) -> Models:
        """The embedded one, and every model folder right inside `folder`. Raises BadModel where it is no folder."""
        if folder is None:
            return cls()
        root = Path(folder).expanduser()
        if not root.is_dir():
            raise BadModel(f"{str(folder)!r} is no folder; give one that holds model folders to --models-dir.")
        found = {one.name: one for one in sorted(root.iterdir()) if (one / "model_index.json").is_file()}
        found.pop(DEFAULT_MODEL, None)  # the embedded one keeps its name
        return cls(found)

    @property
    def names(self) -> tuple[str, ...]:
        """All that may be asked for."""
        return tuple(self._folders)

    def folder(self, name: str | None) -> Path | None:
        """Where a model lies; None for the embedded one, and for one that is not here."""
        return self._folders.get(name or self.default)

    def usual(self, name: str) -> tuple[int, int, int, float]:
        """Width, height, steps and guidance that a model usually draws with, from its files alone."""
        if name not in self._folders:
            raise UnknownName("model", name, self.names)
        folder = self._folders[name] or locate(name)[1]
        made = Defaults(**_json(folder / "defaults.json"))
        side = _json(folder / "unet" / "config.json").get("sample_size") or 64
        height, width = side if isinstance(side, list) else (side, side)
        factor = 2 ** (len(_json(folder / "vae" / "config.json").get("block_out_channels", [0] * 4)) - 1)
        return int(width) * factor, int(height) * factor, made.num_inference_steps, made.guidance_scale

    def usual_scheduler(self, name: str) -> str:
        """The scheduler that a model usually draws with, from its files alone."""
        if name not in self._folders:
            raise UnknownName("model", name, self.names)
        return Defaults(**_json((self._folders[name] or locate(name)[1]) / "defaults.json")).scheduler

    def vocabulary(self, name: str) -> Vocabulary | None:
        """The words that a model knows, from its file alone; None where it knows no bounds, or its file is broken."""
        try:
            return Vocabulary.from_folder(self._folders.get(name) or locate(name)[1])
        except XattnError:
            return None

    @property
    def loaded(self) -> Pipeline | None:
        """What is in memory, without waiting."""
        held = self._loaded
        return None if held is None else held[1]

    @property
    def notice(self) -> str:
        """Why nothing is in memory, in a sentence; nothing where something is."""
        if self._loaded is not None:
            return ""
        return self._failed or f"Loading {self.default} …"

    @property
    def failed(self) -> bool:
        """Whether the notice says why the model could not be loaded."""
        return self._loaded is None and self._failed != ""

    def load_soon(self, *, patience: float = 0) -> threading.Thread:
        """Load the default model on a thread of its own, so that the first page need not wait.

        patience: seconds to wait for `page_is_there`; whoever asks for the model meanwhile has it loaded at once
        """

        def load() -> None:
            self._page.wait(patience)
            try:
                self.get(self.default)
            except Exception as error:  # noqa: BLE001  told on the page, and logged
                known = isinstance(error, XattnError)
                self._failed = (
                    str(error) if known else f"The model {self.default} could not be loaded; the log says why."
                )
                _log.exception("The model %s could not be loaded", self.default)

        thread = threading.Thread(target=load, name="xattn-load", daemon=True)
        thread.start()
        return thread

    def page_is_there(self) -> None:
        """A browser has drawn the page: what is to be loaded soon may hold up others now."""
        self._page.set()

    def get(self, name: str | None = None) -> Pipeline:
        """The pipeline of that name, loaded now if need be. Raises UnknownName, BadModel."""
        wanted = name or self.default
        if wanted not in self._folders:
            raise UnknownName("model", wanted, self.names)
        with self._lock:
            if self._loaded is not None and self._loaded[0] == wanted:
                return self._loaded[1]
            with without_collection():
                from pipelines.pipeline import Pipeline

                self._loaded = None  # two at once might not fit
                pipeline = Pipeline.from_pretrained(self._folders[wanted] or wanted)
            self._loaded = (wanted, pipeline)
            return pipeline


def _json(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}
