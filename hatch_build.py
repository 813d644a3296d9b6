"""The default model goes into the wheel.

`weights/emoji-128` becomes `xattn/_models/emoji-128`, so that `pip install` alone draws a picture. An editable install
reads it from the clone instead. (hatchling's own force-include would copy 40 MB into site-packages on every editable
install, and fail while the model is being trained: hence a hook.)
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

MODEL = "emoji-128"


class DefaultModelHook(BuildHookInterface):  # type: ignore[type-arg]  # hatchling's own examples leave it open
    """Adds the model to wheels, and stops wheels and sdists that would lack it."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by hatchling before it collects files; `version` is "editable" for `pip install -e`."""
        if version == "editable":
            return
        folder = Path(self.root, "weights", MODEL)
        if not (folder / "model_index.json").is_file():
            raise SystemExit(
                f"xattn cannot be built without its default model: there is no {folder / 'model_index.json'}. "
                f"Train it (docs/training.md), or install from the clone with `pip install -e .`."
            )
        if self.target_name == "wheel":
            build_data["force_include"][str(folder)] = f"xattn/_models/{MODEL}"
