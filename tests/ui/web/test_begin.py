"""A picture to begin with: brought to the size that is drawn, kept where it is found again, its mask."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pipelines.assets import INLINE_BYTES, Asset, AssetStore
from pipelines.pictures import picture
from ui.web.begin import begin_view, fitted, here, mask_for, opened, painted_of
from ui.web.limits import Limits
from xattn.errors import BadValue


def noise(width: int, height: int, *, step: int = 1, form: str = "PNG") -> Asset:
    """Random colours, `step` pixels wide: the finer, the more bytes."""
    small = np.random.default_rng(0).integers(0, 256, (-(-height // step), -(-width // step), 3), dtype=np.uint8)
    image = Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)
    buffer = io.BytesIO()
    image.save(buffer, form, quality=95)
    return Asset.from_bytes(buffer.getvalue())


def grey(size: tuple[int, int], *boxes: tuple[int, int, int, int]) -> str:
    """White in these boxes, as the viewer sends it."""
    field = Image.new("L", size)
    for box in boxes:
        field.paste(255, box)
    file = io.BytesIO()
    field.save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def test_a_large_picture_travels_inside_and_the_same_is_drawn_from_it() -> None:
    photo = noise(400, 300, form="JPEG")
    assert len(photo.data or b"") > INLINE_BYTES
    kept = fitted(photo, 128, 128)
    assert kept.document()["data"] is not None
    assert torch.equal(picture(kept, 128, 128), picture(photo, 128, 128))


def test_a_small_file_stays_as_it_is() -> None:
    small = noise(100, 90)
    assert fitted(small, 64, 64) is small


def test_one_that_is_too_large_at_its_size_is_kept_as_near_as_fits() -> None:
    photo = noise(512, 512, step=8)
    assert len(photo.data or b"") > INLINE_BYTES
    kept = fitted(photo, 512, 512)
    assert (kept.media, kept.document()["data"] is not None) == ("image/webp", True)
    near = (picture(kept, 512, 512) - picture(photo, 512, 512)).abs().mean() * 127.5
    assert near < 4
    wild = noise(512, 512)
    assert fitted(wild, 512, 512) is wild, "no 64 kB hold this: the store does"


@given(width=st.integers(-5, 10**9), height=st.integers(-5, 10**9))
def test_no_size_that_somebody_types_enlarges_it(width: int, height: int) -> None:
    photo = Asset.from_image(Image.effect_noise((260, 260), 100))
    kept = fitted(photo, width, height)
    assert kept.width * kept.height <= 260 * 260


def test_one_that_was_kept_is_found_by_its_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XATTN_CACHE", str(tmp_path))
    wild = noise(300, 300)
    away = AssetStore.default().put(wild)
    assert away.data is None
    found = here(away, Limits())
    assert found is not None
    assert found.data == wild.data
    other = noise(200, 300)
    assert here(Asset(other.sha256, other.media, 200, 300), Limits()) is None
    torn = Asset.from_bytes((wild.data or b"")[:9000])
    assert here(torn, Limits()) is None, "its header alone is not enough"
    assert here(away, Limits(picture_pixels=1000)) is None


def test_a_painted_mask_has_the_pictures_size_and_is_white_where_it_was_painted() -> None:
    init = Asset.from_image(Image.new("RGB", (128, 64)))
    made = mask_for(init, grey((64, 32), (0, 0, 32, 32), (48, 0, 64, 32)))
    mask = opened(made)
    assert mask.size == (128, 64)
    assert [mask.getpixel((x, 32)) for x in (10, 80, 120)] == [(255,) * 3, (0,) * 3, (255,) * 3]
    assert mask_for(init, painted_of(made)) == made, "a mask that comes back in a picture is the same mask"
    with pytest.raises(BadValue, match="Paint on it"):
        mask_for(init, None)


def test_what_is_transparent_is_seen_white_as_it_is_drawn_from() -> None:
    asset = Asset.from_image(Image.new("RGBA", (32, 32), (255, 0, 0, 0)))
    view = begin_view(asset, None)
    with Image.open(io.BytesIO(base64.b64decode((view.picture or "").partition(",")[2]))) as seen:
        assert seen.getpixel((5, 5)) == (255, 255, 255)
    assert view.to_json()["mask"] is True
