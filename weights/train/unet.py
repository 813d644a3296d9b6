"""Stage 3: the UNet, with the text tower following at half its rate.

Latent diffusion (Rombach et al. 2022) with v-prediction (Salimans & Ho 2022) and a schedule rescaled to zero
terminal SNR (Lin et al. 2024), so that backgrounds get their exact colour. Loss weights follow min-SNR (Hang et
al. 2023): (min(snr, 5) + .3)/(snr + 1). Some scenes have no caption, for classifier-free guidance (Ho & Salimans 2022).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import torch
from diffusers import DDIMScheduler, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from torch import Tensor, nn
from transformers import CLIPTextModel

from weights.train import binding, telling, workers
from weights.train.data import Ring
from weights.train.loop import Ema, Log, Run, flat_tail
from weights.train.muon import Muon
from weights.train.text import WIDTH

CHANNELS = (96, 160, 224)


def build() -> UNet2DConditionModel:
    heads = tuple(width // 32 for width in CHANNELS)
    unet = UNet2DConditionModel(
        sample_size=16,
        in_channels=8,
        out_channels=8,
        block_out_channels=CHANNELS,
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        layers_per_block=1,
        attention_head_dim=heads,  # diffusers' name for the number of heads
        cross_attention_dim=WIDTH,
        norm_num_groups=32,
    )
    # materialised attention trains faster than CPU flash at these sizes; the file does not know
    unet.set_attn_processor(AttnProcessor())
    return unet


def scheduler() -> DDIMScheduler:
    return DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type="v_prediction",
        rescale_betas_zero_snr=True,
        timestep_spacing="trailing",
        clip_sample=False,
        set_alpha_to_one=True,
        steps_offset=0,
    )


class Pair(nn.Module):
    """UNet and text tower in one module, so that one average and one checkpoint hold both."""

    def __init__(self, unet: UNet2DConditionModel, text: CLIPTextModel) -> None:
        super().__init__()
        self.unet, self.text = unet, text

    def forward(self, noisy: Tensor, timesteps: Tensor, ids: Tensor) -> tuple[Tensor, Tensor]:
        """The prediction and the text states `[B, tokens, width]` that it was made from."""
        hidden: Tensor = self.text(input_ids=ids).last_hidden_state
        predicted: Tensor = self.unet(noisy, timesteps, hidden).sample
        return predicted, hidden


def loss_of(
    model: Pair, latents: Tensor, ids: Tensor, alphas: Tensor, generator: torch.Generator, floor: float = 0.3
) -> tuple[Tensor, Tensor]:
    """Weighted squared error of v = √ᾱ ε − √(1−ᾱ) x, mean over the batch, and the text states.

    `floor` is the weight of pure noise, where places are decided: of .3 from min-SNR alone, more teaches layout.
    """
    count = len(alphas)
    batch = len(latents)
    # a time is drawn as often as its loss weighs, so that no pass is spent on what hardly counts; stratified, so that
    # every batch covers all noise levels
    snr = alphas / (1 - alphas)
    weights = (snr.clamp(max=5) + floor) / (snr + 1)
    shares = weights.cumsum(0) / weights.sum()
    quantiles = (torch.arange(batch) + torch.rand(batch, generator=generator)) / batch
    timesteps = torch.searchsorted(shares, quantiles).clamp(max=count - 1)
    alpha = alphas[timesteps].view(-1, 1, 1, 1)
    noise = torch.randn(latents.shape, generator=generator)
    noisy = alpha.sqrt() * latents + (1 - alpha).sqrt() * noise
    target = alpha.sqrt() * noise - (1 - alpha).sqrt() * latents
    with torch.autocast("cpu", torch.bfloat16):
        predicted, hidden = model(noisy, timesteps, ids)
    return weights.mean() * (predicted.float() - target).square().mean(), hidden


def train(
    folder: Path,
    ring: Ring,
    text: CLIPTextModel,
    minutes: float,
    *,
    unet: UNet2DConditionModel | None = None,
    batch: int = 24,
    rate: float = 1.2e-3,
    watch: Callable[[Pair, Run, Log], None] | None = None,
    every: int = 1000,
    bound: float = 0.02,
    told: float = 0.02,
    floor: float = 0.3,
    average: float = 0.997,
    tail: float = 0.35,
) -> Pair:
    """Train for `minutes` of this process's own time over all its runs; returns the averaged model.

    `bound` is the weight of the loss on attention maps, see `binding`, `told` that of the losses on relations and
    colours, see `telling`, and `floor` what pure noise weighs, see `loss_of`. `average` is the decay, a step, of the
    average of the weights, `tail` the share of the minutes over which the rate falls to zero.
    """
    torch.manual_seed(3)
    model = Pair(unet or build(), text)
    recorders = binding.record(model.unet)
    ema = Ema(model, average)
    matrices = [p for p in model.unet.parameters() if p.ndim >= 2]
    vectors = [p for p in model.unet.parameters() if p.ndim < 2]
    muon = Muon(matrices, lr=rate)
    adam = torch.optim.AdamW(
        [{"params": vectors, "lr": rate}, {"params": text.parameters(), "lr": rate}],
        betas=(0.9, 0.99),
        weight_decay=0.0,
        fused=True,
    )
    run = Run(folder / "unet.pt", model=model, ema=ema, muon=muon, adam=adam)
    log = Log(folder / "unet.log")
    generator = torch.Generator().manual_seed(run.step + 3 + 500_000 * workers.rank())
    alphas = scheduler().alphas_cumprod
    while run.seconds < minutes * 60:
        began = time.monotonic()
        factor = flat_tail(run.step, run.seconds / (minutes * 60), warmup=100, tail=tail)
        muon.param_groups[0]["lr"] = rate * factor
        for group, share in zip(adam.param_groups, (1.0, 0.5), strict=True):
            group["lr"] = rate * share * factor
        ring.add(4)
        drawn = ring.sample(batch, generator)
        error, hidden = loss_of(model, drawn.latents, drawn.ids, alphas, generator, floor)
        maps = [each.probabilities for each in recorders if each.probabilities is not None]
        astray = binding.loss_of(maps, drawn.owned, drawn.masks)
        untold = telling.loss_of(hidden, drawn.owned, drawn.relations)
        pale = telling.loss_of_colors(hidden, drawn.owned, drawn.colors)
        loss = error + bound * astray + told * (untold + pale)
        muon.zero_grad(set_to_none=True)
        adam.zero_grad(set_to_none=True)
        loss.backward()
        workers.share(model.parameters())
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        muon.step()
        adam.step()
        ema.update(model)
        run.tick(time.monotonic() - began)
        said = telling.told(hidden, drawn.owned, drawn.relations)
        log.add(
            run,
            loss=float(error.detach()),
            binding=float(astray.detach()),
            told=float(said),
            colors=float(pale.detach()),
        )
        if run.step % every == 0:
            run.save()
            if watch is not None and workers.rank() == 0:
                watch(ema.model, run, log)
    run.save()
    averaged: Pair = ema.model
    return averaged
