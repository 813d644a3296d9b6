"""How much a word brings where it is looked at: the lengths of the values that attention sums up.

Attention's output at a place is Σ_t P_t v_t, and a large share of a short value is little. Kobayashi et al. 2020,
"Attention is Not Only a Weight", so weigh each P_t by ‖v_t W_O‖, the value as the layer's output projection hands it
on. In Stable Diffusion the begin-of-text token has most of the shares, and a value that is shorter than most.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

    from pipelines.attention_maps import AttentionMaps
    from pipelines.load import Model
    from pipelines.recipe import Recipe
    from xattn.module import Attention


def value_lengths(model: Model, recipe: Recipe, maps: AttentionMaps) -> NDArray[np.float32]:
    """float32 [words and what they leave, layer, head]: the length of each one's value, as the model has it.

    recipe: the resolved one that the maps are of, whose prompt is read as at the first step; edits are not looked at
    The first axis has the maps' words, then pipelines.where.REST where `maps.rest` is there; layers are
    `maps.made.sites`, whether kept apart or not; a head that a layer lacks has 0. A word of several tokens has the mean
    of theirs, one that is not said at the first step 0.
    """
    import torch

    from pipelines.step_text import step_texts
    from pipelines.watchers import said_columns
    from xattn.sites import Row

    rows = (Row(0, 0, "cond"), Row(0, 1, "uncond"))  # both, so that the text is as long as it was
    with torch.no_grad():
        text = step_texts([recipe], rows, model.unet, model.text, zero_empty_negative=model.zero_empty_negative).at(0)
        row = 0 if maps.made.role == "cond" else 1
        made = []
        for name in maps.made.sites:
            attention = model.unet.get_submodule(name)
            made.append(_lengths(attention, text.context.sites[name]["text"].value[row]))  # type: ignore[arg-type]
    sets = maps.made.tokens
    if maps.rest is not None:
        taken = {token for word in sets for token in word}
        left = said_columns(text.conditioning.ledgers[row], (), rest=True)
        sets = (*sets, *(tuple(token for token in some if token not in taken) for some in left))
    heads = max(one.shape[0] for one in made)
    lengths = np.zeros((len(sets), len(made), heads), dtype=np.float32)
    for layer, known in enumerate(made):
        for place, tokens in enumerate(sets):
            inside = [token for token in tokens if token < known.shape[1]]
            if inside:
                lengths[place, layer, : known.shape[0]] = known[:, inside].mean(dim=1).cpu().numpy()
    return lengths


def _lengths(attention: Attention, value: Tensor) -> Tensor:
    """[heads, tokens] of values [kv_heads, tokens, head_dim], each through its head's part of the output projection."""
    value = value.float().repeat_interleave(attention.heads // attention.kv_heads, dim=0)
    weight = attention.to_out[0].weight.float().unflatten(1, (attention.heads, attention.head_dim))  # type: ignore[operator]
    # ‖W v‖² = vᵀ (Wᵀ W) v, whose middle is head_dim × head_dim
    gram = weight.permute(1, 2, 0) @ weight.permute(1, 0, 2)
    squared: Tensor = ((value @ gram) * value).sum(dim=-1)
    return squared.clamp(min=0.0).sqrt()
