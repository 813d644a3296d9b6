import contextlib
import io
import json
import re
import zlib
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin
from sd_parsers import ParserManager

from pipelines.assets import Asset
from pipelines.infotext import infotext
from pipelines.infotext_reader import read_infotext
from pipelines.metadata import check_output, check_room, file_bytes, read_provenance, read_recipe, save_picture
from pipelines.png_text import BrokenPng, read_text
from pipelines.provenance import Provenance
from pipelines.recipe import ModelRef, Recipe
from pipelines.techniques import NegPip, PaintMap, Reweight
from pipelines.techniques.window import Window
from xattn.errors import BadValue, CannotWrite, XattnError

RECIPE = Recipe(
    "a (red:1.3) fox, 狐 🦊",
    negative_prompt="blurry, low: quality",
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

unhurried = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@dataclass(frozen=True)
class Drawn:
    image: Image.Image
    recipe: Recipe
    provenance: Provenance = PROVENANCE


def drawn(recipe=RECIPE):
    return Drawn(Image.new("RGB", (16, 24), (200, 10, 30)), recipe)


def web_ui_reads(text):
    """A reader written apart, as web UIs do it: the last line counts with three settings or more."""
    setting = re.compile(r'\s*(\w[\w \-/]+):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)')
    *lines, last = text.strip().split("\n")
    assert len(setting.findall(last)) >= 3
    prompt, negative, in_negative = [], [], False
    for line in map(str.strip, lines):
        if line.startswith("Negative prompt:"):
            in_negative, line = True, line.removeprefix("Negative prompt:").strip()
        (negative if in_negative else prompt).append(line)
    return "\n".join(prompt), "\n".join(negative), {key: unquoted(value) for key, value in setting.findall(last)}


def unquoted(value):
    if not (value[:1] == value[-1:] == '"'):
        return value
    try:
        return json.loads(value)
    except ValueError:  # a lone quotation mark
        return value


def test_a_saved_picture_gives_its_recipe_back(tmp_path):
    path = save_picture(drawn(), tmp_path / "fox.png")
    assert path == tmp_path / "fox.png"
    assert read_recipe(path) == RECIPE
    assert read_recipe(str(path)).hash == RECIPE.hash
    assert read_provenance(path) == PROVENANCE
    with Image.open(path) as image:
        assert image.getpixel((3, 3)) == (200, 10, 30)
        assert list(image.text) == ["parameters", "xattn", "xattn-provenance"]
        assert image.text["xattn"] == RECIPE.to_json()


def test_the_parameters_are_what_web_uis_write():
    assert infotext(RECIPE, "xattn 0.1.0") == (
        "a (red:1.3) fox, 狐 🦊\n"
        "Negative prompt: blurry, low: quality\n"
        "Steps: 30, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 7, Seed: 4611686018427387905, "
        "Size: 16x24, Model: emoji-128, RNG: CPU, Version: xattn 0.1.0"
    )


lines = st.text() | st.sampled_from(
    [
        "Negative prompt: no",
        "fox Negative prompt: no",
        "Steps: 1, Sampler: x, Seed: 3, CFG scale: 4",
        "fox  ",
        "\r",
        "\0",
    ]
)
prompts = st.lists(lines, min_size=1, max_size=4).map("\n".join)
plain = st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"], exclude_characters="/\\")
names = st.text(plain, min_size=1) | st.text(st.sampled_from('ab ,:"{}'), min_size=1)


@unhurried
@given(prompts.filter(lambda text: bool(text.replace("\0", "").strip())), prompts, names.filter(str.strip))
def test_other_tools_find_the_end_of_any_prompt(prompt, negative, name):
    recipe = replace(RECIPE, prompt=prompt, negative_prompt=negative, model=ModelRef(name, "0" * 64))
    text = infotext(recipe, "xattn 0.1.0")
    read_prompt, read_negative, settings = web_ui_reads(text)

    def essence(said):  # what a reader keeps: no blanks, and our one changed form of the words it would trip over
        return re.sub(r"\s|\0", "", said)

    assert essence(read_prompt) == essence(prompt)
    assert essence(read_negative) == essence(negative)
    assert (settings["Steps"], settings["Seed"], settings["Size"]) == ("30", str(RECIPE.seed), "16x24")
    if re.search(r"[,:]", name):
        assert settings["Model"] == name
    assert settings["Version"] == "xattn 0.1.0"
    assert "\0" not in text, "text in a PNG ends there for many readers"
    assert [line.strip() for line in text.split("\n")] == text.split("\n"), "white space is lost on the way"


@unhurried
@given(prompts.filter(lambda text: bool(text.replace("\0", "").strip())), prompts)
def test_any_recipe_survives_a_picture(prompt, negative):
    recipe = replace(RECIPE, prompt=prompt, negative_prompt=negative)
    data = file_bytes(drawn(recipe))
    assert Recipe.from_json(read_text(io.BytesIO(data))["xattn"]) == recipe
    (read,) = ParserManager().parse(Image.open(io.BytesIO(data))).samplers
    assert read.name == "DPM++ 2M"
    assert read.parameters["seed"] == str(recipe.seed)


def test_an_outside_reader_understands_the_picture(tmp_path):
    info = ParserManager().parse(save_picture(drawn(), tmp_path / "fox.png"))
    assert info is not None
    (sampler,) = info.samplers
    assert (info.full_prompt, info.full_negative_prompt) == (RECIPE.prompt, RECIPE.negative_prompt)
    assert (sampler.name, sampler.model.name) == ("DPM++ 2M", "emoji-128")
    assert sampler.parameters == {"steps": "30", "cfg_scale": "7", "seed": str(RECIPE.seed), "scheduler": "Karras"}
    assert info.metadata["Size"] == "16x24"


@unhurried
@given(st.text(min_size=1).filter(str.strip) | st.sampled_from(['"fox", a: b\\', "Negative prompt: fox"]))
def test_other_tools_read_that_a_picture_is_edited(word):
    painted = Asset.from_image(Image.effect_noise((64, 64), 60))
    edits = (
        Reweight(word, 2.0, window=Window(steps=(0.0, 0.5))),
        PaintMap("fox", op="set", field=painted, renormalise="others"),
    )
    recipe = replace(RECIPE, edits=(*edits, NegPip("dog", enabled=False)))
    *_, settings = web_ui_reads(infotext(recipe, "xattn 0.1.0"))
    told = json.loads(settings["Cross attention edits"])
    assert [one["kind"] for one in told] == ["reweight", "paint_map"], "one that is off does nothing"
    assert told[0]["word"] == word.replace("Negative prompt:", "Negative prompt :")
    assert told[1]["field"] == {"sha256": painted.sha256}
    assert settings["Version"] == "xattn 0.1.0"
    (sampler,) = ParserManager().parse(Image.open(io.BytesIO(file_bytes(drawn(recipe))))).samplers
    assert sampler.parameters["seed"] == str(RECIPE.seed)
    imported = read_infotext(infotext(recipe, "xattn 0.1.0"))
    assert imported.recipe.edits == ()
    assert any("Cross attention edits" in note for note in imported.notes), "told as not brought"


def test_no_path_goes_into_a_picture(tmp_path):
    folder = tmp_path / "my-model"
    recipe = replace(
        RECIPE, model=ModelRef(str(folder), "1" * 64), source=replace(RECIPE, model=ModelRef("/a/b", "2" * 64))
    )
    data = save_picture(drawn(recipe), tmp_path / "fox.png").read_bytes()
    assert str(tmp_path).encode() not in data
    assert b"/a/b" not in data
    again = read_recipe(tmp_path / "fox.png")
    assert again.model == ModelRef("my-model", "1" * 64)
    assert again.hash == recipe.hash


def test_a_json_file_is_read_too(tmp_path):
    (tmp_path / "fox.json").write_text("\ufeff" + RECIPE.to_json(), encoding="utf-8")
    assert read_recipe(tmp_path / "fox.json") == RECIPE


def chunk(kind, data):
    return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")


@pytest.mark.parametrize(
    "text_chunk",
    [
        chunk(b"iTXt", b"xattn\0\1\0\0\0" + zlib.compress(RECIPE.to_json().encode())),
        chunk(b"zTXt", b"xattn\0\0" + zlib.compress(replace(RECIPE, prompt="a fox").to_json().encode())),
        chunk(b"tEXt", b"xattn\0" + replace(RECIPE, prompt="a fox").to_json().encode()),
    ],
)
def test_other_tools_may_repack_or_move_the_text(tmp_path, text_chunk):
    buffer = io.BytesIO()
    drawn().image.save(buffer, "PNG")
    end = buffer.getvalue()[-12:]
    (tmp_path / "fox.png").write_bytes(buffer.getvalue()[:-12] + text_chunk + end)
    assert read_recipe(tmp_path / "fox.png").seed == RECIPE.seed


def whole_png():
    return file_bytes(drawn())


def damaged_png():
    data = bytearray(whole_png())
    data[data.index(b'"prompt"') + 12] ^= 1
    return bytes(data)


def plain_png(**texts):
    info = PngImagePlugin.PngInfo()
    for key, text in texts.items():
        info.add_itxt(key, text)
    buffer = io.BytesIO()
    drawn().image.save(buffer, "PNG", pnginfo=info)
    return buffer.getvalue()


def bomb_png():
    packed = zlib.compress(b"x" * 2**25)
    return plain_png()[:-12] + chunk(b"zTXt", b"xattn\0\0" + packed) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("a.png", b"", "no PNG"),
        ("a.png", b"\x89PN", "no PNG"),
        ("a.png", b"GIF89a" * 9, "no PNG"),
        ("a", b"a fox", "no PNG"),
        ("a.png", whole_png()[:-20], "cut short"),
        ("a.png", whole_png()[:200], "cut short"),
        ("a.png", damaged_png(), "checksum"),
        ("a.png", bomb_png(), "unpacks to more"),
        ("a.png", plain_png(), "carries no recipe"),
        ("a.png", plain_png(parameters="a fox\nSteps: 3"), "another tool's parameters"),
        ("a.png", plain_png(prompt="{}", workflow="{}"), "This picture is ComfyUI's"),
        ("a.png", plain_png(invokeai_metadata="{}"), "This picture is InvokeAI's"),
        ("a.png", plain_png(xattn="{"), "JSON"),
        ("a.png", plain_png(xattn='{"prompt": "a", "version": 99}'), "newer xattn"),
        ("a.json", b"{", "JSON"),
        ("a.json", b"\xff\xfe", "UTF-8"),
    ],
)
def test_a_picture_without_a_recipe_is_a_sentence(tmp_path, name, data, says):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(BadValue) as caught:
        read_recipe(tmp_path / name)
    assert says in str(caught.value)


def test_what_is_not_there_is_a_sentence(tmp_path):
    (tmp_path / "folder.png").mkdir()
    for path, says in [
        (tmp_path / "none.png", "no file"),
        (tmp_path / "none.json", "no file"),
        (tmp_path / "folder.png", "a folder"),
        ("a\0b.png", "no file"),
        ("a" * 5000, "no file"),
    ]:
        with pytest.raises(BadValue, match=says):
            read_recipe(path)


@unhurried
@given(st.binary())
def test_no_bytes_crash_the_reader_of_texts(data):
    for file in (data, b"\x89PNG\r\n\x1a\n" + data):
        with pytest.raises(BrokenPng):
            read_text(io.BytesIO(file))


@unhurried
@given(st.integers(0, 600), st.integers(0, 255))
def test_no_changed_byte_crashes_the_reader(place, value):
    data = bytearray(whole_png())
    data[place % len(data)] = value
    with contextlib.suppress(BrokenPng, XattnError, KeyError):
        assert Recipe.from_json(read_text(io.BytesIO(bytes(data)))["xattn"]) == RECIPE


@pytest.mark.parametrize(
    ("name", "says"),
    [("missing/fox.png", "does not exist"), ("folder.png", "it is a folder"), ("file/fox.png", "not a folder"),
     ("fox.gif", "fox.png"), ("fox", "fox.png"), ("a\0.png", "null byte"), ("f" * 300 + ".png", "too long")],
)  # fmt: skip
def test_what_cannot_be_written_is_a_sentence_and_leaves_nothing(tmp_path, name, says):
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "file").write_text("")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(CannotWrite, match=says):
        save_picture(drawn(), tmp_path / name)
    if says != "too long":  # only the system knows its limit
        with pytest.raises(CannotWrite, match=says):
            check_output(tmp_path / name)
    assert sorted(tmp_path.rglob("*")) == before


def test_checking_an_output_writes_nothing(tmp_path):
    assert check_output(tmp_path / "fox.PNG") == tmp_path / "fox.PNG"
    assert list(tmp_path.iterdir()) == []


def test_a_picture_is_named_as_the_caller_named_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert save_picture(drawn(), "fox.png") == Path("fox.png")
    assert read_recipe("fox.png") == RECIPE


def test_a_recipe_too_long_for_a_jpeg_is_found_before_there_is_a_picture(tmp_path: Path) -> None:
    long = replace(RECIPE, prompt="fox " * 10_000, negative_prompt="dog " * 10_000)
    with pytest.raises(CannotWrite, match=r"too long for a JPEG; save it as \.png"):
        check_room(long, tmp_path / "fox.jpg")
    for name in ("fox.png", "fox.webp"):
        check_room(long, tmp_path / name)
    check_room(RECIPE, tmp_path / "fox.jpg")
