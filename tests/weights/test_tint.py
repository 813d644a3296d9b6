"""Coloured objects: the main colour changes and nothing else, and evaluation knows right from swapped."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from weights.train.colored import figures_of, pairs_of, singles
from weights.train.data import NAMED_SIZES, UNNAMED, UNNAMED_SIZES, draw, tints_of
from weights.train.judge import color_name, load
from weights.train.scenes import Scene, colored_pair, colored_single
from weights.train.tint import PLAIN, TINTS, inked, plain, tinted
from weights.train.world import SINGLE_SIZES, icon, world


@pytest.mark.parametrize("name", PLAIN)
@pytest.mark.parametrize("color", TINTS)
def test_the_main_colour_of_a_coloured_icon_is_the_one_asked_for(name, color):
    index = world().objects.index(name)
    rgba = tinted(index, 96, color)
    main = np.median(rgba[inked(index, 96)][:, :3], axis=0) * 255
    assert color_name(main.astype(np.float32)) == color


@pytest.mark.parametrize("name", PLAIN)
def test_outlines_and_other_colours_stay(name):
    index = world().objects.index(name)
    own, new = icon(index, 96), tinted(index, 96, "green")
    assert np.array_equal(own[..., 3], new[..., 3])
    far = (own[..., 3] == 1) & (own[..., :3].max(axis=2) < 0.15)  # eyes and tyres
    assert np.abs(own - new)[far].max(initial=0) < 0.03
    assert inked(index, 96).sum() >= 0.45 * (own[..., 3] > 0.5).sum(), "most of a plain icon is its main colour"


@pytest.mark.parametrize("kind", [colored_single, colored_pair])
def test_captions_say_colours_before_their_objects_and_backgrounds_differ_from_them(kind):
    for seed in range(60):
        scene = kind(np.random.default_rng([70, seed]))
        at = 0
        for placed in scene.objects:
            assert placed.index in plain()
            at = scene.caption.find(placed.called, at)
            assert at >= 0, (scene.caption, placed.called)
            at += len(placed.called)
        colors = [placed.color for placed in scene.objects if placed.color is not None]
        assert colors
        assert len(set(colors)) == len(colors)
        assert scene.color not in colors
        assert tints_of(scene)[: len(scene.objects)] == tuple(
            -1 if placed.color is None else TINTS.index(placed.color) for placed in scene.objects
        )


def test_a_quarter_of_coloured_pairs_colours_one_object_only_unless_both_are_asked_for():
    rng = np.random.default_rng(71)
    alone = np.mean([None in [each.color for each in colored_pair(rng).objects] for _ in range(800)])
    assert alone == pytest.approx(0.25, abs=0.05)
    assert all(None not in [each.color for each in scene.objects] for scene in pairs_of(40))


def test_training_scenes_have_the_shares_and_the_sizes_that_they_are_said_to_have():
    rng = np.random.default_rng(72)
    scenes = [draw(rng, pairs=0.3, colored=0.25) for _ in range(6000)]
    one = [scene for scene in scenes if len(scene.objects) == 1]
    own = [scene for scene in one if scene.objects[0].color is None]
    unnamed = [scene for scene in own if not scene.caption]
    assert len(one) / len(scenes) == pytest.approx(0.7, abs=0.03)
    assert np.mean([any(each.color for each in scene.objects) for scene in scenes]) == pytest.approx(0.25, abs=0.03)
    assert len(unnamed) / len(own) == pytest.approx(UNNAMED, abs=0.04)
    for chosen, shares in ((unnamed, UNNAMED_SIZES), ([each for each in one if each.caption], NAMED_SIZES)):
        sizes = np.array([scene.objects[0].size for scene in chosen])
        assert [float(np.mean(sizes == size)) for size in SINGLE_SIZES] == pytest.approx(list(shares), abs=0.05)


def test_the_evaluation_knows_right_from_swapped_and_from_plain():
    judge, alone, together = load(), singles(), pairs_of(24)
    right = figures_of(judge, alone, _images(alone), together, _images(together))
    assert right["single"] >= 0.97
    assert right["right"] >= 0.95
    assert right["swapped"] == 0
    changed = [_swapped(scene) for scene in together]
    swapped = figures_of(judge, alone, _images(alone), together, _images(changed))
    assert swapped["swapped"] >= 0.95
    assert swapped["right"] == 0
    uncoloured = [replace(s, objects=tuple(replace(each, color=None) for each in s.objects)) for s in together]
    own = figures_of(judge, alone, _images(alone), together, _images(uncoloured))
    assert own["both"] >= 0.95
    assert own["right"] <= 0.2


def _images(scenes: list[Scene]) -> list[np.ndarray]:
    return [scene.image() for scene in scenes]


def _swapped(scene: Scene) -> Scene:
    first, second = scene.objects
    return replace(scene, objects=(replace(first, color=second.color), replace(second, color=first.color)))
