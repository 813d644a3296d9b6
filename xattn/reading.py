"""Columns of the probabilities: what taps show, and what ranks are shaped from.

    P·W at a position = Σ D·softmax(scores)·(T·W) + Σ field·u·(c·W)

All columns that read the same probabilities are stacked into one product: one extra product a site. Text is short, so
there the probabilities are made outright in float32 and multiplied, closer to float64 than a fused half-precision
product; or, where the plain call has told its denominators (denominator.py), of the keys that are read alone, for a
sixth of that on a CPU. Self-attention's N×N never are made: there the columns are the values of a fused call.
"""

from __future__ import annotations

import torch
from torch import Tensor

from xattn.asked import Scores, joined, stage_of
from xattn.calls import Call
from xattn.errors import Unsupported
from xattn.kept import Few
from xattn.program import Lanes, Override, Program, Reading, Tap
from xattn.tiled import promoted, working_dtype

BUDGET = 1 << 23  # numbers of explicit probabilities held at a time: 32 MB of float32


class Reader:
    """Computes each product once, and hands out columns. Lives for one call.

    lse: the log-sum-exp of the plain call's scores, [B, H, N], where that is known
    """

    def __init__(self, call: Call, program: Program, lse: Tensor | None = None) -> None:
        self.call, self.lse = call, lse
        self.asked = call.kept.asked(program, call.plain)
        self.products: dict[Scores, Tensor] = {}
        self.probs: dict[Scores, Tensor] = {}
        self.shapes: dict[Reading, Tensor] = {}
        self.swapped: dict[Override, Tensor] = {}

    def tap(self, tap: Tap, program: Program) -> Tensor:
        """P · weights of the rows that a tap reads, [rows, H, N, n]. `program` is the one the tap is of."""
        lanes = self.asked.alone.get(tap)
        if lanes is not None:
            read = self.spread(self._product(*self.asked.places[lanes, tap]), lanes)
        else:
            read = self.columns(tap, program)
            read = read if tap.rows is None else read[tap.on]
        return self.call.by_heads(read)

    def quick(self, program: Program) -> Few | None:
        """What gives the tap of a program that changes nothing and has one, once it has been read; else None."""
        lanes = self.asked.alone.get(program.taps[0]) if program.unedited and len(program.taps) == 1 else None
        if lanes is None or lanes.field is not None or lanes.shaped or self.lse is None:
            return None
        return self.call.kept.few(self.asked.places[lanes, program.taps[0]][0], lambda: None)

    def columns(self, tap: Tap, program: Program) -> Tensor:
        """P · weights of all output lanes, [B·H, N, n], float32 or float64. `program` is the one the tap is of."""
        stage, keys = stage_of(tap, program), tap.keys or self.call.plain
        total: Tensor | None = None
        for lanes in self.asked.lanes(stage, keys):
            own = self._product(*self.asked.places[lanes, tap])
            total = self.call.add(total, self.spread(own, lanes), lanes.out)
        for rank in stage.ranks:
            if rank.keys == keys:
                u = rank.u if isinstance(rank.u, Tensor) else self.shaped(rank.u)
                u = u if rank.read is None else u[rank.read]
                wide = promoted(u, tap.weights)
                added = u.to(wide) @ (rank.c.to(wide) @ tap.weights.to(wide))
                total = self.call.add(total, added if rank.field is None else added * rank.field, rank.out)
        for override in stage.overrides if keys == self.call.plain else ():
            total = self._overridden(total, override, tap)
        size = (self.call.rows * self.call.heads, self.call.query.shape[2], tap.weights.shape[-1])
        whole = tap.weights.new_zeros(size) if total is None else total.expand(size)
        if tap.on is None or not stage.overrides:  # lanes are read where they are wanted
            return whole
        return torch.zeros_like(whole).index_copy(0, tap.on, whole[tap.on])

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
            lanes = self.asked.instead_of(override)
            self.swapped[override] = override.how(softmax(*spread_out(self.call, lanes)))
        return self.swapped[override]

    def _product(self, scores: Scores, start: int, stop: int) -> Tensor:
        if scores not in self.products:
            lanes, stacked = self.asked.products[scores]
            few = None if self.lse is None else self.call.kept.few(scores, lambda: self._few(scores, lanes))
            if few is not None and self.lse is not None:
                made = few.read(self.call.query, self.lse)
            else:
                made = _fused(self.call, lanes, stacked) if lanes.keys == "self" else self._made(scores, lanes, stacked)
            self.products[scores] = made
        whole = self.products[scores]
        return whole if stop - start == whole.shape[-1] else whole[..., start:stop]

    def _few(self, scores: Scores, lanes: Lanes) -> Few | None:
        """What reads the few keys of lanes that have the scores of the plain call; None where that is not so."""
        call = self.call
        if scores not in self.asked.few or not _untouched(lanes, call):
            return None
        used, mix = self.asked.few[scores]
        rows = call.kept.rows(lanes.q, call.heads)
        if rows is None or call.query.numel() // call.query.shape[3] * len(used) > BUDGET:
            return None
        keys = _scaled(call.key(lanes)[:, :, used], call, call.heads)
        one = isinstance(rows, slice) and len(keys) == call.heads
        first = range(call.rows)[rows][0] if isinstance(rows, slice) else 0
        return Few(first if one else rows, keys, None if mix is None else mix.to(keys.dtype))

    def _made(self, scores: Scores, lanes: Lanes, columns: Tensor) -> Tensor:
        """Text: explicit probabilities times the columns, [L, N, n], a few lanes at a time."""
        query, key, bias = spread_out(self.call, lanes)
        wide = promoted(query, columns)
        step = max(1, BUDGET // max(1, query.shape[1] * key.shape[2]))
        if step >= query.shape[0]:
            same = scores[1:]  # what is watched and what shapes the picture have the same probabilities
            if same not in self.probs:
                self.probs[same] = softmax(query, key, bias)
            return self.probs[same].to(wide) @ (columns[0] if columns.shape[0] == 1 else columns).to(wide)
        done = []
        for start in range(0, query.shape[0], step):
            some = slice(start, start + step)
            probs = softmax(query[some], key[some], None if bias is None else bias[some]).to(wide)
            done.append(probs @ (columns[0] if columns.shape[0] == 1 else columns[some]).to(wide))
        return joined(done, dim=0)

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


def _untouched(lanes: Lanes, call: Call) -> bool:
    """Whether lanes, whole rows of the text, have the scores of the plain call."""
    plain = not lanes.bias and lanes.kscale is None and lanes.transform is None
    return plain and lanes.keys == call.plain != "self" and lanes.q is lanes.k and call.whole(lanes)


def _fused(call: Call, lanes: Lanes, columns: Tensor) -> Tensor:
    """Self-attention: the columns are the values of a fused call, [L, N, n]."""
    value = columns.to(call.query.dtype)
    layout = call.layout(lanes)
    if columns.shape[0] > 1:
        value = value.unflatten(0, layout)
    else:
        # one for all: no more copies of it than the keys have heads
        heads = call.source(lanes.keys)[0].shape[1] if call.whole(lanes) else layout[1]
        value = value[None].expand(layout[0], heads, -1, -1)
    mixed = call.mixed(lanes, value).flatten(0, 1)
    return mixed.to(working_dtype(mixed.dtype))


def spread_out(call: Call, lanes: Lanes) -> tuple[Tensor, Tensor, Tensor | None]:
    """Query [L, N, D], scaled keys [L, D, K] in float32 or float64, and bias [L, N, K] of these lanes."""
    query, key, bias = call.scored(lanes)
    spread = None if bias is None else bias.expand(*query.shape[:2], -1, -1).flatten(0, 1)
    return query.flatten(0, 1), call.kept.text("scaled", lanes, lambda: _scaled(key, call, query.shape[1])), spread


def _scaled(key: Tensor, call: Call, heads: int) -> Tensor:
    """Keys [rows, kv_heads, K, D] as [rows · heads, D, K] in float32 or float64.

    Fewer than the queries, and the same at every step: they take the scale, and lie as the product reads them.
    """
    own = key if key.shape[1] == heads else key.repeat_interleave(heads // key.shape[1], dim=1)
    return (own.flatten(0, 1).to(working_dtype(own.dtype)) * call.scale).mT.contiguous()


def softmax(query: Tensor, key: Tensor, bias: Tensor | None) -> Tensor:
    """Probabilities outright, float32 or float64, of `spread_out`; a query that sees nothing has none."""
    scores = torch.bmm(query.to(key.dtype), key)
    if bias is not None:
        scores = scores + bias.to(key.dtype)
        blind = (scores == -torch.inf).all(dim=-1, keepdim=True)
        return scores.masked_fill(blind, 0.0).softmax(dim=-1).masked_fill(blind, 0.0)
    return scores.softmax(dim=-1)
