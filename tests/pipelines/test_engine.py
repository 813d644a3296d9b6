"""A recipe and an engine mean one picture: what was drawn once is drawn again, on any machine, by any later version."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from pipelines.metadata import read_recipe
from pipelines.pipeline import Pipeline
from pipelines.recipe import ENGINE
from tests.pipelines.engine import FOLDER, RECIPES


@pytest.fixture(scope="module")
def pipe() -> Pipeline:
    return Pipeline.from_pretrained()


@pytest.mark.parametrize("name", RECIPES)
def test_a_stored_picture_is_drawn_again(pipe: Pipeline, name: str) -> None:
    path = FOLDER / f"{name}.png"
    stored = read_recipe(path)
    assert stored.engine == ENGINE, "pictures of an older engine need the code of that engine"
    assert stored == pipe.resolve(RECIPES[name])
    with Image.open(path) as picture:
        before = np.asarray(picture).astype(int)
    difference = np.abs(np.asarray(pipe(stored).image) - before)
    assert difference.max() <= 2, "Pictures changed: raise ENGINE and say so in CHANGELOG.md"
