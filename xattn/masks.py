"""Inputs made fit for fused kernels, without changing what they mean."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from xattn.request import Request
from xattn.tiled import future


def closed(bias: Tensor | None, request: Request, query: Tensor) -> tuple[Tensor | None, Tensor | None]:
    """The mask for a kernel, [., ., ., M] in query's dtype, and the queries that see nothing, [., ., ., 1].

    Kernels disagree about a query that sees nothing (0, NaN, a mean) and about its gradient. Here it is one rule: it is
    shown everything, and its output is then set to 0, so that its gradient is 0 too.
    """
    if bias is None:
        return None, None
    mask = bias.to(query.dtype)
    if request.causal:  # no kernel takes two masks
        mask = mask.masked_fill(future(request.queries, request.keys, 0, query.device), -torch.inf)
    blind = (mask == -torch.inf).all(dim=-1, keepdim=True)
    return mask.masked_fill(blind, 0.0).expand(-1, -1, -1, request.keys), blind


def widened(query: Tensor, key: Tensor, value: Tensor, multiple: int = 1) -> tuple[Tensor, Tensor, Tensor]:
    """All three with the width of the widest, rounded up to a multiple: zeros change neither scores nor output.

    The scale must be given to the kernel, for it would otherwise take it from the new width.
    """
    width = max(query.shape[-1], value.shape[-1])
    width += -width % multiple
    first, second, third = (
        t if t.shape[-1] == width else F.pad(t, (0, width - t.shape[-1])) for t in (query, key, value)
    )
    return first, second, third


def aligned(mask: Tensor, heads: tuple[int, int], queries: int, multiple: int = 8) -> Tensor:
    """[batch, heads, N, M] whose rows start at multiples of `multiple` numbers: room for 80 keys, sliced to 77."""
    keys = mask.shape[-1]
    room = mask.new_zeros(*heads, queries, keys + -keys % multiple)
    room[..., :keys] = mask
    return room[..., :keys]
