"""`xattn export`, and what `xattn ui` refuses before it serves."""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipelines.recipe import Recipe
from tests.ui.web.test_line import run
from ui.web.sharing import share_page

Xattn = Callable[..., Any]


def shown(page: Path) -> dict[str, Any]:
    """The view in a page."""
    found = re.search(r'id="xattn-view">(.*?)</script>', page.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    return dict(json.loads(found[1]))


def test_a_prompt_becomes_a_page(xattn: Xattn, here: Path, model: Path) -> None:
    done = xattn("export", "a fox on red", "--html", "--seed", "1", "--model", model)
    assert done.code == 0, done.err
    page = here / "a-fox-on-red-1.html"
    assert done.out.strip() == page.name
    view = shown(page)
    assert [word["text"] for word in view["words"]] == ["a", "fox", "on", "red"]
    assert view["maps"][0]["shape"][:2] == [4, 2]
    assert view["picture"].startswith("data:image/png")


def test_an_edited_recipe_brings_the_picture_that_it_starts_from(xattn: Xattn, here: Path, model: Path) -> None:
    recipe = {
        "version": 1,
        "prompt": "a cat on red",
        "seed": 1,
        "edits": [{"kind": "replace"}, {"kind": "local_blend", "mask": {"box": [0, 0, 0.5, 1]}}],
        "source": {"version": 1, "prompt": "a fox on red"},
    }
    (here / "cat.json").write_text(Recipe.from_json(recipe).to_json(), encoding="utf-8")
    done = xattn("export", "cat.json", "--html", "--model", model, "--out", "cat.html")
    assert done.code == 0, done.err
    view = shown(here / "cat.html")
    assert view["before"].startswith("data:image/png")
    assert view["before"] != view["picture"]
    assert "compare" in view["modes"]
    with Image.open(io.BytesIO(base64.b64decode(view["blend"]))) as mask:
        values = np.asarray(mask)
    left = values.shape[1] // 2
    assert values[:, :left].min() == 255, "where it may differ, for the viewer's toggle"
    assert values[:, left:].max() == 0


def test_large_pictures_are_made_smaller_for_a_page() -> None:
    wild = Image.effect_noise((2048, 1536), 100).convert("RGB")
    text = share_page(replace(run(), image=wild, before=wild))
    assert len(text.encode()) < 3_000_000
    view = json.loads(re.findall(r'id="xattn-view">(.*?)</script>', text, re.DOTALL)[0])
    for name in ("picture", "before"):
        with Image.open(io.BytesIO(base64.b64decode(view[name].split(",")[1]))) as image:
            assert image.width > 700
            assert image.width / image.height == pytest.approx(4 / 3, abs=0.01)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("export", "a fox"), "--html"),
        (("export", "a fox", "--html", "--out", "fox.png"), "ends in .html"),
        (("ui", "--port", "0"), "--port is 0"),
        (("ui", "--share"), "together with --auth"),
        (("ui", "--auth", "ann"), "NAME:PASSWORD"),
        (("ui", "--models-dir", "nowhere"), "no folder"),
    ],
)
def test_a_mistake_is_told_before_anything_starts(xattn: Xattn, arguments: tuple[str, ...], said: str) -> None:
    done = xattn(*arguments)
    assert done.code == 2
    assert said in done.err
    assert done.out == ""


def test_a_password_is_not_repeated(xattn: Xattn) -> None:
    assert "swordfish" not in xattn("ui", "--auth", ":swordfish").err
