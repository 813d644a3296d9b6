"""Pictures to begin with: read from what a page sends, and the mask that was painted for one."""

from __future__ import annotations

import base64
import binascii
import io
from collections.abc import Mapping

from PIL import Image, ImageChops

from pipelines.assets import Asset
from pipelines.assets import opened as decoded
from ui.web.limits import Limits
from ui.web.views import data_url
from xattn.errors import BadValue


def read_picture(data: object, limits: Limits) -> Asset:
    """A picture sent as base64; its header is checked before anything is decoded. Raises BadValue."""
    if not isinstance(data, str):
        raise BadValue("picture", type(data).__name__, "a picture's bytes as base64")
    try:
        asset = Asset.from_bytes(base64.b64decode(data, validate=True))
    except binascii.Error as error:
        raise BadValue("picture", "text", "base64", str(error)) from error
    limits.check_picture(asset)
    return asset


def opened(asset: Asset) -> Image.Image:
    """Its pixels, upright. Raises BadValue where they are broken."""
    return decoded("picture", asset).convert("RGB")


def thumbnail(asset: Asset, side: int = 160) -> str:
    """A small copy as a `data:` URL."""
    image = opened(asset)
    image.thumbnail((side, side))
    return data_url(image, "JPEG")


def mask_for(init: Asset, painted: Mapping[str, str]) -> Asset:
    """White where any word was painted, of the init picture's size. Raises BadValue where nothing was."""
    united: Image.Image | None = None
    for png in painted.values():
        with Image.open(io.BytesIO(base64.b64decode(png))) as field:
            grey = field.convert("L").resize((init.width, init.height), Image.Resampling.BILINEAR)
        united = grey if united is None else ImageChops.lighter(united, grey)
    if united is None:
        raise BadValue("mask", None, "painted", "Choose Paint over the picture and paint where it may change")
    return Asset.from_image(united.point(lambda value: 255 if value >= 96 else 0))
