"""What is told before a run is what the run then does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.flop_counter import FlopCounterMode

from pipelines.assets import Asset
from pipelines.pipeline import Pipeline
from pipelines.recipe import Recipe
from pipelines.techniques import Edit, NegPip, PaintMap, Regions, Reweight
from pipelines.techniques.regions import Region
from pipelines.techniques.values import Box, WordMap
from tests.pipelines.techniques.samples import SAMPLES, TARGET
from xattn.errors import Conflict, UnknownWord

FOX = Recipe("a fox on purple", seed=7, num_inference_steps=2, guidance_scale=5.0, width=64, height=96)
LEFT = Box(0.0, 0.0, 0.6, 1.0)


def furthest(one: Image.Image, other: Image.Image) -> int:
    """The largest difference of two pictures, in levels of 255."""
    return int(np.abs(np.asarray(one).astype(np.int16) - np.asarray(other)).max())


def test_the_kernels_told_are_the_kernels_run(pipe: Pipeline) -> None:
    told = pipe.explain(FOX)
    assert [one.site for one in told.sites] == list(pipe.model.unet.sites)
    assert pipe(FOX).stats.kernels == {"sdpa": 2 * len(told.sites)}
    assert told.roles == ("uncond", "cond")
    assert pipe.explain(replace(FOX, guidance_scale=1.0)).roles == ("cond",)


@pytest.mark.parametrize("prompt", ["a fox on purple", "a fox on purple and " * 20])
def test_the_cost_told_is_what_torch_counts(folder: Path, prompt: str) -> None:
    # explicit attention is two matrix products a call, which torch's counter sees; a fused call it may not
    explicit = Pipeline.from_pretrained(folder, backend="explicit")
    recipe = replace(FOX, prompt=prompt)
    told = explicit.explain(recipe)
    rows, tokens = 2, 77 * told.chunks
    context = explicit.model.unet.text_context({"text": torch.zeros(rows, tokens, 32)})
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        explicit.model.unet(torch.zeros(rows, 4, 12, 8), 1.0, context)
    counted = counter.get_flop_counts()["Global"]
    assert told.flops == sum(flops for op, flops in counted.items() if str(op) == "aten.bmm")


def test_edits_that_commute_are_told_and_do(pipe: Pipeline) -> None:
    more, negated = Reweight("fox", 2.0), NegPip("purple", 3.0)
    (sentence,) = pipe.explain(FOX, edits=(more, negated)).commuting
    assert "fox" in sentence
    assert "purple" in sentence
    assert f"Commute: {sentence}" in str(pipe.explain(FOX, edits=(more, negated)))
    assert furthest(pipe(FOX, edits=(more, negated)).image, pipe(FOX, edits=(negated, more)).image) <= 1
    painted = PaintMap("fox", op="set", field=LEFT, amount=0.5, relative=False)
    assert pipe.explain(FOX, edits=(painted, more)).commuting == ()
    assert furthest(pipe(FOX, edits=(painted, more)).image, pipe(FOX, edits=(more, painted)).image) > 2


def test_edits_that_conflict_are_told_beside_the_plan_without_them(pipe: Pipeline) -> None:
    edits = (PaintMap("fox", op="set", field=LEFT), PaintMap("fox", op="set", amount=9.0))
    told = pipe.explain(FOX, edits=edits)
    with pytest.raises(Conflict) as raised:
        pipe.stream(FOX, edits=edits)
    assert told.conflicts == (str(raised.value),)
    assert f"Conflict: {raised.value}" in str(told)
    assert [one.lanes for one in told.sites] == [one.lanes for one in pipe.explain(FOX).sites]


def test_the_cost_told_of_an_edited_run_is_what_torch_counts(folder: Path) -> None:
    explicit = Pipeline.from_pretrained(folder, backend="explicit")
    soft = Regions((Region("a dog", LEFT), Region("a house", LEFT)), hard=False)
    told = explicit.explain(FOX, edits=(soft,))
    assert told.flops > explicit.explain(FOX).flops
    assert any(one.lanes > 2 * one.site.heads for one in told.sites)
    with FlopCounterMode(display=False) as counter:
        explicit(FOX, edits=(soft,))
    counted = counter.get_flop_counts()["UNet"]
    assert 2 * told.flops == sum(flops for op, flops in counted.items() if str(op) == "aten.bmm")


def test_each_grid_is_the_one_the_site_has(pipe: Pipeline) -> None:
    grids = {one.site.downsampling: one.grid for one in pipe.explain(FOX).sites}
    assert grids == {1: (12, 8), 2: (6, 4)}
    cross = [one for one in pipe.explain(FOX, words=("fox", "purple")).sites if one.site.cross]
    assert all(one.program == ("watch 2 maps",) for one in cross)


def test_every_backend_says_why(pipe: Pipeline) -> None:
    why = pipe.explain(FOX).sites[0].why
    assert why[0] == "sdpa: yes"
    assert any(line.startswith("xformers: no, ") for line in why)


def test_people_and_programs_read_the_same(pipe: Pipeline) -> None:
    told = pipe.explain(FOX)
    text, document = str(told), told.document()
    for one in told.sites:
        assert one.site.name in text
    assert "12×8" in text
    assert document["attention_flops_a_step"] == told.flops
    assert str(pipe.model.ref.sha256) in str(document)


def test_a_wrong_word_is_told_here_too(pipe: Pipeline) -> None:
    with pytest.raises(UnknownWord, match="foks"):
        pipe.explain(FOX, words=("foks",))


PAINT = Asset.from_image(Image.new("L", (7, 5), 200))
SAID: dict[str, tuple[Edit, str]] = {
    "set": (
        PaintMap("fox", op="set", field=LEFT, amount=4.0, renormalise="others"),
        'Paint map of "fox": op set, field box 0 0 0.6 1, amount 4, renormalise others; from 0% to 50% of the steps, ',
    ),
    "gain by default, off": (PaintMap("fox", field=PAINT, enabled=False), "op gain, field painted 7×5, amount 3; off"),
    "move": (PaintMap("fox", op="move", shift=(0.25, 0.0), scale=0.5), "op move, amount 1, shift 0.25 0, scale 0.5; "),
    "reweight": (Reweight("purple", 2.0), 'Reweight of "purple": scale 2; from 0% to 100% of the steps, rows cond'),
    "over the steps": (Reweight("fox", ((0.0, 4.0), (1.0, 0.5))), "scale 4 at 0%, 0.5 at 100%; "),
    "of a name": (NegPip("fox", id="no fox"), 'Neg pip "no fox": word "fox", strength 1; '),
    "regions": (
        Regions((Region("a dog", LEFT), Region("a cat", WordMap("fox", 0.4), 0.5)), base="a house", hard=False),
        'Regions: "a dog" (box 0 0 0.6 1), strength 1; "a cat" (where "fox" looks over 0.4), strength 0.5, '
        'base "a house", soft; ',
    ),
}


@pytest.mark.parametrize("name", SAID)
def test_an_edits_own_numbers_are_told_in_its_line(pipe: Pipeline, name: str) -> None:
    edit, expected = SAID[name]
    lines = str(pipe.explain(FOX, edits=(edit,))).splitlines()
    (line,) = (line for line in lines if line.startswith(str(edit)[:1].upper() + str(edit)[1:] + ": "))
    assert expected in line


@pytest.mark.parametrize("edit", SAMPLES.values(), ids=SAMPLES)
def test_every_edit_has_one_short_line(pipe: Pipeline, edit: Edit) -> None:
    head = str(pipe.explain(replace(TARGET, edits=(edit,)))).partition("\n\n")[0].splitlines()
    plain = str(pipe.explain(TARGET)).partition("\n\n")[0].splitlines()
    assert len(head) == len(plain) + 1
    assert len(head[-1]) < 200
    assert "%" in head[-1], "a window of this kind is told in shares of the steps"
