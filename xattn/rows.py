"""Rows of the probabilities: where a place looks.

    W · P · C at a position = Σ (W·D) · softmax(scores) · (T·C) + Σ (W·field·u) · (c·C)

A fused kernel sums over the keys of each query, so it cannot give a query's own row. A row is short, though: n places
need n rows, made outright in float32, a few queries at a time. So the self-attention of a place is read without the N×N
matrix; a place that covers many queries costs time, never memory.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from xattn.calls import Call
from xattn.errors import BadValue, Unsupported
from xattn.program import Lanes, Override, Program, Rank, RowTap
from xattn.reading import BUDGET, Reader, softmax, spread_out
from xattn.tiled import promoted

QUERIES = 256
"""Queries whose rows exist at a time: 16², so that of a large picture never N×N do."""


def read_rows(
    program: Program,
    query: Tensor,
    sources: Mapping[str, tuple[Tensor, Tensor]],
    *,
    plain: str,
    scale: float | None = None,
) -> tuple[Tensor, ...]:
    """What the row taps of a program read, each [B, H, n, K or m], float32 (float64 for float64).

    query, sources, plain: as for `xattn.lower.run`, whose output does not depend on this.
    Raises BadValue for weights that do not fit, Unsupported where there are no probabilities to read.
    """
    call = Call(query, sources, plain, "auto", query.shape[-1] ** -0.5 if scale is None else scale)
    readers: dict[str, Reader] = {}
    made = []
    for tap in program.rows:
        stage = program if tap.at == "edited" else Program()
        if tap.at not in readers:
            readers[tap.at] = Reader(call, Program(lanes=stage.lanes, ranks=stage.ranks))
        made.append(_Rows(call, tap, readers[tap.at]).of(stage).unflatten(0, (call.rows, call.heads)))
    return tuple(made)


class _Rows:
    """One row tap of one call."""

    def __init__(self, call: Call, tap: RowTap, reader: Reader) -> None:
        self.call, self.tap, self.reader = call, tap, reader
        self.keys = tap.keys or call.plain
        key = call.source(self.keys)[0]
        if tap.weights.dim() != 2 or tap.weights.shape[1] != call.query.shape[2]:
            raise BadValue("weights", list(tap.weights.shape), f"of shape [places, {call.query.shape[2]}]")
        if tap.columns is not None and (tap.columns.dim() != 2 or tap.columns.shape[0] != key.shape[2]):
            raise BadValue("columns", list(tap.columns.shape), f"of shape [{key.shape[2]}, columns]")
        self.dtype = promoted(call.query, tap.weights)
        self.weights = tap.weights.to(self.dtype)
        lanes = call.rows * call.heads
        self.wanted = torch.arange(lanes, device=key.device) if tap.on is None else tap.on
        width = key.shape[2] if tap.columns is None else tap.columns.shape[1]
        self.total = torch.zeros(lanes, len(tap.weights), width, dtype=self.dtype, device=key.device)

    def of(self, stage: Program) -> Tensor:
        """[B·H, n, K or m], the lanes that are not wanted 0."""
        plain = (Lanes(self.keys),) if not stage.lanes else stage.lanes
        for lanes in plain:
            if lanes.keys == self.keys:
                self._lanes(lanes)
        for rank in stage.ranks:
            if rank.keys == self.keys:
                self._rank(rank)
        for override in stage.overrides if self.keys == self.call.plain else ():
            self._override(override)
        if self.tap.on is None or not (stage.ranks or stage.overrides):  # lanes are read where they are wanted
            return self.total
        return torch.zeros_like(self.total).index_copy(0, self.tap.on, self.total[self.tap.on])

    def _lanes(self, lanes: Lanes) -> None:
        out = torch.arange(len(self.total), device=self.total.device) if lanes.out is None else lanes.out
        chosen = torch.isin(out, self.wanted).nonzero()[:, 0]
        query, key, bias = spread_out(self.call, lanes)
        field = None
        if lanes.field is not None or lanes.shaped:
            field = self.reader.spread(self.weights.new_ones(1, query.shape[1], 1), lanes)
        used = (self.weights != 0).any(dim=0).nonzero()[:, 0]
        # several places at once where they share queries; of each chunk only the places that have some in it
        for places in used.split(QUERIES):
            about = (self.weights[:, places] != 0).any(dim=1).nonzero()[:, 0]
            weights = self.weights[about][:, places]
            together = max(1, BUDGET // max(1, len(places) * key.shape[2]))
            for some in chosen.split(together):
                own = None if bias is None else bias[some][:, places]
                probs = softmax(query[some][:, places], key[some], own).to(self.dtype)
                if field is not None:
                    probs = probs * (field if field.shape[0] == 1 else field[some])[:, places]
                rows = self._columns(self._turned(weights @ probs, lanes.token, some))
                self._add(out[some], about, rows)

    def _turned(self, rows: Tensor, token: Tensor | None, some: Tensor) -> Tensor:
        if token is None:
            return rows
        own = (token if token.shape[0] == 1 else token[some]).to(self.dtype)
        return rows * own[:, None] if own.dim() == 2 else rows @ own

    def _columns(self, rows: Tensor) -> Tensor:
        return rows if self.tap.columns is None else rows @ self.tap.columns.to(self.dtype)

    def _add(self, out: Tensor, about: Tensor, rows: Tensor) -> None:
        # a lane may have two addends, its own and its source's, in one call
        if len(about) == self.total.shape[1]:
            self.total.index_add_(0, out, rows)
            return
        whole = rows.new_zeros(len(out), *self.total.shape[1:])
        whole[:, about] = rows
        self.total.index_add_(0, out, whole)

    def _rank(self, rank: Rank) -> None:
        u = rank.u if isinstance(rank.u, Tensor) else self.reader.shaped(rank.u)
        u = u if rank.read is None else u[rank.read]
        u = u if rank.field is None else u * rank.field
        rows = self._columns((self.weights @ u.to(self.dtype)) @ rank.c.to(self.dtype))
        if rank.out is None:
            self.total = self.total + rows
        else:
            self.total = self.total.index_add(0, rank.out, rows.expand(len(rank.out), -1, -1))

    def _override(self, override: Override) -> None:
        if isinstance(override.how, Tensor):
            if override.out is not None and not bool(torch.isin(override.out, self.wanted).any()):
                return
            raise Unsupported('A kept output has no probabilities to read. Read them at "model".')
        if override.how == "identity":
            rows = self._columns(self.weights[None])
        else:
            rows = self._columns(self.weights @ self.reader.replaced(override).to(self.dtype))
        if override.out is None:
            self.total = rows.expand_as(self.total)
        else:
            self.total = self.total.index_copy(0, override.out, rows.expand(len(override.out), -1, -1))
