"""Regions against their formula on explicit probabilities: who reads what, where, with which share."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from pipelines.assets import Asset
from pipelines.pipeline import Pipeline
from pipelines.recipe import Recipe
from pipelines.techniques import PaintMap, Regions
from pipelines.techniques.regions import Region
from pipelines.techniques.values import Box, WordMap
from pipelines.techniques.window import Window
from tests.pipelines.techniques.one_call import TOKENS, Call
from xattn.errors import BadValue

LEFT, RIGHT, ALL = Box(0, 0, 0.5, 1), Box(0.5, 0, 1, 1), Box(0, 0, 1, 1)


def grey(values: Tensor) -> Asset:
    return Asset.from_image(Image.fromarray(values.to(torch.uint8).numpy()))


def by_columns(*shares: float) -> Tensor:
    """One number a column of a 5 × 7 grid: [N, 1]."""
    return torch.tensor(shares).double().repeat(5)[:, None]


def attended(call: Call, keys: str = "text", block: int = 0) -> Tensor:
    """What one text alone would give, [heads, N, value_dim]; `block` counts texts that share a key source."""
    some = slice(block * TOKENS, (block + 1) * TOKENS)
    return call.scores(keys)[..., some].softmax(dim=-1) @ call.value(keys)[:, some]


def sources(call: Call) -> set[str]:
    step = call.step(1)
    assert step is not None
    program = step.at(call.site.name)
    assert program is not None
    return {lanes.keys for lanes in program.lanes if lanes.out is None or 0 in lanes.out.tolist()}


def close(ours: Tensor, theirs: Tensor) -> None:
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-10)


@pytest.mark.parametrize("backend", ["auto", "tiled", "explicit"])
def test_hard_regions_read_their_own_prompt_and_the_rest_the_base(backend: str) -> None:
    # of 7 columns the first box has 2.1, the second 1.4 from 4.9 on: the third and the fifth are mostly the base's
    edit = Regions((Region("a cat", Box(0, 0, 0.3, 1)), Region("a dog", Box(0.7, 0, 0.9, 1))))
    call = Call([edit], further=[2 * TOKENS])
    first, second = by_columns(1, 1, 0, 0, 0, 0, 0), by_columns(0, 0, 0, 0, 0, 1, 0)
    expected = (
        first * attended(call, "0:0", 0) + second * attended(call, "0:0", 1) + (1 - first - second) * attended(call)
    )
    close(call.output(backend=backend), expected)


def test_soft_regions_are_sums_and_the_base_has_the_rest() -> None:
    fields = torch.arange(35).view(5, 7) * 7, 255 - torch.arange(35).view(5, 7) * 3
    edit = Regions((Region("a cat", grey(fields[0]), 0.8), Region("a dog", grey(fields[1]))), hard=False)
    call = Call([edit], further=[TOKENS, TOKENS])
    one, two = 0.8 * (fields[0].flatten() / 255).double()[:, None], (fields[1].flatten() / 255).double()[:, None]
    over = (one + two).clamp(min=1)
    one, two = one / over, two / over
    expected = one * attended(call, "0:0") + two * attended(call, "0:1") + (1 - one - two) * attended(call)
    torch.testing.assert_close(call.output(), expected, rtol=0, atol=2e-7)  # float32 strengths and fields


def test_a_base_of_its_own_takes_the_place_of_the_pictures_prompt() -> None:
    for hard in (True, False):
        edit = Regions((Region("a cat", LEFT, 0.75),), base="a house", hard=hard)
        call = Call([edit], further=[TOKENS, TOKENS])
        half = 1.0 if hard else 0.5  # of the fourth of seven columns; a hard region wins ties
        share = 0.75 * by_columns(1, 1, 1, half, 0, 0, 0)
        close(call.output(), share * attended(call, "0:0") + (1 - share) * attended(call, "0:1"))
        assert sources(call) == {"0:0", "0:1"}, "the picture's own prompt is not computed"


def test_where_regions_cover_everything_no_other_prompt_is_computed() -> None:
    call = Call([Regions((Region("a cat", LEFT), Region("a dog", RIGHT)))], further=[2 * TOKENS])
    assert sources(call) == {"0:0"}
    step = call.step(1)
    assert step is not None
    program = step.at(call.site.name)
    assert program is not None
    assert len(program.lanes) == 2, "one masked call, and the row that nobody edits"


def test_of_overlapping_hard_regions_the_later_one_lies_on_top() -> None:
    call = Call([Regions((Region("a cat", ALL), Region("a dog", LEFT)))], further=[2 * TOKENS])
    upper = by_columns(1, 1, 1, 0, 0, 0, 0)  # of the middle column it has half, and the one below all
    close(call.output(), upper * attended(call, "0:0", 1) + (1 - upper) * attended(call, "0:0", 0))


def test_a_strength_of_nothing_leaves_no_program() -> None:
    assert Call([Regions((Region("a cat", LEFT, 0.0),))], further=[TOKENS]).step(1) is None
    closed = Regions((Region("a cat", LEFT),), window=Window(steps=(3, 4)))
    assert Call([closed], further=[TOKENS]).step(1) is None


def test_a_strength_runs_over_the_steps() -> None:
    for index, strength in enumerate((1.0, 0.5)):
        call = Call([Regions((Region("a cat", ALL, ((0.0, 1.0), (1.0, 0.0))),))], further=[TOKENS], steps=3)
        close(call.output(index), strength * attended(call, "0:0") + (1 - strength) * attended(call))
    assert call.step(2) is None


def test_which_region_a_place_is_in_is_decided_on_each_grid_anew() -> None:
    # 46 × 87 latents, as of 368 × 696 pixels: the second grid is 23 × 44, its last column half outside
    band = torch.zeros(46, 87)
    band[:, 86:] = 255
    edit = Regions((Region("a cat", grey(band)),))
    for downsampling, columns in ((1, [86]), (2, [43])):
        call = Call([edit], latent=(46, 87), downsampling=downsampling, further=[TOKENS])
        share = torch.zeros(call.grid).double()
        share[:, columns] = 1
        share = share.flatten()[:, None]
        close(call.output(), share * attended(call, "0:0") + (1 - share) * attended(call))


def test_a_live_map_is_where_the_word_has_looked_so_far() -> None:
    call = Call([Regions((Region("a cat", WordMap("fox", 0.5)),))], further=[TOKENS])
    first = call.step(0)
    assert first is not None
    assert first.at(call.site.name) is not None, "the word is watched"
    close(call.output(0), attended(call))
    seen = torch.zeros(2, 3, 5, 7, 1)
    seen[0, :, 1:3, 4:] = 0.2
    assert first.record is not None
    first.record(call.site, (5, 7), (seen[:1].flatten(2, 3),))
    share = (seen[0, 0].flatten()[:, None] > 0).double()
    close(call.output(1), share * attended(call, "0:0") + (1 - share) * attended(call))


def test_an_edit_before_acts_on_the_base_and_regions_lie_over_it() -> None:
    paint = PaintMap("fox", "gain", amount=3.0)
    call = Call([paint, Regions((Region("a cat", LEFT),))], further=[TOKENS])
    probs = call.probs()
    probs[..., 2] *= 3
    share = by_columns(1, 1, 1, 1, 0, 0, 0)
    close(call.output(), share * attended(call, "1:0") + (1 - share) * (probs @ call.value()))


def test_what_cannot_be_is_told_in_a_sentence() -> None:
    with pytest.raises(BadValue, match=r"regions.regions is \(\).* a tuple of 1 to 16 Region\(prompt, field\)"):
        Regions(())
    with pytest.raises(BadValue, match=r"region.strength is 2.* The base has the rest"):
        Region("a cat", LEFT, 2.0)
    with pytest.raises(BadValue, match=r"region.field is 'left'.* a WordMap"):
        Region("a cat", "left")  # type: ignore[arg-type]
    with pytest.raises(BadValue, match=r"region.prompt is ' '.* at least one word"):
        Region(" ", LEFT)


def test_two_pictures_with_different_fields_are_each_as_alone(pipe: Pipeline) -> None:
    # 72 × 104 pixels are 9 × 13 latents, whose second grid is 5 × 7
    def recipe(seed: int, *edits: Regions | PaintMap) -> Recipe:
        return Recipe("a fox and ice cream", seed=seed, num_inference_steps=3, width=104, height=72, edits=edits)

    ramp = grey(torch.arange(35).view(5, 7) * 7)
    recipes = [
        recipe(1, PaintMap("ice cream", "set", LEFT, 5.0), Regions((Region("a dog " * 90, RIGHT),))),
        recipe(2, PaintMap("fox", "move", ramp, shift=(0.2, 0.3)), Regions((Region("a cat", ramp),), hard=False)),
        recipe(3),
    ]
    together = pipe(recipes)
    for drawn, one in zip(together, recipes, strict=True):
        alone = np.asarray(pipe(one).image).astype(int)
        assert np.abs(np.asarray(drawn.image).astype(int) - alone).max() <= 1


def test_a_picture_of_a_size_that_the_unet_pads_is_drawn(pipe: Pipeline) -> None:
    edit = Regions((Region("a dog", LEFT), Region("a cat", WordMap("fox"))))
    drawn = pipe("a fox on red", seed=1, num_inference_steps=2, width=696, height=368, edits=(edit,))
    assert drawn.image.size == (696, 368)
