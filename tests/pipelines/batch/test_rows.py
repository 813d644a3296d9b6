"""Rows become recipes: defaults, seeds, sweeps, templates, pictures; and seeds stay when rows come and go."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pipelines.batch.paths import assign, flattened, lookup
from pipelines.batch.rows import Asked, Settings, expand
from pipelines.batch.sources import Raw, Source
from pipelines.batch.templates import Templates
from pipelines.recipe import Recipe
from xattn.errors import BadValue, XattnError


def asked(*rows: Mapping[str, object], folder: Path = Path(), settings: Settings | None = None) -> tuple[Asked, ...]:
    source = Source("rows", folder, "", tuple(Raw(number, number, row) for number, row in enumerate(rows, 1)))
    made, rejected = expand(source, settings or Settings())
    assert rejected == (), rejected
    return made


def problem(row: Mapping[str, object], settings: Settings | None = None) -> str:
    made, rejected = expand(Source("rows", Path(), "", (Raw(1, 1, row),)), settings or Settings())
    assert made == ()
    return rejected[0].message


def seeds(made: Sequence[Asked]) -> list[int | None]:
    return [one.recipe.seed for one in made]


def test_a_row_is_a_recipe_over_the_defaults() -> None:
    settings = Settings({"num_inference_steps": 3, "seed": 5, "negative_prompt": "cat"})
    first, second = asked({"prompt": "a"}, {"prompt": "b", "num_inference_steps": 4, "seed": 6}, settings=settings)
    assert first.recipe == Recipe("a", seed=5, num_inference_steps=3, negative_prompt="cat")
    assert second.recipe == Recipe("b", seed=6, num_inference_steps=4, negative_prompt="cat")


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"seed": 7}, [7]),
        ({"seed": 7, "count": 3}, [7, 8, 9]),
        ({"seed": "2-4"}, [2, 3, 4]),
        ({"seed": [1, "8-9"]}, [1, 8, 9]),
        ({"seed": "12"}, [12]),
    ],
)
def test_count_and_ranges_expand_a_row(row: dict[str, object], expected: list[int]) -> None:
    assert seeds(asked({"prompt": "a"} | row)) == expected


def test_seeds_of_rows_without_one_stay_when_other_rows_come_and_go() -> None:
    before = asked({"prompt": "a"}, {"prompt": "b"}, {"prompt": "a"})
    after = asked({"prompt": "c"}, {"prompt": "a"}, {"prompt": "a"}, {"prompt": "b"})
    assert [seeds(before)[place] for place in (0, 2, 1)] == seeds(after)[1:]
    assert len(set(seeds(after))) == 4, "equal prompts are different pictures"


def test_an_edited_picture_has_its_sources_seed() -> None:
    (one,) = asked({"prompt": "a", "source": {"prompt": "b", "seed": 12}})
    assert one.recipe.seed == 12


def test_a_sweep_draws_every_combination_with_the_same_seeds() -> None:
    settings = Settings(sweep={"guidance_scale": [1, 4], "num_inference_steps": [2, 3]}, count=2)
    made = asked({"prompt": "a", "seed": 5}, settings=settings)
    assert {(one.recipe.seed, one.recipe.guidance_scale, one.recipe.num_inference_steps) for one in made} == {
        (seed, scale, steps) for seed in (5, 6) for scale in (1.0, 4.0) for steps in (2, 3)
    }


def test_a_sweep_reaches_into_edits() -> None:
    edit = {"kind": "reweight", "word": "fox", "scale": 1.0}
    settings = Settings(sweep={"edits.0.scale": [0.5, 2.0]})
    made = asked({"prompt": "a fox", "seed": 1, "edits": [edit]}, settings=settings)
    assert [lookup(one.recipe.document(), "edits.0.scale") for one in made] == [0.5, 2.0]
    assert "edits has 0 entries" in problem({"prompt": "a fox", "edits": []}, settings)


def test_pictures_are_named_by_paths_beside_the_file(tmp_path: Path) -> None:
    Image.new("RGB", (64, 64), (200, 10, 10)).save(tmp_path / "start.png")
    (one,) = asked({"prompt": "a", "init": "start.png", "strength": 0.5}, folder=tmp_path)
    assert one.recipe.init is not None
    assert one.recipe.init.data == (tmp_path / "start.png").read_bytes()


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({}, "prompt is None"),
        ({"prompt": "a", "colour": 1}, 'There is no recipe field "colour"'),
        ({"prompt": "a", "seed": "9-2"}, "a range from less to more"),
        ({"prompt": "a", "seed": "1-2", "count": 3}, "left out where seed is a range"),
        ({"prompt": "a", "count": 0}, "count is 0"),
        ({"prompt": "a", "init": "nothing.png"}, "nothing.png"),
        ({"prompt": "a", "width": 30}, "The nearest is 32"),
    ],
)
def test_a_bad_row_says_what_is_wrong(row: dict[str, object], said: str) -> None:
    assert said in problem(row)


def test_more_pictures_than_a_manifest_can_take_are_refused() -> None:
    row = Raw(1, 1, {"prompt": "a", "seed": "0-9"})
    with pytest.raises(BadValue, match="at most 10 pictures"):
        expand(Source("rows", Path(), "", (row, Raw(2, 2, {"prompt": "b"}))), Settings(), limit=10)


@pytest.mark.parametrize(
    "wrong", [{"sweep": {"seed": [1]}}, {"sweep": {"width": []}}, {"count": 0}, {"defaults": {"width": 30}}]
)
def test_settings_that_cannot_hold_are_told_at_once(wrong: dict[str, object]) -> None:
    with pytest.raises(XattnError):
        Settings(**wrong)  # type: ignore[arg-type]


# -- templates -------------------------------------------------------------------------------------------------------


def test_all_variants_are_drawn_with_the_rows_seeds(tmp_path: Path) -> None:
    (tmp_path / "colors.txt").write_text("red\nblue\n")
    settings = Settings(templates=Templates("all", tmp_path))
    made = asked({"prompt": "a {fox|cat} on __colors__", "seed": "1-2"}, settings=settings)
    assert {(one.recipe.prompt, one.recipe.seed) for one in made} == {
        (f"a {animal} on {color}", seed) for animal in ("fox", "cat") for color in ("red", "blue") for seed in (1, 2)
    }


def test_random_variants_follow_from_the_seed() -> None:
    settings = Settings(templates=Templates("random"))
    row = {"prompt": "a {fox|cat|dog} on {red|blue}", "seed": "0-19"}
    assert asked(row, settings=settings) == asked(row, settings=settings)
    assert len({one.recipe.prompt for one in asked(row, settings=settings)}) > 3


def test_without_templates_braces_are_letters() -> None:
    assert asked({"prompt": "a {fox|cat}", "seed": 1})[0].recipe.prompt == "a {fox|cat}"


@pytest.mark.parametrize("prompt", ["a __nothing__", "a {fox", "__loop__", "__deep__"])
def test_templates_that_come_to_nothing_are_refused_first(prompt: str, tmp_path: Path) -> None:
    (tmp_path / "loop.txt").write_text("a __loop__\n")
    (tmp_path / "deep.txt").write_text("fine\na __nothing__\n")
    assert "prompt is" in problem({"prompt": prompt, "seed": 1}, Settings(templates=Templates("random", tmp_path)))


# -- paths -----------------------------------------------------------------------------------------------------------

LEAVES = st.one_of(st.integers(), st.text(max_size=3), st.none(), st.booleans())
NAMES = st.text("abc", min_size=1, max_size=2)


def nested(inner: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    return st.lists(inner, min_size=1, max_size=3) | st.dictionaries(NAMES, inner, min_size=1, max_size=3)


DOCUMENTS = st.dictionaries(NAMES, st.recursive(LEAVES, nested, max_leaves=8), max_size=4)


@given(DOCUMENTS)
def test_a_document_is_what_its_leaves_say(document: dict[str, object]) -> None:
    leaves = flattened(document) if document else {}
    made: dict[str, object] = {}
    for path, value in leaves.items():
        assert lookup(document, path) == value
        assign(made, path, value, grow=True)
    assert made == document


@pytest.mark.parametrize("path", ["", "a.", "list.x", "list.5", "text.deeper"])
def test_a_path_to_nowhere_is_refused(path: str) -> None:
    with pytest.raises(BadValue):
        assign({"list": [1], "text": "words"}, path, 1)
