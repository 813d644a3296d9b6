"""`xattn maps` and `xattn explain` on the tiny model."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.ui.conftest import Xattn


def test_maps_writes_a_picture_an_overlay_and_numbers_a_word(xattn: Xattn, model: Path, here: Path) -> None:
    done = xattn("maps", "a fox and ice cream", "--words", "fox,ice cream", "--seed", "1", "--model", model)
    assert (done.code, done.err) == (0, ""), done.err
    assert done.out.strip() == "out/maps/sheet.png"
    names = {path.name for path in (here / "out" / "maps").iterdir()}
    each = {f"{word}{end}" for word in ("fox", "ice-cream") for end in (".npy", ".png", "-overlay.png")}
    assert names == each | {"picture.png", "sheet.png", "maps.json"}
    with Image.open(here / "out" / "maps" / "fox-overlay.png") as overlay:
        assert overlay.size == (64, 64)


def test_maps_keeps_an_axis_apart(xattn: Xattn, model: Path, here: Path) -> None:
    assert xattn("maps", "a fox", "--by", "step", "--seed", "1", "--model", model, "--out", "m").code == 0
    assert np.load(here / "m" / "fox.npy").shape == (2, 1, 1, 8, 8)
    assert np.load(here / "m" / "a.npy").shape == (2, 1, 1, 8, 8), "all words, where none are named"


def test_the_second_of_two_words_is_named_with_a_number(xattn: Xattn, model: Path, here: Path) -> None:
    assert xattn("maps", "a cat and a cat", "--words", "cat:2", "--model", model, "--out", "m").code == 0
    assert (here / "m" / "cat-2.npy").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--words", "foks"), 'no word "foks". Its words are: a, fox'),
        (("--words", "cat:2"), 'no word "cat"'),
        (("--by", "steps"), "step, layer, head"),
        (("--words", "fox,,"), "--words"),
    ],
)
def test_a_mistake_is_a_sentence_and_nothing_is_written(
    xattn: Xattn, model: Path, here: Path, arguments: tuple[str, ...], says: str
) -> None:
    done = xattn("maps", "a fox", *arguments, "--model", model)
    assert done.code == 2
    assert says in done.err
    assert list(here.iterdir()) == []


def test_explain_tells_sites_and_kernels(xattn: Xattn, model: Path) -> None:
    done = xattn("explain", "a fox", "--model", model, "--words", "fox")
    assert (done.code, done.err) == (0, "")
    assert "down_blocks.0.attentions.0.transformer_blocks.0.attn2" in done.out
    assert "watch 1 word" in done.out
    assert "sdpa: yes" in done.out


def test_explain_prints_only_json_where_asked(xattn: Xattn, model: Path) -> None:
    done = xattn("explain", "a fox", "--model", model, "--json", "--backend", "tiled")
    document = json.loads(done.out)
    assert {site["kernel"] for site in document["sites"]} == {"tiled"}
    assert done.err == ""
