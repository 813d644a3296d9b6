"""The rules of guidance against diffusers' arithmetic, and through whole runs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline
from diffusers.guiders.adaptive_projected_guidance import MomentumBuffer, normalized_guidance
from diffusers.guiders.guider_utils import rescale_noise_cfg
from hypothesis import given
from hypothesis import strategies as st

from pipelines.guidance import ClassifierFree, Projected
from pipelines.guidance.classifier_free import classifier_free
from pipelines.guidance.guide import Guide
from pipelines.pipeline import Pipeline
from pipelines.recipe import Recipe
from xattn.errors import BadValue, UnknownName

FOX = Recipe("a fox", negative_prompt="a dog", seed=7, num_inference_steps=3, guidance_scale=6.0)


def predictions(seed: int, images: int = 2) -> dict[str, torch.Tensor]:
    made = torch.randn(2, images, 4, 6, 5, generator=torch.Generator().manual_seed(seed))
    return {"uncond": made[0], "cond": made[0] + 0.5 * made[1]}


@given(scale=st.floats(0, 20), rescale=st.floats(0, 1), seed=st.integers(0, 99))
def test_rescaled_guidance_is_diffusers(scale: float, rescale: float, seed: int) -> None:
    rows = predictions(seed)
    plain = rows["uncond"] + scale * (rows["cond"] - rows["uncond"])
    ours = classifier_free(rows["cond"], rows["uncond"], torch.full((2, 1, 1, 1), scale), rescale)
    torch.testing.assert_close(ours, rescale_noise_cfg(plain, rows["cond"], rescale), rtol=1e-4, atol=1e-4)


@given(
    scale=st.floats(1.1, 20),
    eta=st.floats(0, 1),
    momentum=st.floats(-1, 0.9),
    threshold=st.sampled_from([0.0, 3.0, 99.0]),
)
def test_projected_guidance_is_diffusers_over_the_steps(
    scale: float, eta: float, momentum: float, threshold: float
) -> None:
    guide = Guide(Projected(eta, momentum, threshold), [scale, scale], 3)
    buffer = MomentumBuffer(momentum)
    for step in range(3):
        rows = predictions(step)
        # the paper's formulation adds (w - 1) to the conditional prediction; diffusers calls that the original one
        theirs = normalized_guidance(
            rows["cond"], rows["uncond"], scale - 1, buffer, eta, threshold, use_original_formulation=True
        )
        torch.testing.assert_close(guide(rows), theirs, rtol=1e-4, atol=1e-4)  # type: ignore[arg-type]


def test_without_bound_and_momentum_and_with_all_of_it_it_is_classifier_free() -> None:
    rows = predictions(1)
    guide = Guide(Projected(eta=1.0, momentum=0.0, threshold=0.0), [5.0, 5.0], 1)
    torch.testing.assert_close(guide(rows), Guide(ClassifierFree(), [5.0, 5.0], 1)(rows))  # type: ignore[arg-type]


def test_no_guidance_runs_no_second_row() -> None:
    assert Guide(ClassifierFree(), [1.0, 1.0], 4).roles == ("cond",)
    assert Guide(ClassifierFree(), [1.0, 2.0], 4).roles == ("uncond", "cond")


def furthest(one: object, other: object) -> int:
    return int(np.abs(np.asarray(one).astype(int) - np.asarray(other).astype(int)).max())


def test_a_rescaled_picture_is_diffusers_own(pipe: Pipeline, folder: Path) -> None:
    theirs = StableDiffusionPipeline.from_pretrained(str(folder), local_files_only=True)
    theirs.set_progress_bar_config(disable=True)
    picture = theirs(
        FOX.prompt,
        negative_prompt="a dog",
        num_inference_steps=3,
        guidance_scale=6.0,
        guidance_rescale=0.7,
        generator=torch.Generator().manual_seed(7),
    ).images[0]
    ours = pipe(replace(FOX, guidance=ClassifierFree(rescale=0.7))).image
    assert furthest(ours, picture) <= 2
    assert furthest(ours, pipe(FOX).image) > 5


def test_rules_of_different_pictures_do_not_meet_in_a_batch(pipe: Pipeline) -> None:
    recipes = [
        replace(FOX, guidance=Projected(), guidance_scale=9.0),
        replace(FOX, guidance=Projected(), seed=8),
        replace(FOX, guidance=ClassifierFree(0.5)),
        FOX,
    ]
    for recipe, result in zip(recipes, pipe(recipes), strict=True):
        assert furthest(result.image, pipe(recipe).image) <= 1


@pytest.mark.parametrize("rule", [ClassifierFree(), ClassifierFree(0.7), Projected(), Projected(eta=0.5, threshold=0)])
def test_a_rule_travels_in_the_recipe(rule: ClassifierFree | Projected) -> None:
    recipe = replace(FOX, guidance=rule)
    assert Recipe.from_json(recipe.to_json()) == recipe
    assert "guidance" in recipe.document()
    assert "guidance" not in FOX.document()


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ('{"kind": "apgg"}', "cfg, apg"),
        ('{"kind": "apg", "etta": 1}', "eta"),
        ('{"kind": "apg", "eta": 2}', r"guidance\.eta"),
        ("3", "an object such as"),
    ],
)
def test_a_rule_that_is_none_is_refused(given: str, says: str) -> None:
    with pytest.raises((BadValue, UnknownName), match=says):
        Recipe.from_json(f'{{"prompt": "a fox", "guidance": {given}}}')


def test_only_rules_are_rules() -> None:
    with pytest.raises(BadValue, match="ClassifierFree"):
        Recipe("a fox", guidance="apg")  # type: ignore[arg-type]
