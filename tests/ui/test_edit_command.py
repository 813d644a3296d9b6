"""`xattn edit` on the tiny model: what it draws, writes, and refuses."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from pipelines.ledger import Ledger
from pipelines.metadata import read_recipe
from pipelines.pipeline import Pipeline
from pipelines.techniques import Inject, LocalBlend, Refine, Replace, Reweight
from pipelines.techniques.window import Window
from tests.ui.conftest import Xattn, environment
from ui.edit_request import EditFlags

FLAGS = EditFlags("0.8", "0.4", None, "", "", "0.3", None, "", None)


def test_a_source_and_its_targets_a_sheet_and_maps(xattn: Xattn, model: Path, here: Path) -> None:
    targets = ("a dog on purple", "a red fox on purple", "a dog on purple")
    done = xattn(
        "edit", "a fox on purple", *targets, "--seed", "1", "--blend", "fox,dog", "--model", model, "--out", "e"
    )
    assert (done.code, done.err) == (0, "")
    names = ("source", "target-a-dog-on-purple", "target-a-red-fox-on-purple", "target-a-dog-on-purple-2")
    assert done.out.split() == [f"e/{name}.png" for name in (*names, "sheet")]
    for name in names:
        assert (here / "e" / f"{name}-maps" / "purple.npy").exists()
    with Image.open(here / "e" / "sheet.png") as sheet:
        assert sheet.width > 4 * 320
    dog = read_recipe(here / "e" / "target-a-dog-on-purple.png")
    assert dog.source == read_recipe(here / "e" / "source.png")
    blend = LocalBlend(("dog",), ("fox",))
    assert dog.edits == (Replace(window=Window((0.0, 0.8))), Inject(window=Window((0.0, 0.4))), blend)
    added = read_recipe(here / "e" / "target-a-red-fox-on-purple.png")
    assert added.edits[0] == Refine(window=Window((0.0, 0.8))), "words are only added"


def test_maps_that_cannot_be_written_cost_no_picture(xattn: Xattn, model: Path, here: Path) -> None:
    (here / "e").mkdir()
    (here / "e" / "source-maps").write_text("somebody's file")
    done = xattn("edit", "a fox", "a dog", "--seed", "1", "--model", model, "--out", "e")
    assert (done.code, done.out) == (2, "")
    assert done.err == "Cannot write 'e/source-maps': it is a file, not a folder; choose another folder.\n"
    assert sorted(path.name for path in (here / "e").iterdir()) == ["source-maps", "source.png", "target-a-dog.png"]


def test_each_flag_is_an_edit(xattn: Xattn, model: Path, here: Path) -> None:
    (here / "more.json").write_text('[{"kind": "reweight", "word": "on", "scale": 0.5}]')
    flags = (
        "--cross",
        "0.5",
        "--self",
        "0",
        "--method",
        "refine",
        "--pairs",
        "fox=dog",
        "--reweight",
        "dog=2,purple=0",
    )
    done = xattn(
        "edit", "a fox on purple", "a dog on purple", *flags, "--edits", "more.json", "--json", "--model", model
    )
    assert (done.code, done.err) == (0, "")
    told = json.loads(done.out)
    assert told["sheet"] == "out/edit/sheet.png"
    source, target = told["images"]
    assert source["seed"] == target["seed"]
    assert [link["kind"] for link in target["alignment"]["links"]] == ["kept", "paired", "kept", "kept"]
    assert read_recipe(here / target["file"]).edits == (
        Refine((("fox", "dog"),), window=Window((0.0, 0.5))),
        Reweight("dog", 2.0),
        Reweight("purple", 0.0),
        Reweight("on", 0.5),
    )


def test_words_take_over_for_shares_of_their_own(xattn: Xattn, model: Path, here: Path) -> None:
    flags = ("--cross", "0", "--cross-words", "dog=0.3,purple=0", "--self", "0", "--model", model, "--seed", "1")
    done = xattn("edit", "a fox on purple", "a dog on purple", "a dog", *flags, "--json")
    assert (done.code, done.err) == (0, "")
    _, dog, alone = json.loads(done.out)["images"]
    never = Window((0.0, 0.0))
    own = (("dog", (0.0, 0.3)), ("purple", (0.0, 0.0)))
    assert read_recipe(here / dog["file"]).edits == (Replace(word_steps=own, window=never),)
    assert read_recipe(here / alone["file"]).edits == (Replace(word_steps=own[:1], window=never),), "it has no purple"


def test_a_folder_with_an_earlier_call_says_what_is_left_of_it(xattn: Xattn, model: Path, here: Path) -> None:
    flags = ("--seed", "1", "--model", model, "--out", "e")
    for source, target in (("a fox", "a dog"), ("a fox", "a dog")):
        done = xattn("edit", source, target, *flags)
        assert (done.code, done.err) == (0, ""), "the same call leaves nothing behind"
    (here / "e" / "notes.txt").write_text("somebody's")
    done = xattn("edit", "a cat", "a red cat", *flags)
    assert done.code == 0
    assert done.err == (
        "'e' also has what an earlier call wrote: source-maps/fox.npy, source-maps/fox.png, target-a-dog-maps, "
        "target-a-dog.png. Give another --out to keep them apart.\n"
    )
    assert (here / "e" / "target-a-dog.png").exists(), "and nothing is removed"


def test_a_picture_is_a_source_too_and_its_target_is_drawn_again(xattn: Xattn, model: Path, here: Path) -> None:
    assert xattn("generate", "a fox", "--seed", "3", "--model", model, "--out", "fox.png").code == 0
    assert xattn("edit", "fox.png", "a dog", "--model", model, "--out", "e").code == 0
    with Image.open(here / "fox.png") as first, Image.open(here / "e" / "source.png") as again:
        assert first.tobytes() == again.tobytes()
    assert xattn("generate", "e/target-a-dog.png", "--model", model, "--out", "again.png").code == 0
    with Image.open(here / "e" / "target-a-dog.png") as first, Image.open(here / "again.png") as again:
        differences = [abs(one - other) for one, other in zip(first.tobytes(), again.tobytes(), strict=True)]
        assert max(differences) <= 1, "alike to rounding: another batch"


def test_a_picture_that_was_edited_is_no_source_and_the_remedy_is_one(xattn: Xattn, model: Path, here: Path) -> None:
    edits = ("--seed", "3", "--model", model, "--out")
    assert xattn("edit", "a fox on red", "a dog on red", *edits, "e").code == 0
    done = xattn("edit", "e/target-a-dog-on-red.png", "a cat on red", "--model", model, "--out", "f")
    assert done.code == 2
    assert done.err == (
        "SOURCE is 'e/target-a-dog-on-red.png', but it must be a picture that was not made from another, "
        "for edits go one step deep. Give the one that it was made from, source.png beside it, or that one's prompt: "
        "xattn edit 'a fox on red' --seed 3 TARGET.\n"
    )
    assert not (here / "f").exists()
    for first in ("e/source.png", "a fox on red"):
        assert xattn("edit", first, "a cat on red", *edits, "f").code == 0
        assert read_recipe(here / "f" / "source.png") == read_recipe(here / "e" / "source.png")


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (("--blend", "foks"), 'There is no word in source or target for --blend: "foks". Known: a, fox, dog.'),
        (("--reweight", "fox=2"), 'There is no word in any target for --reweight: "fox". Known: a, dog.'),
        (("--blend", "fox:2"), '"fox:2"'),
        (("--reweight", "dog"), "red=1.6"),
        (("--reweight", "dog=much"), "a number such as"),
        (("--cross-words", "fox=0.5"), 'There is no word in any target for --cross-words: "fox". Known: a, dog.'),
        (("--cross-words", "dog=2"), "--cross-words"),
        (("--cross-words", "dog"), "fox=0.3"),
        (("--pairs", "cat=dog"), 'The source\'s prompt has no word "cat". Its words are: a, fox.'),
        (("--cross", "2"), "--cross"),
        (("--method", "swap"), "replace, refine"),
        (("--edits", "none.json"), "--edits"),
        (("--threshold", "x"), "--threshold"),
        (("--mask", "none.png"), "--mask"),
        (("--blend", "dog,"), "--blend"),
    ],
)
def test_a_mistake_is_a_sentence_and_nothing_is_written(
    xattn: Xattn, model: Path, here: Path, flags: tuple[str, ...], says: str
) -> None:
    done = xattn("edit", "a fox", "a dog", *flags, "--model", model)
    assert done.code == 2
    assert says in done.err
    assert list(here.iterdir()) == []


def test_without_a_target_there_is_nothing_to_do(xattn: Xattn, model: Path) -> None:
    done = xattn("edit", "a fox", "--model", model)
    assert done.code == 2
    assert "TARGET" in done.err


def test_a_mask_alone_is_where_it_changes(model: Path, here: Path) -> None:
    Image.new("L", (64, 64), 255).save(here / "mask.png")
    pipe = Pipeline.from_pretrained(model)
    base = pipe.resolve("a fox", seed=1)
    flags = EditFlags("0", "0", None, "", "", "0.3", "mask.png", "", None)
    recipes, alignments = flags.read().of(pipe, base, [pipe.resolve("a dog", seed=1, source=base)])
    (blend,) = recipes[0].edits
    assert isinstance(blend, LocalBlend)
    assert (blend.words, blend.mask is not None) == ((), True)
    assert isinstance(alignments[0].source, Ledger)


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="there is no pty to be a terminal")
def test_on_a_terminal_the_alignment_is_shown_first(model: Path, tmp_path: Path) -> None:
    ours, theirs = os.openpty()
    arguments = ("edit", "a fox on purple", "a dog on purple", "--model", str(model), "--out", "e")
    process = subprocess.Popen(
        [sys.executable, "-m", "ui.cli", *arguments],
        cwd=tmp_path,
        env=environment(XATTN_CACHE=str(tmp_path / "cache"), TERM="xterm", COLUMNS="100"),
        stdout=subprocess.PIPE,
        stderr=theirs,
    )
    os.close(theirs)
    seen = b""
    while b"takes over the map above" not in seen:
        seen += os.read(ours, 1024)
    out, _ = process.communicate(timeout=300)
    os.close(ours)
    assert process.returncode == 0
    assert out.split()[-1] == b"e/sheet.png"
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", seen.decode(errors="replace"))
    assert "source  a  fox  on  purple" in shown
    assert "target  a  dog  on  purple" in shown
