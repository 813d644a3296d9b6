"""Exact attention in linear memory, in plain torch: the algorithm of fused kernels, readable.

Rabe and Staats 2021, "Self-attention Does Not Need O(n²) Memory"; Dao et al. 2022, "FlashAttention", algorithm 1.
For one block of queries, walk over blocks of keys and keep three numbers a query: the greatest score so far m,
the sum l = Σ exp(s − m), and the weighted values a = Σ exp(s − m) v. A greater m rescales what came before.
In the end a / l is the output and m + log l the log-sum-exp. No more than one [queries, keys] block exists at a time.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

QUERIES, KEYS = 256, 512  # a float32 block of scores is half a MB a head: it stays in cache


def tiled_attention(
    query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None, scale: float, causal: bool
) -> tuple[Tensor, Tensor]:
    """Output [B, H, N, value_dim] in query's dtype, and the log-sum-exp [B, H, N], float32 or float64.

    Shapes as `xattn.functional.attend`; bias is four-dimensional. Where a gradient is needed each block of queries is
    computed again in the backward pass, so that memory stays linear there too.
    """
    remember = torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in (query, key, value, bias))
    outputs, sums = [], []
    for start in range(0, query.shape[2], QUERIES):
        rows = query[:, :, start : start + QUERIES]
        part = bias if bias is None or bias.shape[2] == 1 else bias[:, :, start : start + QUERIES]
        if remember:
            done = checkpoint(_block_of_queries, rows, key, value, part, scale, start, causal, use_reentrant=False)
        else:
            done = _block_of_queries(rows, key, value, part, scale, start, causal)
        outputs.append(done[0])
        sums.append(done[1])
    if not outputs:
        wide = working_dtype(query.dtype)
        return query.new_empty((*query.shape[:3], value.shape[3])), query.new_empty(query.shape[:3], dtype=wide)
    return torch.cat(outputs, dim=2), torch.cat(sums, dim=2)


def _block_of_queries(
    query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None, scale: float, start: int, causal: bool
) -> tuple[Tensor, Tensor]:
    wide = working_dtype(query.dtype)
    group = query.shape[1] // key.shape[1]
    rows = by_key_head(query, key.shape[1]).to(wide) * scale
    greatest = rows.new_full((*rows.shape[:3], 1), -torch.inf)
    total = torch.zeros_like(greatest)
    mixed = rows.new_zeros((*rows.shape[:3], value.shape[3]))
    seen = key.shape[2] if not causal else min(key.shape[2], start + query.shape[2])
    for first in range(0, seen, KEYS):
        last = min(first + KEYS, seen)
        scores = rows @ key[:, :, first:last].to(wide).transpose(-1, -2)
        if bias is not None or causal:
            heads = by_query_head(scores, group)
            if bias is not None:
                heads = heads + (bias if bias.shape[3] == 1 else bias[..., first:last]).to(wide)
            if causal:
                heads = heads.masked_fill(future(query.shape[2], last - first, start - first, query.device), -torch.inf)
            scores = by_key_head(heads, key.shape[1])
        # The result does not depend on which number is subtracted, so no gradient flows through it.
        new = torch.maximum(greatest, scores.detach().amax(dim=-1, keepdim=True))
        origin = new.masked_fill(new == -torch.inf, 0.0)  # nothing seen yet: exp(−inf − 0) = 0, where −inf + inf is NaN
        weights = torch.exp(scores - origin)
        shrink = torch.exp(greatest - origin)
        total = total * shrink + weights.sum(dim=-1, keepdim=True)
        mixed = mixed * shrink + weights @ value[:, :, first:last].to(wide)
        greatest = new
    blind = total == 0  # no key seen at all: the output is 0 and the log-sum-exp −inf
    safe = total.masked_fill(blind, 1.0)
    output = mixed / safe
    log_sum = (greatest.masked_fill(blind, 0.0) + safe.log()).masked_fill(blind, -torch.inf)
    return by_query_head(output, group).to(query.dtype), by_query_head(log_sum, group).squeeze(-1)


def by_key_head(tensor: Tensor, kv_heads: int) -> Tensor:
    """[B, H, N, D] → [B, kv_heads, group · N, D]: query heads that share a key head are just more queries of it."""
    grouped: Tensor = tensor.unflatten(1, (kv_heads, tensor.shape[1] // kv_heads))
    return grouped.flatten(2, 3)


def by_query_head(tensor: Tensor, group: int) -> Tensor:
    """The way back: [B, kv_heads, group · N, D] → [B, H, N, D]."""
    grouped: Tensor = tensor.unflatten(2, (group, tensor.shape[2] // group))
    return grouped.flatten(1, 2)


def future(queries: int, keys: int, ahead: int, device: torch.device) -> Tensor:
    """[queries, keys], True where key j lies after query i + ahead."""
    return torch.ones(queries, keys, dtype=torch.bool, device=device).triu(diagonal=ahead + 1)


def working_dtype(dtype: torch.dtype) -> torch.dtype:
    """The dtype sums are kept in: float64 for float64, else float32."""
    return torch.float64 if dtype == torch.float64 else torch.float32


def promoted(*tensors: Tensor) -> torch.dtype:
    """The dtype that holds them all, at least float32: numbers of a program are wider than a model's."""
    dtype = torch.float32
    for tensor in tensors:
        if tensor.dtype == dtype:
            continue
        dtype = torch.promote_types(dtype, working_dtype(tensor.dtype))
    return dtype
