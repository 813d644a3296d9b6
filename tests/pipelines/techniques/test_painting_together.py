"""Painting beside the other edits: in one run, in list order, or a sentence that says why not."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from pipelines.pipeline import Pipeline, StepEvent
from pipelines.recipe import Recipe
from pipelines.techniques import Edit, Inject, NegPip, PaintMap, PaintWithWords, Regions, Replace, Reweight
from pipelines.techniques.regions import Region
from pipelines.techniques.values import WordMap
from tests.models import write_model
from tests.pipelines.techniques.samples import LEFT, PAINTED, SOURCE, TARGET
from xattn.errors import Conflict

TEN = replace(TARGET, num_inference_steps=10, source=replace(SOURCE, num_inference_steps=10))

TOGETHER: dict[str, tuple[Edit, ...]] = {
    "painted over a replaced map": (
        Replace(),
        Inject(),
        PaintMap("fox", "set", LEFT, 4.0),
        PaintMap("cat", "move", shift=(0.2, 0.0)),
        NegPip("red"),
    ),
    "by scores, by maps and by regions": (
        PaintWithWords("fox", PAINTED, 0.5),
        PaintMap("cat", "gain", PAINTED, 5.0, renormalise="softmax"),
        PaintMap("fox", "set", LEFT, renormalise="others", reach="end"),
        Reweight("red", 2.0),
        Regions((Region("a dog", WordMap("cat")), Region("a house", LEFT, 0.5))),
    ),
    "soft regions over a replaced map": (Replace(), Regions((Region("a dog", PAINTED, 0.7),), hard=False)),
}


@pytest.fixture(scope="module")
def pipes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Pipeline]:
    folder = write_model(tmp_path_factory.mktemp("models") / "tiny")
    return {name: Pipeline.from_pretrained(folder, backend=name) for name in ("auto", "explicit")}


def latents(pipe: Pipeline, recipe: Recipe) -> Tensor:
    return [event.latents for event in pipe.stream(recipe) if isinstance(event, StepEvent)][-1]


@pytest.mark.parametrize("edits", TOGETHER.values(), ids=TOGETHER)
def test_several_in_one_run_are_what_the_explicit_backend_draws(
    pipes: dict[str, Pipeline], edits: tuple[Edit, ...]
) -> None:
    ours, theirs = (latents(pipes[name], replace(TEN, edits=edits)) for name in ("auto", "explicit"))
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-4)
    fewer = latents(pipes["auto"], replace(TEN, edits=edits[:-1]))
    assert (ours - fewer).abs().max() > 1e-3, "the last of them takes part"


CANNOT: dict[str, tuple[tuple[Edit, ...], str]] = {
    "set and set": (
        (PaintMap("fox", "set", LEFT), PaintMap("a fox", "set", PAINTED)),
        r'paint map of "fox" and the paint map of "a fox" cannot both hold: .* Keep one of them, or use a gain',
    ),
    "set and set of what both reach": (
        (PaintMap("fox", "set", LEFT, reach="after"), PaintMap("cat", "set", PAINTED)),
        "both set the map of one token",
    ),
    "the others of a replaced map": (
        (Replace(), PaintMap("fox", "set", LEFT, renormalise="others")),
        r"of a mixed map cannot be renormalised\. Do not renormalise, or give them other steps",
    ),
    "two that share a row out": (
        (PaintMap("fox", "add", LEFT, renormalise="others"), PaintMap("cat", "move", scale=0.5, renormalise="softmax")),
        r"would undo the paint map of .fox.\. Put it first, or do not renormalise",
    ),
}


@pytest.mark.parametrize("name", CANNOT)
def test_what_cannot_both_hold_is_told_before_the_first_step(pipes: dict[str, Pipeline], name: str) -> None:
    edits, sentence = CANNOT[name]
    with pytest.raises(Conflict, match=sentence):
        pipes["auto"].stream(replace(TEN, edits=edits))
