"""The softmax's denominator as the plain call's own kernel has it: what reads few columns need not add them all up.

    P[:, t] = exp(scale · Q k_t − lse)

On a CPU torch's fused call keeps the log-sum-exp for its backward pass. Asked for by the operator's own name, which is
not public, it gives the same output bit for bit. Where torch has no such operator, or would take another kernel, the
answer is None and the probabilities are made outright.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend

_KERNEL = getattr(torch, "_scaled_dot_product_flash_attention_for_cpu", None)
_CHOICE = getattr(torch, "_fused_sdp_choice", None)


def with_denominator(query: Tensor, key: Tensor, value: Tensor, scale: float) -> tuple[Tensor, Tensor] | None:
    """Output [B, H, N, D] of the plain call and its lse [B, H, N], float32 or float64; None where it has none.

    query, key, value: [B, H, …, D], one key head a query head. Never with gradients.
    """
    alike = query.device.type == "cpu" and query.shape[1] == key.shape[1] and query.shape[-1] == value.shape[-1]
    if not alike or torch.is_grad_enabled() or _KERNEL is None or _CHOICE is None:
        return None
    if _CHOICE(query, key, value, None, 0.0, False, scale=scale) != SDPBackend.FLASH_ATTENTION.value:
        return None
    output, lse = _KERNEL(query, key, value, 0.0, False, scale=scale)
    return output, lse
