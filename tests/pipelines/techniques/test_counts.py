"""Edits and watching by count: fused calls a step, no N×N softmax, memory that does not grow with the steps."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from pipelines.capture import Capture
from pipelines.pipeline import Pipeline, StepEvent
from pipelines.recipe import Recipe
from pipelines.techniques import Edit, Inject, LocalBlend, PaintMap, Refine, Regions, Replace, Reweight
from pipelines.techniques.regions import Region
from pipelines.techniques.values import Box
from tests.models import write_model
from tests.pipelines.techniques.samples import SAMPLES, SOURCE, TARGET

LEFT, RIGHT = Box(0.0, 0.0, 0.5, 1.0), Box(0.5, 0.0, 1.0, 1.0)


class Calls(TorchDispatchMode):
    """Counts the fused attention calls of a run, their lanes, other products, and the shapes of every softmax."""

    def __init__(self) -> None:
        super().__init__()
        self.fused = self.lanes = self.products = 0
        self.softmax: Counter[tuple[int, ...]] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        if "scaled_dot_product" in name:
            self.fused += 1
            self.lanes += args[0].shape[:-2].numel()
        self.products += name in ("mm", "addmm", "bmm", "baddbmm")
        if name == "_softmax":
            self.softmax[tuple(out.shape[-2:])] += 1
        return out


def calls(pipe: Pipeline, recipe: Recipe, words: tuple[str, ...] = ()) -> Calls:
    """Of the first step. Encoding and decoding attend too, but not in here."""
    stream = pipe.stream(recipe, words=words)
    next(stream)
    with Calls() as counted:
        next(stream)
    stream.close()  # type: ignore[attr-defined]
    return counted


def sites(pipe: Pipeline, *, cross: bool) -> int:
    return sum(site.cross == cross for site in pipe.model.unet.sites)


def edited(*edits: Edit) -> Recipe:
    return replace(TARGET, edits=edits)


@pytest.mark.parametrize("words", [(), ("fox",), ("fox", "cat", "red")])
def test_watching_adds_no_fused_call_however_many_words(pipe: Pipeline, words: tuple[str, ...]) -> None:
    counted = calls(pipe, TARGET, words)
    assert counted.fused == len(pipe.model.unet.sites)
    # the plain call tells its denominators, so that words need no softmax of their own
    assert not counted.softmax


@pytest.mark.parametrize(
    ("edits", "more", "lanes"),
    [
        ((Replace(),), 0, 0),
        ((Inject(),), 0, 0),
        ((Reweight("fox", 2.0),), 0, 0),
        ((Replace(), Reweight("red", 2.0), Inject(), LocalBlend(words=("fox",))), 0, 0),
        ((PaintMap("fox", "set", LEFT, renormalise="none"),), 0, 0),
        ((PaintMap("fox", "move", LEFT, shift=(0.3, 0.0)),), 0, 0),
        # kept words from the source, new ones their own: a partial alpha, so lanes of both in one call
        ((Refine(),), 0, 1),
        ((Reweight("cat", 2.0, of="source"),), 0, 1),
        # a bias parts the lanes that have it from the others: two calls on as many lanes as before
        ((PaintMap("fox", "gain", LEFT, renormalise="softmax"),), 1, 0),
        # the others are attended to with the word masked, which is a bias too
        ((PaintMap("fox", "set", LEFT, renormalise="others"),), 1, 0),
        # all regions' prompts are one key source, with a bias by place
        ((Regions((Region("a dog", LEFT), Region("a cat", RIGHT))),), 1, 0),
        # soft ones are a source each, and these two leave no place to the picture's own prompt
        ((Regions((Region("a dog", LEFT), Region("a cat", RIGHT)), hard=False),), 2, 1),
    ],
    ids=[
        "replace",
        "inject",
        "reweight",
        "four at once",
        "set",
        "move",
        "refine",
        "reweight of the source",
        "gain by bias",
        "set, the others make room",
        "two hard regions",
        "two soft regions",
    ],
)
def test_edits_cost_the_fused_calls_and_lanes_that_the_algebra_says(
    pipe: Pipeline, edits: tuple[Edit, ...], more: int, lanes: int
) -> None:
    """more: calls a cross-attention site; lanes: of each of the edited row's heads, in all calls of such a site."""
    plain, counted = calls(pipe, TARGET), calls(pipe, edited(*edits))
    assert plain.fused == len(pipe.model.unet.sites)
    assert counted.fused == plain.fused + more * sites(pipe, cross=True)
    heads = sum(site.heads for site in pipe.model.unet.sites if site.cross)
    assert counted.lanes == plain.lanes + lanes * heads


@pytest.mark.parametrize("edit", SAMPLES.values(), ids=SAMPLES)
def test_no_edit_makes_the_matrix_of_self_attention(pipe: Pipeline, edit: Edit) -> None:
    grids = {12 * 8, 6 * 4}
    for shape in calls(pipe, edited(edit), ("fox",)).softmax:
        assert not (shape[0] in grids and shape[0] == shape[1]), shape
        assert shape[1] not in grids, shape


def test_the_counter_sees_the_matrix_where_there_is_one(tmp_path_factory: pytest.TempPathFactory) -> None:
    explicit = Pipeline.from_pretrained(write_model(tmp_path_factory.mktemp("models") / "tiny"), backend="explicit")
    assert (12 * 8, 12 * 8) in calls(explicit, TARGET).softmax


def test_kept_maps_do_not_grow_with_the_steps(pipe: Pipeline) -> None:
    few, many = replace(TARGET, num_inference_steps=3), replace(TARGET, num_inference_steps=9)
    sizes = []
    for recipe in (few, many):
        own = replace(recipe, source=replace(SOURCE, num_inference_steps=recipe.num_inference_steps))
        maps = pipe(own, maps=Capture(("fox", "cat"))).maps
        assert maps is not None
        sizes.append(maps.values.nbytes)
    assert sizes[0] == sizes[1]


def test_an_edit_costs_nothing_between_two_steps_that_are_alike(pipe: Pipeline) -> None:
    stream = pipe.stream(edited(Replace(), Reweight("fox", 2.0)), words=("fox",))
    programs = stream.gi_frame.f_locals["first"].passes[0].programs  # type: ignore[attr-defined]
    first, second = programs.at(0), programs.at(1)
    assert first is not second
    assert all(first.sites[name] is second.sites[name] for name in first.sites)
    stream.close()  # type: ignore[attr-defined]
    assert not [event for event in stream if isinstance(event, StepEvent)]
    assert torch.is_grad_enabled()
