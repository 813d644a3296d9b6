"""Words are bound to their objects: whose a token is, where the objects lie, and what the loss rewards."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from diffusers.models.attention_processor import AttnProcessor

from weights.train import binding, data, stages, unet
from weights.train.scenes import Placed, Scene, pair, single
from weights.train.world import world


@pytest.fixture(scope="module")
def tokenizer(run):
    return stages.load_tokenizer(run)


def scene(caption: str, *objects: tuple[str, int, int]) -> Scene:
    names = list(world().objects)
    placed = tuple(Placed(names.index(name), x, y, 48) for name, x, y in objects)
    return Scene(placed, "and" if len(placed) > 1 else None, None, (246, 246, 246), caption)


def owned_names(tokenizer, made: Scene) -> list[str]:
    ids = data.tokenise(tokenizer, [made.caption])
    owned = binding.owners(tokenizer, ids, [made])[0]
    return [tokenizer.decode(ids[0][owned == owner]).strip() for owner in range(1, len(made.objects) + 1)]


def test_every_caption_has_its_names_found(tokenizer):
    rng = np.random.default_rng([9, 9])
    for made in [make(rng) for make in (single, pair) for _ in range(150)]:
        assert owned_names(tokenizer, made) == [placed.name for placed in made.objects]


def test_a_name_inside_the_name_before_it_is_not_taken_for_it(tokenizer):
    made = scene("a hot dog and a dog", ("hot dog", 0, 0), ("dog", 72, 0))
    assert owned_names(tokenizer, made) == ["hot dog", "dog"]


def test_covers_are_shares_of_cells():
    made = scene("a cat and a dog", ("cat", 0, 8), ("dog", 72, 64))
    first, second = data.cover([made])[0].float() / 255
    assert (first > 0).nonzero().amax(dim=0).tolist() <= [6, 5]
    assert (second > 0).nonzero().amin(dim=0).tolist() >= [8, 9]
    assert first.sum() * 64 == pytest.approx(made.masks()[0].sum(), rel=0.02)


def perfect(owned: torch.Tensor, masks: torch.Tensor, side: int, heads: int) -> torch.Tensor:
    """Attention as the masks say, shared among an object's tokens: `[B · heads, side², tokens]`."""
    small = torch.nn.functional.adaptive_avg_pool2d(masks, side).flatten(2)
    wanted = torch.cat([1 - small.sum(dim=1, keepdim=True), small], dim=1)
    member = torch.nn.functional.one_hot(owned.long(), 3).float()
    maps = torch.einsum("bwp,btw->bpt", wanted, member / member.sum(dim=1, keepdim=True).clamp_min(1))
    return maps.repeat_interleave(heads, dim=0)


@pytest.fixture
def example() -> tuple[torch.Tensor, torch.Tensor]:
    owned = torch.tensor([[0, 1, 0, 2, 2, 0], [0, 1, 1, 0, 0, 0]], dtype=torch.int8)
    masks = torch.zeros(2, 2, 16, 16)
    masks[0, 0, :8, :8] = masks[0, 1, 8:, 8:] = masks[1, 0, 4:12, 4:12] = 1
    return owned, masks


def test_attention_that_follows_the_masks_costs_nothing_and_swapped_words_much(example):
    owned, masks = example
    right = [perfect(owned, masks, side, 3) for side in (16, 8, 4)]
    wrong = [perfect(owned, masks.flip(1), side, 3) for side in (16, 8, 4)]
    assert binding.loss_of(right, owned, masks) == pytest.approx(0, abs=1e-5)
    assert binding.loss_of(wrong, owned, masks) > 5


def test_a_dropped_caption_changes_nothing(example):
    owned, masks = example
    maps = torch.full((4, 256, 6), 1 / 6)
    alone = binding.loss_of([maps[:2]], owned[:1], masks[:1])
    both = binding.loss_of([maps], owned * torch.tensor([[1], [0]]), masks)
    assert both == pytest.approx(float(alone))


def test_recording_changes_no_prediction_and_keeps_all_seven_sites(tokenizer):
    torch.manual_seed(0)
    model = stages.new_pair(len(tokenizer))
    ids = data.tokenise(tokenizer, ["a fox on red", "a cat and a dog"])
    latents, timesteps = torch.randn(2, 8, 16, 16), torch.tensor([10, 900])
    model.unet.set_attn_processor(AttnProcessor())
    plain = model(latents, timesteps, ids)[0]
    recorders = binding.record(model.unet)
    assert torch.allclose(model(latents, timesteps, ids)[0], plain, atol=1e-6)
    kept = [each.probabilities for each in recorders]
    assert sorted(each.shape[1] for each in kept) == [16, 64, 64, 64, 256, 256, 256]
    assert all(torch.allclose(each.sum(dim=2), torch.ones(())) for each in kept)
    with torch.no_grad():
        model(latents, timesteps, ids)
    assert all(each.probabilities is None for each in recorders)
    assert unet.CHANNELS[0] // 32 * 2 == kept[0].shape[0]
