"""Ways to compute attention, each a frozen record that says what it can do and why not.

`auto` asks them in the order of `BACKENDS` and takes the first that answers yes; nothing is tried and caught.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from xattn.errors import BadValue, UnknownName, Unsupported
from xattn.tiled import by_key_head, by_query_head, future, tiled_attention, working_dtype


@dataclass(frozen=True, slots=True)
class Request:
    """What one call asks of a backend: shapes and wishes, no tensors. `grad`: a gradient will flow back."""

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
        return Request(
            batch=query.shape[0],
            heads=query.shape[1],
            kv_heads=key.shape[1],
            queries=query.shape[2],
            keys=key.shape[2],
            head_dim=query.shape[3],
            value_dim=value.shape[3],
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
    width = max(request.head_dim, request.value_dim)
    if request.head_dim != request.value_dim:
        # Unequal widths leave the flash kernels (CPU: up to 11× slower). Zeros change neither scores nor output.
        query, key, value = (_widen(t, width) for t in (query, key, value))
    blind = None
    if bias is not None:
        bias = bias.to(query.dtype)
        if request.causal:  # one mask or the other, the function takes no two
            bias = bias.masked_fill(future(request.queries, request.keys, 0, query.device), -torch.inf)
        # One rule for a query that sees nothing, whichever kernel runs: 0, with a gradient of 0 and not NaN.
        blind = (bias == -torch.inf).all(dim=-1, keepdim=True)
        bias = bias.masked_fill(blind, 0.0).expand(-1, -1, -1, request.keys)
    output = F.scaled_dot_product_attention(
        query,
        key,
        value,
        attn_mask=bias,
        is_causal=request.causal and bias is None,
        scale=scale,
        enable_gqa=request.heads != request.kv_heads,
    )
    if blind is not None:
        output = output.masked_fill(blind, 0.0)
    return output[..., : request.value_dim], None


def _widen(tensor: Tensor, width: int) -> Tensor:
    return tensor if tensor.shape[-1] == width else F.pad(tensor, (0, width - tensor.shape[-1]))


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

BACKENDS: tuple[Backend, ...] = (SDPA, TILED, EXPLICIT)
"""All backends, in the order in which "auto" asks them."""
