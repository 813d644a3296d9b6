"""What a weight does to the text: three ways, of which a recipe names one.

With z the hidden states of one chunk, w the weights of its tokens, and z∅ the hidden states of the empty prompt:

    a1111   z·w, then all of it times mean(z) / mean(z·w): the mean over the whole chunk stays what it was
    comfy   z∅ + w·(z − z∅): along the line from saying nothing, column by column
    none    z

The pooled text of SDXL is not weighted by any. Chunks without weights are left alone, bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from pipelines.prompt.schedule import Effect
from xattn.errors import Unsupported


def emphasise(hidden: Tensor, weights: Tensor, effect: Effect, empty: Callable[[], Tensor]) -> Tensor:
    """`hidden` [chunks, tokens, width] with `weights` [chunks, tokens] brought to bear.

    `empty` gives the hidden states of the empty prompt, [tokens, width]; it is asked only where they are needed.
    Raises Unsupported where the mean cannot be restored.
    """
    weighed = (weights != 1).any(dim=1).nonzero()[:, 0]
    if effect == "none" or not len(weighed):
        return hidden
    # float32: a mean over 77 × 768 values is lost in half precision
    chosen, factor = hidden[weighed].float(), weights[weighed, :, None].float()
    if effect == "comfy":
        nothing = empty().float()
        # what has no weight keeps its bits, which nothing + (z − nothing) would not
        changed = torch.where(factor == 1, chosen, nothing + factor * (chosen - nothing))
    else:
        scaled = chosen * factor
        ratio = chosen.mean(dim=(1, 2), keepdim=True) / scaled.mean(dim=(1, 2), keepdim=True)
        if not bool(torch.isfinite(ratio).all()):
            raise Unsupported(
                "The weights in the prompt leave the text with a mean of 0, which no factor brings back; "
                'change them a little, or use emphasis="comfy".'
            )
        changed = scaled * ratio
    return hidden.index_copy(0, weighed, changed.to(hidden.dtype))
