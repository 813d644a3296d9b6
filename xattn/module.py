"""Attention as a layer: projections around `attend`, with parameter names as diffusers has them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from xattn.errors import BadValue
from xattn.functional import attend
from xattn.kept import Kept
from xattn.lower import run
from xattn.positions import rotate
from xattn.program import Program, Record, RecordRows
from xattn.rows import read_rows
from xattn.sites import AttentionSite


class KeyValue(NamedTuple):
    """Keys and values of one source, each [batch, kv_heads, tokens, head_dim]."""

    key: Tensor
    value: Tensor


class Attention(nn.Module):
    """Self- or cross-attention, multi-head or grouped-query.

    query_dim: width of the hidden states. context_dim: width of what keys and values are made from; None is
    self-attention. kv_heads: heads of keys and values, a divisor of heads (all of them when None). bias: on the three
    input projections; out_bias: on the output's. backend: a name in `xattn.backends.BACKENDS` or "auto".
    """

    def __init__(
        self,
        query_dim: int,
        *,
        context_dim: int | None = None,
        heads: int,
        head_dim: int,
        kv_heads: int | None = None,
        bias: bool = False,
        out_bias: bool = True,
        backend: str = "auto",
    ) -> None:
        super().__init__()
        kv_heads = heads if kv_heads is None else kv_heads
        if heads < 1 or kv_heads < 1 or heads % kv_heads:
            raise BadValue("kv_heads", kv_heads, f"a divisor of heads ({heads})")
        self.heads, self.kv_heads, self.head_dim, self.backend = heads, kv_heads, head_dim, backend
        self.plain_source = "self" if context_dim is None else "text"
        width = query_dim if context_dim is None else context_dim
        self.to_q = nn.Linear(query_dim, heads * head_dim, bias=bias)
        self.to_k = nn.Linear(width, kv_heads * head_dim, bias=bias)
        self.to_v = nn.Linear(width, kv_heads * head_dim, bias=bias)
        self.to_out = nn.ModuleList([nn.Linear(heads * head_dim, query_dim, bias=out_bias)])

    def key_value(self, hidden: Tensor) -> KeyValue:
        """Keys and values of [batch, tokens, width]: of a prompt, made once and used at every step."""
        return KeyValue(self._split(self.to_k(hidden)), self._split(self.to_v(hidden)))

    def forward(
        self,
        hidden_states: Tensor,
        sources: Mapping[str, KeyValue] | None = None,
        program: Program | None = None,
        *,
        site: AttentionSite | None = None,
        grid: tuple[int, int] | None = None,
        record: Record | None = None,
        record_rows: RecordRows | None = None,
        kept: Kept | None = None,
        angles: Tensor | None = None,
        bias: Tensor | None = None,
        causal: bool = False,
    ) -> Tensor:
        """Attend from [batch, N, query_dim]; returns the same shape.

        sources: keys and values by source name. Cross-attention reads "text"; self-attention makes its own "self",
            beside which others may be named for a program to use.
        program: what to change and read; None is the plain call.
        site, grid, record: where the taps of the program go: record(site, grid, taps, each [rows, heads, N, n]);
            record_rows: where its row taps go
        kept: what calls of this program on the same texts have in common, where no gradients are wanted
        angles: [N, head_dim / 2], turn queries and, in self-attention, keys (`xattn.positions.rotary_angles`).
        bias, causal: as for `attend`; for calls without a program, whose own biases are parts of it.
        """
        batch, tokens, _ = hidden_states.shape
        query = self._split(self.to_q(hidden_states))
        if angles is not None:
            query = rotate(query, angles)
        available: Mapping[str, KeyValue] = sources or {}
        if self.plain_source == "self":
            key, value = self.key_value(hidden_states)
            available = {**available, "self": KeyValue(key if angles is None else rotate(key, angles), value)}
        if self.plain_source not in available:
            raise BadValue("sources", sorted(available), 'a mapping with "text", the keys and values to attend to')
        if program is None or program.identity:
            key, value = available[self.plain_source]
            output = attend(query, key, value, bias=bias, causal=causal, backend=self.backend)
        else:
            if bias is not None or causal:
                raise BadValue("bias", "given beside a program", "a part of the program")
            output, taps = run(program, query, available, plain=self.plain_source, backend=self.backend, kept=kept)
            if (taps and record is not None) or (program.rows and record_rows is not None):
                if site is None or grid is None:
                    raise BadValue("site", site, "the site (and its grid) that the recorded taps belong to")
                if taps and record is not None:
                    record(site, grid, taps)
                if program.rows and record_rows is not None:
                    record_rows(site, grid, read_rows(program, query, available, plain=self.plain_source))
        joined = output.transpose(1, 2).reshape(batch, tokens, self.heads * self.head_dim)
        result: Tensor = self.to_out[0](joined)
        return result

    def _split(self, projected: Tensor) -> Tensor:
        return torch.unflatten(projected, -1, (-1, self.head_dim)).transpose(1, 2)
