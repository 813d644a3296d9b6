import hashlib
import io
import json

import numpy as np
import pytest
from PIL import Image

from pipelines.assets import Asset, AssetStore, opened
from xattn.errors import BadValue, CannotWrite, UnknownName, XattnError


def picture(kind="PNG", size=(8, 4), shade=90):
    buffer = io.BytesIO()
    Image.new("L", size, shade).save(buffer, kind)
    return buffer.getvalue()


@pytest.mark.parametrize(("kind", "media"), [("PNG", "image/png"), ("JPEG", "image/jpeg"), ("WEBP", "image/webp")])
def test_an_asset_is_known_by_its_content(kind, media):
    data = picture(kind)
    asset = Asset.from_bytes(data)
    assert (asset.sha256, asset.media, asset.width, asset.height) == (hashlib.sha256(data).hexdigest(), media, 8, 4)
    assert Asset.from_document(json.loads(json.dumps(asset.document()))) == asset
    assert Asset.from_document(asset.document()).data == data
    assert asset == Asset(asset.sha256, media, 8, 4)
    assert hash(asset) == hash(Asset(asset.sha256, media, 8, 4))


def test_a_phones_jpeg_that_holds_more_pictures_is_the_first_of_them():
    buffer = io.BytesIO()
    Image.new("RGB", (8, 4), "red").save(buffer, "MPO", save_all=True, append_images=[Image.new("RGB", (2, 2))])
    asset = Asset.from_bytes(buffer.getvalue())
    assert (asset.media, asset.width, asset.height) == ("image/jpeg", 8, 4)
    assert opened("init", asset).size == (8, 4)


def test_a_jpeg_of_passes_without_end_is_refused_before_it_is_decoded():
    buffer = io.BytesIO()
    Image.new("L", (64, 64), 128).save(buffer, "JPEG", progressive=True)
    data = buffer.getvalue()
    assert Asset.from_bytes(data).width == 64
    scan = data[data.rfind(b"\xff\xc4") : -2]
    with pytest.raises(BadValue, match=r"a JPEG of .* scans.* at most 100.* Save it again"):
        Asset.from_bytes(data[:-2] + scan * 200 + data[-2:])


@pytest.mark.parametrize("data", ["é", "!", "AAA"])
def test_data_that_are_no_base64_are_a_sentence(data):
    with pytest.raises(BadValue, match="it must be base64"):
        Asset.from_document(Asset.from_bytes(picture()).document() | {"data": data})


def test_what_is_said_of_the_data_must_be_true():
    asset = Asset.from_bytes(picture())
    other = Asset.from_bytes(picture(shade=91))
    for change in (
        {"width": 9},
        {"media": "image/jpeg"},
        {"data": other.document()["data"]},
        {"data": "no base64!"},
        {"data": 3},
        {"sha256": "../../etc/passwd"},
        {"height": 0},
        {"path": "/etc/passwd"},
    ):
        with pytest.raises(XattnError):
            Asset.from_document(asset.document() | change)


@pytest.mark.parametrize("data", [b"", b"GIF89a", picture("GIF"), picture()[:20], b"\x89PNG\r\n\x1a\n" + b"\0" * 30])
def test_what_is_no_picture_is_a_sentence(data):
    with pytest.raises(BadValue, match="a PNG, JPEG or WebP picture"):
        Asset.from_bytes(data)


@pytest.mark.parametrize("side", [8200, 10_000, 60_000])
def test_a_gigapixel_is_told_from_its_header(side):
    data = bytearray(picture())
    data[16:24] = side.to_bytes(4, "big") * 2
    import zlib

    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    with pytest.raises(BadValue, match=r"a picture of at most 8192 by 8192 pixels\. Make it smaller first\."):
        Asset.from_bytes(bytes(data))


def test_a_store_keeps_and_gives(tmp_path):
    store, asset = AssetStore(tmp_path / "assets"), Asset.from_bytes(picture())
    light = store.put(asset)
    assert light == asset
    assert light.data is None
    assert store.put(asset) == light, "twice is once"
    assert store.get(light).data == asset.data
    with pytest.raises(BadValue, match="in the store"):
        store.get(Asset("0" * 64, "image/png", 1, 1))
    with pytest.raises(BadValue, match="bytes"):
        store.put(light)


def test_a_damaged_store_is_noticed(tmp_path):
    store, asset = AssetStore(tmp_path), Asset.from_bytes(picture())
    light = store.put(asset)
    next(path for path in tmp_path.rglob("*") if path.is_file()).write_bytes(b"other")
    with pytest.raises(BadValue, match="sha256"):
        store.get(light)


def test_a_store_that_cannot_be_written_is_a_sentence(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XATTN_CACHE", str(tmp_path / "file"))
    with pytest.raises(CannotWrite, match="XATTN_CACHE"):
        AssetStore.default().put(Asset.from_bytes(picture()))


def test_an_unknown_media_type_is_named():
    with pytest.raises(UnknownName, match="image/png"):
        Asset("0" * 64, "image/gif", 1, 1)


def test_a_field_is_painted_by_numbers() -> None:
    values = np.linspace(0, 1, 12).reshape(3, 4)
    asset = Asset.from_field(values)
    assert (asset.media, asset.width, asset.height) == ("image/png", 4, 3)
    with Image.open(io.BytesIO(asset.data)) as image:
        assert image.mode == "L"
        assert (np.asarray(image) == np.rint(values * 255)).all()
    assert Asset.from_field(values > 0.5) == Asset.from_field((values > 0.5).tolist())


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0, 1], r"field is \[2\].* of shape \[height, width\], each from 1 to 256"),
        (np.zeros((257, 4)), "each from 1 to 256"),
        ([[2.0]], "field is 'from 2 to 2'.* numbers from 0 to 1"),
        ([[np.nan]], "numbers from 0 to 1"),
        ("left", "an array of numbers"),
    ],
)
def test_what_is_no_field_is_told_in_a_sentence(values: object, expected: str) -> None:
    with pytest.raises(BadValue, match=expected):
        Asset.from_field(values)
