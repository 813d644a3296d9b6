"""An edit leaves other sites alone, eight pictures of a run leave each other alone, and what is wrong only once a
window opens is told before the first step."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pipelines.pipeline import Pipeline
from pipelines.techniques import Edit, Inject, PaintWithWords, Refine, Replace
from pipelines.techniques.window import Window
from tests.pipelines.techniques.samples import LEFT, SAMPLES, TARGET
from xattn.errors import Conflict, UnknownWord

every_edit = pytest.mark.parametrize("edit", SAMPLES.values(), ids=SAMPLES)
LATE = Window(steps=(0.6, 1.0))


@every_edit
def test_only_the_sites_of_its_window_do_anything_else(pipe: Pipeline, edit: Edit) -> None:
    sites = tuple(site.name for site in pipe.model.unet.sites if edit.at(site))
    narrowed = replace(edit, window=Window(sites=sites[-1:]) if sites else Window())
    stream = pipe.stream(replace(TARGET, edits=(narrowed,)))
    programs = stream.gi_frame.f_locals["first"].passes[0].programs  # type: ignore[attr-defined]
    acting = set()
    for index in range(4):
        step = programs.at(index)
        for name, program in {} if step is None else step.sites.items():
            if not program.unedited:
                acting.add(name)
    assert acting == set(sites[-1:])
    stream.close()  # type: ignore[attr-defined]


def test_eight_pictures_of_different_edits_are_each_as_alone(pipe: Pipeline) -> None:
    recipes = [replace(TARGET, edits=(edit,)) for edit in SAMPLES.values()]
    for start in range(0, len(recipes), 7):  # and their source
        some = recipes[start : start + 7]
        for recipe, drawn in zip(some, pipe(some, batch_size=8), strict=True):
            alone = np.asarray(pipe(recipe).image).astype(int)
            assert abs(alone - np.asarray(drawn.image).astype(int)).max() <= 1, recipe.edits


@pytest.mark.parametrize(
    ("edits", "error", "says"),
    [
        ((PaintWithWords("wolf", LEFT, window=LATE),), UnknownWord, 'no word "wolf"'),
        ((PaintWithWords("fox", LEFT), Replace(window=LATE), Refine(window=LATE)), Conflict, "cannot both hold"),
        ((Replace(word_steps=(("wolf", (0.6, 1.0)),), window=Window(steps=(0.0, 0.0))),), UnknownWord, "wolf"),
        ((PaintWithWords("fox", LEFT), Inject(window=LATE), Inject(window=LATE)), Conflict, "the inject"),
    ],
)
def test_what_is_wrong_only_later_is_told_before_the_first_step(
    pipe: Pipeline, edits: tuple[Edit, ...], error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        pipe.stream(replace(TARGET, edits=edits))
