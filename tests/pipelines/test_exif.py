"""JPEG and WebP: the recipe in EXIF. And pictures of every form without any."""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image
from sd_parsers import ParserManager

from pipelines.assets import Asset, AssetStore
from pipelines.exif_text import BrokenExif, read_exif, write_exif
from pipelines.metadata import check_room, file_bytes, read_any, read_provenance, read_recipe, save_picture
from pipelines.provenance import Provenance
from pipelines.recipe import ModelRef, Recipe
from pipelines.techniques import PaintMap
from xattn.errors import BadValue, CannotWrite

RECIPE = Recipe(
    "a (red:1.3) fox, 狐 🦊",
    negative_prompt="blurry",
    seed=2**62 + 1,
    num_inference_steps=30,
    guidance_scale=7.0,
    scheduler="dpmpp_2m",
    sigmas="karras",
    width=16,
    height=24,
    model=ModelRef("emoji-128", "0" * 64),
)
PROVENANCE = Provenance("float32", "auto", "cpu AVX2", 2, 1, (("python", "3.11.7"), ("torch", "2.10.0")))
NAMES = ("fox.jpg", "fox.JPEG", "fox.webp")
TIMES = ("timestamp", "duration")  # of a film, which a WebP may be
PIXELS = np.random.default_rng(0).integers(0, 255, (24, 16, 3), np.uint8)

unhurried = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@dataclass(frozen=True)
class Drawn:
    recipe: Recipe = RECIPE
    provenance: Provenance = PROVENANCE
    image: Image.Image = field(default_factory=lambda: Image.fromarray(PIXELS))


@pytest.mark.parametrize("name", NAMES)
def test_a_saved_picture_gives_its_recipe_back(tmp_path: Path, name: str) -> None:
    path = save_picture(Drawn(), tmp_path / name)
    assert read_recipe(path) == RECIPE
    assert read_any(path).recipe == RECIPE
    assert read_provenance(path) == PROVENANCE
    with Image.open(path) as image:
        assert image.format == ("WEBP" if name.endswith("webp") else "JPEG")


@pytest.mark.parametrize("name", NAMES)
def test_an_outside_reader_understands_the_picture(tmp_path: Path, name: str) -> None:
    info = ParserManager().parse(save_picture(Drawn(), tmp_path / name))
    assert info is not None
    (sampler,) = info.samplers
    assert (info.full_prompt, info.full_negative_prompt) == (RECIPE.prompt, "blurry")
    assert (sampler.name, sampler.parameters["seed"]) == ("DPM++ 2M", str(RECIPE.seed))


def test_a_webp_keeps_every_bit(tmp_path: Path) -> None:
    with Image.open(save_picture(Drawn(), tmp_path / "fox.webp")) as image:
        assert np.array_equal(np.asarray(image), PIXELS)


def theirs(comment: bytes, form: str, endian: str) -> bytes:
    exif = Image.Exif()
    exif.endian = endian
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.UserComment] = comment
    buffer = io.BytesIO()
    Drawn().image.save(buffer, form, exif=exif)
    return buffer.getvalue()


@pytest.mark.parametrize("form", ["JPEG", "WEBP"])
@pytest.mark.parametrize("endian", "<>")
@pytest.mark.parametrize(
    ("code", "encoding"),
    [(b"UNICODE\0", "utf-16-be"), (b"UNICODE\0", "utf-16-le"), (b"UNICODE\0", "utf-16"), (b"ASCII\0\0\0", "ascii")],
)
def test_other_tools_write_their_comments_in_any_order_of_bytes(
    tmp_path: Path, form: str, endian: str, code: bytes, encoding: str
) -> None:
    text = "a fox\nSteps: 3, Sampler: DDIM, CFG scale: 5, Seed: 4"
    (tmp_path / "theirs").write_bytes(theirs(code + text.encode(encoding), form, endian))
    recipe = read_any(tmp_path / "theirs").recipe
    assert (recipe.prompt, recipe.seed, recipe.num_inference_steps) == ("a fox", 4, 3)
    with pytest.raises(BadValue, match="another tool's parameters"):
        read_recipe(tmp_path / "theirs")


def test_a_jpeg_refers_to_pictures_and_a_webp_holds_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XATTN_CACHE", str(tmp_path / "cache"))
    init = Asset.from_image(Image.fromarray(PIXELS))
    begun = Drawn(replace(RECIPE, init=init, source=replace(RECIPE, init=init)))
    for name, kept in (("fox.jpg", None), ("fox.webp", init.data)):
        recipe = read_recipe(save_picture(begun, tmp_path / name))
        assert recipe.init is not None
        assert recipe.source is not None
        assert recipe.source.init is not None
        assert (recipe.init.data, recipe.source.init.data) == (kept, kept)
        assert recipe.hash == begun.recipe.hash
        assert AssetStore.default().get(recipe.init).data == init.data


def test_painted_fields_do_not_fill_a_jpeg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XATTN_CACHE", str(tmp_path / "cache"))
    fields = [Asset.from_field(np.random.default_rng(seed).random((200, 200))) for seed in (1, 2)]
    painted = replace(RECIPE, edits=tuple(PaintMap("fox", field=field) for field in fields))
    check_room(painted, tmp_path / "fox.jpg")
    recipe = read_recipe(save_picture(Drawn(painted), tmp_path / "fox.jpg"))
    assert recipe.hash == painted.hash
    assert [asset.data for asset in recipe.assets] == [None, None]
    assert [AssetStore.default().get(asset).data for asset in recipe.assets] == [field.data for field in fields]


@pytest.mark.parametrize(
    ("letters", "held"),
    [(18_000, {"parameters", "xattn", "xattn-provenance"}), (40_000, {"xattn"})],
)
def test_a_jpeg_leaves_out_what_does_not_fit_and_never_the_recipe(tmp_path: Path, letters: int, held: set[str]) -> None:
    recipe = replace(RECIPE, prompt="x" * letters)
    path = save_picture(Drawn(recipe), tmp_path / "fox.jpg")
    assert read_recipe(path) == recipe
    with path.open("rb") as file:
        assert set(read_exif(file) or ()) == held


def test_a_recipe_that_no_jpeg_can_hold_is_a_sentence(tmp_path: Path) -> None:
    endless = Drawn(replace(RECIPE, prompt="x" * 40_000, negative_prompt="y" * 40_000))
    with pytest.raises(CannotWrite, match=r"save it as \.png"):
        save_picture(endless, tmp_path / "fox.jpg")
    assert list(tmp_path.iterdir()) == []
    save_picture(endless, tmp_path / "fox.jpg", metadata=False)
    assert read_recipe(save_picture(endless, tmp_path / "fox.webp")) == endless.recipe


@pytest.mark.parametrize("name", [*NAMES, "fox.png"])
def test_without_metadata_there_is_none(tmp_path: Path, name: str) -> None:
    path = save_picture(Drawn(), tmp_path / name, metadata=False)
    with Image.open(path) as image:
        image.load()
        assert image.info.keys() <= {"jfif", "jfif_version", "jfif_unit", "jfif_density", "loop", "background", *TIMES}
        assert not image.getexif()
    data = path.read_bytes()
    assert not any(mark in data for mark in (b"Text", b"iTXt", b"Exif", b"EXIF", b"xattn", b"fox"))
    with pytest.raises(BadValue, match="carries no recipe"):
        read_recipe(path)


@pytest.mark.parametrize("form", ["JPEG", "WEBP"])
def test_a_file_cut_short_in_its_notes_is_told_so(tmp_path: Path, form: str) -> None:
    data = file_bytes(Drawn(), form)
    cut = data.index(b"UNICODE")
    (tmp_path / "cut").write_bytes(data[:cut])
    with pytest.raises(BadValue, match="broken"):
        read_recipe(tmp_path / "cut")


@unhurried
@given(st.binary(), st.sampled_from([b"", b"\xff\xd8\xff\xe1", b"RIFF\0\0\0\0WEBPEXIF"]))
def test_no_bytes_crash_the_reader(data: bytes, before: bytes) -> None:
    with contextlib.suppress(BrokenExif):
        read_exif(io.BytesIO(before + data))


WHOLE = {form: file_bytes(Drawn(), form) for form in ("JPEG", "WEBP")}


@unhurried
@given(st.sampled_from(sorted(WHOLE)), st.integers(0, 2000), st.integers(0, 255))
def test_no_changed_byte_crashes_the_reader(form: str, place: int, value: int) -> None:
    data = bytearray(WHOLE[form])
    data[place % len(data)] = value
    with contextlib.suppress(BrokenExif):
        read_exif(io.BytesIO(data))


@unhurried
@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_comes_back(text: str) -> None:
    exif = write_exif(f"{text}\nSteps: 30, Sampler: Euler, Seed: 42, Size: 512x768, Version: xattn", {"xattn": text})
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "WEBP", exif=exif)
    read = read_exif(io.BytesIO(buffer.getvalue()))
    assert read is not None
    assert read["xattn"] == text
    if len(text) < 20:  # a long text of another script may have its zeros elsewhere
        assert read["parameters"].startswith(text)
