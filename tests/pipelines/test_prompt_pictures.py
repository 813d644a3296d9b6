"""Prompts with syntax, down to the text that the UNet reads, the pictures and the maps."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from pipelines.capture import Capture
from pipelines.infotext import infotext
from pipelines.infotext_reader import read_infotext
from pipelines.ledger import Ledger
from pipelines.pipeline import Pipeline
from pipelines.plan import make_plan
from pipelines.prompt import Effect, Reading, first
from pipelines.prompt.emphasis import emphasise
from pipelines.recipe import Recipe
from pipelines.text import TextEncoder
from tests.models import write_xl_model
from xattn.errors import BadValue, UnknownName, UnknownWord, Unsupported


@pytest.fixture(scope="module")
def xl(tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    return Pipeline.from_pretrained(write_xl_model(tmp_path_factory.mktemp("xl")))


FOX = Recipe("a fox on purple", negative_prompt="a dog", seed=7, num_inference_steps=4, guidance_scale=5.0)


def drawn(pipe: Pipeline, recipe: Recipe) -> np.ndarray:
    return levels(pipe(recipe).image)


def levels(image: Image.Image) -> np.ndarray:
    return np.asarray(image).astype(np.int16)


# -- ledgers -----------------------------------------------------------------------------------------------------------


def rows(ledger: Ledger) -> list[tuple[str, str, float]]:
    return [(token.text, ledger.prompt[token.start : token.end], token.weight) for token in ledger.text_tokens]


def test_a_ledger_speaks_of_the_prompt_as_written(pipe: Pipeline) -> None:
    ledger = pipe.ledger("a (fox:1.3), [cat:dog:0.5] \\(red\\) <lora:x:1>")
    assert [row for row in rows(ledger) if row[0].rstrip("</w>").isalpha()] == [
        ("a</w>", "a", 1),
        ("fox</w>", "fox", 1.3),
        ("cat</w>", "cat", 1),
        ("red</w>", "red", 1),
    ]
    assert [word.text for word in ledger.words] == ["a", "fox", "cat", "red"]
    assert [ledger.prompt[word.start : word.end] for word in ledger.words] == ["a", "fox", "cat", "red"]
    assert ledger.columns("fox") == (2,)
    with pytest.raises(UnknownWord, match="Its words are: a, fox, cat, red"):
        ledger.columns("dog")


def test_syntax_inside_a_word_leaves_it_whole_where_weights_agree(pipe: Pipeline) -> None:
    ledger = pipe.ledger("(fo)(x) fo(x:1.2)")
    assert [(word.text, ledger.prompt[word.start : word.end]) for word in ledger.words] == [
        ("fox", "fo)(x"),
        ("fo", "fo"),
        ("x", "x"),
    ]


def test_a_break_begins_a_chunk(pipe: Pipeline) -> None:
    for prompt, chunks in (("a fox BREAK a dog", [0, 0, 1, 1]), ("BREAK a fox BREAK", [1, 1])):
        ledger = pipe.ledger(prompt)
        assert [token.chunk for token in ledger.text_tokens] == chunks
        assert ledger.chunks == 2
    broken = pipe.model.text.encode([first("a fox BREAK a dog")]).hidden
    apart = pipe.model.text.encode(["a fox", "a dog"]).hidden
    torch.testing.assert_close(broken[0], apart.flatten(0, 1))


def test_plain_syntax_reads_brackets_as_text(pipe: Pipeline) -> None:
    prompt = "a (fox:1.3) [b|c] BREAK <lora:x:1>"
    assert pipe.ledger(prompt, syntax="plain") == pipe.model.text.ledger(prompt)
    assert "lora" in [word.text for word in pipe.ledger(prompt, syntax="plain").words]
    drawn(pipe, replace(FOX, prompt=prompt, syntax="plain", num_inference_steps=2))


# -- emphasis ----------------------------------------------------------------------------------------------------------

WEIGHED = "a (fox:1.5) on [purple], (((red:.5)))"


def oracle(hidden: Tensor, empty: Tensor, ledger: Ledger, effect: Effect) -> Tensor:
    """One token after the other, in float64; `hidden` is [tokens, width] of one chunk."""
    z, nothing = hidden.double(), empty.double()
    made = z.clone()
    for token in ledger.tokens:
        if effect == "a1111":
            made[token.position] = z[token.position] * token.weight
        elif effect == "comfy":
            away = z[token.position] - nothing[token.position]
            made[token.position] = nothing[token.position] + token.weight * away
    return made * z.mean() / made.mean() if effect == "a1111" else made


@pytest.mark.parametrize("effect", ["a1111", "comfy", "none"])
@pytest.mark.parametrize("kind", ["sd1", "sdxl"])
def test_weights_act_as_the_oracle_says(pipe: Pipeline, xl: Pipeline, kind: str, effect: Effect) -> None:
    text = (pipe if kind == "sd1" else xl).model.text
    reading = first(WEIGHED)
    plain = text.encode([reading, ""], emphasis="none")
    made = text.encode([reading], emphasis=effect)
    widths = [tower.config.width for tower in text.towers]  # type: ignore[union-attr]
    expected = [
        oracle(z, empty, plain.ledgers[0], effect)
        for z, empty in zip(plain.hidden[0].split(widths, -1), plain.hidden[1].split(widths, -1), strict=True)
    ]
    torch.testing.assert_close(made.hidden[0].double(), torch.cat(expected, -1), rtol=0, atol=1e-5)
    if effect != "none":
        assert (made.hidden - plain.hidden).abs().max() > 0.1
    if plain.pooled is not None and made.pooled is not None:
        torch.testing.assert_close(made.pooled, plain.pooled[:1])


def test_each_chunk_keeps_its_own_mean_and_one_without_weights_its_bits(pipe: Pipeline) -> None:
    text = pipe.model.text
    made = text.encode([first("a (fox:2) BREAK a dog")]).hidden[0].split(77)
    plain = text.encode([first("a (fox:2) BREAK a dog")], emphasis="none").hidden[0].split(77)
    torch.testing.assert_close(made[0].mean(), plain[0].mean())
    assert torch.equal(made[1], plain[1])


@pytest.mark.parametrize("effect", ["a1111", "comfy", "none"])
def test_a_prompt_without_weights_keeps_every_bit(pipe: Pipeline, effect: Effect) -> None:
    prompts = ["a fox: on, purple - red", "a dog"]
    read = pipe.model.text.encode([first(prompt) for prompt in prompts], emphasis=effect)
    plain = pipe.model.text.encode(prompts)
    assert torch.equal(read.hidden, plain.hidden)
    assert read.ledgers == plain.ledgers


def test_comfy_leaves_tokens_without_weight_their_bits(pipe: Pipeline) -> None:
    text = pipe.model.text
    made, plain = (text.encode([first(WEIGHED)], emphasis=effect) for effect in ("comfy", "none"))
    weights = torch.tensor([token.weight for token in made.ledgers[0].tokens])
    assert torch.equal((made.hidden != plain.hidden).any(-1)[0], weights != 1)


def test_a_mean_that_cannot_be_restored_is_a_sentence() -> None:
    hidden = torch.tensor([[[1.0, 1.0], [2.0, 2.0]]])
    with pytest.raises(Unsupported, match='emphasis="comfy"'):
        emphasise(hidden, torch.tensor([[2.0, -1.0]]), "a1111", lambda: hidden[0])


def test_weights_change_the_picture_each_way_by_its_own(pipe: Pipeline) -> None:
    recipe = replace(FOX, prompt="a (fox:1.6) on purple")
    pictures = {effect: drawn(pipe, replace(recipe, emphasis=effect)) for effect in ("a1111", "comfy", "none")}
    assert np.array_equal(pictures["none"], drawn(pipe, FOX))
    for one, other in (("a1111", "comfy"), ("a1111", "none"), ("comfy", "none")):
        assert np.abs(pictures[one] - pictures[other]).max() > 2


# -- over the steps ----------------------------------------------------------------------------------------------------


def test_a_change_that_never_or_always_holds_is_the_plain_prompt_bit_for_bit(pipe: Pipeline) -> None:
    plain = drawn(pipe, FOX)
    for prompt in ("a [fox:cat:4] on purple", "a [cat:fox:0] on purple", "a [fox|fox] on purple"):
        assert np.array_equal(drawn(pipe, replace(FOX, prompt=prompt)), plain)


@pytest.mark.parametrize("which", ["sd1", "sdxl"])
def test_a_change_reads_the_one_prompt_then_the_other(pipe: Pipeline, xl: Pipeline, which: str) -> None:
    model = (pipe if which == "sd1" else xl).model
    changing = [
        replace(FOX, prompt="a [fox:cat:0.5] on purple"),
        replace(FOX, prompt="a [dog|fox]", negative_prompt=""),
    ]
    resolved = [(pipe if which == "sd1" else xl).resolve(recipe) for recipe in changing]
    plan = make_plan(resolved, model.unet, model.text, zero_empty_negative=model.zero_empty_negative)
    for step, said in enumerate((("fox", "dog"), ("fox", "fox"), ("cat", "dog"), ("cat", "fox"))):
        prompts = (f"a {said[0]} on purple", f"a {said[1]}")
        still = [replace(recipe, prompt=prompt) for recipe, prompt in zip(resolved, prompts, strict=True)]
        expected = make_plan(still, model.unet, model.text, zero_empty_negative=model.zero_empty_negative).text(step)
        text = plan.text(step)
        torch.testing.assert_close(text.conditioning.hidden, expected.conditioning.hidden)
        for name, sources in expected.context.sites.items():
            torch.testing.assert_close(text.context.sites[name]["text"].key, sources["text"].key)
        assert [ledger.prompt for ledger in text.conditioning.ledgers] == ["a dog", "", *(r.prompt for r in resolved)]
        if expected.added is not None and text.added is not None:
            torch.testing.assert_close(text.added.text_embeds, expected.added.text_embeds)
            torch.testing.assert_close(text.added.time_ids, expected.added.time_ids)


def test_what_changes_over_the_steps_is_encoded_once(pipe: Pipeline) -> None:
    recipe = replace(FOX, prompt="a [fox|cat] on [red:purple:6]", num_inference_steps=10)
    plan = make_plan([pipe.resolve(recipe)], pipe.model.unet, pipe.model.text)
    assert plan.texts.every.context.rows == 1 + 4


def test_a_changing_picture_is_its_own_alone_and_among_others(pipe: Pipeline) -> None:
    recipes = [replace(FOX, prompt="a [fox|cat] on purple"), FOX, replace(FOX, prompt="a (fox:1.2) [on:and:2] purple")]
    together = [levels(result.image) for result in pipe(recipes)]
    for recipe, picture in zip(recipes, together, strict=True):
        assert np.abs(picture - drawn(pipe, recipe)).max() <= 1
    assert np.abs(together[0] - together[1]).max() > 2


def test_a_change_may_make_the_prompt_longer(pipe: Pipeline) -> None:
    long = "[a fox:a fox BREAK on purple:2]"
    assert pipe.ledger(long).chunks == 1
    drawn(pipe, replace(FOX, prompt=long))


def test_words_are_watched_where_they_are_said(pipe: Pipeline) -> None:
    recipe = replace(FOX, prompt="a [big red:old:2] fox [cat:2]", num_inference_steps=4)
    maps = pipe(recipe, maps=Capture(("fox", "red", "cat"), keep=("step",))).maps
    assert maps is not None
    said = torch.tensor(np.asarray(maps.values)).flatten(2).sum(-1) > 0  # [word, step]
    assert said.tolist() == [[True] * 4, [True, True, False, False], [False, False, True, True]]
    plain = pipe(replace(recipe, prompt="a big red fox "), maps=Capture(("fox",), keep=("step",))).maps
    assert plain is not None
    # other words in one product show in its last bits
    np.testing.assert_allclose(np.asarray(maps.values)[0, :2], np.asarray(plain.values)[0, :2], rtol=1e-5, atol=1e-8)
    with pytest.raises(UnknownWord, match="Its words are: a, big, red, fox, old, cat"):
        pipe(recipe, words=["dog"])


# -- bad input ---------------------------------------------------------------------------------------------------------


def test_a_lora_is_a_sentence_before_anything_is_drawn(pipe: Pipeline) -> None:
    for fields in ({"prompt": "a fox <lora:ink:0.8>"}, {"negative_prompt": "[a:<lora:ink:0.8>:3]"}):
        with pytest.raises(Unsupported, match=r"LoRA 'ink'.*take <lora:ink:…> out"):
            pipe.stream(replace(FOX, **fields))


def test_a_prompt_that_says_too_much_is_a_sentence(pipe: Pipeline) -> None:
    prompt = f"[{'|'.join(map(str, range(11)))}] [{'|'.join(map(str, range(13)))}]"
    with pytest.raises(BadValue, match=r"143 different readings.* at most 100"):
        pipe.stream(replace(FOX, prompt=prompt, num_inference_steps=200))


@pytest.mark.parametrize(
    ("fields", "error", "says"),
    [
        ({"emphasis": "compel"}, UnknownName, "emphasis"),
        ({"syntax": "comfy"}, UnknownName, "syntax"),
        ({"prompt": "a (fox:1000)"}, BadValue, "prompt weight"),
        ({"negative_prompt": "(" * 60}, BadValue, "negative_prompt is"),
    ],
)
def test_a_recipe_checks_its_prompts_where_it_is_made(
    fields: dict[str, str], error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        replace(FOX, **fields)
    if "prompt" in says:
        replace(FOX, **fields, syntax="plain")


def test_a_recipe_without_the_new_fields_keeps_its_text_and_hash() -> None:
    assert "emphasis" not in FOX.to_json()
    assert "syntax" not in FOX.to_json()
    other = replace(FOX, emphasis="comfy", syntax="plain")
    assert Recipe.from_json(other.to_json()) == other


def test_a_reading_may_be_given_by_hand(pipe: Pipeline) -> None:
    text: TextEncoder = pipe.model.text
    assert torch.equal(text.encode([Reading.plain("a fox")]).hidden, text.encode(["a fox"]).hidden)


# -- infotext ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "fields", "notes"),
    [
        ("", {}, 0),
        (", Emphasis: Original", {}, 0),
        (", Emphasis: Ignore", {"emphasis": "none"}, 0),
        (", Emphasis: ComfyUI", {"emphasis": "comfy"}, 0),
        (", Emphasis: None", {"syntax": "plain"}, 1),
        (", Emphasis: No norm", {}, 1),
    ],
)
def test_infotext_tells_what_weights_did(written: str, fields: dict[str, str], notes: int) -> None:
    text = f"a (fox:1.3)\nSteps: 4, Seed: 7, CFG scale: 5, RNG: CPU{written}, Version: v1.10"
    imported = read_infotext(text)
    made = Recipe("a (fox:1.3)", num_inference_steps=4, seed=7, guidance_scale=5.0)
    assert imported.recipe == replace(made, **fields)  # type: ignore[arg-type]
    assert len(imported.notes) == notes
    if not notes:
        assert read_infotext(infotext(imported.recipe, "xattn 0")).recipe == imported.recipe


def test_a_plain_prompt_is_escaped_for_other_readers() -> None:
    recipe = replace(FOX, prompt="a (fox) [b:c:3]", syntax="plain")
    text = infotext(recipe, "xattn 0")
    assert text.startswith("a \\(fox\\) \\[b:c:3\\]\n")
    assert first(read_infotext(text).recipe.prompt).text == recipe.prompt
