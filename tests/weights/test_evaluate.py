"""The evaluation: composed scenes pass it, and each way of being wrong costs what it should."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from weights.train.draw import sheet
from weights.train.evaluate import evaluate, extent, holds, ks, pairs_of, singles_of
from weights.train.figures import BARS, Figures, table
from weights.train.judge import load
from weights.train.scenes import Placed, Scene
from weights.train.world import SIZE

PAIRS = 40
Change = Callable[[Scene], Scene]


def drawing(change: Change) -> Callable[[Sequence[str], Sequence[int]], list[np.ndarray]]:
    """Draws a caption's own scene, changed."""
    scenes = {scene.caption: scene for scene in singles_of(1) + pairs_of(PAIRS)}
    return lambda prompts, seeds: [change(scenes[prompt]).image() for prompt in prompts]


def measured(change: Change) -> Figures:
    return evaluate(drawing(change), seeds=1, pairs=PAIRS, judge=load())


def replaced(scene: Scene, objects: tuple[Placed, ...], rgb: tuple[int, int, int] | None = None) -> Scene:
    return Scene(objects, scene.relation, scene.color, rgb or scene.rgb, scene.caption)


@pytest.fixture(scope="module")
def perfect() -> Figures:
    return measured(lambda scene: scene)


def test_composed_scenes_reach_every_bar(perfect):
    values = {**perfect, "worst_spread": max(perfect["spread"].values())}
    for bar in BARS:
        if values.get(bar.figure) is not None:
            assert values[bar.figure] <= bar.bar if bar.below else values[bar.figure] >= bar.bar, bar.name


def test_swapped_pairs_are_recognised_and_stand_wrong():
    def swap(scene: Scene) -> Scene:
        if len(scene.objects) == 1:
            return scene
        first, second = scene.objects
        return replaced(
            scene,
            (
                Placed(first.index, second.x, second.y, second.size),
                Placed(second.index, first.x, first.y, first.size),
            ),
        )

    figures = measured(swap)
    assert figures["both"] >= 0.95
    assert figures["relations"]["above"] == 0.0
    assert figures["relations"]["to the left of"] == 0.0
    assert figures["relations"]["and"] == 1.0  # either order will do


def test_other_objects_on_red_cost_recognition_and_color_and_are_listed(perfect):
    def other(scene: Scene) -> Scene:
        objects = tuple(Placed((p.index + 1) % 114, p.x, p.y, p.size) for p in scene.objects)
        return replaced(scene, objects, (214, 60, 60))

    figures = measured(other)
    assert figures["single"] == 0.0
    assert figures["background"] < 0.3
    assert figures["both"] == 0.0
    cat = next(weak for weak in figures["weak"] if weak["name"] == "cat")
    assert (cat["right"], cat["of"], cat["taken_for"]) == (0, 1, ["dog"])
    assert "cat 0/1 (dog)" in table(figures)


def test_one_place_and_size_for_all_is_no_spread():
    figures = measured(lambda scene: replaced(scene, tuple(Placed(p.index, 0, 0, 72) for p in scene.objects)))
    assert min(figures["spread"].values()) > 0.3


def test_scenes_of_the_evaluation_stay_the_same():
    assert [scene.caption for scene in singles_of(1)] == [scene.caption for scene in singles_of(2)[:114]]
    assert pairs_of(5) == pairs_of(9)[:5]


samples = st.lists(st.integers(-5, 5), min_size=1, max_size=12)


@given(first=samples, second=samples)
def test_ks_is_the_largest_gap_between_distribution_functions(first, second):
    gap = max(
        abs(sum(v <= x for v in first) / len(first) - sum(v <= x for v in second) / len(second))
        for x in [*first, *second]
    )
    assert ks(np.array(first, float), np.array(second, float)) == pytest.approx(gap)


def test_extent_is_the_box_of_what_is_not_background():
    image = np.full((SIZE, SIZE, 3), 200, np.uint8)
    image[20:60, 30:110] = 20
    x, y, size = extent(image)
    assert (x, y) == pytest.approx((69.5, 39.5), abs=1)
    assert size == pytest.approx(79, abs=2)


def test_a_plain_picture_has_no_extent():
    assert extent(np.full((SIZE, SIZE, 3), 99, np.uint8)) is None


def test_relations_ask_for_a_margin():
    assert holds("above", (60, 30), (60, 90))
    assert not holds("above", (60, 60), (60, 65))
    assert holds("to the right of", (90, 64), (30, 64))
    assert holds("and", (90, 10), (30, 100))
    assert not holds("and", (60, 10), (62, 100))


def test_a_sheet_holds_each_picture_whole():
    pictures = [np.full((SIZE, SIZE, 3), shade, np.uint8) for shade in (10, 20, 30)]
    canvas = sheet(pictures, across=2)
    assert canvas.shape == (2 * 132 + 4, 2 * 132 + 4, 3)
    assert [(canvas == shade).all(axis=2).sum() for shade in (10, 20, 30)] == [SIZE * SIZE] * 3
