"""Run a Program: the plain call where it says nothing, a few fused calls where it does.

What is watched is read by products of its own (reading.py), never by extra columns in the calls that make the output:
so watching cannot change a bit of the picture.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from xattn.backends import SDPA, choose
from xattn.calls import Call
from xattn.denominator import with_denominator
from xattn.errors import BadValue, Unsupported
from xattn.kept import Kept
from xattn.program import Lanes, Override, Program, Rank
from xattn.reading import Reader
from xattn.request import Request
from xattn.tiled import promoted


def run(
    program: Program,
    query: Tensor,
    sources: Mapping[str, tuple[Tensor, Tensor]],
    *,
    plain: str,
    backend: str = "auto",
    scale: float | None = None,
    kept: Kept | None = None,
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Output [B, H, N, value_dim] of one attention call under `program`, and what its taps read.

    query: [B, H, N, head_dim]. sources: (key, value) by source name, each [B, kv_heads, K, …]. plain: the site's own
    source, "self" or "text". kept: what calls of this program on the same texts have in common; without gradients only.
    Taps are float32 (float64 for float64), in the order of the program, each [rows, H, N, n] with all rows or those
    that it names.
    Raises BadValue for a key source that is not there, Unsupported where an edit cannot be done here.
    """
    factor = query.shape[-1] ** -0.5 if scale is None else scale
    kept = Kept() if kept is None else kept
    if (known := _quick(program, query, sources, plain, backend, factor, kept)) is not None:
        return known
    call = Call(query, sources, plain, backend, factor, kept)
    if program.unedited:
        output, lse = _plain(call, wanted=bool(program.taps))
        reader = Reader(call, program, lse) if program.taps else None
    else:
        reader = Reader(call, program)
        output = _edited(call, program, reader)
    if reader is None:
        return output, ()
    taps = tuple(reader.tap(tap, program) for tap in program.taps)
    if (few := reader.quick(program)) is not None:
        kept.quick[program, backend] = few
    return output, taps


def _quick(
    program: Program,
    query: Tensor,
    sources: Mapping[str, tuple[Tensor, Tensor]],
    plain: str,
    backend: str,
    scale: float,
    kept: Kept,
) -> tuple[Tensor, tuple[Tensor, ...]] | None:
    """What `run` returns, where an earlier call of a program that only watches has left what its tap needs."""
    few = kept.quick.get((program, backend))
    known = None if few is None else with_denominator(query, *sources[plain], scale)
    if few is None or known is None:
        return None
    output, lse = known
    read = few.read(query, lse)
    return output, (read.view(-1, query.shape[1], *read.shape[1:]),)


def _plain(call: Call, *, wanted: bool) -> tuple[Tensor, Tensor | None]:
    """The plain call, the same bit for bit whether its log-sum-exp is `wanted` or not, and that where it has it."""
    query, (key, value) = call.query, call.source(call.plain)
    if wanted and call.plain != "self":
        request = Request.of(query, key, value, bias=None, causal=False, lse=False)
        if choose(request, call.backend) is SDPA and (known := with_denominator(query, key, value, call.scale)):
            return known
    return call.attend(Lanes(call.plain)), None


def _edited(call: Call, program: Program, reader: Reader) -> Tensor:
    everything = any(override.out is None for override in program.overrides)
    lanes = program.lanes or (() if everything else (Lanes(call.plain),))
    if len(lanes) == 1 and _direct(lanes[0], program) and call.whole(lanes[0]):
        return call.attend(lanes[0])  # as the kernel leaves it: filing it lane by lane would copy it there and back
    total: Tensor | None = None
    for some in lanes:
        total = call.add(total, _lanes(call, some, reader), some.out)
    for rank in program.ranks:
        total = call.add(total, _rank(call, rank, reader), rank.out)
    for override in program.overrides:
        total = _put(call, total, _override(call, override, reader), override.out)
    assert total is not None  # lanes are empty only under an override of everything
    if program.gate is not None:
        total = total * program.gate.to(total)
    shaped: Tensor = total.to(call.query.dtype).unflatten(0, (call.rows, call.heads))
    return shaped


def _direct(lanes: Lanes, program: Program) -> bool:
    """Whether a fused call of all lanes, in order, is the whole output."""
    more = program.ranks or program.overrides or program.gate is not None
    return not more and lanes.out is None and lanes.field is None and not lanes.shaped


def _lanes(call: Call, lanes: Lanes, reader: Reader) -> Tensor:
    """D · attend(Q[q], K[k]·kscale, T V[v]; bias), [L, N, value_dim]."""
    return reader.spread(call.attend(lanes).flatten(0, 1), lanes)


def _rank(call: Call, rank: Rank, reader: Reader) -> Tensor:
    """field · u (c V[v]), [R, N, value_dim] or one for all."""
    u = rank.u if isinstance(rank.u, Tensor) else reader.shaped(rank.u)
    if rank.read is not None:
        u = u[rank.read]
    value = call.value(rank.keys, rank.v)
    wide = promoted(u, value)
    added = u.to(wide) @ (rank.c.to(wide) @ value.to(wide))
    return added if rank.field is None else added * rank.field


def _override(call: Call, override: Override, reader: Reader) -> Tensor:
    how = override.how
    if isinstance(how, Tensor):
        return how
    if how != "identity":
        probs = reader.replaced(override)
        return probs @ call.value(call.plain, override.out).to(probs.dtype)
    value = call.value(call.plain, override.out)
    if call.plain != "self" or value.shape[1] != call.query.shape[2]:
        raise Unsupported(
            f"The identity in place of attention needs one key a query, but this site has {call.query.shape[2]} "
            f'queries and {value.shape[1]} keys of "{call.plain}". Use it on self-attention.'
        )
    return value


def _put(call: Call, total: Tensor | None, some: Tensor, out: Tensor | None) -> Tensor:
    if out is None:
        return some
    if len(some) != len(out):
        raise BadValue("override", list(some.shape), f"of {len(out)} lanes")
    base = call.empty(some) if total is None else total
    return base.to(promoted(base, some)).index_copy(0, out, some.to(promoted(base, some)))
