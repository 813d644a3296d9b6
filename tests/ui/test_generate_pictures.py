"""`xattn generate` from a picture, and inside a mask."""

from __future__ import annotations

import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipelines.metadata import read_recipe
from tests.ui.conftest import Xattn, python


@pytest.fixture
def pictures(here: Path) -> Path:
    """photo.png, too large to travel in a recipe; mask.png of its size; small.png of another; text.png, no picture."""
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 255, (200, 240, 3), np.uint8)).save(here / "photo.png")
    mask = Image.new("L", (240, 200))
    mask.paste(255, (40, 40, 200, 160))
    mask.save(here / "mask.png")
    Image.new("L", (24, 20), 255).save(here / "small.png")
    (here / "text.png").write_text("no picture")
    return here


def header_only(path: Path, width: int, height: int) -> None:
    """A PNG whose header promises so many pixels, and that holds none."""
    Image.new("L", (8, 4)).save(path)
    data = bytearray(path.read_bytes())
    data[16:24] = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    path.write_bytes(data[:60])


def same(one: str, other: str) -> bool:
    with Image.open(one) as first, Image.open(other) as second:
        return first.tobytes() == second.tobytes()


def test_a_picture_and_a_mask_become_the_recipe(xattn: Xattn, model: Path, pictures: Path, tmp_path: Path) -> None:
    done = xattn(
        "generate", "a fox", "--init-image", "photo.png", "--mask", "mask.png", "--strength", 0.5, "--model", model,
        "--seed", 3, "--out", "fox.png",
    )  # fmt: skip
    assert done == (0, "fox.png\n", "")
    recipe = read_recipe("fox.png")
    assert recipe.init is not None
    assert recipe.mask is not None
    assert (recipe.strength, recipe.init.width, recipe.mask.height) == (0.5, 240, 200)
    assert recipe.init.data is None, "a large picture lies in the store"
    assert recipe.mask.data is not None, "a small one travels along"
    assert b"photo.png" not in (pictures / "fox.png").read_bytes()
    (pictures / "photo.png").unlink()
    assert xattn("generate", "fox.png", "--model", model, "--out", "again.png").code == 0
    assert same("fox.png", "again.png")
    assert xattn("generate", "a fox", "--model", model, "--seed", 3, "--out", "plain.png").code == 0
    assert not same("fox.png", "plain.png")


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--mask", "mask.png"), ("init",)),
        (("--strength", "0.5"), ("init",)),
        (("--init", "photo.png", "--mask", "small.png"), ("--mask", "24x20", "240x200")),
        (("--init", "photo.png", "--strength", "nan"), ("--strength", "nan")),
        (("--init", "photo.png", "--strength", "much"), ("--strength", "much")),
        (("--init", "none.png"), ("--init-image", "none.png", "No such file")),
        (("--init", "text.png"), ("--init-image", "text.png", "PNG, JPEG or WebP", "Convert it to PNG")),
        (("--variation", "much"), ("--variation", "much", "SEED:STRENGTH")),
        (("--variation", "7:x"), ("--variation", "7:x", "Try")),
        (("--variation", "7:1.5"), ("strength in --variation", "1.5")),
        (("--variation", "-7"), ("seed in --variation", "-7")),
        (("--noise", "tpu"), ("tpu", "cpu, nv")),
        (("--noise", "gpu"), ("gpu", "cpu, nv", 'Did you mean "nv"?')),
        (("--noise", "nv", "--scheduler", "dpmpp_2m_sde"), ("dpmpp_2m_sde", "euler_a", "lcm")),
    ],
)
def test_what_cannot_be_drawn_is_a_sentence(
    xattn: Xattn, model: Path, pictures: Path, flags: tuple[str, ...], words: tuple[str, ...]
) -> None:
    done = xattn("generate", "a fox", *flags, "--model", model, "--out", "fox.png")
    assert (done.code, done.out) == (2, "")
    assert len(done.err.strip().splitlines()) == 1
    assert all(word in done.err for word in words), done.err
    assert not (pictures / "fox.png").exists()


@pytest.mark.parametrize("flags", [("generate", "a fox", "--init"), ("maps", "a fox", "--look")])
@pytest.mark.parametrize(
    ("size", "words"),
    [
        ((32_000, 32_000), ("at most 8192 by 8192 pixels", "Make it smaller first")),
        ((12_000, 12_000), ("at most 8192 by 8192 pixels", "Make it smaller first")),
        ((64, 64), ("a picture that can be read whole",)),
    ],
)
def test_a_picture_too_large_or_torn_is_told_by_its_flag_and_name_before_a_model_is_looked_for(
    xattn: Xattn, here: Path, flags: tuple[str, ...], size: tuple[int, int], words: tuple[str, ...]
) -> None:
    header_only(here / "huge.png", *size)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's, which a process of ours does not print either
        done = xattn(*flags, "huge.png", "--model", "nowhere")
    assert (done.code, done.out) == (2, "")
    assert len(done.err.strip().splitlines()) == 1
    assert all(word in done.err for word in (flags[-1], "'huge.png'", *words)), done.err


def test_in_a_process_of_ours_pillow_does_not_warn_of_a_large_picture(here: Path) -> None:
    header_only(here / "huge.png", 12_000, 12_000)
    done = python("-m", "ui.cli", "generate", "a fox", "--init", "huge.png", folder=here)
    assert done.code == 2
    assert len(done.err.strip().splitlines()) == 1, done.err


def test_a_gpus_noise_is_asked_for_and_comes_back(xattn: Xattn, model: Path) -> None:
    ancestral = ("a fox", "--model", model, "--seed", "3", "--steps", "3", "--scheduler", "euler_a")
    for name, flags in {"cpu": (), "nv": ("--noise", "nv")}.items():
        assert xattn("generate", *ancestral, *flags, "--out", f"{name}.png").code == 0
    assert read_recipe("nv.png").noise == "nv"
    assert xattn("generate", "nv.png", "--model", model, "--out", "again.png").code == 0
    again, nv, cpu = (np.asarray(Image.open(f"{name}.png")).astype(int) for name in ("again", "nv", "cpu"))
    assert np.array_equal(again, nv)
    assert abs(nv - cpu).max() > 20


def test_a_variation_goes_from_one_seed_towards_another(xattn: Xattn, model: Path) -> None:
    for name, flags in {"a": (), "near": ("--variation", "9"), "far": ("--variation", "9:1")}.items():
        done = xattn("generate", "a fox", "--seed", 3, *flags, "--model", model, "--out", f"{name}.webp")
        assert done == (0, f"{name}.webp\n", "")
    near, far = read_recipe("near.webp"), read_recipe("far.webp")
    assert (near.seed, near.variation_seed, near.variation_strength) == (3, 9, 0.1)
    assert far.variation_strength == 1.0
    assert not same("a.webp", "near.webp")
    xattn("generate", "a fox", "--seed", 9, "--model", model, "--out", "other.png")
    assert same("far.webp", "other.png")


@pytest.mark.parametrize("name", ["fox.png", "fox.jpg", "fox.webp"])
def test_a_picture_without_metadata_tells_nothing(xattn: Xattn, model: Path, here: Path, name: str) -> None:
    flags = ("--seed", 3, "--no-metadata", "--model", model)
    assert xattn("generate", "a fox", *flags, "--out", name) == (0, f"{name}\n", "")
    with Image.open(name) as image:
        image.load()
        assert not image.getexif()
        assert not getattr(image, "text", {})
    assert b"xattn" not in (here / name).read_bytes()


def test_a_picture_made_elsewhere_is_drawn_with_a_notice_of_each_difference(xattn: Xattn, model: Path) -> None:
    there = ("--backend", "tiled", "--dtype", "float64")
    xattn("generate", "a fox", "--seed", 3, "--model", model, *there, "--out", "fox.png")
    done = xattn("generate", "fox.png", "--model", model, "--out", "again.png")
    assert (done.code, done.out) == (0, "again.png\n")
    notice, *lines = done.err.splitlines()
    assert "'fox.png'" in notice
    assert lines == ["  dtype: float64, here float32", "  backend: tiled, here auto"]
    same_there = xattn("generate", "fox.png", "--model", model, *there, "--out", "same.png")
    assert same_there.err == ""
    assert same("fox.png", "same.png")
    changed = xattn("generate", "fox.png", "--seed", 4, "--model", model, "--out", "other.png")
    assert changed.err == "", "it was to be another picture"
