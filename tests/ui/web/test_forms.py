"""From the form to a recipe and back, colours, limits, and text that makes a picture again."""

from __future__ import annotations

import base64
import io
import itertools
import json
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import ExifTags, Image

from pipelines.recipe import Recipe
from pipelines.techniques import Reweight
from pipelines.techniques.regions import Region, Regions
from pipelines.techniques.values import Box
from pipelines.upscale import Upscale
from ui.web.begin import opened, read_picture
from ui.web.colors import PALETTE, word_colors
from ui.web.copies import copies
from ui.web.edits import edited_recipe, painted, read_list, regioned, reworded, settled, weighed
from ui.web.forms import Form, carried, schedulers
from ui.web.limits import Limits
from xattn.errors import BadValue, UnknownName

FULL = Recipe(
    "a (fox:1.2) on purple",
    negative_prompt="cat",
    seed=7,
    num_inference_steps=12,
    guidance_scale=3.5,
    scheduler="dpmpp_2m",
    sigmas="karras",
    width=128,
    height=96,
    variation_seed=3,
    variation_strength=0.25,
    passes=(Upscale(2.0, 0.5),),
)


def png_of(size: tuple[int, int], box: tuple[int, int, int, int]) -> str:
    """A field that is white in a box, as the viewer sends it."""
    field = Image.new("L", size)
    field.paste(255, box)
    file = io.BytesIO()
    field.save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def test_a_recipe_comes_back_from_the_form_that_shows_it() -> None:
    assert Form.of(FULL).recipe() == FULL
    assert Form.of(Recipe("a fox")).recipe() == Recipe("a fox")


def test_what_the_form_has_no_place_for_is_carried_and_told() -> None:
    base = replace(FULL, clip_skip=1, noise="nv")
    assert Form.of(base).recipe(base) == base
    assert carried(base) == ("clip_skip 1", "noise nv")
    assert carried(FULL) == ()


@pytest.mark.parametrize(
    ("form", "said"),
    [
        (Form(" "), "prompt is ' '"),
        (Form("a fox", seed="x"), "seed is 'x'"),
        (Form("a fox", seed="-1"), "seed is '-1'"),
        (Form("a fox", width=100), "width is 100"),
        (Form("a fox", steps=0), "num_inference_steps is 0"),
    ],
)
def test_a_mistake_in_the_form_is_a_sentence(form: Form, said: str) -> None:
    with pytest.raises(BadValue, match=said):
        form.recipe()


def test_every_scheduler_that_is_offered_makes_a_recipe() -> None:
    for _, value in schedulers():
        assert Form("a fox", scheduler=value).recipe().scheduler == value.partition("+")[0]


@given(st.lists(st.sampled_from(["fox", "Fox", "cat", "on", "a", "purple", "red", "ice", "cream"]), max_size=9))
def test_a_word_has_one_colour_and_no_other_word_has_it(words: list[str]) -> None:
    colors = dict(zip(words, word_colors(words), strict=True))
    for one, other in itertools.combinations(colors, 2):
        assert (colors[one] == colors[other]) == (one.lower() == other.lower())


def test_a_words_colour_stays_while_the_prompt_is_edited() -> None:
    assert word_colors(["fox"])[0] == word_colors(["a", "fox", "on"])[1] == word_colors([("fox", 2)])[0]
    assert len(set(PALETTE)) == len(PALETTE)


def test_colours_of_words_are_told_apart_and_seen_on_light_and_dark() -> None:
    places = [_oklab(color) for color in PALETTE]
    for one, other in itertools.combinations(places, 2):
        assert np.linalg.norm(one - other) > 0.11
    for panel in ("#fbfcfe", "#171c2b"):
        for color in PALETTE:
            dark, light = sorted((_luminance(panel), _luminance(color)))
            assert (light + 0.05) / (dark + 0.05) >= 3, "WCAG 1.4.11, for what is no text"


def test_a_long_prompts_words_share_colours_evenly() -> None:
    words = [f"w{number}" for number in range(2 * len(PALETTE))]
    assert Counter(word_colors(words)) == dict.fromkeys(PALETTE, 2)


def _linear(color: str) -> NDArray[np.float64]:
    encoded = np.array([int(color[place : place + 2], 16) for place in (1, 3, 5)]) / 255
    return np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)


def _luminance(color: str) -> float:
    return float(_linear(color) @ (0.2126, 0.7152, 0.0722))


def _oklab(color: str) -> NDArray[np.float64]:
    """Ottosson 2020, a perceptual space: distances are as they look."""
    cones = ((0.4122, 0.5363, 0.0514), (0.2119, 0.6807, 0.1074), (0.0883, 0.2817, 0.63))
    lab = ((0.2105, 0.7936, -0.0041), (1.978, -2.4286, 0.4506), (0.0259, 0.7828, -0.8087))
    return np.array(lab) @ np.cbrt(np.array(cones) @ _linear(color))


def test_limits_are_sentences() -> None:
    limits = Limits(prompt=10, pixels=128 * 128 * 20, count=4, edits=1)
    with pytest.raises(BadValue, match="at most 10 characters"):
        limits.check_recipe(Recipe("a fox on purple"))
    small = Recipe("a fox", width=128, height=128, num_inference_steps=20)
    limits.check_recipe(small)
    with pytest.raises(BadValue, match="size × count × steps"):
        limits.check_recipe(small, count=2)
    with pytest.raises(BadValue, match="size × count × steps"):
        limits.check_recipe(replace(small, passes=(Upscale(2.0, 0.5),)))
    with pytest.raises(BadValue, match="count is 5"):
        limits.check_recipe(small, count=5)
    with pytest.raises(BadValue, match="at most 1 long"):
        limits.check_edits([{}, {}])
    said = Regions((Region("a red fox", Box(0, 0, 0.5, 1)), Region("a cat", Box(0.5, 0, 1, 1))))
    with pytest.raises(BadValue, match="prompts of regions is '14 characters long together"):
        limits.check_recipe(replace(small, edits=(said,)))
    with pytest.raises(BadValue, match="edits is 'a list of 2"):
        limits.check_recipe(replace(small, source=replace(small, edits=(Reweight(word="fox", scale=2.0),) * 2)))


def test_a_picture_is_refused_by_its_header_before_it_is_decoded() -> None:
    file = io.BytesIO()
    Image.new("1", (5000, 5000)).save(file, "PNG")
    data = base64.b64encode(file.getvalue()).decode()
    with pytest.raises(BadValue, match="5000×5000"):
        read_picture(data, Limits())
    with pytest.raises(BadValue, match="as base64"):
        read_picture(7, Limits())
    with pytest.raises(BadValue, match="PNG, JPEG or WebP"):
        read_picture(base64.b64encode(b"hello").decode(), Limits())


def test_a_photo_that_was_held_upright_is_seen_upright() -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    file = io.BytesIO()
    Image.new("RGB", (64, 32)).save(file, "JPEG", exif=exif)
    asset = read_picture(base64.b64encode(file.getvalue()).decode(), Limits())
    assert opened(asset).size == (asset.width, asset.height) == (32, 64)


def test_a_words_slider_puts_one_edit_into_the_list_and_takes_it_away() -> None:
    once = weighed([], "fox", 1.5)
    assert once == [{"kind": "reweight", "id": "weigh-fox", "word": "fox", "scale": 1.5}]
    both = weighed(weighed(once, ("cat", 2), 0.0), "fox", 2.0)
    assert [one["scale"] for one in both] == [2.0, 0.0]
    assert both[1]["word"] == ["cat", 2]
    assert [one["id"] for one in weighed(both, "fox", 1.0)] == ["weigh-cat (2)"]


def test_painting_makes_an_edit_a_word_and_keeps_what_was_set_on_it() -> None:
    field = {"png": png_of((64, 64), (0, 0, 32, 64))}
    first = painted([], {"1": field}, ("a", "fox"), Limits())
    assert [(one["kind"], one["word"], one["op"]) for one in first] == [("paint_map", "fox", "set")]
    assert first[0]["renormalise"] == "others"
    two = painted(first, {"0": field, "1": field}, ("a", "fox"), Limits())
    assert [one.get("renormalise") for one in two] == ["others", None], "two that share out anew cannot both hold"
    taken = reworded(first, "replace", False, (), same=False)
    assert [one.get("renormalise") for one in taken] == [None, None], "nor one after maps that are taken over"
    assert painted(taken[:1], {"1": field}, ("a", "fox"), Limits())[1].get("renormalise") is None
    again = {"png": png_of((64, 64), (32, 0, 64, 64))}
    second = painted([first[0] | {"op": "gain", "amount": 4.0}], {"1": again}, ("a", "fox"), Limits())
    assert (second[0]["op"], second[0]["amount"]) == ("gain", 4.0)
    assert second[0]["field"]["sha256"] != first[0]["field"]["sha256"]
    assert painted(second, {}, ("a", "fox"), Limits()) == []
    made = edited_recipe(Recipe("a fox", seed=1), "", second)
    assert made.source is None
    assert made.edits[0].kind == "paint_map"


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ([], "an object of painted fields"),
        ({"7": {"png": ""}}, "the place of a word"),
        ({"0": {"png": "!!"}}, "base64"),
        ({"0": {"png": "A" * 400_000}}, "a small PNG"),
        ({"0": {"png": png_of((300, 300), (0, 0, 9, 9))}}, "at most 256 a side"),
    ],
)
def test_a_field_that_no_brush_made_is_refused(fields: object, said: str) -> None:
    with pytest.raises(BadValue, match=said):
        painted([], fields, ("a", "fox"), Limits())


def test_a_changed_prompt_takes_over_from_the_first_one() -> None:
    edits = reworded([], "replace", True, ("panda",), same=False)
    assert [one["kind"] for one in edits] == ["replace", "inject", "local_blend"]
    base = Recipe("a fox on purple", seed=1)
    made = edited_recipe(base, "a panda on purple", edits)
    assert made.source == base
    assert made.prompt == "a panda on purple"
    assert [one["kind"] for one in reworded(edits, "refine", False, (), same=False)] == ["refine"]
    assert reworded(edits, "", False, (), same=True) == []


def test_what_was_set_on_an_edit_survives_typing() -> None:
    edits = reworded([], "replace", True, (), same=False)
    edits[0]["window"] = {"steps": [0.0, 0.5]}
    assert reworded(edits, "replace", True, ("fox",), same=False)[0]["window"] == {"steps": [0.0, 0.5]}


def test_regions_with_prompts_become_one_edit() -> None:
    regions = [
        {"id": "r1", "left": 0.0, "top": 0.0, "right": 0.5, "bottom": 1.0, "prompt": "a cat", "color": "#ff0000"},
        {"id": "r2", "left": 0.5, "top": 0.0, "right": 1.0, "bottom": 1.0, "prompt": " ", "color": "#00ff00"},
    ]
    edits = regioned([], regions)
    assert edited_recipe(Recipe("a fox"), "", edits).edits[0].kind == "regions"
    assert len(edits[0]["regions"]) == 1
    assert regioned(edits, []) == []


def test_an_edit_that_nobody_knows_is_told() -> None:
    with pytest.raises(UnknownName, match='no kind of edit "nope"'):
        edited_recipe(Recipe("a fox"), "", [{"kind": "nope"}])
    with pytest.raises(BadValue, match="a list of objects"):
        read_list("nope", Limits())


@pytest.mark.parametrize("recipe", [Recipe("a fox", seed=3), FULL, Recipe('it\'s "a" $fox `x`\nRECIPE', seed=1)])
def test_every_copy_says_the_same_recipe(recipe: Recipe) -> None:
    texts = {one.label: one.text for one in copies(recipe)}
    assert Recipe.from_json(texts["Batch line"]) == recipe
    assert "\n" not in texts["Batch line"]
    assert Recipe.from_json(json.loads(texts["Recipe"])) == recipe
    asked: list[Recipe] = []
    compile(texts["Python"], "copy", "exec")
    del asked


def _stroke_of(word: str, **more: Any) -> dict[str, Any]:
    return {"kind": "paint_map", "id": f"paint-{word}", "word": word, "op": "set", "amount": 4.0} | more


ROOM = {"renormalise": "others"}


@pytest.mark.parametrize(
    ("edits", "before", "wanted"),
    [
        ([("fox", ROOM), ("cat", {})], [], [("fox", ROOM), ("cat", {})]),
        ([("cat", {}), ("fox", ROOM)], [("fox", ROOM), ("cat", {})], [("fox", ROOM), ("cat", {})]),
        ([("fox", ROOM), ("cat", ROOM)], [("fox", ROOM), ("cat", {})], [("cat", ROOM), ("fox", {})]),
        ([("fox", ROOM), ("cat", ROOM)], [], [("fox", ROOM), ("cat", {})]),
        (
            [("fox", {"enabled": False} | ROOM), ("cat", ROOM)],
            [],
            [("fox", {"enabled": False} | ROOM), ("cat", ROOM)],
        ),
        ([("fox", {}), ("cat", {"op": "gain", "renormalise": "softmax"})], [], None),
    ],
)
def test_painted_words_need_no_order_of_a_person(edits: list[Any], before: list[Any], wanted: list[Any] | None) -> None:
    lists = [[_stroke_of(word, **more) for word, more in one] for one in (edits, before, wanted or edits)]
    assert settled(lists[0], lists[1]) == lists[2]
