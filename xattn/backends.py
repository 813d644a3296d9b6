"""Ways to compute attention, each a frozen record that says what it can do and why not.

`auto` asks them in the order of `BACKENDS` and takes the first that answers yes; nothing is tried and caught.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from xattn.errors import BadValue, UnknownName, Unsupported
from xattn.masks import closed, widened
from xattn.request import YES, Backend, Request, Verdict, no
from xattn.tiled import by_key_head, by_query_head, future, tiled_attention, working_dtype
from xattn.xformers_backend import XFORMERS

__all__ = ["BACKENDS", "Backend", "Request", "Verdict", "choose", "get_backend", "reasons"]


def choose(request: Request, backend: str | Backend = "auto") -> Backend:
    """The backend that will serve `request`.

    Raises UnknownName for a name that is none, Unsupported with the reason where the named one cannot.
    """
    if isinstance(backend, Backend):
        named = backend
    elif backend == "auto":
        for candidate in BACKENDS:
            if candidate.supports(request).ok:
                return candidate
        raise Unsupported("No attention backend can do this: " + "; ".join(reasons(request)) + ".")
    else:
        named = get_backend(backend)
    verdict = named.supports(request)
    if not verdict.ok:
        raise Unsupported(
            f'The attention backend "{named.name}" cannot do this, because {verdict.reason}. '
            'Use "auto" or another backend.'
        )
    return named


def reasons(request: Request) -> tuple[str, ...]:
    """One line a backend, in auto's order: yes, or why not."""
    answers = ((backend.name, backend.supports(request)) for backend in BACKENDS)
    return tuple(f"{name}: {'yes' if verdict.ok else 'no, ' + verdict.reason}" for name, verdict in answers)


def get_backend(name: str) -> Backend:
    """The registered backend of that name; raises UnknownName."""
    for backend in BACKENDS:
        if backend.name == name:
            return backend
    if not isinstance(name, str):
        raise BadValue("backend", name, "a name or a Backend")
    raise UnknownName("attention backend", name, ("auto", *(backend.name for backend in BACKENDS)))


def _run_sdpa(
    query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None, scale: float, request: Request
) -> tuple[Tensor, None]:
    even = request.head_dim == request.value_dim
    if not even:  # unequal widths leave the flash kernels (CPU: up to 11× slower)
        query, key, value = widened(query, key, value)
    mask, blind = closed(bias, request, query)
    output = F.scaled_dot_product_attention(
        query,
        key,
        value,
        attn_mask=mask,
        is_causal=request.causal and mask is None,
        scale=scale,
        enable_gqa=request.heads != request.kv_heads,
    )
    output = output if blind is None else output.masked_fill(blind, 0.0)
    return output if even else output[..., : request.value_dim], None


def _run_tiled(
    query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None, scale: float, request: Request
) -> tuple[Tensor, Tensor]:
    return tiled_attention(query, key, value, bias, scale, request.causal)


def _run_explicit(
    query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None, scale: float, request: Request
) -> tuple[Tensor, Tensor | None]:
    wide = working_dtype(query.dtype)
    group = request.heads // request.kv_heads
    scores = by_key_head(query, request.kv_heads).to(wide) @ key.to(wide).transpose(-1, -2) * scale
    scores = by_query_head(scores, group)
    if bias is not None:
        scores = scores + bias.to(wide)
    if request.causal:
        scores = scores.masked_fill(future(request.queries, request.keys, 0, query.device), -torch.inf)
    blind = (scores == -torch.inf).all(dim=-1, keepdim=True)
    scores = scores.masked_fill(blind, 0.0)
    probs = scores.softmax(dim=-1).masked_fill(blind, 0.0)
    output = by_query_head(by_key_head(probs, request.kv_heads) @ value.to(wide), group)
    log_sum = scores.logsumexp(dim=-1).masked_fill(blind.squeeze(-1), -torch.inf) if request.lse else None
    return output.to(query.dtype), log_sum


def _refuse(*_: object) -> tuple[Tensor, Tensor | None]:
    raise AssertionError("flex says no to every request, so choose() never runs it")


def _always(request: Request) -> Verdict:  # noqa: ARG001  pure torch does it all
    return YES


SDPA = Backend(
    "sdpa",
    supports=lambda r: no("scaled_dot_product_attention gives no log-sum-exp") if r.lse else YES,
    run=_run_sdpa,
    note="torch's scaled_dot_product_attention: flash, efficient or cuDNN kernels",
)
TILED = Backend("tiled", supports=_always, run=_run_tiled, note="online softmax in plain torch, linear memory")
EXPLICIT = Backend(
    "explicit", supports=_always, run=_run_explicit, note="the whole probability matrix; quadratic memory"
)

FLEX = Backend(
    "flex",
    supports=lambda r: no(
        "uncompiled, as on a CPU, flex_attention makes the whole probability matrix"
        if r.device == "cpu"
        else f"it has not been tried against the others on {r.device} yet"
    ),
    run=_refuse,
    note="torch's flex_attention: compiled score functions",
)

BACKENDS: tuple[Backend, ...] = (SDPA, TILED, XFORMERS, FLEX, EXPLICIT)
"""All backends, in the order in which "auto" asks them. `tiled` can do everything, so what follows it is for those who
name it."""
