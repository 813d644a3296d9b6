from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from pipelines.metadata import read_recipe
from pipelines.recipe import MAX_SEED, Recipe
from tests.ui.conftest import Xattn


def pixels(path: str | Path) -> np.ndarray:
    """[height, width, 3]"""
    with Image.open(path) as image:
        return np.asarray(image)


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_a_prompt_becomes_a_picture_named_after_it(xattn: Xattn, model: Path, here: Path) -> None:
    done = xattn("generate", "A fox on purple!", "--seed", 7, "--model", model)
    assert done == (0, "out/a-fox-on-purple-7.png\n", "")
    assert files(here) == ["out", "out/a-fox-on-purple-7.png"]
    assert pixels("out/a-fox-on-purple-7.png").shape == (64, 64, 3)


def test_flags_become_the_recipe(xattn: Xattn, model: Path) -> None:
    flags = (
        "--steps",
        3,
        "--size",
        "64x48",
        "--scheduler",
        "DPM++ 2M Karras",
        "--guidance",
        2.5,
        "--negative",
        "a cat",
    )
    done = xattn("generate", "a fox", "--seed", 5, *flags, "--model", model, "--out", "fox.png")
    recipe = read_recipe("fox.png")
    assert done.out == "fox.png\n"
    assert (recipe.prompt, recipe.seed, recipe.num_inference_steps) == ("a fox", 5, 3)
    assert (recipe.width, recipe.height, recipe.guidance_scale) == (64, 48, 2.5)
    assert (recipe.scheduler, recipe.sigmas, recipe.negative_prompt) == ("dpmpp_2m", "karras", "a cat")


def test_dtype_device_and_backend_are_those_asked_for(xattn: Xattn, model: Path) -> None:
    from pipelines.metadata import read_provenance

    choices = ("--dtype", "bfloat16", "--backend", "tiled", "--device", "cpu")
    assert xattn("generate", "a fox", "--model", model, *choices, "--out", "fox.png").code == 0
    made_on = read_provenance("fox.png")
    assert (made_on.dtype, made_on.backend) == ("bfloat16", "tiled")


def test_json_is_all_that_stdout_gets(xattn: Xattn, model: Path) -> None:
    done = xattn("generate", "a fox", "--seed", 3, "--count", 2, "--json", "--model", model)
    (first, second) = json.loads(done.out)["images"]
    assert [set(image) for image in (first, second)] == [{"file", "seed", "recipe", "seconds"}] * 2
    assert [(image["file"], image["seed"]) for image in (first, second)] == [
        ("out/a-fox-3.png", 3),
        ("out/a-fox-4.png", 4),
    ]
    assert Recipe.from_json(first["recipe"]) == read_recipe(first["file"])
    assert first["recipe"]["model"]["name"] == "tiny", "a folder's name, never its path"
    assert first["seconds"] > 0


def test_a_series_has_the_pictures_of_its_seeds(xattn: Xattn, model: Path) -> None:
    assert xattn("generate", "a fox", "--seed", 3, "--count", 3, "--model", model).out.splitlines() == [
        "out/a-fox-3.png",
        "out/a-fox-4.png",
        "out/a-fox-5.png",
    ]
    xattn("generate", "a fox", "--seed", 4, "--model", model, "--out", "four.png")
    assert np.array_equal(pixels("out/a-fox-4.png"), pixels("four.png"))


def test_without_a_seed_each_run_has_its_own(xattn: Xattn, model: Path) -> None:
    images = [json.loads(xattn("generate", "a fox", "--json", "--model", model).out)["images"][0] for _ in range(2)]
    assert images[0]["seed"] != images[1]["seed"]
    assert images[0]["recipe"]["seed"] == images[0]["seed"]


def test_a_chosen_name_never_replaces_a_file(xattn: Xattn, model: Path, here: Path) -> None:
    (here / "out").mkdir()
    (here / "out/a-fox-1.png").write_text("mine")
    names = [xattn("generate", "a fox", "--seed", 1, "--model", model).out for _ in range(2)]
    assert names == ["out/a-fox-1-2.png\n", "out/a-fox-1-3.png\n"]
    assert (here / "out/a-fox-1.png").read_text() == "mine"


def test_a_file_asked_for_by_name_is_replaced(xattn: Xattn, model: Path, here: Path) -> None:
    (here / "fox.png").write_text("old")
    assert xattn("generate", "a fox", "--model", model, "--out", "fox.png").code == 0
    assert files(here) == ["fox.png"]
    assert pixels("fox.png").shape == (64, 64, 3)


def test_a_folder_is_made_when_there_is_a_picture_for_it(xattn: Xattn, model: Path) -> None:
    assert xattn("generate", "a fox", "--seed", 1, "--model", model, "--out", "deep/er").out == "deep/er/a-fox-1.png\n"
    assert xattn("generate", "a fox", "--seed", 1, "--model", model, "--out", "x.png/").out == "x.png/a-fox-1.png\n"


def test_a_picture_is_drawn_again_from_itself(xattn: Xattn, model: Path) -> None:
    xattn("generate", "a fox on red", "--steps", 4, "--scheduler", "euler_a", "--model", model, "--out", "fox.png")
    done = xattn("generate", "fox.png", "--model", model, "--out", "again.png")
    assert done == (0, "again.png\n", "")
    assert np.array_equal(pixels("fox.png"), pixels("again.png"))
    assert read_recipe("fox.png") == read_recipe("again.png")


def test_flags_change_what_they_name_in_an_earlier_picture(xattn: Xattn, model: Path) -> None:
    xattn("generate", "a fox", "--seed", 1, "--scheduler", "Euler Karras", "--model", model, "--out", "fox.png")
    xattn("generate", "fox.png", "--scheduler", "ddim", "--count", 2, "--model", model)
    second = read_recipe("out/a-fox-2.png")
    assert (second.prompt, second.scheduler, second.sigmas) == ("a fox", "ddim", "model")


def test_a_recipe_file_is_drawn_with_the_model_it_names(xattn: Xattn, model: Path, here: Path) -> None:
    (here / "fox.json").write_text(json.dumps({"prompt": "a fox", "seed": 9, "model": str(model)}))
    assert xattn("generate", "fox.json").out == "out/a-fox-9.png\n"


def test_words_that_the_model_never_saw_are_named_with_the_nearest(xattn: Xattn, model: Path) -> None:
    done = xattn("generate", "a foks on turquoise", "--seed", 1, "--model", model, "--json")
    assert done.code == 0
    assert json.loads(done.out)
    assert 'does not know "foks". Nearest: fox' in done.err
    assert '"turquoise"' in done.err
    assert len(done.err.splitlines()) == 2


@pytest.mark.parametrize(("prompt", "told"), [("((()))[[]]", True), ("BREAK", True), ("[:a:1]", False), ("🦊", False)])
def test_a_prompt_of_syntax_alone_is_drawn_and_told(xattn: Xattn, model: Path, prompt: str, told: bool) -> None:
    done = xattn("generate", prompt, "--seed", 1, "--model", model, "--out", "nothing.png")
    assert (done.code, done.out) == (0, "nothing.png\n")
    assert ("The prompt says nothing" in done.err) == told


def test_unknown_words_are_named_wherever_they_are_said(xattn: Xattn, model: Path) -> None:
    flags = ("--negative", "[mauve|a cat]", "--steps", 3, "--seed", 1, "--model", model)
    done = xattn("generate", "a [fox:foks:0.5] on [red:(foks:1.2):0.7]", *flags)
    assert done.code == 0
    assert [line.split('"')[1] for line in done.err.splitlines()] == ["foks", "mauve"]


def test_other_weights_than_the_recipes_are_refused_unless_asked_for(xattn: Xattn, model: Path, here: Path) -> None:
    recipe = {"prompt": "a fox", "seed": 1, "model": {"name": str(model), "sha256": "0" * 64}}
    (here / "fox.json").write_text(json.dumps(recipe))
    refused = xattn("generate", "fox.json")
    assert (refused.code, refused.out) == (2, "")
    assert re.search(r"'tiny' with sha256 000000000000….*--model", refused.err)
    drawn = xattn("generate", "fox.json", "--model", model)
    assert drawn.code == 0
    assert "another picture" in drawn.err


def test_a_path_in_a_pictures_recipe_is_never_opened(xattn: Xattn, model: Path, here: Path) -> None:
    xattn("generate", "a fox", "--model", model, "--out", "fox.png")
    (here / "tiny").symlink_to(model)
    done = xattn("generate", "fox.png")
    assert done.code == 2
    assert "'fox.png' was drawn by the model 'tiny'" in done.err
    assert "--model" in done.err


BAD = {
    "empty prompt": (["  "], "prompt", "at least one word"),
    "size no multiple of 8": (["a fox", "--size", "63x64"], "--size", "63", "multiple of 8", "64"),
    "size too large": (["a fox", "--size", "64x4096"], "--size", "4096", "2048"),
    "size that is none": (["a fox", "--size", "big"], "--size", "big", "128x128"),
    "no steps": (["a fox", "--steps", "0"], "--steps", "0", "from 1"),
    "negative steps": (["a fox", "--steps", "-1"], "--steps", "-1", "from 1"),
    "huge steps": (["a fox", "--steps", "9" * 30], "--steps", "1000"),
    "steps beyond digits": (["a fox", "--steps", "9" * 5000], "--steps", "999…"),
    "steps in words": (["a fox", "--steps", "many"], "--steps", "many", "a whole number"),
    "guidance in words": (["a fox", "--guidance", "7,5"], "--guidance", "7,5", "7.5"),
    "NaN guidance": (["a fox", "--guidance", "nan"], "--guidance", "nan", "7.5"),
    "infinite guidance": (["a fox", "--guidance", "inf"], "--guidance", "inf"),
    "negative seed": (["a fox", "--seed", "-1"], "--seed", "-1"),
    "seeds past the end": (["a fox", "--seed", str(MAX_SEED), "--count", "2"], "--count", "at most 1"),
    "count of none": (["a fox", "--count", "0"], "--count", "0", "from 1"),
    "unknown scheduler": (["a fox", "--scheduler", "eulr"], "scheduler", "eulr", "euler"),
    "unknown model": (["a fox", "--model", "emoji-182"], "model", "emoji-182", "emoji-128"),
    "unknown backend": (["a fox", "--backend", "sdpaa"], "backend", "sdpaa", "sdpa"),
    "unknown dtype": (["a fox", "--dtype", "float23"], "dtype", "float23", "float32"),
    "unknown device": (["a fox", "--device", "tpux"], "device", "tpux", "cpu"),
    "missing picture": (["fox.png"], "no file 'fox.png'", "leave the suffix off"),
    "missing recipe": (["fox.json"], "fox.json", "no file"),
    "no argument": ([], "PROMPT", "xattn generate --help"),
    "two arguments": (["a fox", "a cat"], "a cat"),
    "unknown flag": (["a fox", "--sed", "1"], "--sed", "--seed", "See xattn generate --help."),
    "nowhere": (["a fox", "--out", ""], "--out"),
    "no form": (["a fox", "--out", "fox.gif"], "fox.gif", "fox.png"),
    "no folder": (["a fox", "--out", "nowhere/fox.png"], "nowhere", "make it first"),
    "one file for several": (["a fox", "--out", "fox.png", "--count", "2"], "fox.png", "folder"),
    "too long for a JPEG": (["狐 " * 20_000, "--out", "fox.jpg"], "fox.jpg", "save it as .png"),
    "name too long": (["a fox", "--out", "n" * 300 + ".png"], "name too long"),
}


@pytest.mark.parametrize(("arguments", "words"), [(case[0], case[1:]) for case in BAD.values()], ids=BAD)
def test_a_mistake_is_one_sentence_and_nothing_is_written(
    xattn: Xattn, model: Path, here: Path, arguments: list[str], words: tuple[str, ...]
) -> None:
    if "--model" not in arguments:
        arguments = [*arguments, "--model", str(model)]
    done = xattn("generate", *arguments)
    assert (done.code, done.out) == (2, "")
    assert len(done.err.splitlines()) == 1, done.err
    assert all(word in done.err for word in words), done.err
    assert files(here) == []


@pytest.mark.parametrize("content", ["", "{", "[]", '{"seed": 1}', '{"prompt": "a fox", "sed": 1}', '{"prompt": NaN}'])
def test_a_file_that_is_no_recipe_is_told_so(xattn: Xattn, model: Path, here: Path, content: str) -> None:
    (here / "x.json").write_text(content)
    done = xattn("generate", "x.json", "--model", model)
    assert (done.code, done.out, len(done.err.splitlines())) == (2, "", 1), done.err
    assert files(here) == ["x.json"]


def test_a_picture_without_a_recipe_is_told_so(xattn: Xattn, model: Path, here: Path) -> None:
    Image.new("RGB", (8, 8)).save(here / "plain.png")
    (here / "text.png").write_text("no picture")
    for name, words in (("plain.png", "no recipe"), ("text.png", "no PNG")):
        done = xattn("generate", name, "--model", model)
        assert (done.code, done.out) == (2, "")
        assert words in done.err


def test_an_output_that_cannot_be_written_is_found_before_the_model_is_even_looked_for(
    xattn: Xattn, here: Path
) -> None:
    (here / "file").write_text("")
    (here / "folder.png").mkdir()
    before = files(here)
    system = ["/proc/fox.png", "/proc/pictures"] if Path("/proc/version").exists() else []  # read-only for root too
    for out in ("file", "file/fox.png", "file/deeper", "folder.png", *system):
        done = xattn("generate", "a fox", "--out", out, "--model", "no-such-model")
        assert (done.code, done.out, len(done.err.splitlines())) == (2, "", 1)
        assert done.err.startswith(f"Cannot write '{out}'"), done.err
    assert files(here) == before


def test_a_web_uis_picture_is_drawn_with_what_could_be_brought(xattn: Xattn, model: Path, here: Path) -> None:
    texts = PngInfo()
    texts.add_text(
        "parameters", "a fox\nSteps: 3, Sampler: DDIM, CFG scale: 5, Seed: 4, Size: 64x64, Clip skip: 2, Eta: 1"
    )
    Image.new("RGB", (8, 8)).save(here / "theirs.png", pnginfo=texts)
    done = xattn("generate", "theirs.png", "--model", model, "--out", "ours.png")
    assert done.code == 0
    assert [line.split(".")[0] for line in done.err.splitlines()] == [
        "Clip skip 2 is brought as clip_skip=1",
        "Not brought over: Eta",
    ]
    recipe = read_recipe("ours.png")
    assert (recipe.prompt, recipe.seed, recipe.num_inference_steps, recipe.noise) == ("a fox", 4, 3, "nv")
    assert recipe.clip_skip == 1
