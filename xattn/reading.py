"""Columns of the probabilities: what taps show, and what ranks are shaped from.

    P·W at a position = Σ D·softmax(scores)·(T·W) + Σ field·u·(c·W)

All columns that read the same probabilities are stacked into one product: one extra product a site. Text is short, so
there the probabilities are made outright in float32 and multiplied (on a CPU .6 to .8 of the cost of the plain call in
float32, 1.1 to 1.4 in bfloat16, and closer to float64 than a fused half-precision product); self-attention's N×N
never are: there the columns are the values of a fused call.
"""

from __future__ import annotations

import torch
from torch import Tensor

from xattn.calls import Call, promoted
from xattn.errors import Unsupported
from xattn.program import Lanes, Override, Program, Reading, Tap
from xattn.tiled import working_dtype

BUDGET = 1 << 23  # numbers of explicit probabilities held at a time: 32 MB of float32

Scores = tuple[object, ...]  # equal for lanes whose probabilities are the same


class Reader:
    """Collects what a program reads, computes each product once, and hands out columns. Lives for one call."""

    def __init__(self, call: Call, program: Program) -> None:
        self.call = call
        self.asked: dict[Scores, tuple[Lanes, list[Tensor]]] = {}
        self.places: dict[tuple[Lanes, Tap], tuple[Scores, int, int]] = {}  # which product, and which of its columns
        self.products: dict[Scores, Tensor] = {}
        self.shapes: dict[Reading, Tensor] = {}
        self.swapped: dict[Override, Tensor] = {}
        self.plain: dict[str, Lanes] = {}
        self.met: set[Reading] = set()
        for tap in program.taps:
            self._ask(tap, program)
        self._ask_shapes(program)

    def columns(self, tap: Tap, program: Program) -> Tensor:
        """P · weights of all output lanes, [B·H, N, n], float32 or float64. `program` is the one the tap is of."""
        stage, keys = _stage(tap, program), tap.keys or self.call.plain
        total: Tensor | None = None
        for lanes in self._lanes(stage, keys):
            own = self._product(*self.places[lanes, tap])
            total = self._add(total, self.spread(own, lanes), lanes.out)
        for rank in stage.ranks:
            if rank.keys == keys:
                u = rank.u if isinstance(rank.u, Tensor) else self.shaped(rank.u)
                u = u if rank.read is None else u[rank.read]
                wide = promoted(u, tap.weights)
                added = u.to(wide) @ (rank.c.to(wide) @ tap.weights.to(wide))
                total = self._add(total, added if rank.field is None else added * rank.field, rank.out)
        for override in stage.overrides if keys == self.call.plain else ():
            total = self._overridden(total, override, tap)
        size = (self.call.rows * self.call.heads, self.call.query.shape[2], tap.weights.shape[-1])
        whole = tap.weights.new_zeros(size) if total is None else total.expand(size)
        return whole if tap.on is None else torch.zeros_like(whole).index_copy(0, tap.on, whole[tap.on])

    def shaped(self, reading: Reading) -> Tensor:
        """The field that a reading makes of its columns, computed once, [R, N, r]."""
        if reading not in self.shapes:
            columns = self.columns(reading.tap, Program())
            self.shapes[reading] = reading.shape(columns if reading.lanes is None else columns[reading.lanes])
        return self.shapes[reading]

    def spread(self, some: Tensor, lanes: Lanes) -> Tensor:
        """D · some, [L, N, ·]."""
        some = some if lanes.field is None else some * lanes.field
        for reading, rows in lanes.shaped:
            factor = self.shaped(reading)
            some = some * (factor if rows is None else factor[rows])
        return some

    def replaced(self, override: Override) -> Tensor:
        """The probabilities that an override's function makes of the explicit ones, [n, N, K], float32 or float64."""
        if override not in self.swapped:
            if self.call.plain == "self":
                raise Unsupported(
                    "A function of the probabilities works on cross-attention only: in self-attention they are "
                    "queries × queries and never made."
                )
            assert callable(override.how)
            lanes = Lanes(self.call.plain, q=override.out, k=override.out, out=override.out)
            self.swapped[override] = override.how(_probabilities(self.call, lanes))
        return self.swapped[override]

    def _ask(self, tap: Tap, program: Program) -> None:
        stage, keys = _stage(tap, program), tap.keys or self.call.plain
        for lanes in self._lanes(stage, keys):
            if (lanes, tap) in self.places:  # two readings of one tap
                continue
            scores = _scores(lanes)
            asked = self.asked.setdefault(scores, (lanes, []))[1]
            start = sum(columns.shape[-1] for columns in asked)
            asked.append(_turned(lanes.token, tap.weights))
            self.places[lanes, tap] = (scores, start, start + tap.weights.shape[-1])
        self._ask_shapes(stage)

    def _ask_shapes(self, program: Program) -> None:
        readings = [rank.u for rank in program.ranks if isinstance(rank.u, Reading)]
        readings += [reading for lanes in program.lanes for reading, _ in lanes.shaped]
        for reading in readings:
            if reading not in self.met:
                self.met.add(reading)
                self._ask(reading.tap, program)

    def _lanes(self, stage: Program, keys: str) -> tuple[Lanes, ...]:
        """The lanes of one key source; a program that names none at all is the plain call."""
        if not stage.lanes:
            return (self.plain.setdefault(keys, Lanes(keys)),)
        return tuple(lanes for lanes in stage.lanes if lanes.keys == keys)

    def _product(self, scores: Scores, start: int, stop: int) -> Tensor:
        if scores not in self.products:
            lanes, asked = self.asked[scores]
            count = max(columns.shape[0] for columns in asked)
            stacked = joined([columns.expand(count, -1, -1) for columns in asked], dim=-1)
            product = _fused if lanes.keys == "self" else _made
            self.products[scores] = product(self.call, lanes, stacked)
        return self.products[scores][..., start:stop]

    def _overridden(self, total: Tensor | None, override: Override, tap: Tap) -> Tensor:
        if isinstance(override.how, Tensor):
            raise Unsupported('A kept output has no probabilities to read. Read them at "model".')
        if override.how == "identity":
            own = tap.weights[None]
        else:
            probs = self.replaced(override)
            wide = promoted(probs, tap.weights)
            own = probs.to(wide) @ tap.weights.to(wide)
        size = (self.call.rows * self.call.heads, self.call.query.shape[2], tap.weights.shape[-1])
        if override.out is None:
            return own.expand(size)
        base = own.new_zeros(size) if total is None else total.expand(size)
        return base.index_copy(0, override.out, own.to(base.dtype).expand(len(override.out), -1, -1))

    def _add(self, total: Tensor | None, some: Tensor, out: Tensor | None) -> Tensor:
        if out is None:
            return some if total is None else total + some
        if total is None:
            total = some.new_zeros(self.call.rows * self.call.heads, *some.shape[1:])
        wide = promoted(total, some)
        return total.to(wide).index_add(0, out, some.to(wide).expand(len(out), -1, -1))


def _stage(tap: Tap, program: Program) -> Program:
    """The program whose probabilities a tap reads."""
    if isinstance(tap.at, Program):
        return tap.at
    return program if tap.at == "edited" else Program()


def _scores(lanes: Lanes) -> Scores:
    # By identity: composition gives equal numbers as one tensor, and the program holds them for the whole call.
    parts = (lanes.q, lanes.k, lanes.kscale, lanes.transform)
    return (lanes.keys, *map(id, parts), *((id(where), id(tokens)) for where, tokens in lanes.bias))


def _turned(token: Tensor | None, weights: Tensor) -> Tensor:
    """T · W, [L|1, K, n]."""
    if token is None:
        return weights[None]
    wide = promoted(token, weights)
    if token.dim() == 2:
        return token[..., None].to(wide) * weights.to(wide)
    return token.to(wide) @ weights.to(wide)


def _fused(call: Call, lanes: Lanes, columns: Tensor) -> Tensor:
    """Self-attention: the columns are the values of a fused call, [L, N, n]."""
    query = call.query
    value = columns.to(query.dtype)
    rows = call.whole(lanes)
    if rows is not None:
        layout = (rows.stop - rows.start, call.heads)
    else:
        layout = (call.rows, call.heads) if lanes.q is None else (1, len(lanes.q))
    if columns.shape[0] > 1:
        value = value.unflatten(0, layout)
    else:
        # one for all: no more copies of it than the keys have heads
        kv_heads = call.source(lanes.keys)[0].shape[1]
        heads = kv_heads if rows is not None or (lanes.q is None and lanes.k is None) else layout[1]
        value = value[None].expand(layout[0], heads, -1, -1)
    mixed = call.mixed(lanes, value).flatten(0, 1)
    return mixed.to(working_dtype(mixed.dtype))


def _made(call: Call, lanes: Lanes, columns: Tensor) -> Tensor:
    """Text: explicit probabilities times the columns, [L, N, n], a few lanes at a time."""
    query, key, bias = spread_out(call, lanes)
    wide = promoted(query, columns)
    step = max(1, BUDGET // max(1, query.shape[1] * key.shape[1]))
    done = []
    for start in range(0, query.shape[0], step):
        some = slice(start, start + step)
        probs = softmax(query[some], key[some], None if bias is None else bias[some], call.scale).to(wide)
        done.append(probs @ (columns if columns.shape[0] == 1 else columns[some]).to(wide))
    return joined(done, dim=0)


def joined(some: list[Tensor], dim: int) -> Tensor:
    """Their concatenation; a single one as it is, without a copy."""
    return some[0] if len(some) == 1 else torch.cat(some, dim=dim)


def _probabilities(call: Call, lanes: Lanes) -> Tensor:
    query, key, bias = spread_out(call, lanes)
    return softmax(query, key, bias, call.scale)


def spread_out(call: Call, lanes: Lanes) -> tuple[Tensor, Tensor, Tensor | None]:
    """Query [L, N, D], key [L, K, D] and bias [L, N, K] of these lanes, one key head a query head."""
    query, key, bias = call.scored(lanes)
    if key.shape[1] != query.shape[1]:
        key = key.repeat_interleave(query.shape[1] // key.shape[1], dim=1)
    spread = None if bias is None else bias.expand(*query.shape[:2], -1, -1).flatten(0, 1)
    return query.flatten(0, 1), key.flatten(0, 1), spread


def softmax(query: Tensor, key: Tensor, bias: Tensor | None, scale: float) -> Tensor:
    """Probabilities outright, float32 or float64; a query that sees nothing has none."""
    wide = working_dtype(query.dtype)
    scores = (query.to(wide) * scale) @ key.to(wide).mT  # scaled before, for N×D numbers are fewer than N×K
    if bias is not None:
        scores = scores + bias.to(wide)
        blind = (scores == -torch.inf).all(dim=-1, keepdim=True)
        return scores.masked_fill(blind, 0.0).softmax(dim=-1).masked_fill(blind, 0.0)
    return scores.softmax(dim=-1)
