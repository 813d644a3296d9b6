"""What a capture keeps: axes, reductions, bytes and files."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from pipelines.asked import Probe
from pipelines.attention_maps import AttentionMaps
from pipelines.capture import Capture
from pipelines.figures import contact_sheet, write_figure
from pipelines.pipeline import Pipeline, StepEvent
from pipelines.recipe import Recipe
from pipelines.techniques import Reweight
from pipelines.where import REST
from tests.models import write_sd2_model
from tests.pipelines.materialised import Kept, materialise
from xattn.errors import BadValue, UnknownName

FOX = Recipe("a fox and ice cream on purple", seed=7, num_inference_steps=3, guidance_scale=5.0, width=64, height=96)
WORDS = ("fox", "ice cream")
EVERY = [keep for size in range(4) for keep in combinations(("step", "layer", "head"), size)]


@pytest.fixture(scope="module")
def unlike(tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    """A model whose layers have 2 and 4 heads, at two grids."""
    folder = write_sd2_model(tmp_path_factory.mktemp("models") / "sd2")
    return Pipeline.from_pretrained(folder)


@pytest.fixture(scope="module")
def kept(folder: Path) -> Kept:
    return materialise(folder, FOX)


def maps(pipe: Pipeline, capture: Capture, recipe: Recipe = FOX) -> AttentionMaps:
    made = pipe(recipe, maps=capture).maps
    assert made is not None
    return made


@pytest.mark.parametrize("reduce", ["mean", "sum", "daam"])
def test_whatever_is_kept_apart_its_reduction_is_the_same(unlike: Pipeline, reduce: str) -> None:
    whole = maps(unlike, Capture(WORDS, reduce=reduce))  # type: ignore[arg-type]
    for keep in [*EVERY, ("resolution",), ("step", "resolution", "head")]:
        if "head" in keep and "layer" not in keep and "resolution" not in keep:
            continue
        apart = maps(unlike, Capture(WORDS, keep, reduce=reduce))  # type: ignore[arg-type]
        for word in WORDS:
            np.testing.assert_allclose(apart[word], whole[word], rtol=1e-4, atol=1e-6, err_msg=str(keep))


def test_an_axis_that_was_kept_is_found_by_name(unlike: Pipeline) -> None:
    sites = [site for site in unlike.model.unet.sites if site.cross]
    by_layer = maps(unlike, Capture(WORDS, ("step", "layer", "head")))
    assert by_layer.layers == tuple(site.name for site in sites)
    assert by_layer.made.sites == by_layer.layers
    by_grid = maps(unlike, Capture(WORDS, ("resolution",)))
    assert by_grid.resolutions == tuple(dict.fromkeys(f"1/{site.downsampling}" for site in sites))
    for resolution in by_grid.resolutions:
        some = [site for site in sites if f"1/{site.downsampling}" == resolution]
        each = np.stack([by_layer.at(layer=site.name)["fox"] for site in some])
        weights = np.array([site.heads for site in some]) / sum(site.heads for site in some)
        expected = np.einsum("l,lyx->yx", weights, each)
        np.testing.assert_allclose(by_grid.at(resolution=resolution)["fox"], expected, rtol=1e-4)
    heads = [len(one.heads) for one in by_layer.along("layer")]
    assert heads == [site.heads for site in sites]
    assert len(by_layer.along("step")) == 3
    with pytest.raises(BadValue, match="left out"):
        by_grid.at(layer="attn2")
    with pytest.raises(BadValue, match=r'keep=\("resolution",\)'):
        by_layer.along("resolution")


def test_heads_of_unlike_layers_are_not_mixed(unlike: Pipeline) -> None:
    with pytest.raises(BadValue, match="2, 4 heads"):
        unlike.stream(FOX, maps=Capture(WORDS, ("head",)))
    with pytest.raises(BadValue, match='"layer" or "resolution"'):
        Capture(WORDS, ("layer", "resolution"))


def test_daam_is_daam(pipe: Pipeline, kept: Kept) -> None:
    """Tang et al. 2022, section 3.1, written a second time: upscale every map, clamp, average layers and heads, sum."""
    steps = 3
    columns = pipe.ledger(FOX.prompt).columns("ice cream")
    assert len(columns) == 2
    total = torch.zeros(12, 8)
    for step in range(steps):
        layers = kept.cross[step * len(kept.cross) // steps : (step + 1) * len(kept.cross) // steps]
        upscaled = []
        for probs in layers:
            grid = (12, 8) if probs.shape[2] == 96 else (6, 4)
            for head in probs[1]:
                by_token = head.T.unflatten(1, grid)[:, None]
                upscaled.append(F.interpolate(by_token, (12, 8), mode="bicubic").clamp(min=0)[:, 0])
        total += torch.stack(upscaled).mean(0)[list(columns)].mean(0)
    seen = maps(pipe, Capture.daam(("ice cream",)))
    np.testing.assert_allclose(seen["ice cream"], total.numpy(), rtol=1e-3, atol=1e-5)
    assert seen.made.reduce == "daam"


@pytest.mark.parametrize(("dtype", "error"), [("float16", 2**-11), ("uint8", 1 / 509)])
def test_a_smaller_dtype_is_off_by_no_more_than_is_said(pipe: Pipeline, dtype: str, error: float) -> None:
    every = Capture("*", ("step", "layer", "head"), places=((0.5, 0.5),), self_attention=True)
    exact = maps(pipe, every)
    small = maps(pipe, replace(every, dtype=dtype))  # type: ignore[type-var]
    assert exact.dtype == "float32"
    assert small.dtype == dtype
    for name, one in {"": exact, **exact.parts}.items():
        other = small if not name else small.parts[name]
        assert other.dtype == dtype
        values = one.to_numpy()
        top = values.max(axis=(4, 5), keepdims=True)
        assert (np.abs(other.to_numpy() - values) <= error * top + 1e-9).all(), name
        assert np.abs(other.to_numpy() - values).max() > 0
    np.testing.assert_allclose(small["fox"], exact["fox"], rtol=0.02, atol=2e-4)


def test_negative_attention_survives_bytes(pipe: Pipeline) -> None:
    recipe = replace(FOX, edits=(Reweight("fox", -1.0),))
    exact = maps(pipe, Capture(("fox",), ("step",)), recipe)
    small = maps(pipe, Capture(("fox",), ("step",), dtype="uint8"), recipe)
    assert exact["fox"].max() < 0
    np.testing.assert_allclose(small["fox"], exact["fox"], atol=0.01 * np.abs(exact["fox"]).max())


CAPTURES = {
    "least": Capture(WORDS),
    "everything": Capture("*", ("step", "layer", "head"), dtype="float32", resolution="native"),
    "bytes": Capture("*", ("step", "layer"), dtype="uint8"),
    "by grid": Capture(("*", Probe("cat")), ("resolution", "head"), dtype="float16", places=((0.1, 0.9), (0.5, 0.5))),
    "places": Capture(WORDS, ("step",), places=((0.1, 0.9),), self_attention=True, dtype="uint8"),
    "means": Capture("*", measure="mean"),
}


@pytest.mark.parametrize("name", CAPTURES)
def test_the_bytes_told_beforehand_are_the_bytes(pipe: Pipeline, name: str) -> None:
    capture = CAPTURES[name]
    told = pipe.explain(FOX, maps=capture)
    assert told.map_bytes == maps(pipe, capture).nbytes
    assert capture.dtype in told.watching


@pytest.mark.parametrize("dtype", ["float32", "float16", "uint8"])
def test_bytes_do_not_grow_with_steps_unless_steps_are_kept(pipe: Pipeline, dtype: str) -> None:
    capture = Capture("*", places=((0.5, 0.5),), self_attention=True, dtype=dtype)  # type: ignore[arg-type]
    sizes = [maps(pipe, capture, replace(FOX, num_inference_steps=steps)).nbytes for steps in (2, 4)]
    assert sizes[0] == sizes[1]
    by_step = replace(capture, keep=("step",))
    sizes = [maps(pipe, by_step, replace(FOX, num_inference_steps=steps)).nbytes for steps in (2, 4)]
    assert sizes[1] == 2 * sizes[0]


def test_maps_say_how_they_were_made(pipe: Pipeline) -> None:
    seen = maps(pipe, Capture(("ice cream", Probe("cat")), ("step",), dtype="uint8"))
    about = seen.document()
    assert about["stored"] == "uint8"
    assert about["pooling"] == "to 12×8: area averages of larger grids, bicubic of smaller ones"
    assert about["tokens"] == (pipe.ledger(FOX.prompt).columns("ice cream"), ())
    assert len(seen.made.sigmas) == 3
    assert list(seen.made.sigmas) == sorted(seen.made.sigmas, reverse=True)
    assert (about["rows"], about["reduce"], about["measure"], about["at"]) == ("cond", "mean", "mass", "edited")


@pytest.mark.parametrize("dtype", ["float32", "float16", "uint8"])
def test_maps_come_back_from_their_file(pipe: Pipeline, tmp_path: Path, dtype: str) -> None:
    capture = Capture(("*", ("a", 1), Probe("cat")), ("step", "layer"), dtype=dtype, places=((0.25, 0.5),))  # type: ignore[arg-type]
    seen = maps(pipe, capture)
    (path,) = seen.save(tmp_path / "maps.npz")
    again = AttentionMaps.load(path)
    assert (again.words, again.steps, again.layers, again.made) == (seen.words, seen.steps, seen.layers, seen.made)
    assert (again.values == seen.values).all()
    assert again.values.dtype == seen.values.dtype
    assert again.parts.keys() == seen.parts.keys() == {"rest", "places", "shares"}
    assert again.where(0.25, 0.5) == seen.where(0.25, 0.5)
    np.testing.assert_array_equal(again.at(step=2).to_numpy(), seen.at(step=2).to_numpy())
    with np.load(path) as file:
        assert list(file["axes"]) == ["word", "step", "layer", "head", "y", "x"]
        assert list(file["words"])[:2] == ["a", "fox"]


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_bytes(b"no zip")
    np.savez(tmp_path / "b.npz", values=np.zeros(3))
    for name in ("a.npz", "b.npz", "c.npz"):
        with pytest.raises(BadValue, match=r"AttentionMaps\.save wrote"):
            AttentionMaps.load(tmp_path / name)


def test_maps_of_a_long_prompt_know_its_second_chunk(pipe: Pipeline) -> None:
    recipe = replace(FOX, prompt="a fox on purple and " * 20 + "ice cream")
    assert pipe.ledger(recipe.prompt).chunks == 2
    seen = maps(pipe, Capture(("*", "ice cream"), resolution=6), recipe)  # bicubic maps overshoot
    assert seen.rest is not None
    everything = (
        sum(seen[word] for word in seen.words if word != "ice cream") + seen.rest.to_numpy().sum(axis=0)[0, 0, 0]
    )
    np.testing.assert_allclose(everything, 1.0, atol=1e-4)
    assert min(seen.made.tokens[-1]) > 77


def test_the_rest_grows_while_it_is_drawn_too(pipe: Pipeline) -> None:
    steps = 0
    for event in pipe.stream(FOX, maps=Capture("*", places=((0.5, 0.5),), resolution=6)):
        if isinstance(event, StepEvent):
            assert event.maps is not None
            (seen,) = event.maps
            assert seen.rest is not None
            everything = sum(seen[word] for word in seen.words) + seen.rest.to_numpy().sum(axis=0)[0, 0, 0]
            np.testing.assert_allclose(everything, 1.0, atol=1e-4)
            told = seen.where(0.5, 0.5)
            assert told.exact
            shares = [share for _, share in told.words] + [getattr(told, name) for name in REST]
            assert sum(shares) == pytest.approx(1.0, abs=1e-4)
            steps += 1
    assert steps == FOX.num_inference_steps


@pytest.mark.parametrize("by", ["step", "layer", "head", "resolution"])
def test_a_sheet_has_a_row_a_word_and_a_column_along_its_axis(pipe: Pipeline, by: str) -> None:
    seen = maps(pipe, Capture(WORDS, (by,)))  # type: ignore[arg-type]
    picture = Image.new("RGB", (64, 96), (90, 60, 200))
    one = seen.overlay(picture, words=("fox",), by=by)  # type: ignore[arg-type]
    both = seen.overlay(picture, by=by, scale="shared")  # type: ignore[arg-type]
    assert both.height > one.height
    columns = len(seen.along(by))  # type: ignore[arg-type]
    assert one.width > columns * 80
    with pytest.raises(UnknownName, match="shared, each"):
        seen.overlay(picture, scale="all")  # type: ignore[arg-type]
    with pytest.raises(BadValue, match="not kept"):
        contact_sheet(picture, maps(pipe, Capture(WORDS)), by=by)  # type: ignore[arg-type]


def test_figures_are_written_as_png_and_pdf(pipe: Pipeline, tmp_path: Path) -> None:
    sheet = maps(pipe, Capture(WORDS)).overlay(Image.new("RGB", (64, 96)))
    assert write_figure(sheet, tmp_path / "a.pdf").read_bytes().startswith(b"%PDF")
    with Image.open(write_figure(sheet, tmp_path / "a.png")) as again:
        assert again.size == sheet.size
    with pytest.raises(BadValue, match=r"\.png or \.pdf"):
        write_figure(sheet, tmp_path / "a.gif")


@pytest.mark.parametrize(
    "field", [{"dtype": "float64"}, {"reduce": "max"}, {"places": (0.5, 0.5)}, {"places": ((2, 0),)}]
)
def test_what_cannot_be_kept_is_refused(field: dict[str, object]) -> None:
    with pytest.raises(BadValue):
        Capture(**field)  # type: ignore[arg-type]
