"""Evening out: latents become standard, pictures stay."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from weights.train.scenes import pair, single
from weights.train.vae import build, crops, even_out, to_tensor

SCENES = 8


def images() -> torch.Tensor:
    """The scenes that `even_out` measures on."""
    rng = np.random.default_rng(20_000)
    return to_tensor([(single(rng) if i % 2 else pair(rng)).image() for i in range(SCENES)])


@pytest.fixture(scope="module")
def models():
    torch.manual_seed(0)
    plain = build().eval().requires_grad_(False)
    # a random encoder's channels hardly differ: spread them, as training does
    plain.quant_conv.weight[:8] *= torch.linspace(0.5, 4, 8).view(-1, 1, 1, 1)
    plain.quant_conv.bias[:8] += torch.linspace(-2, 2, 8)
    evened = build().eval().requires_grad_(False)
    evened.load_state_dict(plain.state_dict())
    even_out(evened, SCENES)
    return plain, evened


@torch.no_grad()
def test_latents_are_standard_channel_by_channel(models):
    _, evened = models
    latents = evened.encode(images()).latent_dist.mode()
    assert torch.allclose(latents.mean(dim=(0, 2, 3)), torch.zeros(8), atol=1e-3)
    assert torch.allclose(latents.std(dim=(0, 2, 3)), torch.ones(8), atol=1e-3)


@torch.no_grad()
def test_pictures_stay_the_same_also_where_the_posterior_is_sampled(models):
    drawn = []
    for model in models:
        posterior = model.encode(images()[:2]).latent_dist
        drawn.append(
            [
                model.decode(latents).sample
                for latents in (posterior.mode(), posterior.sample(torch.Generator().manual_seed(1)))
            ]
        )
    for before, after in zip(*drawn, strict=True):
        assert torch.allclose(before, after, atol=1e-4)


def test_crops_keep_to_the_latent_grid_and_hold_something():
    batch = crops(np.random.default_rng(5), 16)
    assert batch.shape == (16, 3, 64, 64)
    assert batch.abs().max() <= 1
    assert all(len(picture.flatten(1).unique(dim=1)[0]) > 1 for picture in batch)
