"""Draw with the model as it is in training: the plain loop on diffusers' classes, many pictures at once.

The same first latents as diffusers' `StableDiffusionPipeline` for a seed, deterministic DDIM (Song et al. 2021), and
classifier-free guidance (Ho & Salimans 2022) in one batch of both rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from numpy.typing import NDArray
from torch import Tensor
from transformers import CLIPTextModel, CLIPTokenizer

from weights.train.data import tokenise

GUIDANCE = 1.5
"""The model's own guidance scale: as much as objects' sizes bear, see docs/training.md."""
Image = NDArray[np.uint8]
Draw = Callable[[Sequence[str], Sequence[int]], list[Image]]
"""Prompts and as many seeds → pictures uint8 `[128, 128, 3]`."""


@dataclass(frozen=True)
class Drawer:
    """A `Draw` on the model's parts. `fast` computes in bfloat16 where that is safe: for looks during training."""

    unet: UNet2DConditionModel
    text: CLIPTextModel
    vae: AutoencoderKL
    tokenizer: CLIPTokenizer
    scheduler: DDIMScheduler
    steps: int = 20
    guidance: float = GUIDANCE
    batch: int = 32
    fast: bool = False

    @torch.no_grad()
    def __call__(self, prompts: Sequence[str], seeds: Sequence[int]) -> list[Image]:
        pictures: list[Image] = []
        with torch.autocast("cpu", torch.bfloat16, enabled=self.fast):
            for start in range(0, len(prompts), self.batch):
                rows = slice(start, start + self.batch)
                pictures += self._decode(self._denoise(prompts[rows], seeds[rows]))
        return pictures

    def _denoise(self, prompts: Sequence[str], seeds: Sequence[int]) -> Tensor:
        hidden = self.text(input_ids=tokenise(self.tokenizer, [*prompts, ""]).long()).last_hidden_state
        conditions = torch.cat([hidden[:-1], hidden[-1:].expand(len(prompts), -1, -1)])
        side, channels = self.unet.config.sample_size, self.unet.config.in_channels
        noise = [torch.randn((1, channels, side, side), generator=torch.Generator().manual_seed(s)) for s in seeds]
        # a scheduler of our own: set_timesteps must not change the caller's
        scheduler = DDIMScheduler.from_config(self.scheduler.config)
        scheduler.set_timesteps(self.steps)
        latents = torch.cat(noise) * scheduler.init_noise_sigma
        for timestep in scheduler.timesteps:
            predicted = self.unet(torch.cat([latents, latents]), timestep, conditions).sample.float()
            conditional, plain = predicted.chunk(2)
            guided = plain + self.guidance * (conditional - plain)
            latents = scheduler.step(guided, timestep, latents).prev_sample
        return latents

    def _decode(self, latents: Tensor) -> list[Image]:
        decoded = self.vae.decode(latents / self.vae.config.scaling_factor).sample.float()
        scaled = decoded.add(1).mul(127.5).clamp(0, 255).round().byte().permute(0, 2, 3, 1)
        return list(scaled.contiguous().numpy())


def from_folder(folder: Path, *, steps: int = 20, guidance: float = GUIDANCE, fast: bool = False) -> Drawer:
    """The model of a folder in Stable Diffusion's layout, in float32.

    Raises FileNotFoundError where there is none.
    """
    if not (folder / "model_index.json").is_file():
        raise FileNotFoundError(f"{folder} holds no model (no model_index.json): pack one with `weights.train pack`.")
    unet = UNet2DConditionModel.from_pretrained(str(folder / "unet"), torch_dtype=torch.float32)
    vae = AutoencoderKL.from_pretrained(str(folder / "vae"), torch_dtype=torch.float32)
    text = CLIPTextModel.from_pretrained(str(folder / "text_encoder"), dtype=torch.float32)
    tokenizer = CLIPTokenizer.from_pretrained(str(folder / "tokenizer"))
    scheduler = DDIMScheduler.from_pretrained(str(folder / "scheduler"))
    return Drawer(unet.eval(), text.eval(), vae.eval(), tokenizer, scheduler, steps, guidance, fast=fast)


def sheet(pictures: Sequence[Image], across: int = 12, gap: int = 4) -> Image:
    """The pictures side by side on white, `[rows · 132 + 4, across · 132 + 4, 3]`."""
    side = pictures[0].shape[0] + gap
    rows = -(-len(pictures) // across)
    canvas = np.full((rows * side + gap, across * side + gap, 3), 255, np.uint8)
    for place, picture in enumerate(pictures):
        y, x = (gap + at * side for at in divmod(place, across))
        canvas[y : y + side - gap, x : x + side - gap] = picture
    return canvas
