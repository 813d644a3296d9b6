"""Pictures to begin with: read from what a page sends, shown on the canvas, and the mask that is painted on one."""

from __future__ import annotations

import base64
import io
import threading

from PIL import Image

from pipelines.assets import INLINE_BYTES, Asset, AssetStore
from pipelines.assets import opened as decoded
from ui.web.limits import Limits
from ui.web.viewer.data import Word
from ui.web.viewer.view import View
from ui.web.views import data_url, small_url
from xattn.errors import BadValue, XattnError

MASK = Word("what is drawn anew", "#14c3c3")
"""In place of a prompt's words: the one thing that the brush paints on a picture to begin with."""
_SIDE = 1024
"""The longer side on the canvas."""
_QUALITIES = (80, 85, 90, 95)
_WHITE = 96
"""From this of 255 on a stroke's soft edge belongs to the mask."""
_DECODING = threading.Lock()
"""One at a time: the largest pictures that are let in take 330 MB meanwhile, and forty may be sent at once."""


def read_picture(data: object, limits: Limits) -> Asset:
    """A picture sent as base64; its header is checked before anything is decoded. Raises BadValue."""
    if not isinstance(data, str):
        raise BadValue("picture", type(data).__name__, "a picture's bytes as base64")
    try:
        asset = Asset.from_bytes(base64.b64decode(data, validate=True))
    except ValueError as error:  # letters beyond ASCII are no binascii.Error
        raise BadValue("picture", "text", "base64", str(error)) from error
    limits.check_picture(asset)
    return asset


def opened(asset: Asset) -> Image.Image:
    """Its pixels, upright, white where it is transparent, as it is drawn from. Raises BadValue where it is broken."""
    from pipelines.pictures import coloured  # brings torch, and the page opens before torch is there

    with _DECODING:
        return coloured(decoded("picture", asset))


def thumbnail(asset: Asset, side: int = 160) -> str:
    """A small copy as a `data:` URL."""
    image = opened(asset)
    image.thumbnail((side, side))
    return data_url(image, "JPEG")


def here(asset: Asset, limits: Limits) -> Asset | None:
    """The same with its data, its own or those of this machine's store; None where neither has them whole."""
    try:
        data = AssetStore.default().get(asset).data if asset.data is None else asset.data
        found = Asset.from_bytes(data or b"")  # its size by its own header, not as a recipe says it
        limits.check_picture(found)
        decoded("picture", found)  # whole, and not by its header alone
    except XattnError:
        return None
    return found


def fitted(asset: Asset, width: int, height: int) -> Asset:
    """The same so that it travels inside a recipe, where it can; what is drawn from it stays the same, or nearly so.

    width, height: pixels that are drawn. A file of at most INLINE_BYTES stays as it is. A larger one is brought to that
    size as drawing would bring it, and kept as a PNG; where that has too many bytes, as the best WebP (quality 80 to
    95) that has not; where none has so few, as it is, and then it needs the store. Raises BadValue.
    """
    data = asset.data or b""
    if len(data) <= INLINE_BYTES:
        return asset
    image = opened(asset)
    if 0 < width * height < image.width * image.height and min(width, height) > 0:
        image = image.resize((width, height), Image.Resampling.LANCZOS)
    exact = Asset.from_image(image)
    if len(exact.data or b"") <= INLINE_BYTES:
        return exact
    best = asset if image.size == (asset.width, asset.height) else exact
    for quality in _QUALITIES:
        buffer = io.BytesIO()
        image.save(buffer, "WEBP", quality=quality)
        if buffer.tell() > INLINE_BYTES:
            break
        best = Asset.from_bytes(buffer.getvalue())
    return best


def mask_for(init: Asset, painted: str | None) -> Asset:
    """White where it was painted (a grey PNG as base64), of the init picture's size. Raises BadValue: nothing was."""
    if painted is None:
        raise BadValue(
            "mask", None, "painted", "Choose Paint on it, in Begin with a picture, and paint what may change"
        )
    with Image.open(io.BytesIO(base64.b64decode(painted))) as field:
        grey = field.convert("L").resize((init.width, init.height), Image.Resampling.BILINEAR)
    return Asset.from_image(grey.point(lambda value: 255 if value >= _WHITE else 0))


def painted_of(mask: Asset) -> str:
    """A recipe's mask as the brush would have painted it, for mask_for. Raises BadValue where it is broken."""
    from pipelines.pictures import BLACK, coloured

    grey = coloured(decoded("mask", mask), under=BLACK).convert("L")
    data = Asset.from_image(grey.point(lambda value: 255 if value >= 128 else 0)).data
    return base64.b64encode(data or b"").decode("ascii")


def begun_id(asset: Asset) -> str:
    """What the viewer calls a picture to begin with: the same picture keeps what was painted on it."""
    return f"begin-{asset.sha256[:24]}"


def begin_view(asset: Asset, painted: str | None) -> View:
    """The picture on the canvas, with the brush for its mask. Raises BadValue where it is broken."""
    image = opened(asset)
    image.thumbnail((_SIDE, _SIDE))
    return View(
        id=begun_id(asset),
        picture=small_url(image),
        width=image.width,
        height=image.height,
        words=(MASK,),
        modes=("paint",),
        mode="paint",
        mask=True,
        fields={} if painted is None else {0: painted},
        note="To begin with · paint what is to be drawn anew; without paint all of it is",
    )
