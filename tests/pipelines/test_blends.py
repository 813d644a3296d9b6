"""Where local blending let a picture differ from its source, told with the picture."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from pipelines.pipeline import Pipeline
from pipelines.recipe import Recipe
from pipelines.results import Finished, Result, StepEvent
from pipelines.techniques import LocalBlend, Reweight
from pipelines.techniques.values import Box

SOURCE = Recipe("a fox on purple", seed=3, num_inference_steps=3, width=64, height=64)
TARGET = replace(SOURCE, prompt="a dog on purple", source=SOURCE)


def drawn(pipe: Pipeline, *recipes: Recipe) -> tuple[torch.Tensor, tuple[Result, ...]]:
    """The last latents [images, c, h, w] and the results."""
    *steps, last = pipe.stream(recipes)
    assert isinstance(steps[-1], StepEvent)
    assert isinstance(last, Finished)
    return steps[-1].latents, last.results


def test_outside_of_it_the_latents_are_the_sources(pipe: Pipeline) -> None:
    recipe = replace(TARGET, edits=(Reweight("purple", 2.0), LocalBlend(words=("dog",), threshold=0.8)))
    latents, (picture, plain) = drawn(pipe, recipe, SOURCE)
    assert list(picture.blends) == [1], "by its place in the list"
    assert plain.blends == {}
    mask = picture.blends[1]
    assert mask.shape == latents.shape[-2:]
    assert mask.dtype == np.float32
    assert 0 < mask.mean() < 1
    apart = (latents[0] - latents[1]).abs().amax(dim=0).numpy()
    assert apart[mask == 0].max() < 1e-5
    assert apart[mask == 1].min() > 1e-5


def test_one_that_never_acts_says_nothing(pipe: Pipeline) -> None:
    off = LocalBlend(words=("dog",), enabled=False)
    _, (picture,) = drawn(pipe, replace(TARGET, edits=(off, LocalBlend(mask=Box(0.0, 0.0, 0.5, 1.0)))))
    (place,) = picture.blends
    assert place == 1
    left = picture.blends[1].shape[1] // 2
    assert picture.blends[1][:, :left].min() == 1.0
    assert picture.blends[1][:, left:].max() == 0.0
