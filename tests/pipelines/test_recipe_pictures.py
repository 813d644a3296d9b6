"""Pictures and passes inside recipes: their JSON, their hashes, and where their data go."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from sd_parsers import ParserManager

from pipelines.assets import INLINE_BYTES, Asset, AssetStore
from pipelines.metadata import read_recipe, save_picture
from pipelines.pictures import coloured, in_cells, mask, opened
from pipelines.provenance import Provenance
from pipelines.recipe import ModelRef, Recipe
from pipelines.upscale import Upscale
from xattn.errors import BadValue, CannotWrite, XattnError

PROVENANCE = Provenance("float32", "auto", "cpu", 2, 1, (("python", "3.11.7"),))


def noisy(side: int, seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 255, (side, side, 3), np.uint8))


SMALL, LARGE = Asset.from_image(noisy(24)), Asset.from_image(noisy(200))
PLAIN = Recipe(
    "a fox",
    seed=1,
    num_inference_steps=20,
    guidance_scale=7.5,
    scheduler="ddim",
    width=64,
    height=64,
    model=ModelRef("emoji-128", "ab" * 32),
)
FROM_SMALL = replace(PLAIN, init=SMALL, strength=0.5, mask=Asset.from_image(Image.new("L", (24, 24), 255)))


@dataclass(frozen=True)
class Drawn:
    recipe: Recipe
    image: Image.Image = field(default_factory=lambda: Image.new("RGB", (64, 64)))
    provenance: Provenance = PROVENANCE


scales = st.floats(1, 8, exclude_min=True)
upscales = st.builds(
    Upscale,
    scales,
    st.floats(0, 1),
    st.sampled_from(["latent-bicubic", "latent-nearest", "pixel-lanczos"]),
    st.none() | st.integers(1, 1000),
)


@given(passes=st.lists(upscales, max_size=3).map(tuple), strength=st.floats(0, 1), masked=st.booleans())
def test_recipes_with_pictures_come_back_from_their_json(
    passes: tuple[Upscale, ...], strength: float, masked: bool
) -> None:
    recipe = replace(FROM_SMALL, passes=passes, strength=strength, mask=FROM_SMALL.mask if masked else None)
    back = Recipe.from_json(recipe.to_json())
    assert back == recipe
    assert back.hash == recipe.hash
    assert back.init is not None
    assert back.init.data == SMALL.data


def test_the_json_of_a_recipe_with_pictures_is_this() -> None:
    recipe = Recipe("a fox", init=replace(SMALL, data=None), strength=0.5, passes=(Upscale(2, 0.25, steps=8),))
    assert json.loads(recipe.to_json()) == {
        "version": 1,
        "engine": 1,
        "prompt": "a fox",
        "init": {"sha256": SMALL.sha256, "media": "image/png", "width": 24, "height": 24, "data": None},
        "strength": 0.5,
        "passes": [{"scale": 2.0, "denoise": 0.25, "steps": 8}],
    }


def test_a_hash_knows_a_picture_by_its_sha256_alone() -> None:
    light = replace(FROM_SMALL, init=replace(SMALL, data=None))
    assert light.hash == FROM_SMALL.hash
    assert replace(FROM_SMALL, init=Asset.from_image(noisy(24, seed=1))).hash != FROM_SMALL.hash
    assert replace(PLAIN, strength=0.8, passes=()).hash == PLAIN.hash, "fields at their defaults change no hash"
    assert len({PLAIN.hash, replace(PLAIN, source=PLAIN).hash, replace(PLAIN, source=FROM_SMALL).hash}) == 3
    assert replace(PLAIN, source=light).hash == replace(PLAIN, source=FROM_SMALL).hash


def test_small_pictures_travel_in_the_file_and_large_ones_in_the_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XATTN_CACHE", str(tmp_path / "cache"))
    assert LARGE.data is not None
    assert SMALL.data is not None
    assert len(SMALL.data) <= INLINE_BYTES < len(LARGE.data)
    save_picture(Drawn(FROM_SMALL), tmp_path / "small.png")
    assert not (tmp_path / "cache").exists(), "nothing is kept that nobody needs"
    back = read_recipe(tmp_path / "small.png")
    assert back == FROM_SMALL
    assert opened("init", SMALL).tobytes() == noisy(24).tobytes()
    edited = replace(PLAIN, source=replace(PLAIN, init=LARGE))
    save_picture(Drawn(edited), tmp_path / "large.png")
    assert (tmp_path / "large.png").stat().st_size < INLINE_BYTES
    source = read_recipe(tmp_path / "large.png").source
    assert source is not None
    assert source.init is not None
    assert source.init.data is None
    assert opened("init", source.init).tobytes() == noisy(200).tobytes()


def test_a_store_that_cannot_be_written_is_told_before_the_file_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XATTN_CACHE", str(tmp_path / "file"))
    with pytest.raises(CannotWrite, match="XATTN_CACHE"):
        save_picture(Drawn(replace(PLAIN, init=LARGE)), tmp_path / "large.png")
    assert not (tmp_path / "large.png").exists()


def test_a_file_and_a_picture_in_memory_become_assets(tmp_path: Path) -> None:
    noisy(24).save(tmp_path / "fox.png", pnginfo=None)
    asset = Asset.from_file(tmp_path / "fox.png")
    assert asset.data == (tmp_path / "fox.png").read_bytes()
    for name in ("none.png", "a\0b.png", ""):
        with pytest.raises(BadValue, match="a PNG, JPEG or WebP picture"):
            Asset.from_file(tmp_path / name)
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(BadValue, match=r"text\.png"):
        Asset.from_file(tmp_path / "text.png")


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I;16", "I", "F"])
def test_pictures_of_every_mode_become_assets_without_metadata(mode: str) -> None:
    exif = Image.Exif()
    exif[0x010E] = "where I live"
    image = Image.new(mode, (9, 5))
    image.info = {"comment": "where I live", "exif": exif.tobytes(), "icc_profile": b"where I live"}
    asset = Asset.from_image(image)
    assert (asset.width, asset.height) == (9, 5)
    assert b"where I live" not in (asset.data or b"")
    with Image.open(io.BytesIO(asset.data or b"")) as back:
        assert "icc_profile" not in back.info
    assert image.info["comment"], "the caller's own picture stays as it was"


def test_a_gigapixel_in_memory_is_refused_before_it_is_written() -> None:
    with pytest.raises(BadValue, match="8192"):
        Asset.from_image(Image.new("1", (9000, 1)))


def test_a_mask_is_white_where_it_is_half_white_and_seen() -> None:
    shades = np.array([[0, 127, 128, 255]], np.uint8)
    plain = Asset.from_image(Image.fromarray(shades))
    assert mask(plain, 4, 1).tolist() == [[[[0, 0, 1, 1]]]]
    glass = Image.new("LA", (4, 1), (255, 0))
    assert not mask(Asset.from_image(glass), 4, 1).any(), "where a mask is transparent it keeps"
    assert coloured(glass).getpixel((0, 0)) == (255, 255, 255)
    wide = mask(Asset.from_image(Image.fromarray(np.kron(shades, np.ones((8, 8), np.uint8)))), 32, 8)
    assert in_cells(wide, 8).tolist() == [[[[0, 0, 1, 1]]]]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"init": "fox.png"}, ("asset", "fox.png")),
        ({"init": {"sha256": "0" * 64, "path": "/etc/passwd"}}, ("asset field", "path")),
        ({"init": {}}, ("asset.sha256",)),
        ({"passes": {"scale": 2}}, ("passes", "list")),
        ({"passes": [{"scale": 2}]}, ("passes.denoise",)),
        ({"passes": [3]}, ("passes", "objects")),
        ({"passes": [{"scale": 2, "denoise": 0.5, "hires": 1}]}, ("hires",)),
        ({"passes": [{"scale": 1, "denoise": 0.5}]}, ("passes.scale", "over 1")),
        ({"passes": [{"scale": float("inf"), "denoise": 0.5}]}, ("passes.scale",)),
        ({"passes": [{"scale": 2, "denoise": 1.5}]}, ("passes.denoise", "1.5")),
        ({"passes": [{"scale": 2, "denoise": 0.5, "method": "latent-bicubik"}]}, ("latent-bicubic",)),
        ({"passes": [{"scale": 2, "denoise": 0.5, "steps": 0}]}, ("passes.steps", "0")),
        ({"strength": "much"}, ("strength", "much")),
    ],
)
def test_bad_pictures_and_passes_are_a_sentence(change: dict[str, Any], words: tuple[str, ...]) -> None:
    with pytest.raises(XattnError) as raised:
        Recipe.from_json({"prompt": "a fox"} | change)
    assert all(word in str(raised.value) for word in words), str(raised.value)


def test_other_tools_read_how_a_picture_was_begun_and_enlarged(tmp_path: Path) -> None:
    read = ParserManager()
    hires = replace(PLAIN, passes=(Upscale(1.5, 0.55, "latent-nearest", steps=12),))
    found = read.parse(save_picture(Drawn(hires), tmp_path / "hires.png"))
    assert found is not None
    assert found.metadata["Denoising strength"] == "0.55"
    # of 12 steps at .55 six run, and that is what web UIs count
    assert {key: value for key, value in found.metadata.items() if "Hires" in key} == {
        "Hires upscale": "1.5",
        "Hires steps": "6",
        "Hires upscaler": "Latent (nearest)",
    }
    begun = read.parse(save_picture(Drawn(FROM_SMALL), tmp_path / "begun.png"))
    assert begun is not None
    assert begun.metadata["Denoising strength"] == "0.5"
    plain = read.parse(save_picture(Drawn(PLAIN), tmp_path / "plain.png"))
    assert plain is not None
    assert "Denoising strength" not in plain.metadata


def test_the_default_store_is_used_by_name_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XATTN_CACHE", str(tmp_path))
    light = AssetStore.default().put(SMALL)
    assert opened("init", light).tobytes() == noisy(24).tobytes()
