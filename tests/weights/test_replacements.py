"""Replaced objects: what is asked, what counts as background, and what counts as right."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.pipeline import Pipeline
from weights.train.replacements import box, measure, outside_psnr, swaps
from weights.train.world import world


def plain(shade: int = 200) -> np.ndarray:
    return np.full((128, 128, 3), shade, np.uint8)


def test_every_object_is_asked_for_once_before_any_comes_again_and_never_for_itself():
    asked = swaps(114)
    assert sorted(target for _, _, target in asked) == list(range(114))
    assert all(world().objects[index] in target and source != target for source, target, index in asked)
    assert all(source.split(" on ")[1] == target.split(" on ")[1] for source, target, _ in asked)


def test_a_box_holds_the_object_and_no_speck():
    image = plain()
    image[30:60, 40:100] = 10
    image[5, 5] = 10
    inside = box(image)
    assert inside.sum() == 30 * 60
    assert inside[30:60, 40:100].all()


def test_only_what_is_outside_both_boxes_counts():
    before, after = plain(), plain()
    before[10:40, 10:40] = 10
    after[60:90, 60:90] = 90
    assert outside_psnr(before, after) == float("inf")
    after[100:, :20] = 190
    assert outside_psnr(before, after) == pytest.approx(
        10 * np.log10(255**2 / (100 * (28 * 20) / (128 * 128 - 2 * 900)))
    )


def test_the_default_model_keeps_the_background_of_an_edit():
    figures = measure(Pipeline.from_pretrained(), count=4)
    assert figures["count"] == 4
    assert figures["right"] <= min(figures["recognised"], figures["kept"])
    assert figures["psnr"] > 15
