"""The judge: right on scenes it has never seen, and not to be had by colours without shape."""

from __future__ import annotations

import numpy as np
import pytest

from weights.train.judge import (
    WEIGHTS,
    Judge,
    accuracy,
    background,
    color_name,
    color_right,
    load,
    look,
    pooled,
    spoil,
    targets,
)
from weights.train.scenes import pair, single
from weights.train.world import NEAR_WHITE, SIZE, world


@pytest.fixture(scope="module")
def judge() -> Judge:
    return load()


def test_it_is_right_in_99_of_100_held_out_scenes(judge):
    shares = accuracy(judge, 150, seed=31_000)
    assert set(shares) == {"single", "pair", "colored single", "colored pair"}
    assert min(shares.values()) >= 0.98  # of 150, two
    assert min(shares["single"], shares["pair"]) >= 0.99


@pytest.mark.slow
def test_it_is_right_in_99_of_100_held_out_scenes_of_a_large_sample(judge):
    assert min(accuracy(judge, 3000, seed=32_000).values()) >= 0.99


def test_it_places_objects_within_a_cell(judge):
    scenes = [compose(np.random.default_rng([33_000, seed])) for seed in range(24) for compose in (single, pair)]
    for scene, seen in zip(scenes, look(judge, [scene.image() for scene in scenes]), strict=True):
        at = {each.index: (each.x, each.y) for each in seen}
        for placed in scene.objects:
            if placed.index in at:
                middle = np.array([placed.x, placed.y]) + placed.size / 2
                assert np.abs(np.subtract(at[placed.index], middle)).max() <= 16


def test_it_sees_nothing_on_plain_backgrounds(judge):
    plain = [np.full((SIZE, SIZE, 3), color, np.uint8) for color in (*world().colors.values(), NEAR_WHITE)]
    assert look(judge, plain) == [()] * len(plain)


def test_it_sees_no_object_in_its_colors_alone(judge):
    fooled = 0
    for seed in range(60):
        rng = np.random.default_rng([34_000, seed])
        scene = single(rng)
        image = scene.image()
        spoil(rng, scene, image)
        (seen,) = look(judge, [image], 1)
        fooled += scene.objects[0].index in [each.index for each in seen]
    assert fooled <= 6


def test_its_weights_are_small():
    assert WEIGHTS.stat().st_size <= 2_000_000


def test_a_missing_judge_is_said_with_the_remedy(tmp_path):
    with pytest.raises(FileNotFoundError) as error:
        load(tmp_path / "judge.safetensors")
    assert "python -m weights.train judge" in str(error.value)


def test_targets_give_the_middle_of_a_box_its_object_and_its_rim_to_nobody():
    asked = targets([(5, 16.0, 32.0, 80.0, 96.0)])
    nothing = len(world().objects)
    expected = np.full((8, 8), nothing)
    expected[2:6, 1:5] = -1
    expected[3:5, 2:4] = 5
    assert (asked.cells == expected).all()
    assert asked.whole[5] == 1.0


def test_targets_without_boxes_are_nothing():
    asked = targets([])
    assert (asked.cells == len(world().objects)).all()
    assert asked.whole[-1] == 1.0


def test_shares_of_a_picture_sum_to_one(judge):
    import torch

    heat = torch.rand(3, 115, 8, 8, generator=torch.Generator().manual_seed(0)).softmax(dim=1)
    assert torch.allclose(pooled(heat).sum(dim=1), torch.ones(3))


@pytest.mark.parametrize("name", list(world().colors))
def test_a_color_is_known_anywhere_in_its_range(name):
    centre = np.asarray(world().colors[name], np.float32)
    for seed in range(20):
        jitter = np.random.default_rng(seed).integers(-12, 13, 3)
        picture = np.full((SIZE, SIZE, 3), np.clip(centre + jitter, 0, 255), np.uint8)
        assert color_right(picture, name)
        other = "red" if name != "red" else "blue"
        assert not color_right(picture, other)


def test_near_white_has_no_name_and_passes_for_white():
    picture = np.full((SIZE, SIZE, 3), NEAR_WHITE, np.uint8)
    assert color_name(background(picture)) is None
    assert color_right(picture, None)
    assert color_right(picture, "white")
    assert not color_right(picture, "gray")


def test_the_background_is_read_beside_an_object_that_hugs_a_corner():
    scene = next(s for s in (single(np.random.default_rng(n)) for n in range(9999)) if s.objects[0].size == 112)
    assert (background(scene.image()) == np.asarray(scene.rgb, np.float32)).all()
