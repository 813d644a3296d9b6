"""LoRA tags of a picture that was dropped: told then, and not first where it is drawn."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pipelines.recipe import Recipe
from ui.web.forms import without_adapters


@pytest.mark.parametrize(
    ("prompt", "left"),
    [
        ("a fox on purple <lora:ink:0.8>", "a fox on purple"),
        ("<lora:ink:0.8> a fox, <lora:more:1:0.5>, on purple", "a fox, on purple"),
        ("a (fox <lora:ink:1>:1.2) on purple", "a (fox :1.2) on purple"),
    ],
)
def test_tags_are_taken_out_and_told(prompt: str, left: str) -> None:
    recipe, notes = without_adapters(Recipe(prompt, negative_prompt="blurry"))
    assert recipe == Recipe(left, negative_prompt="blurry")
    assert any("'ink'" in note for note in notes)
    assert len(notes) == prompt.count("<lora")


def test_a_sources_and_a_negative_prompts_are_too() -> None:
    source = Recipe("a fox <lora:ink:1>", seed=1)
    recipe, notes = without_adapters(replace(source, prompt="a cat", negative_prompt="<lora:bad:1>", source=source))
    assert recipe.source == Recipe("a fox", seed=1)
    assert recipe.negative_prompt == ""
    assert [note.split(":")[0] for note in notes] == ["The LoRA 'bad'", "The LoRA 'ink'"]


def test_what_is_no_tag_stays_letter_for_letter() -> None:
    for recipe in (Recipe("a  fox,, on purple "), Recipe("<lora:ink:1>", syntax="plain")):
        assert without_adapters(recipe) == (recipe, ())
