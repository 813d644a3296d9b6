"""What the page shows before anybody has done anything, without a browser."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ui.web.models import Models
from ui.web.page import examples


def test_coloured_objects_are_among_the_examples_where_the_model_knows_them(tmp_path: Path) -> None:
    kinds = {"object": ["balloon", "car", "cat"], "color": ["red", "blue", "green"]}

    def said(**again: list[str]) -> str:
        (tmp_path / "vocabulary.json").write_text(json.dumps({"version": 1, "kinds": kinds | again}))
        return " / ".join(examples(Models({"other": tmp_path}, default="other")))

    assert "red balloon" in said(colorable=kinds["object"], tint=kinds["color"])
    assert "red balloon" not in said()
    assert "red balloon" not in said(colorable=["car"], tint=["red"])
    (tmp_path / "vocabulary.json").write_text("{")
    assert "fox" in " / ".join(examples(Models({"other": tmp_path}, default="other")))


def test_a_model_that_cannot_be_loaded_is_told_without_the_machines_own_words() -> None:
    class Fails(Models):
        def get(self, name: str | None = None) -> Any:
            raise RuntimeError(f"/home/ann/{name}")

    models = Fails()
    models.load_soon().join(30)
    assert models.notice == f"The model {models.default} could not be loaded; the log says why."
