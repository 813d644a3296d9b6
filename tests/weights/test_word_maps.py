"""Word maps against true masks: a threshold from elsewhere, and the mean of the overlaps."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.pipeline import Pipeline
from weights.train.evaluate import singles_of
from weights.train.word_maps import best_threshold, found, iou, mean_iou


def test_iou_is_the_shared_area_of_the_joint_area():
    first, second = np.zeros((8, 8), bool), np.zeros((8, 8), bool)
    first[:, :4], second[:, 2:6] = True, True
    assert iou(first, second) == pytest.approx(2 / 6)
    assert iou(first, first) == 1.0
    assert iou(first, ~first) == iou(first ^ first, second ^ second) == 0.0


def test_the_threshold_is_the_one_that_fits_the_masks():
    mask = np.zeros((8, 8), bool)
    mask[2:6, 2:6] = True
    halo = np.full((8, 8), 0.3, np.float32)
    halo[0] = 0.0
    pairs = [(np.where(mask, peak, peak * halo).astype(np.float32), mask) for peak in (1.0, 5.0)]
    threshold = best_threshold(pairs)
    assert 0.3 <= threshold < 1.0
    assert mean_iou(pairs, threshold) == 1.0
    assert mean_iou(pairs, 0.1) < 0.4


def test_the_default_models_maps_lie_where_the_objects_of_the_scenes_do():
    pairs = found(Pipeline.from_pretrained(), singles_of(1, 20_000, [2, 39, 110]))
    assert [each.shape for each, _ in pairs] == [(128, 128)] * 3
    inside, outside = (np.mean([each[mask == where].mean() for each, mask in pairs]) for where in (True, False))
    assert inside > 2 * outside
