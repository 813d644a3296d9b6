"""The numbers: what the browser makes of the bytes is what numpy makes of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.ui.viewer.conftest import hot, joint, summary, view
from ui.web.viewer import Block, Layer, Word


def means(block: Block, step: int | None, layer: int | None, head: int | None) -> NDArray[np.float64]:
    """[word, y, x] in float64: the mean over what is not pinned, without the head that the second layer lacks."""
    scale = np.array(block.scale).reshape(*block.bytes.shape[:4], 1, 1)
    values = block.bytes / 255 * scale
    there = np.ones((2, 3))
    there[1, 2] = 0
    values = values if step is None else values[:, [step]]
    values, there = (values, there) if layer is None else (values[:, :, [layer]], there[[layer]])
    values, there = (values, there) if head is None else (values[:, :, :, [head]], there[:, [head]])
    weight = there / max(there.sum(), 1) / values.shape[1]
    return np.asarray(np.einsum("wslhyx,lh->wyx", values, weight))


def shown_grid(viewer: Any) -> NDArray[np.float64]:
    """valueAt in the middle of every cell."""
    code = "Array.from({length: 48}, (_, i) => viewer.valueAt(((i % 8) + .5) / 8, (Math.floor(i / 8) + .5) / 6))"
    return np.array(viewer.page.evaluate(code)).reshape(6, 8)


@pytest.mark.parametrize(
    ("step", "layer", "head"),
    [(None, None, None), (2, None, None), (None, 1, None), (None, None, 2), (0, 0, None), (3, 1, 1), (None, 0, 2)],
)
def test_every_selection_is_the_mean_of_its_slices(shown: Any, step: Any, layer: Any, head: Any) -> None:
    block = joint()
    viewer = shown(view(maps=(block,)))
    names = None if layer is None else [block.layers[layer].name]
    wish = {"words": [1], "step": None if step is None else block.steps[step], "layers": names, "head": head}
    viewer.call("viewer.select(argument)", wish)
    np.testing.assert_allclose(shown_grid(viewer), means(block, step, layer, head)[1], rtol=1e-4, atol=1e-7)


def test_a_layer_of_more_heads_counts_more_though_its_heads_came_as_their_mean(shown: Any) -> None:
    cells = np.zeros((3, 1, 2, 1, 6, 8), np.uint8)
    cells[:, :, 1] = 255
    layers = (Layer("down.attn2", "down 1", (6, 8), 3), Layer("up.attn2", "up 1", (3, 4), 1))
    viewer = shown(view(maps=(Block(cells, (1.0,) * 3, layers=layers),)))
    assert viewer.call("viewer.valueAt(0.5, 0.5)") == pytest.approx(1 / 4)


def test_a_phrase_is_the_sum_of_its_words(shown: Any) -> None:
    block = joint()
    viewer = shown(view(maps=(block,)))
    viewer.call("viewer.select({words: [0, 2]})")
    expected = means(block, None, None, None)
    np.testing.assert_allclose(shown_grid(viewer), expected[0] + expected[2], rtol=1e-4)


def test_the_finest_block_answers_and_a_coarser_one_only_what_it_alone_keeps(shown: Any) -> None:
    coarse = Block(np.full((3, 2, 1, 1, 3, 4), 51, np.uint8), (1.0,) * 3, steps=(1, 2))
    viewer = shown(view(maps=(coarse, summary())))
    viewer.call("viewer.select({words: [0]})")
    assert viewer.call("viewer.valueAt(2.5 / 8, 1.5 / 6)") == pytest.approx(0.5)
    viewer.call("viewer.select({step: 2})")
    assert viewer.call("viewer.valueAt(2.5 / 8, 1.5 / 6)") == pytest.approx(51 / 255)


def test_a_combination_without_a_block_is_asked_for_and_the_other_axis_let_go(shown: Any) -> None:
    steps = Block(np.zeros((3, 2, 1, 1, 6, 8), np.uint8), (1.0,) * 3, steps=(1, 2))
    heads = Block(np.zeros((3, 1, 1, 2, 6, 8), np.uint8), (1.0,) * 3, heads=(0, 1))
    viewer = shown(view(maps=(steps, heads)))
    viewer.call("viewer.select({step: 2})")
    viewer.call("viewer.select({head: 1})")
    assert [asked["selection"]["step"] for asked in viewer.events("slice")] == [2]
    assert viewer.state()["selection"]["step"] is None
    assert viewer.state()["selection"]["head"] == 1


def test_more_maps_answer_what_was_asked_for(shown: Any) -> None:
    viewer = shown(view())
    more = Block(np.stack([hot(0, 0, 204)] * 3)[:, None, None, None], (1.0,) * 3, steps=(7,))
    viewer.call("viewer.patch({id: 'run', more_maps: [argument]})", more.to_json(compress=True))
    viewer.call("viewer.select({words: [0], step: 7})")
    assert viewer.call("viewer.valueAt(0.01, 0.01)") == pytest.approx(0.8)


def test_what_was_chosen_stays_with_the_same_run_and_with_a_new_one_that_has_it(shown: Any) -> None:
    viewer = shown(view(maps=(joint(),)))
    viewer.call("viewer.select({step: 3})")
    viewer.call("viewer.set(argument)", view(maps=(joint(),)).to_json())
    assert viewer.state()["selection"]["step"] == 3
    viewer.call("viewer.set(argument)", view(id="next", maps=(joint(),)).to_json())
    assert viewer.state()["selection"]["step"] == 3
    viewer.call("viewer.set(argument)", view(id="last", maps=(summary(),)).to_json())
    assert viewer.state()["selection"]["step"] is None


def test_a_word_stays_chosen_by_its_text_and_the_longest_is_first(shown: Any) -> None:
    viewer = shown(view())
    assert viewer.state()["selection"]["words"] == [2]
    viewer.call("viewer.select({words: [0]})")
    other = view(id="next", words=(Word("a", "#14c3c3"), Word("blue", "#e8b616"), Word("fox", "#f66754")), prompt=())
    viewer.call("viewer.set(argument)", other.to_json())
    assert viewer.state()["selection"]["words"] == [2]
    viewer.call("viewer.set(argument)", view(id="third", words=(*other.words[:2], Word("owl", "#46c865"))).to_json())
    assert viewer.state()["selection"]["words"] == [1]


def test_the_view_that_came_last_stays_though_an_earlier_one_takes_longer_to_unpack(shown: Any) -> None:
    viewer = shown(view())
    slow, fast = view(id="slow", maps=(joint(),)).to_json(compress=True), view(id="fast").to_json()
    viewer.call("Promise.all([viewer.set(argument[0]), viewer.set(argument[1])])", [slow, fast])
    assert viewer.state()["id"] == "fast"


def test_maps_that_lack_bytes_are_told_in_a_sentence(shown: Any) -> None:
    viewer = shown(view())
    broken = view().to_json()
    broken["maps"][0]["shape"][0] = 4
    viewer.call("viewer.set(argument)", broken)
    assert "144 bytes" in viewer.page.locator("[role=alert]").inner_text()


def test_scrubs_offer_only_the_axes_that_were_kept(shown: Any) -> None:
    viewer = shown(view(maps=(joint(),)))
    visible = ["opacity", "step", "layer", "grid", "head"]
    assert [row for row in visible if viewer.page.locator(f"[data-row={row}]").is_visible()] == visible
    viewer = shown(view())
    assert [row for row in visible if viewer.page.locator(f"[data-row={row}]").is_visible()] == ["opacity"]


def test_a_resolution_is_all_layers_of_that_grid(shown: Any) -> None:
    block = joint()
    viewer = shown(view(maps=(block,)))
    viewer.page.get_by_role("group", name="Grid").get_by_role("button", name="3×4").click()
    viewer.call("viewer.select({words: [2]})")
    assert viewer.state()["selection"]["layers"] == ["up.attn2"]
    np.testing.assert_allclose(shown_grid(viewer), means(block, None, 1, None)[2], rtol=1e-4)
