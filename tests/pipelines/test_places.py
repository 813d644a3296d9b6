"""Where a place looks: its row of every attention, against what diffusers makes; and what that may not cost."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pipelines.assets import Asset
from pipelines.attention_maps import AttentionMaps
from pipelines.capture import Capture
from pipelines.figures import where_sheet
from pipelines.pipeline import Pipeline
from pipelines.places import coarse_weights, place_weights
from pipelines.recipe import Recipe
from pipelines.techniques import Inject
from pipelines.techniques.values import Box, WordMap
from pipelines.techniques.window import Window
from tests.pipelines.materialised import Kept, materialise
from tests.pipelines.techniques.samples import SOURCE, TARGET
from tests.xattn.test_watching import largest
from xattn.errors import BadValue, UnknownWord

FOX = Recipe("a fox, and ice cream on purple", seed=7, num_inference_steps=2, guidance_scale=5.0, width=64, height=96)
POINT, BOX = (0.3, 0.7), Box(0.0, 1 / 3, 0.5, 2 / 3)
APART = Capture("*", ("step", "layer", "head"), resolution="native", places=(POINT, BOX))


@pytest.fixture(scope="module")
def pipes(folder: Path) -> dict[str, Pipeline]:
    return {name: Pipeline.from_pretrained(folder, backend=name) for name in ("auto", "tiled", "explicit")}


@pytest.fixture(scope="module")
def pipe(pipes: dict[str, Pipeline]) -> Pipeline:
    return pipes["auto"]


@pytest.fixture(scope="module")
def kept(folder: Path) -> Kept:
    return materialise(folder, FOX)


def maps(pipe: Pipeline, capture: Capture, recipe: Recipe = FOX) -> AttentionMaps:
    made = pipe(recipe, maps=capture).maps
    assert made is not None
    return made


def rows(probs: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """What the point and the box see, [2, heads, K], of probabilities [heads, N, K]: the point's own row, and the mean
    over the box, which covers whole cells of both grids."""
    by_cell = probs.unflatten(1, (height, width))
    point = by_cell[:, int(0.7 * height), int(0.3 * width)]
    box = by_cell[:, height // 3 : 2 * height // 3, : width // 2].flatten(1, 2).mean(dim=1)
    return torch.stack([point, box])


@pytest.mark.parametrize("backend", ["auto", "tiled", "explicit"])
def test_places_look_where_their_rows_say(pipes: dict[str, Pipeline], kept: Kept, backend: str) -> None:
    seen = maps(pipes[backend], APART)
    assert seen.places is not None
    assert seen.places.words == (POINT, BOX)
    fine = [number for number, probs in enumerate(kept.own) if probs.shape[2] == 96]
    assert len(fine) >= 4
    values, layers = seen.places.to_numpy(), len(seen.places.layers)
    for number in fine:
        step, layer = divmod(number, layers)
        expected = rows(kept.own[number][1], 12, 8).unflatten(-1, (12, 8))
        np.testing.assert_allclose(values[:, step, layer, :4], expected.numpy(), rtol=2e-3, atol=1e-5)
    np.testing.assert_allclose(values[:, :, fine[0]].sum(axis=(-1, -2)), 1.0, rtol=1e-4)


def test_places_share_themselves_out_as_their_rows_say(pipe: Pipeline, kept: Kept) -> None:
    seen, ledger = maps(pipe, APART), pipe.ledger(FOX.prompt)
    assert seen.shares is not None
    comma = [token.position for token in ledger.text_tokens if token.word is None]
    assert len(comma) == 1
    columns = [list(ledger.columns(str(word))) for word in seen.words]
    columns += [[t.position for t in ledger.tokens if t.role == role] for role in ("begin", "end", "pad")]
    columns.append(comma)
    values, layers = seen.shares.to_numpy(), len(seen.shares.layers)
    for number, probs in enumerate(kept.cross):
        step, layer = divmod(number, layers)
        grid = (12, 8) if probs.shape[2] == 96 else (6, 4)
        whole = rows(probs[1], *grid)
        expected = torch.stack([whole[..., some].sum(-1) for some in columns], dim=-1)
        np.testing.assert_allclose(values[:, step, layer, :4, 0], expected.numpy(), rtol=2e-3, atol=1e-5)
    for place in (POINT, BOX):
        assert seen.shares[place].sum() == pytest.approx(1.0, abs=1e-4)


def test_where_tells_words_begin_padding_and_the_rest(pipe: Pipeline) -> None:
    seen = maps(pipe, APART)
    exact = seen.where(*POINT)
    assert exact.exact
    assert [word for word, _ in exact.words] == ["a", "fox", "and", "ice", "cream", "on", "purple"]
    rest = (exact.begin, exact.end, exact.padding, exact.other)
    assert sum(share for _, share in exact.words) + sum(rest) == pytest.approx(1.0, abs=1e-4)  # type: ignore[arg-type]
    assert exact.other
    assert exact["fox"] == seen.shares[POINT][0, 1]  # type: ignore[index]
    assert exact.looks is not None
    assert (exact.looks == seen.places[POINT]).all()  # type: ignore[index]
    assert "(begin)" in str(exact)
    third = seen.at(step=2, layer="down_blocks.0.attentions.0.transformer_blocks.0.attn2", head=1).where(*POINT)
    assert third["fox"] == pytest.approx(float(seen.shares.to_numpy()[0, 1, 0, 1, 0, 1]))  # type: ignore[union-attr]
    near = maps(pipe, replace(APART, places=())).where(*POINT)
    assert not near.exact
    assert near.looks is None
    assert near["fox"] == pytest.approx(exact["fox"], rel=0.35)
    some = maps(pipe, Capture(("fox",))).where(*POINT)
    assert (some.begin, some.other) == (None, None)
    with pytest.raises(BadValue, match="fraction"):
        seen.where(1.5, 0.0)


def test_every_place_of_a_coarse_grid_is_the_place_itself(pipe: Pipeline) -> None:
    seen = maps(pipe, Capture(("fox",), resolution="native", places=((0.3125, 5.5 / 12),), self_attention=True))
    assert seen.grid is not None
    assert seen.grid.values.shape == (96, 1, 1, 1, 12, 8)
    assert seen.grid.words[5 * 8 + 2] == pytest.approx((0.3125, 5.5 / 12))
    np.testing.assert_allclose(seen.grid[5 * 8 + 2], seen.places[0], rtol=1e-3, atol=1e-6)  # type: ignore[index]
    looks = seen.where(0.33, 0.47).looks
    assert looks is not None
    assert (looks == seen.grid[5 * 8 + 2]).all()
    # bicubic enlarging of the coarser layers overshoots
    np.testing.assert_allclose(seen.grid.to_numpy().sum(axis=(-1, -2)), 1.0, rtol=0.06)
    by_step = maps(pipe, Capture(("fox",), ("step", "layer", "head"), self_attention=True))
    assert by_step.grid is not None
    assert by_step.grid.values.shape == (96, 2, 1, 1, 12, 8)
    np.testing.assert_allclose(by_step.at(step=2).where(0.3, 0.4).looks, by_step.grid.at(step=2)[4 * 8 + 2])  # type: ignore[arg-type]


def test_an_injected_place_looks_where_the_sources_does(pipe: Pipeline) -> None:
    capture = Capture(("fox",), resolution="native", places=(POINT,))
    recipe = replace(TARGET, edits=(Inject(window=Window(sites=())),))
    edited, model = maps(pipe, capture, recipe), maps(pipe, replace(capture, at="model"), recipe)
    sources = maps(pipe, replace(capture, words=("dog",)), SOURCE)
    assert edited.places is not None
    assert not np.allclose(edited.places[0], model.places[0], rtol=1e-3)  # type: ignore[index]
    np.testing.assert_allclose(edited.places[0], sources.places[0], rtol=1e-3, atol=1e-6)  # type: ignore[index]


def test_no_matrix_of_all_places_is_made(pipe: Pipeline) -> None:
    large = replace(FOX, width=264, height=264)  # 33² cells: over 1,024 places, and an odd side
    capture = Capture(("fox",), places=(POINT, Box(0, 0, 1, 1)), self_attention=True)
    with largest() as watch:
        seen = maps(pipe, capture, large)
    assert watch.matrix < 33**4 / 2
    assert seen.grid is not None
    assert seen.grid.values.shape == (256, 1, 1, 1, 16, 16)
    assert seen.places is not None
    assert seen.places[1].sum() == pytest.approx(1.0, rel=0.06)


def test_the_pictures_of_a_batch_have_their_own_places(pipe: Pipeline) -> None:
    other = replace(FOX, prompt="a cat on red", seed=3)
    capture = Capture("*", ("step",), places=(POINT,), self_attention=True)
    for recipe, result in zip((FOX, other), pipe([FOX, other], maps=capture), strict=True):
        alone = maps(pipe, capture, recipe)
        assert result.maps is not None
        for name in ("places", "shares", "grid", "rest"):
            together, own = result.maps.parts[name].to_numpy(), alone.parts[name].to_numpy()
            np.testing.assert_allclose(together, own, rtol=1e-3, atol=1e-5)
    assert pipe(FOX).image.tobytes() == pipe(FOX, maps=capture).image.tobytes()


def test_a_painted_region_is_a_place(pipe: Pipeline) -> None:
    painted = np.zeros((12, 8), np.uint8)
    painted[4:8, :4] = 255
    region = Asset.from_image(Image.fromarray(painted))
    seen = maps(pipe, Capture(("fox",), places=(region, BOX)))
    assert seen.places is not None
    np.testing.assert_allclose(seen.places[region], seen.places[BOX], rtol=1e-4)
    with pytest.raises(UnknownWord, match="region"):
        seen.places[Asset.from_image(Image.new("L", (2, 2)))]
    with pytest.raises(BadValue, match="covers"):
        pipe.stream(FOX, maps=Capture(("fox",), places=(Asset.from_image(Image.new("L", (4, 4))),)))
    with pytest.raises(BadValue, match="places"):
        Capture(places=(WordMap("fox"),))  # type: ignore[arg-type]


@pytest.mark.parametrize(("latent", "down"), [((12, 8), 1), ((12, 8), 2), ((33, 20), 4), ((5, 7), 2), ((64, 64), 1)])
def test_weights_of_places_sum_to_one_and_cover_everything(latent: tuple[int, int], down: int) -> None:
    grid = (-(-latent[0] // down), -(-latent[1] // down))
    coarse = Capture().coarse(latent)
    weights = coarse_weights(coarse, latent, grid, down)
    assert weights.shape == (coarse[0] * coarse[1], grid[0] * grid[1])
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(len(weights)))
    assert (weights.sum(dim=0) > 0).all()
    corner = place_weights((1.0, 1.0), latent, grid, down)
    assert corner.nonzero().tolist() == [[grid[0] * grid[1] - 1]]
    whole = place_weights(Box(0, 0, 1, 1), latent, grid, down)
    assert whole.sum() == pytest.approx(1.0)


def test_a_figure_shows_a_place_its_looks_and_its_shares(pipe: Pipeline) -> None:
    picture, seen = Image.new("RGB", (64, 96), (200, 90, 60)), maps(pipe, APART)
    assert (
        where_sheet(picture, seen.where(*POINT)).width > where_sheet(picture, maps(pipe, Capture()).where(0, 0)).width
    )
