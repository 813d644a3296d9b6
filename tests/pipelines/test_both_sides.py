"""Maps of the edited and of the model's own attention in one run: each as its own run gives it, and what that costs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from pipelines.asked import Probe
from pipelines.attention_maps import AttentionMaps
from pipelines.capture import Capture
from pipelines.pipeline import Pipeline
from pipelines.recipe import Recipe
from pipelines.techniques import Edit, Reweight
from pipelines.techniques.values import Box
from tests.pipelines.techniques.samples import SAMPLES, TARGET
from tests.pipelines.techniques.test_counts import Calls

EVERYTHING = Capture(
    ("fox", "a cat", "*", Probe("dog")),
    keep=("step", "layer", "head"),
    resolution="native",
    places=((0.3, 0.6), Box(0.5, 0.0, 1.0, 0.5)),
    self_attention=True,
)


def seen(pipe: Pipeline, recipe: Recipe, capture: Capture) -> AttentionMaps:
    maps = pipe(recipe, maps=capture).maps
    assert maps is not None
    return maps


def assert_same(one: AttentionMaps, other: AttentionMaps) -> None:
    assert (one.words, one.made, one.steps, one.layers) == (other.words, other.made, other.steps, other.layers)
    np.testing.assert_array_equal(one.values, other.values)
    mine = {name for name in one.parts if name != "model"}
    assert mine == {name for name in other.parts if name != "model"}
    for name in mine:
        assert_same(one.parts[name], other.parts[name])


@pytest.mark.parametrize("edit", SAMPLES.values(), ids=SAMPLES)
def test_each_is_what_a_run_for_it_alone_gives_bit_for_bit(pipe: Pipeline, edit: Edit) -> None:
    recipe = replace(TARGET, edits=(edit,))
    both = pipe(recipe, maps=replace(EVERYTHING, at="both"))
    assert both.maps is not None
    assert both.maps.model is not None
    edited, model = (seen(pipe, recipe, replace(EVERYTHING, at=at)) for at in ("edited", "model"))
    assert_same(both.maps, edited)
    assert_same(both.maps.model, model)
    assert both.image.tobytes() == pipe(recipe).image.tobytes()


def test_they_differ_where_an_edit_acts(pipe: Pipeline) -> None:
    maps = seen(pipe, replace(TARGET, edits=(Reweight("fox", 3.0),)), Capture(("fox", "cat"), at="both"))
    assert maps.model is not None
    np.testing.assert_allclose(maps["fox"], 3 * maps.model["fox"], rtol=1e-5)
    np.testing.assert_array_equal(maps["cat"], maps.model["cat"])


def test_both_of_several_pictures_in_one_batch(pipe: Pipeline) -> None:
    recipes = [replace(TARGET, edits=(Reweight("fox", 3.0),)), replace(TARGET, edits=(Reweight("cat", 0.0),), seed=8)]
    capture = Capture(("fox", "cat"), keep=("step",))

    def drawn(at: Literal["model", "edited", "both"]) -> list[AttentionMaps]:
        return [one.maps for one in pipe(recipes, maps=replace(capture, at=at)) if one.maps is not None]

    for both, edited, model in zip(drawn("both"), drawn("edited"), drawn("model"), strict=True):
        assert both.model is not None
        assert_same(both, edited)
        assert_same(both.model, model)


@pytest.mark.parametrize("dtype", ["float32", "float16", "uint8"])
def test_their_bytes_are_told_before_and_they_come_back_from_a_file(
    pipe: Pipeline, tmp_path: Path, dtype: Literal["float32", "float16", "uint8"]
) -> None:
    recipe = replace(TARGET, edits=(Reweight("fox", 3.0),))
    capture = replace(EVERYTHING, at="both", dtype=dtype)
    maps = seen(pipe, recipe, capture)
    told = pipe.explain(recipe, maps=capture)
    assert told.map_bytes == maps.nbytes == 2 * pipe.explain(recipe, maps=replace(capture, at="model")).map_bytes
    assert "of the edited attention and of the model's own" in told.watching
    maps.save(tmp_path / "maps.npz")
    again = AttentionMaps.load(tmp_path / "maps.npz")
    assert again.model is not None
    assert maps.model is not None
    assert_same(again, maps)
    assert_same(again.model, maps.model)
    third = maps.at(step=3, layer=maps.layers[0]).model
    assert third is not None
    assert_same(third, maps.model.at(step=3, layer=maps.layers[0]))
    maps.save(tmp_path / "folder")
    np.testing.assert_array_equal(np.load(tmp_path / "folder/model/fox.npy"), maps.model.decoded(0))


def test_a_picture_that_is_looked_at_has_no_edits_so_both_are_one(pipe: Pipeline) -> None:
    picture = pipe("a fox on purple", seed=3, num_inference_steps=2).image
    maps = pipe.look(picture, "a fox on purple", at=(0.3, 0.6), maps=Capture(("fox",), at="both"))
    assert maps.model is not None
    assert maps.model.times == maps.times == (0.3, 0.6)
    np.testing.assert_array_equal(maps.values, maps.model.values)


def calls(pipe: Pipeline, recipe: Recipe, at: Literal["model", "edited", "both"]) -> Calls:
    stream = pipe.stream(recipe, maps=Capture(("fox", "cat"), at=at))
    next(stream)
    with Calls() as counted:
        next(stream)
    stream.close()  # type: ignore[attr-defined]
    return counted


def test_both_cost_no_fused_call_and_no_softmax_more_than_the_two(pipe: Pipeline) -> None:
    """Without edits one product does for both; a reweight's two share one softmax; what acts on scores has one each."""
    plain, reweighted = TARGET, replace(TARGET, edits=(Reweight("fox", 3.0),))
    for recipe in (plain, reweighted, *(replace(TARGET, edits=(edit,)) for edit in SAMPLES.values())):
        both, edited, model = (calls(pipe, recipe, at) for at in ("both", "edited", "model"))
        assert both.fused == edited.fused == model.fused
        assert both.softmax.total() <= edited.softmax.total() + model.softmax.total()
    cross = sum(site.cross for site in pipe.model.unet.sites)
    assert calls(pipe, plain, "both").products == calls(pipe, plain, "edited").products
    assert calls(pipe, reweighted, "both").softmax.total() == calls(pipe, reweighted, "edited").softmax.total() == cross
