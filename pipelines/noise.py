"""The noise of a picture: from which generator, and how far towards another seed.

"cpu" is torch's CPU generator, which diffusers' examples use. "nv" is what `torch.randn(…, device="cuda")` gives for a
seed, computed here, so that pictures made on a GPU by other tools come back on any machine: the counter-based
generator of Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3" (Philox 4x32, ten rounds), keyed by the
seed, one counter a number, and the Box-Muller transform as CUDA's generator library applies it.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipelines.checks import filled
from pipelines.recipe import Recipe

_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_WEYL = (0x9E3779B9, 0xBB67AE85)
_LOW = np.uint64(0xFFFFFFFF)
_WORD = np.uint64(32)

Words = NDArray[np.uint64]


def philox(counter: tuple[Words, Words, Words, Words], key: tuple[int, int]) -> tuple[Words, Words, Words, Words]:
    """Ten rounds of Philox 4x32: four words of 32 bits a counter (in 64-bit arrays), keyed by two words."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(10):
        p0, p1 = np.uint64(_MULTIPLIERS[0]) * c0, np.uint64(_MULTIPLIERS[1]) * c2
        c0, c1, c2, c3 = (
            (p1 >> _WORD) ^ c1 ^ np.uint64(k0),
            p1 & _LOW,
            (p0 >> _WORD) ^ c3 ^ np.uint64(k1),
            p0 & _LOW,
        )
        k0, k1 = (k0 + _WEYL[0]) & 0xFFFFFFFF, (k1 + _WEYL[1]) & 0xFFFFFFFF
    return c0, c1, c2, c3


def cuda_normal(seed: int, count: int, call: int = 0) -> NDArray[np.float32]:
    """`torch.randn(count, device="cuda")` after `torch.manual_seed(seed)` and so many such calls before.

    As long as the GPU has a thread for every number; beyond that the order depends on the GPU. Latents of a 1024²
    picture are 65,536 numbers, fewer than the threads of any GPU that draws such pictures in comfort.
    """
    index = np.arange(count, dtype=np.uint64)
    zero = np.zeros_like(index)
    first, second, _, _ = philox((zero + np.uint64(call), zero, index, zero), (seed & 0xFFFFFFFF, seed >> 32))
    uniform = first / 2.0**32 + 2.0**-33
    angle = (second / 2.0**32 + 2.0**-33) * (2.0 * np.pi)
    return (np.sqrt(-2.0 * np.log(uniform)) * np.sin(angle)).astype(np.float32)


def first_noise(recipe: Recipe, generator: torch.Generator, shape: tuple[int, int, int]) -> Tensor:
    """Unit noise [1, channels, height, width] on the CPU for one resolved recipe.

    generator: the picture's own CPU generator, seeded by the recipe; stochastic samplers go on with it. Where the noise
        is a GPU's, they go on by `step_noise`.
    Raises BadValue for a recipe without a seed.
    """
    noise = _draw(recipe, filled("seed", recipe.seed), generator, shape)
    if recipe.variation_seed is None or recipe.variation_strength == 0.0:
        return noise
    other = _draw(recipe, recipe.variation_seed, torch.Generator("cpu").manual_seed(recipe.variation_seed), shape)
    return slerp(noise, other, recipe.variation_strength)


def step_noise(seed: int, step: int, shape: tuple[int, int, int]) -> Tensor:
    """A GPU's unit noise [channels, height, width] for step `step` of those that run, counted from 0.

    A GPU's generator goes on where the first noise left it, one call a step, as k-diffusion's samplers call it.
    """
    return torch.from_numpy(cuda_normal(seed, int(np.prod(shape)), step + 1)).view(shape)


def _draw(recipe: Recipe, seed: int, generator: torch.Generator, shape: tuple[int, int, int]) -> Tensor:
    if recipe.noise == "nv":
        return torch.from_numpy(cuda_normal(seed, int(np.prod(shape)))).view(1, *shape)
    return torch.randn((1, *shape), generator=generator)


def slerp(one: Tensor, other: Tensor, strength: float) -> Tensor:
    """From `one` (0) to `other` (1) along the arc between them (Shoemake 1985), so that noise keeps its length."""
    cosine = torch.nn.functional.cosine_similarity(one.flatten().double(), other.flatten().double(), dim=0)
    angle = torch.arccos(cosine.clamp(-1.0, 1.0))
    if angle.sin() < 1e-6:
        return torch.lerp(one, other, strength)
    weights = torch.sin((1.0 - strength) * angle) / angle.sin(), torch.sin(strength * angle) / angle.sin()
    return (weights[0] * one.double() + weights[1] * other.double()).to(one.dtype)
