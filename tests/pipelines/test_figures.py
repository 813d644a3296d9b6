"""Figures of maps: what their colours, bars and titles say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from pipelines.attention_maps import AttentionMaps, Made
from pipelines.capture import Capture
from pipelines.figures import contact_sheet, greatest, left_out, shared_range, where_sheet
from pipelines.pipeline import Pipeline
from pipelines.sheet import MARGIN, broken
from pipelines.techniques import Reweight
from pipelines.where import Where

PICTURE = Image.new("RGB", (64, 64), (90, 60, 200))


def maps(*values: float, made: Made | None = None) -> AttentionMaps:
    """Of words that have nothing of one place, and these numbers of three others."""
    stored = np.zeros((len(values), 1, 1, 1, 2, 2), np.float32)
    stored[:, 0, 0, 0, 1, :] = stored[:, 0, 0, 0, 0, 1:] = np.array(values, np.float32)[:, None]
    made = made or Made("mass", "mean", "cond", 1, edited=False)
    return AttentionMaps(stored, ("fox", "cat")[: len(values)], (), (), made)


def heats(some: AttentionMaps) -> list[NDArray[np.float32]]:
    return [some[word] for word in some.words]


def test_a_share_over_one_is_drawn_as_one_unless_an_edit_may_have_raised_it() -> None:
    over = maps(1.34, 0.2)
    assert shared_range(over, heats(over)) == (0.0, 1.0)
    assert over["fox"].max() == pytest.approx(1.34), "the numbers are kept"
    for made, top in (
        (replace(over.made, edited=True), 1.34),
        (replace(over.made, edited=True, at="model"), 1.0),
        (replace(over.made, reduce="sum"), 1.34),
    ):
        assert shared_range(maps(1.34, 0.2, made=made), heats(over))[1] == pytest.approx(top)
    below = maps(0.7, 0.2)
    assert shared_range(below, heats(below)) == (0.0, pytest.approx(0.7))


def test_a_word_that_is_turned_round_has_colours_on_a_shared_scale_too() -> None:
    turned = maps(-0.5, 0.25, made=Made("mass", "mean", "cond", 1))
    assert shared_range(turned, heats(turned)) == (-0.5, 0.25)


def test_maps_say_whether_edits_acted_on_their_picture(pipe: Pipeline) -> None:
    plain, edited = (
        pipe("a fox on red", seed=1, num_inference_steps=2, maps=Capture(("fox",)), edits=edits).maps
        for edits in ((), (Reweight("fox", 3.0),))
    )
    assert plain is not None
    assert edited is not None
    assert (plain.made.edited, edited.made.edited) == (False, True)
    assert edited.document()["edited"] is True
    off = pipe("a fox", seed=1, num_inference_steps=2, words="fox", edits=(Reweight("fox", 3.0, enabled=False),)).maps
    assert off is not None
    assert not off.made.edited


def test_a_sheet_of_one_word_has_room_for_what_its_bar_means() -> None:
    for scale in ("each", "shared"):
        made = contact_sheet(PICTURE, maps(1.3, made=Made("mass", "mean", "cond", 1)), scale=scale)  # type: ignore[arg-type]
        ink = np.flatnonzero((np.asarray(made)[-MARGIN - 14 :] < 200).any(axis=(0, 2)))
        assert ink[-1] - ink[0] > 400, "a bar is 180 wide, its ends' words another 60"
        assert ink[-1] < made.width - MARGIN


def test_titles_go_on_in_further_lines_and_the_last_is_cut() -> None:
    draw, font = ImageDraw.Draw(Image.new("RGB", (1, 1))), ImageFont.load_default(22)
    prompt = "a red balloon to the left of a blue car on a green field"
    lines = broken(prompt, font, 320, draw)
    assert len(lines) == 2
    assert " ".join(lines) == prompt
    assert broken("", font, 320, draw) == []
    endless = broken(f"{prompt} and " * 200, font, 320, draw)
    assert (len(endless), endless[-1][-1]) == (3, "…")
    assert all(
        draw.textlength(line, font=font) <= 320 for line in [*lines, *endless, *broken("w" * 300, font, 320, draw)]
    )


def test_two_pictures_whose_prompts_end_differently_can_be_told_apart() -> None:
    some = maps(0.5)
    short, *long = (
        contact_sheet(PICTURE, some, title=title)
        for title in ("a fox", *(f"a red balloon to the left of a blue {end}" for end in ("car", "cat")))
    )
    assert long[0].height == long[1].height > short.height
    assert (np.asarray(long[0]) != np.asarray(long[1])).any()


def test_of_many_words_a_place_shows_the_greatest_shares_and_the_sum_of_the_others() -> None:
    words = tuple((f"word{number}", number / 5000) for number in range(60))
    where = Where((0.5, 0.5), words, 0.6, 0.02, 0.02, 0.006, exact=True)
    told = greatest(where, 10)
    assert [name for name, _, _ in told] == [*(f"word{number}" for number in range(51, 60)), "51 other words"]
    assert sum(share for _, share, _ in told) == pytest.approx(sum(share for _, share in words))
    assert [name for name, _, _ in greatest(where, 60)] == [name for name, _ in words]
    assert where_sheet(Image.new("RGB", (512, 128)), where).height > 240, "a wide picture leaves room for the words"


def test_a_sheet_says_which_layers_and_steps_it_leaves_out() -> None:
    sheets = []
    for count in (10, 16):
        values = np.random.default_rng(1).random((1, 1, count, 1, 2, 2), dtype=np.float32)
        some = AttentionMaps(values, ("fox",), (), tuple(f"layer {n}" for n in range(count)), maps(0.5).made)
        sheets.append(np.asarray(contact_sheet(PICTURE, some, by="layer")).astype(int))
    whole, fewer = sheets
    assert whole.shape[1] == fewer.shape[1], "both have ten maps in a row"
    assert fewer.shape[0] > whole.shape[0]
    note = fewer[whole.shape[0] - MARGIN : -MARGIN]
    assert (note < 160).any(), "small letters below the bar"
    assert left_out(16, "layer") == "10 of 16 layers, evenly spread; the maps have all of them."
    assert left_out(10, "layer") == ""
