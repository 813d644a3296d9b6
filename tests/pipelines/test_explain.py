"""What is told before a run is what the run then does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from pipelines.pipeline import Pipeline
from pipelines.recipe import Recipe
from xattn.errors import UnknownWord

FOX = Recipe("a fox on purple", seed=7, num_inference_steps=2, guidance_scale=5.0, width=64, height=96)


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
