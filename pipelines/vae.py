"""The autoencoder between pictures and latents: diffusers' AutoencoderKL with what a run needs to know of it.

Pictures go through one at a time, and large ones by tiles (tiles.py). diffusers switches tiling on in the module, for
everyone who holds it; here it is cut outside, so runs that share a Vae never touch each other.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from pipelines.files import read_json
from pipelines.tiles import Tiling, by_tiles
from xattn.errors import BadModel, NonFinite

WHOLE_TO_A_MEGAPIXEL = Tiling()
WEIGHTS = "diffusion_pytorch_model.safetensors"


@dataclass(frozen=True, slots=True, eq=False)
class Vae:
    """An autoencoder that runs share and never change.

    module: diffusers' AutoencoderKL, which it does not type; dtype: of its weights
    channels: of the latents; factor: pixels of one latent cell's side
    scaling, shift: between the decoder's latents and the denoised ones, z = latents / scaling + shift
    tiling: which pictures go through by tiles, by default those over 1024 · 1024 pixels
    """

    module: Any
    dtype: torch.dtype
    channels: int
    factor: int
    scaling: float
    shift: float
    tiling: Tiling = WHOLE_TO_A_MEGAPIXEL

    @classmethod
    def from_folder(cls, folder: Path, dtype: torch.dtype, device: torch.device) -> Vae:
        """Read a model's `vae/`. Raises BadModel, with a sentence, for anything that is not a whole AutoencoderKL."""
        # SDXL's first autoencoder overflows in half precision, and says so in its file
        if dtype is torch.float16 and read_json(folder / "config.json").get("force_upcast", False):
            dtype = torch.float32
        return cls.of(_load(folder, dtype, device))

    @classmethod
    def of(cls, module: Any, *, upcast: bool = False) -> Vae:
        """From a loaded AutoencoderKL, which is shared, not copied.

        upcast: take a float32 copy of a float16 one whose config has `force_upcast`, as diffusers' XL pipelines do
        """
        config = dict(module.config)
        if upcast and module.dtype is torch.float16 and config.get("force_upcast", False):
            module = copy.deepcopy(module).float()
        return cls(
            module=module,
            dtype=module.dtype,
            channels=int(config["latent_channels"]),
            factor=2 ** (len(config["block_out_channels"]) - 1),
            scaling=float(config["scaling_factor"]),
            shift=float(config.get("shift_factor") or 0.0),
        )

    @torch.no_grad()
    def decode(self, latents: Tensor) -> list[Image.Image]:
        """RGB pictures from latents [images, channels, height, width].

        One at a time: the decoder works at full resolution, so a batch would set the peak of a run's memory.
        """
        return [self._picture(latents[index : index + 1]) for index in range(len(latents))]

    @torch.no_grad()
    def encode(self, pixels: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        """Latents [images, channels, h, w] of pixels [images, 3, h · factor, w · factor] in −1 … 1.

        The encoder gives a distribution for each picture, from which its own CPU generator draws (Kingma and Welling
        2014), as diffusers does.
        """
        encoded = [self._sample(pixels[index : index + 1], generator) for index, generator in enumerate(generators)]
        return torch.cat(encoded)

    def _picture(self, latents: Tensor) -> Image.Image:
        scaled = latents.to(self.dtype) / self.scaling + self.shift
        height, width = scaled.shape[-2:]
        if self._whole(height, width):
            pixels: Tensor = self._pixels(scaled)[0]
        else:
            side, overlap = self._tile()
            pixels = by_tiles(
                self._pixels, scaled, cells=(height, width), side=side, overlap=overlap, written=self.factor
            )[0]
        if not bool(torch.isfinite(pixels).all()):
            raise NonFinite(
                f"The autoencoder made NaN or infinity of sound latents in {self.dtype}, so there is no picture; "
                'use dtype "float32" or "bfloat16".'
            )
        levels = ((pixels.float() / 2 + 0.5).clamp(0, 1) * 255).round().byte()
        return Image.fromarray(np.ascontiguousarray(levels.permute(1, 2, 0).cpu().numpy()))

    def _sample(self, pixels: Tensor, generator: torch.Generator) -> Tensor:
        given = pixels.to(self.module.device, self.dtype)
        height, width = given.shape[-2] // self.factor, given.shape[-1] // self.factor
        if self._whole(height, width):
            moments = self._moments(given)
        else:
            side, overlap = self._tile()
            moments = by_tiles(
                self._moments, given, cells=(height, width), side=side, overlap=overlap, read=self.factor
            )
        mean, log_variance = moments.float().chunk(2, dim=1)
        noise = torch.randn(mean.shape, generator=generator).to(mean.device)
        # in float32 and clamped as diffusers clamps it: half precision would overflow
        sampled = mean + torch.exp(0.5 * log_variance.clamp(-30.0, 20.0)) * noise
        return (sampled - self.shift) * self.scaling

    def _pixels(self, scaled: Tensor) -> Tensor:
        made: Tensor = self.module.decode(_laid_out(scaled), return_dict=False)[0]
        return made

    def _moments(self, pixels: Tensor) -> Tensor:
        """Means and log variances, [1, 2 · channels, h, w]."""
        made: Tensor = self.module.encode(_laid_out(pixels), return_dict=False)[0].parameters
        return made

    def _whole(self, height: int, width: int) -> bool:
        return height * width * self.factor**2 <= self.tiling.above

    def _tile(self) -> tuple[int, int]:
        """Side and overlap of a tile in cells of the latents."""
        return max(1, self.tiling.side // self.factor), self.tiling.overlap // self.factor


def _laid_out(image: Tensor) -> Tensor:
    """Channels last on a CPU: its convolutions work so, and would turn every image there and back."""
    return image.contiguous(memory_format=torch.channels_last) if image.device.type == "cpu" else image


def _load(folder: Path, dtype: torch.dtype, device: torch.device) -> Any:
    from diffusers import AutoencoderKL
    from safetensors import SafetensorError

    if not (folder / WEIGHTS).is_file():
        raise BadModel(f"The model has no vae/{WEIGHTS}; only safetensors files are read.")
    try:
        # not ours to read key by key: old files name the attention differently, and diffusers knows how
        module, info = AutoencoderKL.from_pretrained(
            str(folder), local_files_only=True, use_safetensors=True, torch_dtype=dtype, output_loading_info=True
        )
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, SafetensorError) as error:
        lines = str(error).strip().splitlines()
        reason = lines[0].rstrip(".") if lines else type(error).__name__
        raise BadModel(
            f"vae/ cannot be loaded: {reason.replace(str(folder), 'vae')}. Copy the folder again."
        ) from error
    for what in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        if info[what]:
            first = sorted(str(key) for key in info[what])[0]
            raise BadModel(
                f"vae/{WEIGHTS} and vae/config.json disagree: {what.replace('_', ' ')}, the first is {first}; "
                "use the config.json that belongs to these weights."
            )
    return module.to(device).eval().requires_grad_(False)
