"""Attention as one pure function.

Vaswani et al. 2017, "Attention Is All You Need", equation 1, with an additive bias:

    attend(Q, K, V) = softmax(Q Kᵀ · scale + bias) V

How it is computed is a `Backend`'s business (backends.py); what it means is the same on every one of them.
"""

from __future__ import annotations

from typing import Literal, overload

from torch import Tensor

from xattn.backends import choose
from xattn.errors import BadValue
from xattn.request import Backend, Request


@overload
def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    bias: Tensor | None = None,
    causal: bool = False,
    scale: float | None = None,
    backend: str | Backend = "auto",
    lse: Literal[False] = False,
) -> Tensor: ...
@overload
def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    bias: Tensor | None = None,
    causal: bool = False,
    scale: float | None = None,
    backend: str | Backend = "auto",
    lse: Literal[True],
) -> tuple[Tensor, Tensor]: ...
def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    bias: Tensor | None = None,
    causal: bool = False,
    scale: float | None = None,
    backend: str | Backend = "auto",
    lse: bool = False,
) -> Tensor | tuple[Tensor, Tensor]:
    """Mix `value` by the attention that `query` pays to `key`.

    query: [batch, heads, N, head_dim]. key: [batch, kv_heads, M, head_dim]. value: [batch, kv_heads, M, value_dim].
        kv_heads divides heads: query head h reads key head h // (heads / kv_heads) (grouped-query attention).
    bias: broadcastable to [batch, heads, N, M], added to the scaled scores; −inf hides a key.
    causal: query i sees keys 0 … i only.
    scale: on the scores; 1/√head_dim when None.
    backend: a name in `BACKENDS`, or "auto" for the first that says it can.
    lse: also return the natural logarithm of the softmax's denominator, [batch, heads, N], at least float32.

    Returns [batch, heads, N, value_dim] in query's dtype. A query that may see no key at all gets 0, and lse −inf.
    Raises BadValue for shapes or dtypes that do not fit, Unsupported when the backend cannot do it (and why).
    """
    _check(query, key, value, bias)
    request = Request.of(query, key, value, bias=bias, causal=causal, lse=lse)
    if bias is not None and bias.dim() < 4:
        bias = bias.reshape((1,) * (4 - bias.dim()) + tuple(bias.shape))  # some kernels take only four dimensions
    factor = query.shape[-1] ** -0.5 if scale is None else float(scale)
    output, log_sum = choose(request, backend).run(query, key, value, bias, factor, request)
    if not lse:
        return output
    assert log_sum is not None  # supports() of every backend answers no when it has none
    return output, log_sum


def _check(query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None) -> None:
    if not _fits(query, key, value):
        _complain(query, key, value)
    if bias is not None:
        _check_bias(bias, (query.shape[0], query.shape[1], query.shape[2], key.shape[2]))


def _fits(query: Tensor, key: Tensor, value: Tensor) -> bool:
    """Whether `_complain` finds nothing, in a third of its time: small models ask some hundred times a picture."""
    q, k, v = query.shape, key.shape, value.shape
    if not len(q) == len(k) == len(v) == 4 or not query.dtype == key.dtype == value.dtype:
        return False
    matching = q[0] == k[0] and q[3] == k[3] and v[:3] == k[:3]
    return matching and k[1] > 0 and q[1] % k[1] == 0 and query.is_floating_point()


def _complain(query: Tensor, key: Tensor, value: Tensor) -> None:
    for name, tensor in (("query", query), ("key", key), ("value", value)):
        if tensor.dim() != 4:
            raise BadValue(name, list(tensor.shape), "a tensor [batch, heads, tokens, head_dim]")
        if not tensor.is_floating_point() or tensor.dtype != query.dtype:
            raise BadValue(f"{name}.dtype", tensor.dtype, f"floating, the same as query's ({query.dtype})")
    if key.shape[0] != query.shape[0] or key.shape[3] != query.shape[3]:
        raise BadValue("key", list(key.shape), f"[{query.shape[0]}, kv_heads, tokens, {query.shape[3]}], as query is")
    if value.shape[:3] != key.shape[:3]:
        raise BadValue("value", list(value.shape), f"{list(key.shape[:3])} and then its own width, as key is")
    if key.shape[1] == 0 or query.shape[1] % key.shape[1]:
        raise BadValue("key", list(key.shape), f"of a number of heads that divides query's {query.shape[1]}")


def _check_bias(bias: Tensor, full: tuple[int, int, int, int]) -> None:
    if not bias.is_floating_point():
        raise BadValue(
            "bias.dtype",
            bias.dtype,
            "floating: it is added to the scores",
            "For a mask use 0 where seen and -inf where hidden",
        )
    fits = bias.dim() <= 4 and all(
        have in (1, want) for have, want in zip(reversed(bias.shape), reversed(full), strict=False)
    )
    if not fits:
        raise BadValue("bias", list(bias.shape), f"broadcastable to {list(full)} ([batch, heads, queries, keys])")
