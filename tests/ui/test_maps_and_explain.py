"""`xattn maps` and `xattn explain` on the tiny model."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipelines.figures import overlay
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


def test_a_folder_with_an_earlier_call_says_what_is_left_of_it(xattn: Xattn, model: Path, here: Path) -> None:
    flags = ("--seed", "1", "--model", model, "--out", "m")
    assert xattn("maps", "a fox", "--pdf", "--place", "0.5,0.5", *flags).err == ""
    (here / "m" / "mine.png").write_bytes(b"somebody's")
    done = xattn("maps", "a cat", "--words", "cat", *flags)
    assert done.code == 0
    assert done.err == (
        "'m' also has what an earlier call wrote: a-overlay.png, a.npy, a.png, fox-overlay.png, fox.npy, fox.png and 2 "
        "more. Give another --out to keep them apart.\n"
    )
    assert (here / "m" / "fox.npy").exists(), "and nothing is removed"
    assert xattn("maps", "a cat", "--words", "cat", *flags, "--out", "n").err == ""


def test_maps_keeps_an_axis_apart(xattn: Xattn, model: Path, here: Path) -> None:
    assert xattn("maps", "a fox", "--by", "step", "--seed", "1", "--model", model, "--out", "m").code == 0
    assert np.load(here / "m" / "fox.npy").shape == (2, 1, 1, 8, 8)
    assert np.load(here / "m" / "a.npy").shape == (2, 1, 1, 8, 8), "all words, where none are named"


def test_the_second_of_two_words_is_named_with_a_number(xattn: Xattn, model: Path, here: Path) -> None:
    assert xattn("maps", "a cat and a cat", "--words", "cat:2", "--model", model, "--out", "m").code == 0
    assert (here / "m" / "cat-2.npy").exists()


def test_maps_of_a_concept_that_is_not_in_the_prompt(xattn: Xattn, model: Path, here: Path) -> None:
    done = xattn("maps", "a fox", "--words", "fox", "--probe", "cat,red dog", "--seed", "1", "--model", model, "--pdf")
    assert done.code == 0, done.err
    folder = here / "out" / "maps"
    assert {path.stem for path in folder.glob("*.npy")} == {"fox", "cat", "red-dog"}
    assert (folder / "sheet.pdf").read_bytes().startswith(b"%PDF")
    plain = xattn("generate", "a fox", "--seed", "1", "--model", model, "--out", "plain.png", "--no-metadata")
    assert plain.code == 0
    with Image.open(here / "plain.png") as one, Image.open(folder / "picture.png") as other:
        assert one.tobytes() == other.tobytes()


@pytest.mark.parametrize("by", ["layer", "head", "resolution"])
def test_maps_keep_any_axis_apart(xattn: Xattn, model: Path, here: Path, by: str) -> None:
    done = xattn("maps", "a fox", "--words", "fox", "--by", by, "--scale", "shared", "--model", model, "--out", "m")
    assert done.code == 0, done.err
    assert len(np.load(here / "m" / "fox.npy").shape) == 5
    about = json.loads((here / "m" / "maps.json").read_text())
    assert bool(about["layers"]) == (by in ("layer", "head"))
    assert bool(about["resolutions"]) == (by == "resolution")


def test_a_shared_scale_is_that_of_each_words_overlay_too(xattn: Xattn, model: Path, here: Path) -> None:
    for scale in ("each", "shared"):
        arguments = ("--words", "a,fox", "--scale", scale, "--seed", "1", "--model", model, "--out", scale)
        assert xattn("maps", "a fox", *arguments).code == 0
    seen = {word: np.load(here / "shared" / f"{word}.npy").squeeze() for word in ("a", "fox")}
    most = max(values.max() for values in seen.values())
    with Image.open(here / "shared" / "picture.png") as picture:
        for word, values in seen.items():
            for scale, between in (("each", None), ("shared", (0.0, float(most)))):
                with Image.open(here / scale / f"{word}-overlay.png") as drawn:
                    assert drawn.tobytes() == overlay(picture.convert("RGB"), values, between=between).tobytes()


def test_a_place_is_told_and_drawn(xattn: Xattn, model: Path, here: Path) -> None:
    done = xattn("maps", "a fox", "--place", "0.5,0.25", "--place", "0,1", "--model", model, "--out", "m")
    assert done.code == 0, done.err
    assert done.out.startswith("At 0.50, 0.25:\na ")
    assert {path.name for path in (here / "m").glob("place-*")} == {"place-1.png", "place-2.png"}


def test_a_real_picture_is_looked_at_and_nothing_drawn(xattn: Xattn, model: Path, here: Path) -> None:
    Image.new("RGB", (100, 50), (200, 90, 30)).save(here / "photo.png")
    arguments = ("--look", "photo.png", "--at", "0.1,0.5", "--probe", "cat", "--model", model, "--out", "m")
    done = xattn("maps", "a fox", *arguments)
    assert done.code == 0, done.err
    assert np.load(here / "m" / "fox.npy").shape == (2, 1, 1, 4, 8)
    assert not (here / "m" / "picture.png").exists()
    assert json.loads((here / "m" / "maps.json").read_text())["times"] == [0.1, 0.5]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--words", "foks"), 'no word "foks". Its words are: a, fox'),
        (("--words", "cat:2"), 'no word "cat"'),
        (("--by", "steps"), "step, layer, head, resolution"),
        (("--place", "0.5"), "X,Y in fractions"),
        (("--place", "2,0"), "from 0 to 1"),
        (("--scale", "some"), "each, shared"),
        (("--at", "0.5"), "--look"),
        (("--probe", "cat:2"), "a probe is not in the prompt"),
        (("--look", "nothing.png"), "nothing.png"),
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
    assert "watch 1 map" in done.out
    assert "Maps: 1 word at 8×8" in done.out
    assert "sdpa: yes" in done.out


def test_explain_prints_only_json_where_asked(xattn: Xattn, model: Path) -> None:
    done = xattn("explain", "a fox", "--model", model, "--json", "--backend", "tiled")
    document = json.loads(done.out)
    assert {site["kernel"] for site in document["sites"]} == {"tiled"}
    assert done.err == ""
