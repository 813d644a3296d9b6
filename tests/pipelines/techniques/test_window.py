"""Windows: which steps, sites, heads and rows an edit takes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.pipeline import Pipeline
from pipelines.techniques.window import Window
from xattn import Box, PaintMap
from xattn.errors import BadValue, UnknownName, UnknownWord
from xattn.sites import AttentionSite

DOWN = AttentionSite("down_blocks.0.attentions.0.transformer_blocks.0.attn2", "cross", "down", 1, 3, 32)
MID = AttentionSite("mid_block.attentions.0.transformer_blocks.0.attn1", "self", "mid", 4, 7, 32)


def opened(window: Window, steps: int) -> list[int]:
    return [index for index in range(steps) if window.open(index, steps)]


def test_fractions_are_the_papers_whole_part_of_the_steps() -> None:
    assert opened(Window(steps=(0.0, 0.8)), 10) == list(range(8))
    assert opened(Window(steps=(0.3, 0.7)), 10) == [3, 4, 5, 6]
    assert opened(Window(steps=(0.5, 0.5)), 10) == []
    assert opened(Window(), 7) == list(range(7))


def test_step_numbers_count_from_one_and_include_both() -> None:
    assert opened(Window(steps=(1, 3)), 10) == [0, 1, 2]
    assert opened(Window(steps=(1, 1)), 10) == [0]
    assert opened(Window(steps=(4, 900)), 6) == [3, 4, 5]


def test_zero_and_one_as_javascript_writes_them_are_fractions() -> None:
    assert Window(steps=(0, 1)) == Window()
    assert Window(steps=(0, 0.5)).steps == (0.0, 0.5)


@given(st.integers(1, 200), st.integers(0, 1000), st.integers(0, 1000))
def test_windows_side_by_side_share_the_steps_without_gap_or_overlap(steps: int, one: int, other: int) -> None:
    low, high = sorted((one / 1000, other / 1000))
    parts = [opened(Window(steps=part), steps) for part in ((0.0, low), (low, high), (high, 1.0))]
    assert [index for part in parts for index in part] == list(range(steps))


@pytest.mark.parametrize("asked", ["down", "1/1", DOWN.name, "0.attn2", "attn2"])
def test_a_site_is_meant_by_its_place_its_grid_or_its_name(asked: str) -> None:
    window = Window(sites=(asked,))
    assert window.takes(DOWN)
    assert not window.takes(MID)
    window.check_sites((DOWN, MID))


def test_part_of_a_name_is_no_name() -> None:
    assert not Window(sites=("ttn2",)).takes(DOWN)
    assert not Window(sites=("1/11",)).takes(DOWN)


def test_what_no_site_answers_to_is_told_before_the_run() -> None:
    with pytest.raises(UnknownName, match="down, mid, up, 1/1, 1/4"):
        Window(sites=("1/2",)).check_sites((DOWN, MID))
    with pytest.raises(BadValue, match="from 0 to 2"):
        Window(sites=("down",), heads=(3,)).check_sites((DOWN, MID))
    Window(heads=(6,)).check_sites((DOWN, MID))


@pytest.mark.parametrize(
    "steps", [(0.8, 0.2), (5, 2), (0.0, 1.5), (1, 5000), (0.0,), 3, ("0", "1"), (True, 2), (float("nan"), 1.0)]
)
def test_steps_that_cannot_be(steps: object) -> None:
    with pytest.raises(BadValue, match=r"window\.steps"):
        Window(steps=steps)  # type: ignore[arg-type]


def test_rows_have_names() -> None:
    with pytest.raises(UnknownName, match="cond, uncond"):
        Window(rows=("source",))  # type: ignore[arg-type]
    with pytest.raises(BadValue, match=r"window\.rows"):
        Window(rows=())


def test_a_word_is_looked_for_in_the_prompt_of_the_rows_and_the_error_names_it(pipe: Pipeline) -> None:
    uncond = PaintMap("fox", "gain", Box(0, 0, 0.5, 1), window=Window(rows=("uncond",)))
    with pytest.raises(UnknownWord, match=r'The negative prompt has no word "fox"\. Its words are: a, dog'):
        pipe("a fox", negative_prompt="a dog", guidance_scale=3.0, num_inference_steps=2, edits=(uncond,))
