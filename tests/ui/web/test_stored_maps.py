"""Maps as a session keeps them: small, and what they were to a part in 255."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipelines.attention_maps import AttentionMaps, Made
from pipelines.capture import Capture
from pipelines.pipeline import Pipeline
from tests.models import write_sd2_model
from ui.web.stored_maps import StoredMaps
from ui.web.viewer import pack
from xattn.errors import BadValue, UnknownName
from xattn.sites import AttentionSite

SITES = (
    AttentionSite("down_blocks.0.attentions.0.transformer_blocks.0.attn2", "cross", "down", 1, 3, 8),
    AttentionSite("mid_block.attentions.0.transformer_blocks.0.attn2", "cross", "mid", 2, 2, 8),
)
HEADS = (3, 2)


def some_maps(seed: int = 0, words: int = 2, steps: int = 4) -> AttentionMaps:
    """Random shares; the second layer has no third head."""
    values = np.random.default_rng(seed).random((words, steps, 2, 3, 4, 6), dtype=np.float32)
    values *= np.random.default_rng(seed + 1).random((words, steps, 2, 3, 1, 1), dtype=np.float32)
    values[:, :, 1, 2] = 0.0
    names = tuple(site.name for site in SITES)
    made = Made("mass", "mean", "cond", 3)
    return AttentionMaps(values, ("cat", ("cat", 2))[:words], tuple(range(1, steps + 1)), names, made)


def plain_mean(maps: AttentionMaps, step: int | None, layer: int | None, head: int | None) -> NDArray[np.float32]:
    """Every head of every layer that there is, once: written apart from the code."""
    taken = [
        maps.values[:, at, row, lane]
        for at in range(maps.values.shape[1])
        for row in range(2)
        for lane in range(HEADS[row])
        if step in (None, at) and layer in (None, row) and head in (None, lane)
    ]
    return np.mean(taken, axis=0)


@given(
    seed=st.integers(0, 99),
    step=st.none() | st.integers(0, 3),
    layer=st.none() | st.integers(0, 1),
    head=st.none() | st.integers(0, 1),
)
def test_a_mean_is_that_of_the_heads_that_there_are(
    seed: int, step: int | None, layer: int | None, head: int | None
) -> None:
    maps = some_maps(seed)
    layers = None if layer is None else (SITES[layer].name,)
    ours = StoredMaps.of(maps, SITES).mean(step=None if step is None else step + 1, layers=layers, head=head)
    expected = plain_mean(maps, step, layer, head)
    assert ours.shape == (2, 1, 1, 1, 4, 6)
    np.testing.assert_allclose(ours[:, 0, 0, 0], expected, rtol=0, atol=maps.values.max() / 510 + 1e-6)


def test_kept_axes_stay_apart() -> None:
    maps = some_maps()
    stored = StoredMaps.of(maps, SITES)
    steps = stored.mean(keep=("step",))
    assert steps.shape == (2, 4, 1, 1, 4, 6)
    np.testing.assert_allclose(steps[:, 2, 0, 0], plain_mean(maps, 2, None, None), atol=1e-2)
    lanes = stored.mean(keep=("layer", "head"))
    np.testing.assert_allclose(lanes[:, 0, 1, 1], plain_mean(maps, None, 1, 1), atol=1e-2)


def test_ten_words_over_fifty_steps_of_stable_diffusion_are_under_twenty_megabytes() -> None:
    values = np.ones((10, 50, 16, 8, 16, 16), dtype=np.float32)
    words = tuple(f"w{number}" for number in range(10))
    made = Made("mass", "mean", "cond", 8)
    maps = AttentionMaps(values, words, tuple(range(1, 51)), tuple(f"l{number}" for number in range(16)), made)
    assert StoredMaps.of(maps).nbytes < 20 * 2**20


def test_what_was_not_kept_is_told() -> None:
    stored = StoredMaps.of(some_maps(), SITES)
    with pytest.raises(BadValue, match="step is 9, but it must be one of 1 to 4"):
        stored.mean(step=9)
    with pytest.raises(UnknownName, match="There is no layer"):
        stored.mean(layers=("up",))
    with pytest.raises(BadValue, match="one that the layer has, 0 to 1"):
        stored.mean(layers=(SITES[1].name,), head=2)


def test_large_maps_travel_by_two_axes_and_the_rest_is_cut_on_demand(monkeypatch: pytest.MonkeyPatch) -> None:
    stored = StoredMaps.of(some_maps(), SITES)
    assert [block.bytes.shape for block in stored.blocks()] == [(2, 4, 2, 3, 4, 6)]
    monkeypatch.setattr("ui.web.stored_maps.JOINT_BYTES", 100)
    assert [block.bytes.shape[1:4] for block in stored.blocks()] == [(1, 1, 1), (4, 1, 1), (1, 2, 3)]
    cut = stored.cut({"words": [0], "step": 3, "layers": [SITES[0].name], "head": 2})
    assert (cut.steps, cut.heads, [layer.name for layer in cut.layers]) == ((3,), (2,), [SITES[0].name])
    whole = cut.bytes[0, 0, 0, 0] / 255 * cut.scale[0]
    np.testing.assert_allclose(whole, some_maps().values[0, 2, 0, 2], atol=1e-2)


@given(
    step=st.none() | st.integers(0, 3),
    layer=st.none() | st.integers(0, 1),
    head=st.none() | st.integers(0, 1),
)
def test_what_a_word_adds_is_its_share_times_its_length(step: int | None, layer: int | None, head: int | None) -> None:
    maps = some_maps()
    lengths = np.random.default_rng(5).random((2, 2, 3), dtype=np.float32) + 0.5
    lengths[:, 1, 2] = 0.0
    stored = StoredMaps.of(maps, SITES, lengths)
    layers = None if layer is None else (SITES[layer].name,)
    pinned = {"step": None if step is None else step + 1, "layers": layers, "head": head}
    ours = stored.mean(**pinned, added=True)  # type: ignore[arg-type]
    weighed = replace(maps, values=maps.values * lengths[:, None, :, :, None, None])
    np.testing.assert_allclose(ours[:, 0, 0, 0], plain_mean(weighed, step, layer, head), rtol=0, atol=0.01)
    cell = stored.mean(**pinned, cell=(3, 4), added=True)  # type: ignore[arg-type]
    np.testing.assert_allclose(cell[..., 0, 0], ours[..., 3, 4], rtol=1e-5)
    block = stored.cut({"step": pinned["step"], "layers": list(layers) if layers else None, "head": head})
    assert block.lengths is not None
    assert block.lengths.shape == (2, 1, 1)


def test_lengths_of_axes_that_were_not_kept_are_means() -> None:
    maps = some_maps()
    lengths = np.array([[[1.0, 2.0, 3.0], [4.0, 5.0, 0.0]]] * 2, dtype=np.float32)
    whole = replace(maps, values=maps.values.mean(axis=(2, 3), keepdims=True), layers=())
    stored = StoredMaps.of(whole, SITES, lengths)
    assert stored.lengths is not None
    assert stored.lengths.tolist() == [[[3.0]], [[3.0]]]
    with pytest.raises(BadValue, match="lengths were not kept"):
        StoredMaps.of(maps, SITES).mean(added=True)


def test_a_run_has_one_mean_in_python_on_the_page_and_in_the_browser(tmp_path: Path) -> None:
    pipe = Pipeline.from_pretrained(write_sd2_model(tmp_path / "unlike"))
    sites = [site for site in pipe.model.unet.sites if site.cross]
    assert len({site.heads for site in sites}) > 1, "layers of unlike heads, or nothing is tested"
    capture = Capture(("fox", "red"), ("step", "layer", "head"))
    maps = pipe("a fox on red", seed=1, num_inference_steps=2, maps=capture).maps
    assert maps is not None
    stored, block = StoredMaps.of(maps, sites).mean(), pack(maps, sites, keep=())
    browser = block.bytes / 255 * np.array(block.scale).reshape(-1, *(1,) * 5)
    for place, word in enumerate(maps.words):
        level = maps[word].max() / 255
        np.testing.assert_allclose(stored[place, 0, 0, 0], maps[word], rtol=0, atol=level)
        np.testing.assert_allclose(browser[place, 0, 0, 0], maps[word], rtol=0, atol=level)


def test_a_share_below_zero_is_kept_as_none_and_one_over_one_as_it_is() -> None:
    maps = some_maps()
    values = maps.values.copy()
    values[0, 1, 0, 2] = np.linspace(-0.5, 1.34, 24, dtype=np.float32).reshape(4, 6)
    stored = StoredMaps.of(replace(maps, values=values), SITES)
    shown = stored.mean(words=[0], step=2, layers=(SITES[0].name,), head=2)[0, 0, 0, 0]
    np.testing.assert_allclose(shown, np.maximum(values[0, 1, 0, 2], 0.0), rtol=0, atol=1.34 / 510 + 1e-6)


def test_a_word_turned_round_is_shown_as_nothing() -> None:
    maps = some_maps()
    stored = StoredMaps.of(replace(maps, values=-maps.values), SITES)
    assert not stored.mean().any()
