"""The decoder alone: it gets better, it goes on, and nothing that the UNet learned from moves."""

from __future__ import annotations

import copy
import math
import shutil

import pytest
import torch

from weights.train import decoder, stages, vae
from weights.train.decoder import half_of


@pytest.fixture
def folder(run, tmp_path):
    shutil.copy(run / "vae_final.pt", tmp_path)
    return tmp_path


def trained(folder, minutes: float) -> float:
    decoder.train(folder, stages.load_autoencoder(folder), minutes, batch=2, kept=8, fresh=1, measured=1)
    return torch.load(folder / "decoder.pt", weights_only=True)["seconds"]


def test_the_encoder_stays_and_the_decoder_moves(folder):
    before = stages.load_autoencoder(folder)
    trained(folder, 1e-6)
    after = stages.load_autoencoder(folder)
    moved = {name for name, value in before.state_dict().items() if not torch.equal(value, after.state_dict()[name])}
    assert moved
    assert all(name.startswith(("decoder.", "post_quant_conv.")) for name in moved)


def test_it_goes_on_where_it_was_stopped_and_stops_where_it_is_done(folder):
    spent = trained(folder, 1e-6)
    assert trained(folder, 1e-6) == spent
    trained(folder, (spent + 1e-6) / 60)
    assert torch.load(folder / "decoder.pt", weights_only=True)["step"] == 2


def test_the_loss_is_the_pictures_mean_psnr():
    images = torch.rand(3, 3, 16, 16)
    errors = torch.tensor([0.1, 0.2, 0.4])

    class Off(torch.nn.Module):
        def forward(self, latents):
            return images + errors.view(-1, 1, 1, 1)

    psnr = float(-10 * (errors / 2).square().log10().mean())
    loss = float(decoder.loss_of(Off(), images, images))
    assert -10 * (loss / math.log(10) - math.log10(4)) == pytest.approx(psnr, abs=0.02)


def test_a_step_on_one_batch_makes_its_pictures_better(run):
    model = stages.load_autoencoder(run)
    scenes = decoder.Scenes(model, 4, 1)
    half = half_of(copy.deepcopy(model)).requires_grad_(True)
    images, latents = scenes.sample(4, torch.Generator().manual_seed(0))
    loss = decoder.loss_of(half, images, latents)
    loss.backward()
    with torch.no_grad():
        for parameter in half.parameters():
            parameter -= 0.02 * parameter.grad
    assert decoder.loss_of(half, images, latents) < loss


def test_scenes_and_latents_belong_together(run):
    model = stages.load_autoencoder(run)
    scenes = decoder.Scenes(model, 6, 2)
    before = scenes.images.clone()
    scenes.add(2)
    assert [not torch.equal(a, b) for a, b in zip(before, scenes.images, strict=True)] == [True, True, *[False] * 4]
    images, latents = scenes.sample(3, torch.Generator().manual_seed(1))
    encoded = model.encode(images).latent_dist.mode()
    assert torch.allclose(encoded, latents, atol=0.1)
    assert latents.shape == (3, vae.CHANNELS, 16, 16)
