"""Last stage: the decoder alone. The encoder stands still, so the latents that the UNet has learned stay what they are.

It may run while the UNet trains, or after it. The loss is what is measured, the mean PSNR of whole scenes: the mean
logarithm of each picture's squared error.
"""

from __future__ import annotations

import copy
import time
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor, nn

from weights.train import workers
from weights.train.data import draw, encode
from weights.train.loop import Ema, Log, Run, flat_tail
from weights.train.muon import Muon
from weights.train.vae import psnr, to_tensor

FILE = "decoder.pt"
EVEN = 1e-5
"""Added to each picture's squared error (of a range of 2), so that a plain one that is right does not outweigh all."""
PAIRS = 0.5


class Scenes:
    """Composed scenes with their latents, the oldest replaced by new ones: composing and encoding are half a step."""

    def __init__(self, vae: AutoencoderKL, count: int, seed: int) -> None:
        self.vae, self.rng, self.next = vae, np.random.default_rng(seed), 0
        parts = [self._made(64) for _ in range(-(-count // 64))]
        self.images, self.latents = (torch.cat(each)[:count] for each in zip(*parts, strict=True))

    def add(self, count: int) -> None:
        where = (torch.arange(count) + self.next) % len(self.images)
        self.images[where], self.latents[where] = self._made(count)
        self.next = (self.next + count) % len(self.images)

    def sample(self, batch: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Pictures float32 `[B, 3, 128, 128]` in [-1, 1] and latents float32 `[B, 8, 16, 16]`."""
        rows = torch.randint(len(self.images), (batch,), generator=generator)
        return self.images[rows].float().div_(127.5).sub_(1.0), self.latents[rows].float()

    def _made(self, count: int) -> tuple[Tensor, Tensor]:
        scenes = [draw(self.rng, PAIRS) for _ in range(count)]
        images = to_tensor([scene.image() for scene in scenes]).add(1).mul(127.5).round().byte()
        return images, encode(self.vae, scenes)


def half_of(vae: AutoencoderKL) -> nn.Sequential:
    """What turns latents into pictures, sharing the autoencoder's parameters."""
    assert vae.post_quant_conv is not None
    return nn.Sequential(vae.post_quant_conv, vae.decoder)


def loss_of(decoder: nn.Module, images: Tensor, latents: Tensor) -> Tensor:
    """Mean over the pictures of log(mean squared error)."""
    with torch.autocast("cpu", torch.bfloat16):
        decoded = decoder(latents)
    errors = (decoded.float() - images).square().mean(dim=(1, 2, 3))
    return (errors + EVEN).log().mean()


def train(
    folder: Path,
    vae: AutoencoderKL,
    minutes: float,
    *,
    batch: int = 8,
    rate: float = 1e-3,
    kept: int = 2048,
    fresh: int = 2,
    every: int = 400,
    measured: int = 64,
) -> None:
    """Train the decoder of `vae` in place for `minutes` of this process's time over all its runs; resumes.

    The state is `decoder.pt`; `load_into` puts its average into an autoencoder.
    """
    torch.manual_seed(5)
    decoder = half_of(vae).requires_grad_(True)
    ema = Ema(decoder, 0.998)
    muon = Muon([p for p in decoder.parameters() if p.ndim == 4], lr=rate, decay=0.0)
    vectors = [p for p in decoder.parameters() if p.ndim < 4]
    adam = torch.optim.AdamW(vectors, lr=rate, betas=(0.9, 0.99), weight_decay=0.0, fused=True)
    run = Run(folder / FILE, decoder=decoder, ema=ema, muon=muon, adam=adam)
    log = Log(folder / "decoder.log")
    if run.seconds >= minutes * 60:
        return
    seed = run.step + 5 + 500_000 * workers.rank()
    generator, scenes = torch.Generator().manual_seed(seed), Scenes(vae, kept, 3_000_000 + seed)
    while run.seconds < minutes * 60:
        began = time.monotonic()
        factor = flat_tail(run.step, run.seconds / (minutes * 60), warmup=20, tail=0.7)
        muon.param_groups[0]["lr"] = adam.param_groups[0]["lr"] = rate * factor
        scenes.add(fresh)
        loss = loss_of(decoder, *scenes.sample(batch, generator))
        muon.zero_grad(set_to_none=True)
        adam.zero_grad(set_to_none=True)
        loss.backward()
        workers.share(decoder.parameters())
        torch.nn.utils.clip_grad_norm_(decoder.parameters(), 1.0)
        muon.step()
        adam.step()
        ema.update(decoder)
        run.tick(time.monotonic() - began)
        log.add(run, loss=float(loss.detach()))
        if run.step % every == 0:
            run.save()
            _measure(vae, ema, run, log, measured)
    run.save()
    _measure(vae, ema, run, log, measured)


def load_into(folder: Path, vae: AutoencoderKL) -> None:
    """Put the trained decoder's average into `vae`, where a run has one."""
    if (folder / FILE).exists():
        state = torch.load(folder / FILE, map_location="cpu", weights_only=True, mmap=True)
        half_of(vae).load_state_dict(state["ema"]["model"])


def _measure(vae: AutoencoderKL, ema: Ema, run: Run, log: Log, scenes: int) -> None:
    if workers.rank() == 0:
        averaged = copy.deepcopy(vae).requires_grad_(False)
        half_of(averaged).load_state_dict(ema.model.state_dict())
        log.note(run, psnr=psnr(averaged, scenes))
