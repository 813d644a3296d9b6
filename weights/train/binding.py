"""Words look at their own objects: a loss on the cross-attention maps, since the masks are known.

After TokenCompose (Wang et al. 2024, arXiv 2312.03626). Denoising alone learns late which of two objects a place
shows: both places get a blend of both. The loss is a cross entropy at every place of every cross-attention site. With
P_w the attention to the tokens of object w, averaged over the heads, and "none" the share of all other tokens,

    −Σ_p Σ_w M_w(p) log P_w(p),   w ∈ {none, first, second}

where M is the share of the place that the object's mask covers. Averaged over the heads, so that a head may look
elsewhere; objects and background count alike, whatever their areas.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import Attention, AttnProcessor
from torch import Tensor
from transformers import CLIPTokenizer

from weights.train.scenes import Scene

OWNERS = 3
"""A token belongs to nobody (0), to the first object's name (1) or to the second's (2)."""
FLOOR = 1e-4
"""A share below counts as this much, so that the logarithm stays finite."""
PLAIN = 0.5
"""Weight of the background's places against the objects'."""


class Recorder:
    """Materialised attention that keeps its probabilities `[batch · heads, places, tokens]` while gradients are on."""

    def __init__(self) -> None:
        self.probabilities: Tensor | None = None

    def __call__(
        self,
        attention: Attention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
    ) -> Tensor:
        context = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        query, key, value = (
            attention.head_to_batch_dim(projection(states))
            for projection, states in (
                (attention.to_q, hidden_states),
                (attention.to_k, context),
                (attention.to_v, context),
            )
        )
        probabilities: Tensor = attention.get_attention_scores(query, key, attention_mask)
        self.probabilities = probabilities if torch.is_grad_enabled() else None
        project, dropout = attention.to_out
        output: Tensor = dropout(project(attention.batch_to_head_dim(probabilities @ value)))
        return output


def record(unet: UNet2DConditionModel) -> list[Recorder]:
    """Put a recorder at every cross-attention site."""
    recorders = {name: Recorder() for name in unet.attn_processors if name.endswith("attn2.processor")}
    unet.set_attn_processor({name: recorders.get(name) or AttnProcessor() for name in unet.attn_processors})
    return list(recorders.values())


def owners(tokenizer: CLIPTokenizer, ids: Tensor, scenes: Sequence[Scene]) -> Tensor:
    """Whose name each token of the captions `[B, tokens]` belongs to, int8 of the same shape."""
    found = torch.zeros(ids.shape, dtype=torch.int8)
    for row, caption, scene in zip(found, ids.tolist(), scenes, strict=True):
        start = 0
        if not scene.caption:
            continue
        for owner, placed in enumerate(scene.objects, 1):
            name = tokenizer(placed.name, add_special_tokens=False)["input_ids"]
            # names come in the scene's order, so "dog" is never sought inside a "hot dog" before it
            start = next(at for at in range(start, len(caption)) if caption[at : at + len(name)] == name)
            row[start : start + len(name)] = owner
            start += len(name)
    return found


def loss_of(maps: Sequence[Tensor], owned: Tensor, masks: Tensor) -> Tensor:
    """Mean cross entropy over the maps `[batch · heads, side², tokens]`.

    owned: `[B, tokens]`; rows without any name (dropped captions) are left out. masks: `[B, 2, 16, 16]` in [0, 1].
    """
    named = (owned > 0).any(dim=1)
    belongs = torch.nn.functional.one_hot(owned.long(), OWNERS).float()
    losses = []
    for each in maps:
        places = each.shape[1]
        side = int(places**0.5)
        shares = each.float().view(len(owned), -1, places, each.shape[2]).mean(dim=1) @ belongs
        objects = torch.nn.functional.adaptive_avg_pool2d(masks, side).flatten(2).mT
        wanted = torch.cat([(1 - objects.sum(dim=2, keepdim=True)).clamp_min(0), objects], dim=2)[named]
        surprise = -wanted * shares[named].clamp_min(FLOOR).log()
        plain, taken = wanted[..., 0].sum(), wanted[..., 1:].sum()
        losses.append(surprise[..., 1:].sum() / taken + PLAIN * surprise[..., 0].sum() / plain)
    return torch.stack(losses).mean()
