"""The autoencoder: by tiles, in half precision, shared."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from pipelines.tiles import Tiling, by_tiles, starts
from pipelines.vae import Vae
from tests.models import write_model
from xattn.errors import BadValue

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("models") / "tiny") / "vae"


@pytest.fixture(scope="module")
def vae(folder: Path) -> Vae:
    return Vae.from_folder(folder, torch.float32, CPU)


@given(size=st.integers(1, 400), side=st.integers(1, 120), overlap=st.integers(0, 60))
def test_tiles_cover_everything_and_overlap(size: int, side: int, overlap: int) -> None:
    overlap = min(overlap, side // 2)
    tiles = starts(size, side, overlap)
    assert tiles[0] == 0
    assert tiles[-1] + side >= size
    assert tiles[-1] + min(side, size) == size
    assert all(0 < later - sooner <= side - overlap for sooner, later in pairwise(tiles))


def widest(function: Callable[[Tensor], Tensor], seen: list[int]) -> Callable[[Tensor], Tensor]:
    def noted(given: Tensor) -> Tensor:
        seen.append(max(given.shape[-2:]))
        return function(given)

    return noted


@given(height=st.integers(3, 40), width=st.integers(3, 40), side=st.integers(4, 16), factor=st.sampled_from([1, 2, 8]))
def test_a_local_function_by_tiles_is_the_function(height: int, width: int, side: int, factor: int) -> None:
    overlap = side // 4
    cells = torch.randn(1, 3, height, width, generator=torch.Generator().manual_seed(height * width))
    seen: list[int] = []
    enlarge = widest(lambda given: F.interpolate(given, scale_factor=float(factor)), seen)
    ours = by_tiles(enlarge, cells, cells=(height, width), side=side, overlap=overlap, written=factor)
    assert torch.allclose(ours, F.interpolate(cells, scale_factor=float(factor)), atol=1e-6)
    shrink = widest(lambda given: F.avg_pool2d(given, factor), seen)
    back = by_tiles(shrink, ours, cells=(height, width), side=side, overlap=overlap, read=factor)
    assert torch.allclose(back, cells, atol=1e-6)
    assert max(seen) <= side * factor


def test_where_tiles_disagree_there_is_no_seam() -> None:
    places = iter(range(9))
    ours = by_tiles(
        lambda given: torch.full_like(given, next(places)), torch.zeros(1, 1, 1, 40), cells=(1, 40), side=16, overlap=8
    )
    assert ours[0, 0, 0, 0] == 0
    assert ours.max() == 3
    assert float(ours.diff().max()) <= 0.125 + 1e-6


def test_an_overlap_wider_than_half_a_tile_is_refused() -> None:
    with pytest.raises(BadValue, match="overlap is 500"):
        Tiling(side=768, overlap=500)


def test_pictures_up_to_a_megapixel_stay_whole(vae: Vae) -> None:
    assert (vae.tiling.above, vae.tiling.side, vae.tiling.overlap) == (1024 * 1024, 768, 128)
    assert vae._whole(128, 128)
    assert not vae._whole(128, 129)


def test_a_large_picture_goes_through_by_tiles(vae: Vae) -> None:
    cut = replace(vae, tiling=Tiling(above=64 * 64, side=64, overlap=32))
    latents = torch.randn(1, 4, 14, 9, generator=torch.Generator().manual_seed(0)) / 3
    whole, tiled = (np.asarray(one.decode(latents)[0]).astype(float) for one in (vae, cut))
    assert tiled.shape == (112, 72, 3)
    assert np.corrcoef(whole.ravel(), tiled.ravel())[0, 1] > 0.9
    assert np.abs(whole - tiled).max() > 0, "a decoder that normalises over groups sees another whole in each tile"
    pixels = torch.from_numpy(tiled).permute(2, 0, 1)[None].float() / 127.5 - 1
    codes = [one.encode(pixels, [torch.Generator().manual_seed(1)]) for one in (vae, cut)]
    assert codes[1].shape == latents.shape
    assert np.corrcoef(*(code.numpy().ravel() for code in codes))[0, 1] > 0.9
    small = latents[..., :8, :8]
    assert vae.decode(small)[0].tobytes() == cut.decode(small)[0].tobytes()


def test_runs_that_share_an_autoencoder_do_not_touch_each_other(vae: Vae) -> None:
    cut = replace(vae, tiling=Tiling(above=64 * 64, side=64, overlap=32))
    assert cut.module is vae.module
    latents = torch.randn(1, 4, 10, 12, generator=torch.Generator().manual_seed(0))
    alone = [one.decode(latents)[0].tobytes() for one in (vae, cut)]
    with ThreadPoolExecutor(2) as pool:
        together = list(pool.map(lambda one: one.decode(latents)[0].tobytes(), [vae, cut] * 3))
    assert together == alone * 3
    assert not vae.module.use_tiling
    assert not vae.module.use_slicing


@pytest.mark.parametrize(("asks", "dtype"), [(True, torch.float32), (False, torch.float16), (None, torch.float16)])
def test_an_autoencoder_that_overflows_in_half_precision_says_so_and_is_heard(
    folder: Path, tmp_path: Path, vae: Vae, asks: bool | None, dtype: torch.dtype
) -> None:
    shutil.copytree(folder, tmp_path / "vae")
    config = json.loads((folder / "config.json").read_text())
    config.pop("force_upcast", None)
    config |= {} if asks is None else {"force_upcast": asks}
    (tmp_path / "vae" / "config.json").write_text(json.dumps(config))
    half = Vae.from_folder(tmp_path / "vae", torch.float16, CPU)
    assert half.dtype is dtype
    assert next(half.module.parameters()).dtype is dtype
    if asks:
        latents = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0)).half()
        assert half.decode(latents)[0].tobytes() == vae.decode(latents.float())[0].tobytes()
        pixels = torch.zeros(1, 3, 64, 64).half()
        codes = [one.encode(pixels, [torch.Generator().manual_seed(1)]) for one in (half, vae)]
        assert torch.equal(*codes)
    assert Vae.from_folder(tmp_path / "vae", torch.bfloat16, CPU).dtype is torch.bfloat16


def test_each_picture_of_a_batch_is_encoded_by_itself(vae: Vae) -> None:
    pixels = torch.rand(3, 3, 32, 40, generator=torch.Generator().manual_seed(0)) * 2 - 1
    together = vae.encode(pixels, [torch.Generator().manual_seed(seed) for seed in range(3)])
    assert together.shape == (3, 4, 4, 5)
    for place in range(3):
        alone = vae.encode(pixels[place : place + 1], [torch.Generator().manual_seed(place)])
        assert torch.equal(together[place : place + 1], alone)
