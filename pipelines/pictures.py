"""Tensors of the pictures that a recipe refers to: of the size that is drawn, or a sentence.

A picture is stretched to exactly the size that is drawn, by Lanczos filtering, as diffusers does: give a size of the
same shape where it must not be distorted. Transparent places become white; in a mask they become black.
"""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from pipelines.assets import Asset
from pipelines.assets import opened as opened
from xattn.errors import BadValue

WHITE, BLACK = 255, 0


def coloured(image: Image.Image, under: int = WHITE) -> Image.Image:
    """The same in RGB; where it is transparent, `under` shines through."""
    if image.mode.startswith("I"):  # 16 bits of grey, which Pillow would clip at 255
        image = Image.fromarray((np.asarray(image).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8))
    if not image.has_transparency_data:
        return image.convert("RGB")
    layer = image.convert("RGBA")
    ground = Image.new("RGBA", layer.size, (under, under, under, 255))
    return Image.alpha_composite(ground, layer).convert("RGB")


def picture(asset: Asset, width: int, height: int) -> Tensor:
    """Pixels [1, 3, height, width] in −1 … 1 of an init picture. Raises BadValue."""
    return pixels(coloured(opened("init", asset)), width, height)


def pixels(image: Image.Image, width: int, height: int) -> Tensor:
    """Pixels [1, 3, height, width] in −1 … 1 of an RGB picture, stretched to that size."""
    if image.size != (width, height):
        image = image.resize((width, height), Image.Resampling.LANCZOS)
    levels = torch.from_numpy(np.array(image)).permute(2, 0, 1).float()
    return (levels / 255 * 2 - 1)[None]


def mask(asset: Asset, width: int, height: int) -> Tensor:
    """A mask [1, 1, height, width] of 0, keep, and 1, redraw: whatever is at least half white. Raises BadValue."""
    grey = coloured(opened("mask", asset), under=BLACK).convert("L")
    if grey.size != (width, height):
        grey = grey.resize((width, height), Image.Resampling.LANCZOS)
    return torch.from_numpy(np.array(grey) >= 128).float()[None, None]


def in_cells(mask: Tensor, factor: int) -> Tensor:
    """The mask on the grid of the latents, [1, 1, height / factor, width / factor]: each cell as its first pixel is.

    Not by area: diffusers takes the nearest pixel, and inpainting models were trained so.
    """
    return mask[..., ::factor, ::factor]


def check_mask(asset: Asset, width: int, height: int, factor: int) -> None:
    """That something is left to redraw at this size. Raises BadValue."""
    if not bool(in_cells(mask(asset, width, height), factor).any()):
        raise BadValue(
            "mask",
            f"black, or white in less than {factor} pixels of {width}x{height}",
            "white where the picture is to be redrawn",
            "Paint that place white, or invert the mask; what is transparent counts as black",
        )
