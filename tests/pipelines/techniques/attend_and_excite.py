"""Attend-and-Excite a second time, from the paper (Chefer et al. 2023, algorithm 1) and its published code.

Every probability of diffusers' UNet is kept and the latents are moved by autograd, with guidance and DDIM as diffusers
has them. Knows tokens by their columns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from pipelines.recipe import Recipe
from tests.pipelines.materialised import Kept, Materialise, theirs


@dataclass(frozen=True)
class Paper:
    """words: columns of each asked word, of the `said` columns after the first; thresholds by step number.

    grid: (height, width) of the maps; blur: σ that the code divides by (2σ)² or a Gaussian by 2σ²
    """

    words: Sequence[Sequence[int]]
    said: Sequence[Sequence[int]]
    grid: tuple[int, int]
    alpha: float
    until: int
    thresholds: Mapping[int, float]
    most: int = 20
    as_published: bool = False
    sharp: float = 100.0

    def loss(self, probs: Sequence[Tensor]) -> Tensor:
        """Of cross-attention probabilities of one prompt, [heads, N, K] each."""
        cells = self.grid[0] * self.grid[1]
        mean = torch.cat([one for one in probs if one.shape[1] == cells]).mean(dim=0)
        mass = torch.stack([mean[:, list(some)].sum(dim=1) for some in self.said], dim=1)
        shares = torch.softmax(self.sharp * mass, dim=1)
        # the code: exp(−(x / 2σ)²) with σ = .5; a Gaussian: exp(−x² / 2σ²)
        axis = torch.tensor([-1.0, 0.0, 1.0]).to(shares)
        line = torch.exp(-((axis / 1.0) ** 2)) if self.as_published else torch.exp(-(axis**2) / 0.5)
        kernel = line[:, None] * line[None, :]
        kernel = (kernel / kernel.sum())[None, None]
        losses = []
        for word in self.words:
            image = shares[:, list(self.said).index(word)].view(1, 1, *self.grid)
            smooth = F.conv2d(F.pad(image, (1, 1, 1, 1), mode="reflect"), kernel)
            losses.append(1 - smooth.max())
        return torch.stack(losses).max()


class Reference:
    """diffusers' parts of a folder, and what a recipe's prompts are to them."""

    def __init__(self, folder: Path, recipe: Recipe) -> None:
        self.pipe, self.recipe, self.kept = theirs(folder), recipe, Kept()
        self.pipe.unet.requires_grad_(False).set_attn_processor(Materialise(self.kept))
        with torch.no_grad():
            self.cond, self.uncond = self.pipe.encode_prompt(recipe.prompt, "cpu", 1, True)
        self.scheduler = self.pipe.scheduler
        self.scheduler.set_timesteps(recipe.num_inference_steps)

    def first(self) -> Tensor:
        """The noise that the recipe begins with."""
        assert self.recipe.width is not None
        assert self.recipe.height is not None
        shape = (1, self.pipe.unet.config.in_channels, self.recipe.height // 8, self.recipe.width // 8)
        noise = torch.randn(shape, generator=torch.Generator().manual_seed(self.recipe.seed or 0))
        return noise * self.scheduler.init_noise_sigma

    def loss(self, paper: Paper, latents: Tensor, index: int) -> Tensor:
        """Before step `index`."""
        self.kept.cross.clear()
        self.kept.own.clear()
        self.pipe.unet(latents, self.scheduler.timesteps[index], self.cond)
        return paper.loss([one[0] for one in self.kept.cross])

    def moved(self, paper: Paper, latents: Tensor, index: int) -> tuple[Tensor, int]:
        """The latents to take step `index` from, and how many gradients that took."""
        alpha = paper.alpha * sqrt(torch.linspace(1.0, 0.5, len(self.scheduler.timesteps))[index].item())

        def descend(from_: Tensor) -> tuple[float, Tensor]:
            start = from_.clone().requires_grad_(True)
            loss = self.loss(paper, start, index)
            return float(loss.detach()), from_ - alpha * torch.autograd.grad(loss, start)[0]

        if index >= paper.until:
            return latents, 0
        loss, moved = descend(latents)
        least, count = paper.thresholds.get(index), 1
        if least is None or loss <= 1 - least:
            return moved, count
        if not paper.as_published:  # algorithm 1: from step 1 again while the loss is too high
            while loss > 1 - least and count <= paper.most:
                latents = moved
                loss, moved = descend(latents)
                count += 1
            return moved, count
        rounds = 0
        while loss > 1 - least and rounds < paper.most:
            loss, latents = descend(latents)
            rounds += 1
        return descend(latents)[1], rounds + 1

    def run(self, paper: Paper) -> tuple[list[Tensor], list[int]]:
        """The latents after each step, and the gradients taken before it."""
        latents, scale = self.first(), self.recipe.guidance_scale
        assert scale is not None
        after, counts = [], []
        for index, timestep in enumerate(self.scheduler.timesteps):
            latents, count = self.moved(paper, latents, index)
            with torch.no_grad():
                both = self.pipe.unet(torch.cat([latents] * 2), timestep, torch.cat([self.uncond, self.cond])).sample
                uncond, cond = both.chunk(2)
                latents = self.scheduler.step(uncond + scale * (cond - uncond), timestep, latents).prev_sample
            after.append(latents)
            counts.append(count)
        return after, counts
