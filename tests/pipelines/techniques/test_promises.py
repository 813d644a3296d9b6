"""What holds of every technique: exact, confined, unseen by watchers, alone as among others, and gone after its run."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from pipelines.assets import Asset
from pipelines.capture import Capture
from pipelines.pipeline import Finished, Pipeline, StepEvent
from pipelines.recipe import Recipe
from pipelines.techniques import TECHNIQUES, Edit
from pipelines.techniques.window import Window
from pipelines.upscale import Upscale
from tests.models import write_model
from tests.pipelines.techniques.samples import SAMPLES, SOURCE, TARGET

BLOBS = Asset.from_image(
    Image.fromarray(np.random.default_rng(3).integers(0, 255, (5, 5, 3), np.uint8)).resize((64, 96), 3)
)
every_edit = pytest.mark.parametrize("edit", SAMPLES.values(), ids=SAMPLES)


@pytest.fixture(scope="module")
def pipes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Pipeline]:
    folder = write_model(tmp_path_factory.mktemp("models") / "tiny")
    return {name: Pipeline.from_pretrained(folder, backend=name) for name in ("auto", "tiled", "explicit")}


@pytest.fixture(scope="module")
def pipe(pipes: dict[str, Pipeline]) -> Pipeline:
    return pipes["auto"]


def pixels(pipe: Pipeline, recipe: Recipe, words: tuple[str, ...] = ()) -> np.ndarray:
    return np.asarray(pipe(recipe, words=words).image).astype(int)


def latents(pipe: Pipeline, recipe: Recipe) -> torch.Tensor:
    """What the target's last step leaves, before it is decoded."""
    return [event.latents for event in pipe.stream(recipe) if isinstance(event, StepEvent)][-1]


def test_every_technique_has_a_sample() -> None:
    assert {type(edit) for edit in SAMPLES.values()} == set(TECHNIQUES)


@every_edit
def test_it_changes_the_picture(pipe: Pipeline, edit: Edit) -> None:
    assert (pixels(pipe, replace(TARGET, edits=(edit,))) != pixels(pipe, TARGET)).any()


@every_edit
def test_watching_never_changes_a_bit(pipe: Pipeline, edit: Edit) -> None:
    recipe = replace(TARGET, edits=(edit,))
    plain = pixels(pipe, recipe)
    for capture in (Capture(at="model"), Capture(at="edited", keep=("step", "layer", "head"), resolution="native")):
        assert (np.asarray(pipe(recipe, maps=capture).image).astype(int) == plain).all()


@every_edit
@pytest.mark.parametrize(
    "window",
    [Window(steps=(0.5, 0.5)), Window(steps=(9, 12)), None],
    ids=["no steps", "later steps", "not enabled"],
)
def test_outside_its_window_it_changes_nothing(pipe: Pipeline, edit: Edit, window: Window | None) -> None:
    closed = replace(edit, enabled=False) if window is None else replace(edit, window=window)
    assert (pixels(pipe, replace(TARGET, edits=(closed,))) == pixels(pipe, TARGET)).all()


@every_edit
@pytest.mark.parametrize("backend", ["tiled", "explicit"])
def test_every_backend_draws_the_same(pipes: dict[str, Pipeline], edit: Edit, backend: str) -> None:
    recipe = replace(TARGET, edits=(edit,), num_inference_steps=10, source=replace(SOURCE, num_inference_steps=10))
    ours, other = latents(pipes["auto"], recipe), latents(pipes[backend], recipe)
    torch.testing.assert_close(ours, other, rtol=0, atol=1e-4)


@every_edit
def test_it_is_the_same_alone_and_among_others(pipe: Pipeline, edit: Edit) -> None:
    edited = replace(TARGET, edits=(edit,))
    others = [Recipe("a dog on red", seed=9, num_inference_steps=4, guidance_scale=4.0, width=64, height=96), TARGET]
    together = pipe([others[0], edited, others[1]])
    for alone, drawn in zip((others[0], edited, others[1]), together, strict=True):
        assert abs(pixels(pipe, alone) - np.asarray(drawn.image).astype(int)).max() <= 1


@every_edit
def test_a_recipe_with_it_comes_back_from_json(pipe: Pipeline, edit: Edit) -> None:
    recipe = pipe.resolve(replace(TARGET, edits=(edit,)))
    again = Recipe.from_json(recipe.to_json())
    assert again == recipe
    assert again.hash == recipe.hash != pipe.resolve(TARGET).hash


@every_edit
def test_a_second_pass_is_edited_as_a_picture_of_its_size_is(pipe: Pipeline, edit: Edit) -> None:
    """Whatever lies on a grid is brought to the larger one: words, boxes, painted fields, live maps."""
    source = replace(SOURCE, init=BLOBS, strength=0.5, num_inference_steps=8)  # a live map is there from the second on
    recipe = replace(TARGET, source=source, init=BLOBS, strength=0.5, num_inference_steps=8, edits=(edit,))
    passes = (Upscale(1.5, 0.5, "pixel-lanczos"),)
    twice = pixels(pipe, replace(recipe, passes=passes, source=replace(source, passes=passes)))
    first, ours = (pipe(one).image.resize((96, 144), Image.Resampling.LANCZOS) for one in (source, recipe))
    larger = replace(source, init=Asset.from_image(first), width=96, height=144)
    again = replace(recipe, init=Asset.from_image(ours), width=96, height=144, source=larger)
    assert abs(twice - pixels(pipe, again)).max() <= 2
    assert abs(twice - pixels(pipe, replace(again, edits=()))).max() > 2


def test_a_run_leaves_the_model_as_it_was_and_two_at_once_do_not_meet(pipe: Pipeline) -> None:
    before = {name: value.clone() for name, value in pipe.model.unet.state_dict().items()}
    recipes = [replace(TARGET, edits=(edit,)) for edit in list(SAMPLES.values())[:2]]
    alone = [pixels(pipe, recipe) for recipe in recipes]
    streams = [pipe.stream(recipe) for recipe in recipes]
    drawn: list[np.ndarray] = []
    while len(drawn) < 2:
        for stream in streams:
            event = next(stream, None)
            if isinstance(event, Finished):
                drawn.append(np.asarray(event.results[0].image).astype(int))
    assert (np.stack(drawn) == np.stack(alone)).all()
    abandoned = pipe.stream(recipes[0])
    next(abandoned)
    abandoned.close()  # type: ignore[attr-defined]
    assert (pixels(pipe, TARGET) == pixels(pipe, TARGET)).all()
    assert all(torch.equal(before[name], value) for name, value in pipe.model.unet.state_dict().items())
