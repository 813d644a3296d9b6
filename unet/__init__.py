"""The conditional UNet of Stable Diffusion, in all its forms, on `xattn`'s attention."""

from __future__ import annotations

from unet.checkpoint import load_unet
from unet.config import UNetConfig
from unet.context import Added, Residuals, TextContext
from unet.model import UNet

__all__ = ["Added", "Residuals", "TextContext", "UNet", "UNetConfig", "load_unet"]
