"""Places and strengths: their numbers on a grid and over the steps, and their JSON."""

from __future__ import annotations

import io
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pipelines.assets import Asset
from pipelines.techniques.fields import Fields, drawn
from pipelines.techniques.live import on_grid
from pipelines.techniques.values import Box, WordMap, check_strength, shape_from, strength_at
from xattn.errors import BadValue


def asset(levels: np.ndarray) -> Asset:
    buffer = io.BytesIO()
    Image.fromarray(levels.astype(np.uint8)).save(buffer, "PNG")
    return Asset.from_bytes(buffer.getvalue())


fractions = st.floats(0, 1, allow_nan=False).map(lambda value: round(value, 3))


@given(fractions, fractions, fractions, fractions, st.integers(1, 20), st.integers(1, 20))
def test_a_box_covers_its_own_area_on_any_grid(a: float, b: float, c: float, d: float, height: int, width: int) -> None:
    (left, right), (top, bottom) = sorted((a, b)), sorted((c, d))
    if left == right or top == bottom:
        return
    field = drawn(Box(left, top, right, bottom), (height, width))
    assert field.shape == (height, width)
    assert field.min() >= 0
    assert field.max() <= 1 + 1e-6
    assert float(field.mean()) == pytest.approx((right - left) * (bottom - top), abs=1e-6)


def test_a_box_that_meets_the_cells_is_hard() -> None:
    field = drawn(Box(0.5, 0.0, 1.0, 0.25), (4, 2))
    assert field.tolist() == [[0, 1], [0, 0], [0, 0], [0, 0]]


def test_a_painted_field_keeps_its_mean_and_its_orientation() -> None:
    levels = np.zeros((64, 32), dtype=np.uint8)
    levels[:16] = 255  # the upper quarter
    field = drawn(asset(levels), (8, 4))
    assert field.tolist() == [[1.0] * 4] * 2 + [[0.0] * 4] * 6
    larger = drawn(asset(levels[::8, ::8]), (16, 8))
    assert larger[:3].min() > 0.9
    assert larger[6:].max() < 0.1


def test_an_odd_latent_is_averaged_over_what_a_cell_covers() -> None:
    field = torch.zeros(46, 87)
    field[:, 86] = 1.0  # the last column, alone in the last cell of a halved grid
    halved = on_grid(field, (46, 87), (23, 44))
    assert halved.shape == (23, 44)
    assert halved[:, 43].tolist() == [1.0] * 23
    assert halved[:, :43].max() == 0
    quartered = on_grid(field, (46, 87), (12, 22))
    assert quartered[:, 21].tolist() == pytest.approx([1 / 3] * 12)


def test_each_field_is_resampled_once_and_live_ones_each_time() -> None:
    asked: list[WordMap] = []

    def live(shape: WordMap) -> torch.Tensor:
        asked.append(shape)
        return torch.ones(4, 4)

    fields = Fields((4, 4), live, torch.device("cpu"))
    box = Box(0.0, 0.0, 0.5, 1.0)
    assert fields(box, (2, 2)) is fields(Box(0.0, 0.0, 0.5, 1.0), (2, 2))
    fields(WordMap("fox"), (2, 2))
    fields(WordMap("fox"), (2, 2))
    assert len(asked) == 2


@pytest.mark.parametrize("shape", [Box(0.0, 0.25, 1.0, 0.5), WordMap("fox"), WordMap(("fox", 2), 0.5)])
def test_a_shape_comes_back_from_its_json(shape: Box | WordMap) -> None:
    assert shape_from(shape.document()) == shape


def test_shapes_that_cannot_be() -> None:
    with pytest.raises(BadValue, match="left < right"):
        Box(0.5, 0.0, 0.5, 1.0)
    with pytest.raises(BadValue, match=r"from 0 to 1"):
        Box(0.0, 0.0, 100.0, 50.0)
    with pytest.raises(BadValue, match="four fractions"):
        shape_from({"box": [0, 1]})
    assert shape_from({"boxes": []}) is None


def test_a_strength_runs_straight_between_its_points() -> None:
    points = ((0.25, 2.0), (0.75, 4.0))
    assert [strength_at(points, index, 5) for index in range(5)] == [2.0, 2.0, 3.0, 4.0, 4.0]
    assert strength_at(1.5, 3, 5) == 1.5
    assert strength_at(points, 0, 1) == 2.0


@given(st.lists(st.tuples(fractions, st.floats(-3, 3)), min_size=1, max_size=5), st.integers(1, 30))
def test_a_strength_never_leaves_the_range_of_its_points(points: list[tuple[float, float]], steps: int) -> None:
    ordered = tuple(sorted(dict(points).items()))
    low, high = min(value for _, value in ordered), max(value for _, value in ordered)
    for index in range(steps):
        value = strength_at(ordered, index, steps)
        assert math.isfinite(value)
        assert low - 1e-9 <= value <= high + 1e-9


@pytest.mark.parametrize(
    "value", [(), ((0.5, 1.0), (0.5, 2.0)), ((0.0, 99.0),), ((2.0, 1.0),), "2", float("nan"), ((1,),)]
)
def test_strengths_that_cannot_be(value: object) -> None:
    with pytest.raises(BadValue, match="strength"):
        check_strength("strength", value, -10.0, 10.0)
