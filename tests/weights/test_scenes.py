"""Composed scenes: what a caption says is what is there, exactly."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weights.train.scenes import Scene, article, pair, single
from weights.train.world import GRID, NEAR_WHITE, PAIR_SIZES, SINGLE_SIZES, SIZE, world

seeds = st.integers(0, 2**32 - 1)
kinds = st.sampled_from((single, pair))


def scene_of(kind, seed: int) -> Scene:
    return kind(np.random.default_rng(seed))


def corners(scene: Scene) -> list[tuple[int, int, int, int]]:
    return [(placed.x, placed.y, placed.x + placed.size, placed.y + placed.size) for placed in scene.objects]


@given(kind=kinds, seed=seeds)
def test_objects_lie_inside_the_picture_on_the_latent_grid(kind, seed):
    for box in corners(scene_of(kind, seed)):
        assert all(0 <= edge <= SIZE and edge % GRID == 0 for edge in box)


@given(seed=seeds)
def test_single_objects_are_large_and_pairs_are_small_and_different(seed):
    assert scene_of(single, seed).objects[0].size in SINGLE_SIZES
    first, second = scene_of(pair, seed).objects
    assert {first.size, second.size} <= set(PAIR_SIZES)
    assert first.index != second.index


@given(seed=seeds)
def test_the_boxes_of_a_pair_stand_as_the_relation_says_without_overlap(seed):
    scene = scene_of(pair, seed)
    (left0, top0, right0, bottom0), (left1, top1, right1, bottom1) = corners(scene)
    stands = {
        "to the left of": right0 <= left1,
        "to the right of": right1 <= left0,
        "above": bottom0 <= top1,
        "below": bottom1 <= top0,
        "and": right0 <= left1 or right1 <= left0,
    }
    assert stands[scene.relation]


@given(kind=kinds, seed=seeds)
def test_the_caption_names_the_objects_the_relation_and_the_color_in_order(kind, seed):
    scene = scene_of(kind, seed)
    said = [placed.name for placed in scene.objects]
    if scene.relation is not None:
        said.insert(1, scene.relation)
    if scene.color is not None:
        said.append(scene.color)
    at = 0
    for phrase in said:
        at = scene.caption.find(phrase, at)
        assert at >= 0, (scene.caption, phrase)
        at += len(phrase)
    others = set(world().colors) - {scene.color}
    # "orange" the colour is no object of the world, so a caption names no other colour
    assert not others & set(scene.caption.replace(",", " ").split())


@given(kind=kinds, seed=seeds)
def test_the_background_is_within_twelve_of_its_named_color(kind, seed):
    scene = scene_of(kind, seed)
    centre = NEAR_WHITE if scene.color is None else world().colors[scene.color]
    assert np.abs(np.subtract(scene.rgb, centre)).max() <= 12


@pytest.mark.parametrize("kind", [single, pair])
def test_about_three_captions_in_ten_name_no_color(kind):
    rng = np.random.default_rng(1)
    share = np.mean([kind(rng).color is None for _ in range(1000)])
    assert share == pytest.approx(0.3, abs=0.05)


@settings(max_examples=25, deadline=None)
@given(kind=kinds, seed=seeds)
def test_masks_are_where_the_picture_departs_from_its_background(kind, seed):
    scene = scene_of(kind, seed)
    masks = scene.masks()
    image = scene.image()
    changed = (image != np.asarray(scene.rgb, np.uint8)).any(axis=2)
    boxes = np.zeros((SIZE, SIZE), bool)
    for mask, (left, top, right, bottom) in zip(masks, corners(scene), strict=True):
        inside = np.zeros_like(boxes)
        inside[top:bottom, left:right] = True
        assert mask.sum() > 150
        assert not mask[~inside].any()
        boxes |= inside
    assert not changed[~boxes].any()
    if len(masks) == 2:
        assert not (masks[0] & masks[1]).any()


@settings(max_examples=10, deadline=None)
@given(kind=kinds, seed=seeds)
def test_the_same_seed_composes_the_same_scene(kind, seed):
    first, second = scene_of(kind, seed), scene_of(kind, seed)
    assert first == second
    assert (first.image() == second.image()).all()


@pytest.mark.parametrize(("name", "expected"), [("owl", "an owl"), ("ice cream", "an ice cream"), ("fox", "a fox")])
def test_articles_fit_their_nouns(name, expected):
    assert article(name) == expected


def test_the_world_has_what_the_contract_names():
    known = world()
    assert len(known.objects) == len(set(known.objects)) == 114
    assert len(known.colors) == 10
    assert set(known.relations) == {"to the left of", "to the right of", "above", "below", "and"}
