"""The softmax's denominator as the plain call's own kernel has it: what reads few columns need not add them all up.

    P[:, t] = exp(scale · Q k_t − lse)

On a CPU torch's fused call keeps the log-sum-exp for its backward pass. Asked for by the operator's own name, which is
not public, it gives the same output bit for bit. Only torch 2.14.1 has been tried. Where torch has no such operator, or
it refuses, gives another output or another log-sum-exp, the probabilities are made outright, and `refusal` says why
(`xattn doctor` prints it); so they are where torch would take another kernel.
"""

from __future__ import annotations

from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend

_KERNEL = "_scaled_dot_product_flash_attention_for_cpu"
_CHOICE = "_fused_sdp_choice"


def with_denominator(query: Tensor, key: Tensor, value: Tensor, scale: float) -> tuple[Tensor, Tensor] | None:
    """Output [B, H, N, D] of the plain call and its lse [B, H, N], float32 or float64; None where it has none.

    query, key, value: [B, H, …, D], one key head a query head. Never with gradients.
    """
    alike = query.device.type == "cpu" and query.shape[1] == key.shape[1] and query.shape[-1] == value.shape[-1]
    if not alike or torch.is_grad_enabled() or refusal(query.dtype) or not _flash(query, key, value, scale):
        return None
    return _run(query, key, value, scale)


def _flash(query: Tensor, key: Tensor, value: Tensor, scale: float) -> bool:
    choice: int = getattr(torch, _CHOICE)(query, key, value, None, 0.0, False, scale=scale)
    return choice == SDPBackend.FLASH_ATTENTION.value


def _run(query: Tensor, key: Tensor, value: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    output, lse = getattr(torch, _KERNEL)(query, key, value, 0.0, False, scale=scale)
    return output, lse


@cache
def refusal(dtype: torch.dtype) -> str:
    """Why words are read by a softmax of their own on this machine's CPU, a clause; empty where they need not be.

    Tried once, on a tiny call whose log-sum-exp is made outright too.
    """
    for name in (_KERNEL, _CHOICE):
        if not hasattr(torch, name):
            return f"torch {torch.__version__} has no operator {name}"
    # no number is drawn from the caller's generator
    generator = torch.Generator().manual_seed(0)
    query, key, value = (torch.randn(1, 2, count, 16, generator=generator).to(dtype) for count in (5, 7, 7))
    with torch.no_grad():
        expected = (query.double() @ key.double().mT * 0.25).logsumexp(dim=-1)
        try:
            # somebody may have switched the kernel off just now, which says nothing of other calls
            usual = _flash(query, key, value, 0.25)
            output, lse = _run(query, key, value, 0.25)
        except (RuntimeError, TypeError, ValueError, AttributeError, NotImplementedError) as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            return f"torch {torch.__version__} refuses its own operator: {reason}"
        public = F.scaled_dot_product_attention(query, key, value, scale=0.25)
    if usual and not torch.equal(output, public):
        return f"torch {torch.__version__}'s operator gives another output than its public call"
    if lse.shape != expected.shape:
        return f"torch {torch.__version__}'s operator gives denominators of shape {list(lse.shape)}"
    off = float((lse - expected).abs().max())
    within = 1e-5 if dtype in (torch.float32, torch.float64) else 0.05
    return "" if off <= within else f"torch {torch.__version__}'s denominators are {off:.2g} off, more than {within:g}"
