"""Stage 1: the autoencoder (Rombach et al. 2022), f8 with eight latent channels.

Four channels at f8 lose too much of a 128-px icon. Most of its cost is at full
resolution, hence 16 channels there. Trained on 64-px crops round the objects, whole scenes at the end.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor

from weights.train import workers
from weights.train.loop import Ema, Log, Run, flat_tail
from weights.train.scenes import pair, single
from weights.train.world import SIZE

CHANNELS = 8


def build() -> AutoencoderKL:
    return AutoencoderKL(
        block_out_channels=(16, 32, 64, 128),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=1,
        norm_num_groups=8,
        latent_channels=CHANNELS,
        mid_block_add_attention=False,
        sample_size=SIZE,
        scaling_factor=1.0,
    )


def to_tensor(images: list[np.ndarray]) -> Tensor:
    """uint8 `[H, W, 3]` each → float32 `[B, 3, H, W]` in [-1, 1]."""
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float().div_(127.5).sub_(1.0)


def crops(rng: np.random.Generator, batch: int, side: int = 64) -> Tensor:
    """Crops round objects, snapped to the latent grid as scenes are."""
    images = []
    for _ in range(batch):
        scene = single(rng) if rng.random() < 0.6 else pair(rng)
        placed = scene.objects[rng.integers(len(scene.objects))]
        low, high = 0, SIZE - side
        x, y = (
            int(np.clip(at + rng.integers(-24, placed.size - 40), low, high)) // 8 * 8 for at in (placed.x, placed.y)
        )
        images.append(scene.image()[y : y + side, x : x + side])
    return to_tensor(images)


def loss_of(vae: AutoencoderKL, images: Tensor, kl_weight: float = 2e-4) -> Tensor:
    posterior = vae.encode(images).latent_dist
    decoded = vae.decode(posterior.sample()).sample.float()
    error = decoded - images
    dx, dy = error.diff(dim=-1), error.diff(dim=-2)
    kl = posterior.kl().mean() / (images.shape[-1] // 8 * images.shape[-2] // 8 * CHANNELS)
    return error.abs().mean() + 0.5 * (dx.abs().mean() + dy.abs().mean()) + error.square().mean() + kl_weight * kl


@torch.no_grad()
def psnr(vae: AutoencoderKL, scenes: int = 128, seed: int = 10_000) -> float:
    """Mean PSNR in dB of reconstructions, on held-out scenes, half of them pairs."""
    rng = np.random.default_rng(seed)
    images = [(single(rng) if i % 2 else pair(rng)).image() for i in range(scenes)]
    values = []
    for start in range(0, scenes, 32):
        batch = to_tensor(images[start : start + 32])
        decoded = vae.decode(vae.encode(batch).latent_dist.mode()).sample.clamp(-1, 1)
        mse = (decoded - batch).div(2).square().mean(dim=(1, 2, 3))
        values.append(-10 * mse.log10())
    return float(torch.cat(values).mean())


@torch.no_grad()
def even_out(vae: AutoencoderKL, scenes: int = 512) -> None:
    """Fold each latent channel's mean and scale into the 1x1 convolutions, so that latents are standard.

    Exact: `quant_conv` ends the encoder and `post_quant_conv` begins the decoder, both linear.
    """
    assert vae.quant_conv is not None and vae.post_quant_conv is not None
    rng = np.random.default_rng(20_000)
    images = to_tensor([(single(rng) if i % 2 else pair(rng)).image() for i in range(scenes)])
    latents = torch.cat([vae.encode(chunk).latent_dist.mode() for chunk in images.split(64)])
    mean, std = latents.mean(dim=(0, 2, 3)), latents.std(dim=(0, 2, 3))
    quant, post = vae.quant_conv, vae.post_quant_conv
    post.bias += (post.weight[:, :, 0, 0] * mean).sum(dim=1)
    post.weight *= std.view(1, -1, 1, 1)
    quant.weight[:CHANNELS] /= std.view(-1, 1, 1, 1)
    quant.bias[:CHANNELS] = (quant.bias[:CHANNELS] - mean) / std
    quant.bias[CHANNELS:] -= 2 * std.log()


def train(folder: Path, minutes: float, batch: int = 24, rate: float = 1.5e-3) -> AutoencoderKL:
    """Train for `minutes` of this process's own time over all its runs; resumes from `folder`."""
    torch.manual_seed(1)
    vae = build()
    ema = Ema(vae, 0.998)
    optimizer = torch.optim.AdamW(vae.parameters(), lr=rate, betas=(0.9, 0.99), weight_decay=0.0, fused=True)
    run = Run(folder / "vae.pt", model=vae, ema=ema, optimizer=optimizer)
    log = Log(folder / "vae.log")
    rng = np.random.default_rng(run.step + 1 + 500_000 * workers.rank())
    while run.seconds < minutes * 60:
        began = time.monotonic()
        done = run.seconds / (minutes * 60)
        whole = done > 0.85
        for group in optimizer.param_groups:
            group["lr"] = rate * flat_tail(run.step, done, warmup=100)
        images = crops(rng, batch // 4, SIZE) if whole else crops(rng, batch)
        with torch.autocast("cpu", torch.bfloat16):
            loss = loss_of(vae, images)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        workers.share(vae.parameters())
        torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        optimizer.step()
        ema.update(vae)
        run.tick(time.monotonic() - began)
        log.add(run, loss=float(loss.detach()))
        if run.step % 1000 == 0:
            run.save()
            if workers.rank() == 0:
                log.note(run, psnr=psnr(ema.model))
    run.save()
    final: AutoencoderKL = ema.model
    if workers.rank() == 0:
        log.note(run, psnr=psnr(final))
    return final
