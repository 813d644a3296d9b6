"""What the page shows before anybody has done anything, without a browser."""

from __future__ import annotations

import json
from pathlib import Path

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
