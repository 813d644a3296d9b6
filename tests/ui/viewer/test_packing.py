"""From attention maps to bytes, against float64."""

from __future__ import annotations

import base64
import gzip
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.attention_maps import AttentionMaps, Made
from ui.web.viewer import Block, Piece, Region, View, Word, pack, word_color
from ui.web.viewer.packing import short_name
from xattn.errors import BadValue, UnknownName
from xattn.sites import AttentionSite

LAYERS = ("down_blocks.0.attentions.0.transformer_blocks.0.attn2", "mid_block.attentions.0.transformer_blocks.0.attn2")
SITES = (AttentionSite(LAYERS[0], "cross", "down", 1, 4, 8), AttentionSite(LAYERS[1], "cross", "mid", 2, 2, 8))


def maps(seed: int = 0, *, steps: int = 3, heads: int = 4, loud: float = 1.0) -> AttentionMaps:
    """Two layers; the second lacks the heads after its second, as capture leaves them."""
    values = np.random.default_rng(seed).random((2, steps, 2, heads, 8, 8)).astype(np.float32) * loud
    values[:, :, 1, 2:] = 0
    return AttentionMaps(values, ("fox", "purple"), tuple(range(1, steps + 1)), LAYERS, Made("mass", "mean", "cond", 4))


def read(block: Block) -> np.ndarray:
    """The values as the browser has them: from the JSON, in float64."""
    told = block.to_json(compress=True)
    raw = np.frombuffer(gzip.decompress(base64.b64decode(told["data"])), np.uint8).reshape(told["shape"])
    scale = np.array(told["scale"])
    each = scale.size == np.prod(told["shape"][:4])
    return raw / 255 * scale.reshape(*told["shape"][: 4 if each else 1], *(1,) * (2 if each else 5))


def mean(values: np.ndarray, axes: set[str]) -> np.ndarray:
    """The mean over axes, heads that are there counting once each; [word, step, layer, head, y, x]."""
    there = np.ones((2, 4))
    there[1, 2:] = 0
    weight = np.broadcast_to(there[None, None, :, :, None, None], values.shape)
    over = tuple(index + 1 for index, axis in enumerate(("step", "layer", "head")) if axis in axes)
    total, count = (values * weight).sum(axis=over, keepdims=True), weight.sum(axis=over, keepdims=True)
    return np.asarray(total / np.maximum(count, 1))


@given(
    seed=st.integers(0, 99),
    keep=st.sets(st.sampled_from(["step", "layer", "head"])),
    loud=st.sampled_from([1e-4, 1.0, 40.0]),
)
def test_a_byte_is_right_to_half_a_level_whatever_is_averaged(seed: int, keep: set[Any], loud: float) -> None:
    source = maps(seed, loud=loud)
    expected = mean(source.values.astype(np.float64), {"step", "layer", "head"} - keep)
    packed = read(pack(source, SITES, keep=tuple(keep)))
    assert packed.shape == expected.shape
    assert np.abs(packed - expected).max() <= expected.max() / 255 * 0.51


def test_many_slices_share_one_scale_a_word_and_few_have_their_own() -> None:
    assert len(pack(maps(), SITES).scale) == 2 * 3 * 2 * 4
    assert len(pack(maps(steps=200), SITES).scale) == 2


def test_layers_say_their_own_grid_and_heads() -> None:
    first, second = pack(maps(), SITES, latent=(16, 12)).layers
    assert (first.label, first.grid, first.heads) == ("down 1.1", (16, 12), 4)
    assert (second.label, second.grid, second.heads) == ("mid", (8, 6), 2)


def test_a_smaller_side_averages_whole_cells() -> None:
    source = maps()
    packed = read(pack(source, SITES, keep=(), side=4))
    cells = mean(source.values.astype(np.float64), {"step", "layer", "head"})
    expected = cells.reshape(2, 1, 1, 1, 4, 2, 4, 2).mean(axis=(5, 7))
    assert np.abs(packed - expected).max() <= expected.max() / 255 * 0.51
    with pytest.raises(BadValue, match="side is 3"):
        pack(source, SITES, side=3)


def test_nothing_stays_nothing() -> None:
    source = maps(loud=0.0)
    assert read(pack(source, SITES)).max() == 0


@pytest.mark.parametrize(
    ("site", "short"),
    [
        ("up_blocks.1.attentions.2.transformer_blocks.0.attn2", "up 2.3"),
        ("down_blocks.2.attentions.1.transformer_blocks.9.attn2", "down 3.2.10"),
        ("mid_block.attentions.0.transformer_blocks.3.attn2", "mid 4"),
        ("somewhere.else", "somewhere.else"),
    ],
)
def test_sites_have_names_for_people(site: str, short: str) -> None:
    assert short_name(site) == short


def test_a_wrong_view_is_told_in_a_sentence() -> None:
    words = (Word("fox", "#f66754"),)
    fine: dict[str, Any] = {"id": "r", "picture": None, "width": 8, "height": 8, "words": words}
    wrong: list[tuple[dict[str, Any], type[Exception]]] = [
        ({"maps": (pack(maps()),)}, BadValue),
        ({"prompt": (Piece("fox", 1),)}, BadValue),
        ({"mode": "dance"}, UnknownName),
        ({"width": 0}, BadValue),
    ]
    assert View(**fine).to_json()["words"] == [{"text": "fox", "color": "#f66754"}]
    for change, error in wrong:
        with pytest.raises(error):
            View(**fine | change)
    for build in (lambda: Word("fox", "red"), lambda: Region("r", 0.5, 0, 0.5, 1), lambda: word_color(-1)):
        with pytest.raises(BadValue):
            build()


def test_the_first_thirty_colours_differ() -> None:
    assert len({word_color(index) for index in range(30)}) == 30
