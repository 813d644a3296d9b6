"""Edits as JSON: they come back equal, defaults left out, and mistakes are sentences."""

from __future__ import annotations

import json

import pytest

from pipelines.recipe import Recipe
from pipelines.techniques import TECHNIQUES, Edit, Reweight
from pipelines.techniques.codec import edit_document, read_edits
from pipelines.techniques.window import Window
from xattn.errors import BadValue, UnknownName

DOG = Recipe("a dog")


def test_what_is_at_its_default_is_left_out() -> None:
    assert edit_document(Reweight("fox", 2.0)) == {"kind": "reweight", "word": "fox", "scale": 2.0}
    document = edit_document(Reweight(("fox", 2), 0.0, id="e1", enabled=False, window=Window(steps=(1, 4))))
    assert document == {
        "kind": "reweight",
        "id": "e1",
        "enabled": False,
        "window": {"steps": [1, 4]},
        "word": ["fox", 2],
        "scale": 0.0,
    }


def test_a_recipe_with_edits_and_a_source_comes_back_from_json_and_a_hash_knows_them() -> None:
    edits = (Reweight("fox", ((0.0, 2.0), (1.0, 1.0)), of="source", window=Window(steps=(0.0, 0.5), heads=(1,))),)
    recipe = Recipe("a fox", source=DOG, edits=edits)
    assert Recipe.from_json(recipe.to_json()) == recipe
    assert Recipe.from_json(json.dumps(json.loads(recipe.to_json()))) == recipe
    assert hash(recipe) == hash(Recipe.from_json(recipe.to_json()))


def test_a_recipe_without_edits_is_written_as_before() -> None:
    assert "edits" not in Recipe("a fox").document()


@pytest.mark.parametrize(
    ("document", "says"),
    [
        ({"kind": "reweigh"}, r'no kind of edit "reweigh".*Did you mean "reweight"'),
        ({"kind": "reweight", "word": "fox"}, r"reweight\.scale"),
        ({"kind": "reweight", "word": "fox", "scale": 1, "sale": 2}, r'reweight field "sale"'),
        ({"kind": "reweight", "word": "fox", "scale": "much"}, r"from -10 to 10"),
        ({"kind": "reweight", "word": "", "scale": 1}, r"at least one word"),
        ({"kind": "reweight", "word": "fox", "scale": 1, "window": {"step": 1}}, r'window field "step"'),
        ({"kind": "reweight", "word": "fox", "scale": 1, "window": {"steps": [1]}}, r"two step numbers"),
        ({"kind": "reweight", "word": "fox", "scale": 1, "enabled": "yes"}, r"True or False"),
        ("reweight", r"objects such as"),
    ],
)
def test_a_wrong_edit_is_told_in_a_sentence(document: object, says: str) -> None:
    with pytest.raises((BadValue, UnknownName), match=says):
        read_edits([document], TECHNIQUES)


def test_edits_of_a_recipe_are_checked() -> None:
    with pytest.raises(BadValue, match='"e1" twice'):
        Recipe("a fox", edits=(Reweight("fox", 2.0, id="e1"), Reweight("a", 2.0, id="e1")))
    with pytest.raises(BadValue, match="at most 64"):
        Recipe("a fox", edits=(Reweight("fox", 2.0),) * 65)


def test_every_technique_has_a_kind_of_its_own_and_says_what_it_is() -> None:
    kinds = [technique.kind for technique in TECHNIQUES]
    assert len(set(kinds)) == len(kinds)
    for technique in TECHNIQUES:
        assert issubclass(technique, Edit)
        assert technique.__doc__
        assert technique.kind == technique.kind.lower()


def test_an_edit_that_takes_from_a_source_needs_one() -> None:
    with pytest.raises(BadValue, match=r'source is None.*reweight of "fox" takes from it'):
        Recipe("a fox", edits=(Reweight("fox", 2.0, of="source"),))
    Recipe("a fox", edits=(Reweight("fox", 2.0),))
