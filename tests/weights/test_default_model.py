"""The default model as it is committed: small, whole, and anybody's to run."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from weights.train.colored import pairs_of
from weights.train.judge import color_right, judged, load, look
from weights.train.pack import LIMIT, size_of
from weights.train.world import world

MODEL = Path(__file__).parents[2] / "weights" / "emoji-128"


@pytest.fixture(scope="module")
def pipe():
    from diffusers import StableDiffusionPipeline

    pipe = StableDiffusionPipeline.from_pretrained(str(MODEL), local_files_only=True)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def test_it_is_within_its_limit():
    assert 0 < size_of(MODEL) <= LIMIT


def test_its_card_is_made_of_figures():
    assert (MODEL / "figures.json").is_file()
    assert "Not measured" not in (MODEL / "README.md").read_text(encoding="utf-8")


def test_it_is_as_good_as_its_card_has_to_say():
    figures = json.loads((MODEL / "figures.json").read_text())
    assert figures["single"] >= 0.97
    assert figures["background"] >= 0.99
    assert figures["both"] >= 0.85
    assert figures["relation"] >= 0.9
    assert figures["psnr"] >= 30
    assert figures["maps"]["single"] >= 0.6
    assert figures["maps"]["pair"] >= 0.45
    assert figures["edits"]["right"] >= 0.8
    assert figures["colors"]["right"] >= 0.6
    assert max(figures["spread"].values()) <= 0.15


def test_vanilla_diffusers_draws_what_was_asked(pipe):
    names = ("strawberry", "snowman", "car", "rocket")
    generators = [torch.Generator().manual_seed(seed) for seed in range(len(names))]
    drawn = pipe(
        [f"a {name} on purple" for name in names],
        num_inference_steps=20,
        guidance_scale=4.0,
        generator=generators,
        output_type="np",
    ).images
    pictures = list(np.round(drawn * 255).astype(np.uint8))
    assert all(color_right(picture, "purple") for picture in pictures)
    seen = [[world().objects[each.index] for each in found] for found in look(load(), pictures, 1)]
    assert sum([name] == found for name, found in zip(names, seen, strict=True)) >= 3, seen


def test_vanilla_diffusers_binds_colours_to_their_objects(pipe):
    scenes = pairs_of(4)
    drawn = pipe(
        [scene.caption for scene in scenes],
        num_inference_steps=20,
        guidance_scale=1.5,
        generator=[torch.Generator().manual_seed(seed) for seed in range(len(scenes))],
        output_type="np",
    ).images
    pictures = list(np.round(drawn * 255).astype(np.uint8))
    seen = look(load(), pictures, 2)
    assert sum(judged(scene, found) for scene, found in zip(scenes, seen, strict=True)) >= 3, seen
