"""What Prompt-to-Prompt's techniques refuse, before the first step, and what their parameters leave alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from pipelines.pipeline import Pipeline
from pipelines.recipe import Recipe
from pipelines.techniques import Edit, Inject, LocalBlend, Refine, Replace, Reweight
from pipelines.techniques.values import Box
from pipelines.techniques.window import Window
from xattn.errors import BadValue, Conflict, UnknownName, UnknownWord, XattnError

SOURCE = Recipe("a fox on purple", seed=1, num_inference_steps=4, guidance_scale=4.0)
TARGET = replace(SOURCE, prompt="a dog on purple", source=SOURCE)
WHOLE = Window()


@pytest.mark.parametrize(
    ("make", "error", "says"),
    [
        (lambda: Replace(pairs=("fox", "dog")), BadValue, 'such as (("fox", "dog"),)'),  # type: ignore[arg-type]
        (lambda: Refine(pairs=((" ", "dog"),)), BadValue, "pairs of a word"),
        (lambda: Replace(pairs=(("fox", "dog"),), published=True), BadValue, "left out with published=True"),
        (lambda: Inject(published=1), BadValue, "True or False"),  # type: ignore[arg-type]
        (lambda: LocalBlend(), BadValue, "given, unless there is a mask"),
        (lambda: LocalBlend("dog"), BadValue, 'such as ("dog",)'),  # type: ignore[arg-type]
        (lambda: LocalBlend(("dog",), threshold=1.5), BadValue, "local_blend.threshold"),
        (lambda: LocalBlend(mask="left"), BadValue, "Box"),  # type: ignore[arg-type]
        (lambda: Reweight("dog", 2.0, of="theirs"), UnknownName, "own, source"),  # type: ignore[arg-type]
        (lambda: Reweight("dog", 2.0, published=True), BadValue, '"source" with published=True'),
    ],
)
def test_what_cannot_be_is_refused_where_it_is_made(
    make: Callable[[], Edit], error: type[XattnError], says: str
) -> None:
    with pytest.raises(error) as raised:
        make()
    assert says in str(raised.value)


@pytest.mark.parametrize(
    ("edits", "error", "says"),
    [
        ((Replace(pairs=(("cat", "dog"),)),), UnknownWord, 'The source\'s prompt has no word "cat"'),
        ((LocalBlend(("fox",)),), UnknownWord, 'The prompt has no word "fox". Its words are: a, dog'),
        ((LocalBlend((), ("dog",)),), UnknownWord, 'The source\'s prompt has no word "dog"'),
        ((Reweight("dog", 2.0, of="source"),), UnknownWord, 'The source\'s prompt has no word "dog"'),
        ((Inject(published=True),), BadValue, "a quarter of the latent's side"),
        ((LocalBlend(("dog",), published=True),), BadValue, "a quarter of the latent's side"),
        ((Replace(), Refine()), Conflict, "both take the map of one token from elsewhere. Keep one of them, or give"),
        ((Replace(), Reweight("purple", 2.0, of="source")), Conflict, 'reweight with of="own", after it in the list.'),
        ((Reweight("purple", 2.0, of="source"), Refine()), Conflict, 'reweight with of="own", after it in the list.'),
        ((Inject(), Inject(window=WHOLE)), Conflict, "or give them other rows, heads, sites or steps."),
    ],
)
def test_what_does_not_fit_is_told_before_the_first_step(
    pipe: Pipeline, edits: tuple[Edit, ...], error: type[XattnError], says: str
) -> None:
    with pytest.raises(error) as raised:
        pipe.stream(replace(TARGET, edits=edits))
    assert says in str(raised.value)


@pytest.mark.parametrize("edit", [Replace(), Refine(), Inject(), LocalBlend(("dog",)), Reweight("a", 2.0, of="source")])
def test_without_a_source_there_is_nothing_to_take_from(edit: Edit) -> None:
    with pytest.raises(BadValue, match="source"):
        Recipe("a dog", edits=(edit,))


@pytest.mark.parametrize(
    "edits",
    [
        (LocalBlend(mask=Box(0.0, 0.0, 1.0, 1.0)),),
        (LocalBlend(("dog",), threshold=0.0),),
        (Reweight("dog", 1.0),),
    ],
    ids=["blend everywhere", "blend at any attention", "reweight by one"],
)
def test_with_the_parameters_of_nothing_no_bit_changes(pipe: Pipeline, edits: tuple[Edit, ...]) -> None:
    edited, plain = pipe([replace(TARGET, edits=edits), TARGET])
    assert (np.asarray(edited.image) == np.asarray(plain.image)).all()


def test_edits_between_equal_pictures_change_no_bit(pipe: Pipeline) -> None:
    same = replace(SOURCE, source=SOURCE, edits=(Replace(), Inject(), LocalBlend(("fox",), ("fox",))))
    edited, plain = pipe([same, SOURCE])
    assert (np.asarray(edited.image) == np.asarray(plain.image)).all()


def test_blending_nowhere_is_the_source(pipe: Pipeline) -> None:
    nowhere = LocalBlend(("dog",), threshold=1.0)
    edited, source = pipe([replace(TARGET, edits=(nowhere,)), SOURCE])
    assert (np.asarray(edited.image) == np.asarray(source.image)).all()


def test_a_word_that_is_not_said_yet_blends_nothing(pipe: Pipeline) -> None:
    changing = replace(TARGET, prompt="a [fox:dog:0.5] on purple", edits=(Replace(), LocalBlend(("dog",))))
    assert pipe(changing).image.size == (64, 64)


def test_the_alignment_is_shown_before_anything_is_drawn(pipe: Pipeline) -> None:
    paired = replace(TARGET, prompt="a cat on a dog", edits=(Replace(pairs=(("fox", "dog"),)),))
    assert ("paired", "fox", "dog") in [(link.kind, link.source, link.target) for link in pipe.alignment(paired).links]
    with pytest.raises(BadValue, match="nothing to align"):
        pipe.alignment(SOURCE)


def test_a_source_with_edits_of_its_own_gives_what_it_has_with_them_in_any_order(pipe: Pipeline) -> None:
    edited = replace(SOURCE, edits=(Reweight("purple", 4.0),))
    target = replace(TARGET, source=edited, edits=(Replace(),))
    alone = np.asarray(pipe(target).image).astype(int)
    beside = np.asarray(pipe([edited, target])[1].image).astype(int)
    assert abs(alone - beside).max() <= 1
    same = replace(target, prompt=SOURCE.prompt, edits=(Replace(window=Window()),))
    pair = pipe([same, edited])
    assert (np.asarray(pair[0].image) == np.asarray(pair[1].image)).all()
