"""Who is drawn together: by what a batch shares, and each edited picture beside its source."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pipelines.batches import batches
from pipelines.pipeline import Pipeline
from pipelines.recipe import Recipe
from pipelines.techniques import Reweight
from xattn.errors import BadValue, UnknownWord

DOG = Recipe("a dog on purple", seed=3, num_inference_steps=3, guidance_scale=4.0)
FROM_DOG = Recipe("a fox on purple", source=DOG, edits=(Reweight("purple", 2.0, of="source"),))


def pixels(result: object) -> np.ndarray:
    return np.asarray(result.image).astype(int)  # type: ignore[attr-defined]


def test_a_source_leaves_open_what_its_target_says_and_gives_its_seed(pipe: Pipeline) -> None:
    resolved = pipe.resolve(FROM_DOG, num_inference_steps=3, guidance_scale=4.0, width=96)
    assert resolved.source is not None
    assert (resolved.seed, resolved.source.width, resolved.source.num_inference_steps) == (3, 96, 3)
    assert resolved.open_fields() == ()
    assert len(resolved.hash) == 64


@pytest.mark.parametrize(
    ("fields", "parameter"),
    [
        ({"num_inference_steps": 4}, "source.num_inference_steps"),
        ({"width": 64}, "source.width"),
        ({"scheduler": "euler"}, "source.scheduler"),
        ({"guidance_scale": 1.0}, "source.guidance_scale"),
        ({"clip_skip": 1}, "source.clip_skip"),
    ],
)
def test_a_source_that_cannot_be_drawn_beside_its_target_is_told(
    pipe: Pipeline, fields: dict[str, object], parameter: str
) -> None:
    target = replace(FROM_DOG, num_inference_steps=3, guidance_scale=4.0, width=96, scheduler="ddim")
    assert target.source is not None
    with pytest.raises(BadValue) as caught:
        pipe.resolve(replace(target, source=replace(target.source, **fields)))  # type: ignore[arg-type]
    assert caught.value.parameter == parameter


def test_targets_share_their_source_and_a_listed_source_is_drawn_once(pipe: Pipeline) -> None:
    fox, cat = pipe.resolve(FROM_DOG, **SHORT), pipe.resolve(replace(FROM_DOG, prompt="a cat on purple"), **SHORT)
    dog = fox.source
    assert dog is not None
    (batch,) = batches([fox, cat, dog], 8, pipe.model.text)
    assert batch.recipes == (fox, dog, cat)
    assert batch.sources == (1, None, 1)
    assert batch.wanted == ((0, 0), (1, 2), (2, 1))


def test_no_target_is_parted_from_its_source(pipe: Pipeline) -> None:
    targets = [pipe.resolve(replace(FROM_DOG, prompt=f"a {word} on purple"), **SHORT) for word in ("fox", "cat", "ice")]
    for size, expected in ((1, [2, 2, 2]), (2, [2, 2, 2]), (3, [3, 2]), (4, [4])):
        made = batches(targets, size, pipe.model.text)
        assert [len(batch.recipes) for batch in made] == expected
        assert [place for batch in made for place, _ in batch.wanted] == [0, 1, 2]


SHORT = {"num_inference_steps": 3, "guidance_scale": 4.0}


@pytest.mark.parametrize("scheduler", ["euler_a", "lcm"])
def test_a_gpus_noise_at_every_step_goes_beside_a_cpus(pipe: Pipeline, scheduler: str) -> None:
    cpu = Recipe("a fox on purple", seed=4, scheduler=scheduler, num_inference_steps=4)
    gpu = replace(cpu, noise="nv")
    together = [pixels(result) for result in pipe([cpu, gpu])]
    for made, recipe in zip(together, (cpu, gpu), strict=True):
        assert abs(made - pixels(pipe(recipe))).max() <= 1
    assert abs(together[0] - together[1]).max() > 20
    (both,) = batches([pipe.resolve(cpu), pipe.resolve(gpu)], 8, pipe.model.text)
    assert len(both.recipes) == 2


def test_a_target_is_the_same_alone_and_beside_others(pipe: Pipeline) -> None:
    fox = replace(FROM_DOG, **SHORT)
    recipes = [Recipe("a cat on red", seed=1, **SHORT), fox, replace(fox, prompt="a cat on purple"), DOG]
    together = pipe(recipes)
    for alone, drawn in zip(map(pipe, recipes), together, strict=True):
        assert abs(pixels(alone) - pixels(drawn)).max() <= 1
    assert abs(pixels(together[1]) - pixels(together[2])).max() > 2
    # the source itself is the plain picture of its recipe: an edited neighbour takes from it and gives nothing
    assert abs(pixels(together[3]) - pixels(pipe(DOG))).max() <= 1
    assert together[1].provenance.batch == 4


def test_what_is_wrong_in_the_last_of_many_is_told_before_the_first_step(pipe: Pipeline) -> None:
    wrong = Recipe("a cat on red", seed=1, edits=(Reweight("wolf", 2.0),), width=96, **SHORT)
    with pytest.raises(UnknownWord, match="Its words are: a, cat, on, red"):
        pipe.stream([DOG, wrong])
