"""What Keep copies runs as it is, and draws the same picture."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipelines.assets import Asset
from pipelines.metadata import keep_assets
from pipelines.pipeline import Pipeline
from pipelines.recipe import Recipe
from pipelines.techniques import Reweight
from tests.ui.conftest import environment
from ui.web.copies import command, copies

PLAIN = Recipe('it\'s a "fox" on purple', negative_prompt="a cat", seed=5, num_inference_steps=2, scheduler="euler")
EDITED = replace(PLAIN, edits=(Reweight(word="fox", scale=2.0),), clip_skip=1)
WILD = Asset.from_image(Image.effect_noise((300, 300), 100))
"""Too large to be inside a recipe's text."""
BEGUN = replace(EDITED, init=WILD, strength=0.9)
EACH = pytest.mark.parametrize("recipe", [PLAIN, EDITED, BEGUN], ids=["plain", "edited", "begun"])


@pytest.fixture(scope="module")
def pipe(model: Path) -> Pipeline:
    """The tiny model."""
    return Pipeline.from_pretrained(model)


def texts(pipe: Pipeline, recipe: Recipe, folder: Path) -> tuple[dict[str, str], Image.Image]:
    """The copies of a recipe, and its picture; what the texts leave out is kept, as the page does."""
    result = pipe(recipe)
    keep_assets(result.recipe)
    return {one.label: one.text for one in copies(result.recipe, folder)}, result.image


@EACH
def test_python_draws_the_same(pipe: Pipeline, model: Path, here: Path, recipe: Recipe) -> None:
    said, expected = texts(pipe, recipe, model)
    exec(compile(said["Python"], "copied.py", "exec"), {})
    with Image.open(here / "picture.png") as image:
        assert np.array_equal(np.asarray(image), np.asarray(expected))


@pytest.mark.slow
@EACH
def test_the_command_draws_the_same(pipe: Pipeline, model: Path, here: Path, recipe: Recipe) -> None:
    said, expected = texts(pipe, recipe, model)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", said["Command"]],
        cwd=here,
        env=environment(PATH=path, XATTN_CACHE=os.environ["XATTN_CACHE"]),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    with Image.open(here / "picture.png") as image:
        assert np.array_equal(np.asarray(image), np.asarray(expected))


@EACH
def test_the_batch_line_draws_the_same(
    pipe: Pipeline, model: Path, here: Path, xattn: Callable[..., Any], recipe: Recipe
) -> None:
    said, expected = texts(pipe, recipe, model)
    (here / "rows.jsonl").write_text(said["Batch line"] + "\n", encoding="utf-8")
    done = xattn("batch", "rows.jsonl", "--model", model, "--out", "drawn")
    assert done.code == 0, done.err
    (file,) = (here / "drawn").rglob("*.png")
    with Image.open(file) as image:
        assert np.array_equal(np.asarray(image), np.asarray(expected))


def test_a_text_that_lacks_its_picture_says_where_that_is() -> None:
    assert "in this machine's store" in copies(BEGUN)[0].hint
    assert not any(
        "store" in one.hint for one in copies(replace(EDITED, init=Asset.from_image(Image.new("L", (9, 9)))))
    )


def test_a_command_says_every_digit_of_the_guidance() -> None:
    assert "--guidance 7.123456789 " in command(replace(PLAIN, guidance_scale=7.123456789))
    assert "--guidance 7 " in command(replace(PLAIN, guidance_scale=7.0))
