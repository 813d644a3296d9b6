"""Pictures and fields that recipes refer to by their content: masks, painted fields, control and init images.

Small ones travel inside the recipe as base64; the others lie in a store, named by their sha256. An asset never has a
path, so a picture's metadata cannot make anybody open a file. pictures.py makes tensors of them.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import io
import os
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines import checks
from pipelines.files import cache_root, write_whole
from xattn.errors import BadValue, CannotWrite, UnknownName

if TYPE_CHECKING:
    from PIL.Image import Image

MEDIA = {"PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp"}
_READ = {**MEDIA, "MPO": MEDIA["JPEG"]}
"""By Pillow's names: what it calls a JPEG that has more pictures behind the first, as many a phone's has."""
MAX_SIDE = 8192
MAX_FIELD = 256
"""Painted fields are at most so wide and high."""
MAX_BYTES = 32 * 2**20
WHOLE = "a picture that can be read whole"
_MOST = f"a picture of at most {MAX_SIDE} by {MAX_SIDE} pixels"
_MOST_SCANS = 100
"""A JPEG of one pass has a scan or three, one that comes in passes about ten; each goes over the whole picture."""
_SCAN = b"\xff\xda"
INLINE_BYTES = 64 * 2**10
"""Up to this size the data travel inside a recipe's JSON."""
_TURNED = (5, 6, 7, 8)
"""EXIF orientations that swap width and height."""


@dataclass(frozen=True, slots=True)
class Asset:
    """One picture by content.

    sha256: of the file's bytes
    media: its media type, one of MEDIA's
    width, height: pixels, as the picture is to be seen (a camera may have noted that it was held upright)
    data: the file's bytes where they travel with the asset; two assets are equal by sha256, with or without them
    """

    sha256: str
    media: str
    width: int
    height: int
    data: bytes | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        checks.sha256("asset.sha256", self.sha256)
        if self.media not in MEDIA.values():
            raise UnknownName("media type", self.media, tuple(MEDIA.values()))
        checks.whole("asset.width", self.width, 1, MAX_SIDE)
        checks.whole("asset.height", self.height, 1, MAX_SIDE)
        if self.data is not None and hashlib.sha256(self.data).hexdigest() != self.sha256:
            raise BadValue("asset.data", f"{len(self.data)} bytes", f"the bytes whose sha256 is {self.sha256}")

    @classmethod
    def from_bytes(cls, data: bytes) -> Asset:
        """From a file's bytes; only its header is read. Raises BadValue where it is no PNG, JPEG or WebP."""
        if len(data) > MAX_BYTES:
            raise BadValue("asset", f"{len(data)} bytes", f"a picture of at most {MAX_BYTES} bytes")
        media, (width, height) = _header(data)
        return cls(hashlib.sha256(data).hexdigest(), media, width, height, data)

    @classmethod
    def from_file(cls, path: str | Path) -> Asset:
        """A file's bytes as they are, with whatever metadata they hold. Raises BadValue with a sentence."""
        try:
            with Path(path).open("rb") as file:
                data = file.read(MAX_BYTES + 1)
            return cls.from_bytes(data)
        except BadValue as error:
            raise BadValue("path", str(path), error.expected, error.remedy) from error
        except (OSError, ValueError) as error:  # ValueError: a null byte in the name
            reason = getattr(error, "strerror", None) or "this is no name of a file"
            raise BadValue("path", str(path), "a PNG, JPEG or WebP picture", f"The system says: {reason}") from error

    @classmethod
    def from_image(cls, image: Image) -> Asset:
        """A picture in memory, as a PNG without its metadata. Raises BadValue where it is too large."""
        from PIL import ImageOps

        if max(image.size) > MAX_SIDE or 0 in image.size:
            raise BadValue("asset", f"{image.width}x{image.height}", f"a picture of 1 to {MAX_SIDE} pixels a side")
        seen = ImageOps.exif_transpose(image)
        if seen.mode not in ("1", "L", "LA", "RGB", "RGBA", "I;16"):
            seen = seen.convert("RGBA" if seen.has_transparency_data else "RGB")
        seen.info = {}
        buffer = io.BytesIO()
        seen.save(buffer, "PNG")
        return cls.from_bytes(buffer.getvalue())

    @classmethod
    def from_field(cls, values: object) -> Asset:
        """A painted field [height, width] of numbers from 0 to 1, or of bools: an array, a tensor, lists.

        Kept in 256 greys and at most 256 × 256, finer than any grid that it is brought to. Raises BadValue.
        """
        import numpy as np
        from PIL import Image

        try:
            field = np.asarray(values, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise BadValue("field", type(values).__name__, "an array of numbers") from error
        if field.ndim != 2 or not 1 <= min(field.shape) <= max(field.shape) <= MAX_FIELD:
            raise BadValue("field", list(field.shape), f"of shape [height, width], each from 1 to {MAX_FIELD}")
        if not bool(((field >= 0) & (field <= 1)).all()):  # NaN neither
            raise BadValue("field", f"from {field.min():g} to {field.max():g}", "made of numbers from 0 to 1")
        return cls.from_image(Image.fromarray(np.rint(field * 255).astype(np.uint8)))

    def document(self) -> dict[str, object]:
        """JSON's types; data only where they are small enough to travel along."""
        small = self.data is not None and len(self.data) <= INLINE_BYTES
        data = base64.b64encode(self.data or b"").decode("ascii") if small else None
        return {"sha256": self.sha256, "media": self.media, "width": self.width, "height": self.height, "data": data}

    @classmethod
    def from_document(cls, document: object) -> Asset:
        """Back from `document`; what is said of the data is checked against it. Raises BadValue, UnknownName."""
        known = ("sha256", "media", "width", "height", "data")
        if not isinstance(document, Mapping):
            raise BadValue("asset", document, f"an object with {', '.join(known)}", "A recipe never names a file")
        for name in document:
            if name not in known:
                raise UnknownName("asset field", name, known)
        said = cls(
            sha256=checks.sha256("asset.sha256", document.get("sha256")),
            media=checks.text("asset.media", document.get("media")),
            width=checks.whole("asset.width", document.get("width"), 1, MAX_SIDE),
            height=checks.whole("asset.height", document.get("height"), 1, MAX_SIDE),
        )
        if document.get("data") is None:
            return said
        made = cls.from_bytes(_decoded(document["data"]))
        if made != said:
            raise BadValue("asset.data", made, f"the picture that it is said to be, {said}")
        return made


class AssetStore:
    """A folder of files named by their sha256; the default one lies in the cache root."""

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)

    @classmethod
    def default(cls) -> AssetStore:
        """The store in the cache root. Raises CannotWrite where there is none."""
        root = cache_root()
        if root is None:
            raise CannotWrite("~/.cache/xattn", "there is no home folder; set XATTN_CACHE to a folder")
        return cls(root / "assets")

    def put(self, asset: Asset) -> Asset:
        """Keep the asset's data; the asset without them comes back. Raises CannotWrite, BadValue."""
        if asset.data is None:
            raise BadValue("asset.data", None, "the file's bytes")
        path = self.path(asset.sha256)
        if path.is_file():
            with contextlib.suppress(OSError):
                os.utime(path)  # it is somebody's again (ui/web/kept.py)
        else:
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise CannotWrite(self.root, f"{error.strerror}; set XATTN_CACHE to another folder") from error
            write_whole(path, asset.data)
        return replace(asset, data=None)

    def keep(self, assets: Iterable[Asset]) -> None:
        """Keep those that are too large to travel inside a recipe's JSON. Raises CannotWrite."""
        for asset in assets:
            if asset.data is not None and len(asset.data) > INLINE_BYTES:
                self.put(asset)

    def get(self, asset: Asset) -> Asset:
        """The asset with its data, its own or the store's. Raises BadValue where they are missing or damaged."""
        if asset.data is not None:
            return asset
        try:
            data = self.path(asset.sha256).read_bytes()
        except OSError as error:
            raise BadValue(
                "asset", asset.sha256, "an asset that is in the store", "Give the picture again, or copy the store too"
            ) from error
        return replace(asset, data=data)  # checked against its sha256 as it is made

    def path(self, sha256: str) -> Path:
        """Where a picture lies, whether it is there or not."""
        return self.root / sha256[:2] / sha256


def orientation(image: Image) -> int:
    """EXIF's orientation as the header of an opened picture has it, 1 … 8, 1 being upright.

    Not by `getexif`, which decodes a whole PNG in search of one.
    """
    from PIL import ExifTags, Image

    exif = Image.Exif()
    try:
        exif.load(image.info.get("exif", b""))
        found = exif.get(ExifTags.Base.Orientation, 1)
    except (SyntaxError, ValueError, OSError, struct.error):  # a broken note beside a whole picture
        return 1
    return found if isinstance(found, int) and 1 <= found <= 8 else 1


def opened(parameter: str, asset: Asset) -> Image:
    """The asset's picture, decoded whole and upright. Its data are its own or lie in the store. Raises BadValue."""
    from PIL import Image, ImageOps

    data = asset.data if asset.data is not None else AssetStore.default().get(asset).data
    try:
        with Image.open(io.BytesIO(data or b""), formats=tuple(MEDIA)) as image:
            turned = orientation(image) != 1  # before it is decoded: only then does it say what the asset's size is
            image.load()  # a truncated file ends here
            return ImageOps.exif_transpose(image) if turned else image
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise BadValue(parameter, f"a damaged {asset.media}", WHOLE, str(error)) from error


def _header(data: bytes) -> tuple[str, tuple[int, int]]:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(data), formats=tuple(MEDIA)) as image:  # reads the header only
            media = _READ[str(image.format)]
            size = image.size[::-1] if orientation(image) in _TURNED else image.size
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise BadValue("asset", "a picture of too many pixels", _MOST, "Make it smaller first") from error
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise BadValue("asset", f"{len(data)} bytes", "a PNG, JPEG or WebP picture") from error
    if media == MEDIA["JPEG"] and data.count(_SCAN) > _MOST_SCANS:
        raise BadValue("asset", f"a JPEG of {data.count(_SCAN)} scans", f"of at most {_MOST_SCANS}", "Save it again")
    if max(size) > MAX_SIDE:
        raise BadValue("asset", "x".join(map(str, size)), _MOST, "Make it smaller first")
    return media, size


def _decoded(data: object) -> bytes:
    try:
        return base64.b64decode(checks.text("asset.data", data), validate=True)
    except ValueError as error:  # letters beyond ASCII are no binascii.Error
        raise BadValue("asset.data", "text", "base64", f"It is not: {error}") from error
