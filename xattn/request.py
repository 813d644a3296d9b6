"""What is asked of a backend, what it answers, and what a backend is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor


class Request(NamedTuple):
    """What one call asks of a backend: shapes and wishes, no tensors. `grad`: a gradient will flow back.

    A tuple, since every call makes one: a frozen dataclass of so many fields takes twice as long.
    """

    batch: int
    heads: int
    kv_heads: int
    queries: int
    keys: int
    head_dim: int
    value_dim: int
    dtype: torch.dtype
    device: str
    bias: bool = False
    bias_grad: bool = False
    causal: bool = False
    lse: bool = False
    grad: bool = False

    @staticmethod
    def of(query: Tensor, key: Tensor, value: Tensor, *, bias: Tensor | None, causal: bool, lse: bool) -> Request:
        """The request that these tensors make."""
        grad = torch.is_grad_enabled()
        bias_grad = grad and bias is not None and bias.requires_grad
        batch, heads, queries, head_dim = query.shape
        _, kv_heads, keys, value_dim = value.shape
        return Request(
            batch=batch,
            heads=heads,
            kv_heads=kv_heads,
            queries=queries,
            keys=keys,
            head_dim=head_dim,
            value_dim=value_dim,
            dtype=query.dtype,
            device=query.device.type,
            bias=bias is not None,
            bias_grad=bias_grad,
            causal=causal,
            lse=lse,
            grad=bias_grad or (grad and (query.requires_grad or key.requires_grad or value.requires_grad)),
        )


@dataclass(frozen=True, slots=True)
class Verdict:
    """Yes, or no and the reason, a clause that fits after "because"."""

    ok: bool
    reason: str = ""


YES = Verdict(True)


def no(reason: str) -> Verdict:
    """A refusal with its reason."""
    return Verdict(False, reason)


Run = Callable[[Tensor, Tensor, Tensor, "Tensor | None", float, Request], tuple[Tensor, "Tensor | None"]]


@dataclass(frozen=True, slots=True)
class Backend:
    """One way to compute attention.

    supports: asked before every call. run: (query, key, value, bias, scale, request) → output and, where the request
    asks for it, the log-sum-exp. `note` is one line for people: what it is.
    """

    name: str
    supports: Callable[[Request], Verdict]
    run: Run
    note: str = ""
