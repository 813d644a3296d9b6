"""Heat maps of words against diffusers' attention, materialised; and what watching may not do."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from diffusers import StableDiffusionPipeline
from diffusers.models.attention_processor import Attention
from PIL import Image, ImageDraw, ImageFont

from pipelines.attention_maps import AttentionMaps
from pipelines.capture import Capture
from pipelines.figures import contact_sheet, overlay
from pipelines.pipeline import Pipeline, StepEvent
from pipelines.recipe import Recipe
from pipelines.sheet import shortened
from xattn.errors import BadValue, UnknownName, UnknownWord

FOX = Recipe("a fox and ice cream on purple", seed=7, num_inference_steps=3, guidance_scale=5.0)


class Materialise:
    """An attention processor that keeps every cross-attention probability, as published tools do."""

    def __init__(self, kept: list[torch.Tensor]) -> None:
        self.kept = kept

    def __call__(
        self,
        attn: Attention,
        hidden_states: torch.Tensor,
        encoder_hidden_states: torch.Tensor | None = None,
        **_: object,
    ) -> torch.Tensor:
        context = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        query = attn.head_to_batch_dim(attn.to_q(hidden_states))
        key = attn.head_to_batch_dim(attn.to_k(context))
        value = attn.head_to_batch_dim(attn.to_v(context))
        probs = attn.get_attention_scores(query, key)
        if encoder_hidden_states is not None:
            self.kept.append(probs.unflatten(0, (len(hidden_states), attn.heads)))
        out: torch.Tensor = attn.to_out[0](attn.batch_to_head_dim(probs @ value))
        return out


@pytest.fixture(scope="module")
def materialised(folder: Path) -> list[torch.Tensor]:
    """Every cross-attention's probabilities [rows, heads, N, 77] of FOX, in the order of steps, then layers."""
    theirs = StableDiffusionPipeline.from_pretrained(str(folder), local_files_only=True)
    theirs.set_progress_bar_config(disable=True)
    kept: list[torch.Tensor] = []
    theirs.unet.set_attn_processor(Materialise(kept))
    with torch.no_grad():
        theirs(
            FOX.prompt,
            num_inference_steps=3,
            guidance_scale=5.0,
            generator=torch.Generator().manual_seed(7),
            width=64,
            height=96,
            output_type="latent",
        )
    return kept


TALL = replace(FOX, width=64, height=96)


def expected(kept: list[torch.Tensor], columns: tuple[int, ...], size: tuple[int, int]) -> torch.Tensor:
    """[step, layer, head, y, x] of the sum of `columns`, brought to `size` as DAAM does."""
    layers = len(kept) // 3
    maps = []
    for probs in kept:
        places = probs.shape[2]
        grid = (12, 8) if places == 96 else (6, 4)
        mass = probs[1, :, :, list(columns)].sum(-1).unflatten(-1, grid)[:, None]
        if grid != size:
            mass = F.interpolate(mass, size, mode="bicubic").clamp(min=0)
        maps.append(mass[:, 0])
    return torch.stack(maps).unflatten(0, (3, layers))


def test_maps_are_the_columns_of_the_materialised_probabilities(
    pipe: Pipeline, materialised: list[torch.Tensor]
) -> None:
    maps = pipe(TALL, maps=Capture(("fox", "ice cream"), keep=("step", "layer", "head"), resolution="native")).maps
    assert maps is not None
    ledger = pipe.ledger(FOX.prompt)
    assert maps.values.shape == (2, 3, len(materialised) // 3, 4, 12, 8)
    for place, word in enumerate(("fox", "ice cream")):
        wanted = expected(materialised, ledger.columns(word), (12, 8))
        assert wanted.std() > 0.01, "flat maps would prove nothing"
        np.testing.assert_allclose(maps.values[place], wanted.numpy(), rtol=2e-3, atol=1e-4)


def test_the_mean_map_is_daams(pipe: Pipeline, materialised: list[torch.Tensor]) -> None:
    maps = pipe(TALL, maps=Capture(("ice cream",), measure="mean", resolution="native")).maps
    assert maps is not None
    columns = pipe.ledger(FOX.prompt).columns("ice cream")
    assert len(columns) == 2
    # each token's map is clamped for itself
    wanted = sum(expected(materialised, (column,), (12, 8)).mean(dim=(0, 1, 2)) for column in columns) / 2
    assert isinstance(wanted, torch.Tensor)
    np.testing.assert_allclose(maps["ice cream"], wanted.numpy(), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("keep", [(), ("step", "layer", "head")])
@pytest.mark.parametrize("guidance", [1.0, 5.0])
def test_watching_changes_no_bit(pipe: Pipeline, keep: tuple[str, ...], guidance: float) -> None:
    recipe = replace(FOX, guidance_scale=guidance)
    plain = pipe(recipe)
    watched = pipe(recipe, maps=Capture(keep=keep))  # type: ignore[arg-type]
    assert plain.maps is None
    assert watched.maps is not None
    assert plain.image.tobytes() == watched.image.tobytes()


def test_each_picture_of_a_batch_has_its_own_words(pipe: Pipeline) -> None:
    other = replace(FOX, prompt="a cat on red", seed=3)
    together = pipe([FOX, other], words="*")
    for recipe, result in zip((FOX, other), together, strict=True):
        alone = pipe(recipe, words="*").maps
        assert alone is not None
        assert result.maps is not None
        assert result.maps.words == alone.words
        np.testing.assert_allclose(result.maps.values, alone.values, rtol=1e-4, atol=1e-6)
    assert together[1].maps is not None
    assert together[1].maps.words == ("a", "cat", "on", "red")


def test_the_second_of_two_equal_words_is_its_own(pipe: Pipeline) -> None:
    maps = pipe("a cat and a cat", seed=1, num_inference_steps=2, words="*").maps
    assert maps is not None
    assert maps.words == ("a", "cat", "and", ("a", 2), ("cat", 2))
    assert not np.allclose(maps["cat"], maps["cat", 2])


def test_maps_can_be_looked_at_while_they_grow(pipe: Pipeline) -> None:
    seen = [event.maps for event in pipe.stream(FOX, words=("fox",)) if isinstance(event, StepEvent)]
    assert len(seen) == 3
    first, last = seen[0], seen[-1]
    assert first is not None
    assert last is not None
    assert not np.allclose(first[0]["fox"], last[0]["fox"])


def test_a_word_that_is_not_there_is_told_before_anything_runs(pipe: Pipeline) -> None:
    with pytest.raises(UnknownWord, match=r'no word "dgo".*Its words are: a, fox'):
        pipe.stream(FOX, words=("dgo",))
    with pytest.raises(BadValue, match="words"):
        pipe.stream(FOX, words=("fox",), maps=Capture())
    with pytest.raises(UnknownName, match="step, layer, head"):
        Capture(keep=("steps",))  # type: ignore[arg-type]
    with pytest.raises(BadValue, match="cond"):
        list(pipe.stream(replace(FOX, guidance_scale=1.0, negative_prompt="a dog"), maps=Capture(role="uncond")))


@pytest.fixture(scope="module")
def maps(pipe: Pipeline) -> AttentionMaps:
    made = pipe(FOX, maps=Capture(("fox", "purple"), keep=("step", "layer"))).maps
    assert made is not None
    return made


def test_one_step_or_layer_is_asked_for_by_name(maps: AttentionMaps) -> None:
    assert maps.steps == (1, 2, 3)
    third = maps.at(step=3)
    np.testing.assert_array_equal(third.values[:, 0], maps.values[:, 2])
    assert third.steps == (3,)
    layer = maps.layers[1]
    np.testing.assert_array_equal(maps.at(layer=layer, step=3)["fox"], maps.values[0, 2, 1, 0])
    with pytest.raises(BadValue, match="keep="):
        maps.at(head=0)
    with pytest.raises(BadValue, match="1, 2, 3"):
        maps.at(step=4)
    with pytest.raises(UnknownName, match="layer"):
        maps.at(layer="attn3")
    with pytest.raises(UnknownWord, match="asked for"):
        maps["cat"]


def test_maps_are_saved_with_what_they_are(maps: AttentionMaps, tmp_path: Path) -> None:
    written = maps.save(tmp_path / "maps")
    assert {path.name for path in written} == {"fox.npy", "fox.png", "purple.npy", "purple.png", "maps.json"}
    np.testing.assert_array_equal(np.load(tmp_path / "maps" / "fox.npy"), maps.values[0])
    about = json.loads((tmp_path / "maps" / "maps.json").read_text())
    assert about["axes"] == ["step", "layer", "head", "y", "x"]
    assert about["layers"] == list(maps.layers)
    assert (about["measure"], about["reduce"], about["rows"]) == ("mass", "mean", "cond")


def test_an_overlay_is_warmest_where_the_map_is_highest() -> None:
    heat = np.zeros((4, 4), np.float32)
    heat[3, 0] = 0.2
    made = np.asarray(overlay(Image.new("RGB", (64, 64), (90, 90, 90)), heat)).astype(int).sum(axis=-1)
    assert np.unravel_index(made.argmax(), made.shape)[0] > 48
    assert np.unravel_index(made.argmax(), made.shape)[1] < 16


def test_a_contact_sheet_has_a_panel_a_word(pipe: Pipeline, maps: AttentionMaps) -> None:
    picture = pipe(FOX).image
    one, two = contact_sheet(picture, maps, words=("fox",)), contact_sheet(picture, maps, scale="shared")
    assert two.width - one.width == 320 + 20
    assert one.height == two.height
    with pytest.raises(UnknownName, match="shared, each"):
        contact_sheet(picture, maps, scale="all")  # type: ignore[arg-type]


def test_a_contact_sheet_of_many_words_goes_on_below(pipe: Pipeline, maps: AttentionMaps) -> None:
    picture = pipe(FOX).image
    five, nine = (contact_sheet(picture, maps, words=("fox",) * count) for count in (5, 9))
    assert nine.width == five.width
    assert nine.height > 1.7 * five.height


class Counting(ImageDraw.ImageDraw):
    """How many letters it was asked to measure."""

    letters = 0

    def textlength(self, text: str, *arguments: Any, **named: Any) -> float:  # type: ignore[override]
        self.letters += len(text)
        return super().textlength(text, *arguments, **named)


def test_a_title_of_thousands_of_letters_and_lines_is_cut_by_measuring_few() -> None:
    canvas, font = Counting(Image.new("RGB", (1, 1))), ImageFont.load_default(22)
    for text in ("a fox\non purple " * 3_000, "w" * 48_000):
        cut = shortened(text, font, 320, canvas)
        assert 300 < canvas.textlength(cut, font=font) <= 320
        assert (cut[:3], cut[-1]) == (text[:3], "…")
        assert "\n" not in cut
    assert canvas.letters < 20 * 2 * 48_000
    assert shortened("a fox\non  purple", font, 320, canvas) == "a fox on purple"
    assert shortened("a fox", font, 1, canvas) == "…"


@pytest.mark.parametrize("prompt", ["((()))", "BREAK"])
def test_a_prompt_without_words_has_none_to_watch(pipe: Pipeline, prompt: str) -> None:
    with pytest.raises(BadValue, match="asked of a prompt that has words"):
        pipe.stream(prompt, words="*")
