"""xformers' memory_efficient_attention. The package logs when it is imported, so it is only where it was named."""

from __future__ import annotations

import importlib.util
from functools import cache

import torch
from torch import Tensor

from xattn.masks import aligned, closed, widened
from xattn.request import YES, Backend, Request, Verdict, no

WIDTH = 8  # its kernels want head_dim in multiples of 8 (half precision) or 4


def supports(request: Request) -> Verdict:
    """Whether its kernels can do it here."""
    if request.device != "cuda":
        return no(f"xformers has kernels for CUDA only, and these tensors are on the {request.device}")
    if request.dtype not in (torch.float16, torch.bfloat16, torch.float32):
        return no(f"xformers has no kernel for {request.dtype}")
    if request.lse:
        return no("memory_efficient_attention gives no log-sum-exp")
    if request.bias_grad:
        return no("a bias that needs gradients leaves its fast kernels")
    why = _missing()
    return no(why) if why else YES


@cache
def _missing() -> str:
    if importlib.util.find_spec("xformers") is None:
        return "xformers is not installed"
    from xformers.ops import fmha

    if not fmha.cutlass.FwOp.is_available():
        return "this xformers was built for another torch, and its kernels do not load"
    return ""


def _run(
    query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None, scale: float, request: Request
) -> tuple[Tensor, None]:
    from xformers.ops import LowerTriangularMask, memory_efficient_attention

    query, key, value = widened(query, key, value, WIDTH)
    if request.heads != request.kv_heads:
        group = request.heads // request.kv_heads
        key, value = (t.repeat_interleave(group, dim=1) for t in (key, value))
    mask, blind = closed(bias, request, query)
    if mask is not None:
        mask = aligned(mask, (request.batch, request.heads), request.queries)
    elif request.causal:
        mask = LowerTriangularMask()
    output: Tensor = memory_efficient_attention(
        query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2), attn_bias=mask, scale=scale
    ).transpose(1, 2)
    output = output if blind is None else output.masked_fill(blind, 0.0)
    return output[..., : request.value_dim], None


XFORMERS = Backend("xformers", supports=supports, run=_run, note="xformers' memory_efficient_attention, CUDA only")
