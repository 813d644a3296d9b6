"""A concept that is not in the prompt: what softmax it shares, and that nothing else notices."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pipelines.asked import Probe
from pipelines.attention_maps import AttentionMaps
from pipelines.capture import Capture
from pipelines.pipeline import Pipeline
from pipelines.recipe import Recipe
from pipelines.techniques import Edit
from tests.models import write_model, write_xl_model
from tests.pipelines.techniques.samples import SAMPLES, TARGET
from xattn.errors import BadValue, UnknownWord

FOX = Recipe("a fox and ice cream on purple", seed=7, num_inference_steps=2, guidance_scale=5.0, width=64, height=96)
EVERYTHING = Capture(("*", Probe("cat"), Probe("ice cream")), ("step", "layer", "head"), resolution="native")


@pytest.fixture(scope="module")
def pipes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Pipeline]:
    folder = write_model(tmp_path_factory.mktemp("models") / "tiny")
    return {name: Pipeline.from_pretrained(folder, backend=name) for name in ("auto", "tiled", "explicit")}


@pytest.fixture(scope="module")
def pipe(pipes: dict[str, Pipeline]) -> Pipeline:
    return pipes["auto"]


def maps(pipe: Pipeline, capture: Capture, recipe: Recipe = FOX) -> AttentionMaps:
    made = pipe(recipe, maps=capture).maps
    assert made is not None
    return made


def test_a_probe_stands_in_one_softmax_with_the_whole_prompt(pipe: Pipeline) -> None:
    """Probed as it stands in the prompt, a word with a share p of a place gets p / (1 + p), in every head."""
    capture = Capture(("fox", Probe("fox")), ("step", "layer", "head"), resolution="native")
    seen, sites = maps(pipe, capture), [site for site in pipe.model.unet.sites if site.cross]
    fine = [site.name for site in sites if site.downsampling == 1]  # where nothing is interpolated
    assert len(fine) >= 2
    for name in fine:
        word, probe = seen.at(layer=name).to_numpy()
        assert word.max() > 0.05
        np.testing.assert_allclose(probe, word / (1 + word), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("backend", ["auto", "tiled", "explicit"])
def test_neither_the_picture_nor_the_words_change_by_a_bit(pipes: dict[str, Pipeline], backend: str) -> None:
    plain = pipes[backend](FOX)
    words = pipes[backend](FOX, maps=replace(EVERYTHING, words="*"))
    both = pipes[backend](FOX, maps=EVERYTHING)
    assert plain.image.tobytes() == words.image.tobytes() == both.image.tobytes()
    assert words.maps is not None
    assert both.maps is not None
    assert (words.maps.values == both.maps.values[:-2]).all()
    assert both.maps.words[-2:] == (Probe("cat"), Probe("ice cream"))


@pytest.mark.parametrize("edit", SAMPLES.values(), ids=SAMPLES)
def test_probes_and_places_change_no_bit_of_an_edited_picture(pipe: Pipeline, edit: Edit) -> None:
    recipe = replace(TARGET, num_inference_steps=2, source=replace(TARGET.source, num_inference_steps=2))  # type: ignore[type-var]
    recipe = replace(recipe, edits=(edit,))
    plain = pipe(recipe).image
    capture = Capture(("*", Probe("ice cream")), places=((0.3, 0.2),), self_attention=True)
    seen = pipe(recipe, maps=capture)
    assert seen.image.tobytes() == plain.tobytes()
    assert seen.maps is not None
    assert seen.maps[Probe("ice cream")].min() > 0, "an edit of the prompt's attention does not reach a probe"


def test_probes_do_not_see_each_other(pipe: Pipeline) -> None:
    alone = maps(pipe, Capture((Probe("cat"),)))
    assert alone.words == (Probe("cat"),)
    np.testing.assert_allclose(maps(pipe, EVERYTHING)["cat"], alone["cat"], rtol=1e-4, atol=1e-7)


def test_a_probe_is_found_by_its_text_and_a_word_comes_first(pipe: Pipeline) -> None:
    seen = maps(pipe, Capture(("fox", Probe("fox"), Probe("cat"))))
    assert (seen["fox"] == seen[0]).all()
    assert (seen[Probe("fox")] == seen[1]).all()
    assert (seen["cat"] == seen[Probe("cat")]).all()
    assert seen.label(Probe("cat")) == "cat"
    with pytest.raises(UnknownWord, match="asked for"):
        seen[Probe("cat", after="a red")]


def test_words_before_a_probe_are_read_and_not_counted(pipe: Pipeline) -> None:
    seen = maps(pipe, Capture((Probe("cat"), Probe("a cat", after=""), Probe("cat", after="a red"))))
    assert seen[1].mean() > seen[0].mean()
    assert not np.allclose(seen[0], seen[2])


def test_phrases_are_masses_or_means_of_their_tokens(pipe: Pipeline) -> None:
    capture = Capture((Probe("ice cream"),), resolution=6)
    mass, mean = maps(pipe, capture), maps(pipe, replace(capture, measure="mean"))
    np.testing.assert_allclose(mass[0], 2 * mean[0], rtol=1e-4)


def test_a_probe_works_beside_neighbours_and_long_and_changing_prompts(pipe: Pipeline) -> None:
    capture = Capture(("*", Probe("cat")))
    recipes = [FOX, replace(FOX, prompt="a [cat:dog:1] on red"), replace(FOX, prompt="a fox on purple and " * 20)]
    for recipe, result in zip(recipes, pipe(recipes, maps=capture), strict=True):
        alone = maps(pipe, capture, recipe)
        assert result.maps is not None
        assert result.maps.words == alone.words
        np.testing.assert_allclose(result.maps[Probe("cat")], alone[Probe("cat")], rtol=1e-3, atol=1e-6)


def test_a_probe_works_with_two_towers(tmp_path_factory: pytest.TempPathFactory) -> None:
    pipe = Pipeline.from_pretrained(write_xl_model(tmp_path_factory.mktemp("models") / "xl"))
    recipe = Recipe("a fox on purple", seed=1, num_inference_steps=2)
    plain, seen = pipe(recipe), pipe(recipe, words=("fox", Probe("cat")))
    assert plain.image.tobytes() == seen.image.tobytes()
    assert seen.maps is not None
    assert 0 < seen.maps["cat"].max() < 1


def test_what_cannot_be_probed_is_refused(pipe: Pipeline) -> None:
    with pytest.raises(BadValue, match="probe"):
        Probe(" ")
    with pytest.raises(BadValue, match="a few words"):
        pipe.stream(FOX, words=(Probe("a fox " * 50),))
    with pytest.raises(BadValue, match="role"):
        Capture((Probe("cat"),), role="uncond")
