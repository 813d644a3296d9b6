"""One attention call with its inputs at hand: gathers, transformed values, biases, and the fused product."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from xattn.errors import BadValue
from xattn.functional import attend
from xattn.kept import Kept
from xattn.program import Lanes
from xattn.ranges import score_range
from xattn.tiled import promoted

FAR = -3e4  # stands for −inf where a bias rides in the head dimension: e^FAR is 0, and float16 can hold it


@dataclass(frozen=True, eq=False, slots=True)
class Call:
    """query [B, H, N, D] and the key sources, each (key, value) [B, kv_heads, K, …]. Lanes are row · H + head.

    kept: what earlier calls of the same program on the same texts have made of them
    """

    query: Tensor
    sources: Mapping[str, tuple[Tensor, Tensor]]
    plain: str
    backend: str
    scale: float
    kept: Kept = field(default_factory=Kept)

    @property
    def rows(self) -> int:
        """B."""
        return self.query.shape[0]

    @property
    def heads(self) -> int:
        """H, query heads."""
        return self.query.shape[1]

    def source(self, keys: str) -> tuple[Tensor, Tensor]:
        """Key and value of a source; raises BadValue where the call has none of that name."""
        if keys not in self.sources:
            raise BadValue("program", keys, f"about key sources that this call has: {', '.join(sorted(self.sources))}")
        key, value = self.sources[keys]
        return key, value

    def value(self, keys: str, lanes: Tensor | None) -> Tensor:
        """V of these lanes, [L, K, value_dim]."""
        return self.pick(self.source(keys)[1], lanes)

    def pick(self, tensor: Tensor, lanes: Tensor | None) -> Tensor:
        """[B, heads or kv_heads, …] → [L, …]: query head h reads key head h // group."""
        group = self.heads // tensor.shape[1]
        if lanes is not None:
            return tensor[lanes // self.heads, lanes % self.heads // group]
        return (tensor if group == 1 else tensor.repeat_interleave(group, dim=1)).flatten(0, 1)

    def by_heads(self, lanes: Tensor) -> Tensor:
        """[R·H, …], all heads of some rows, as [R, H, …]."""
        laid_out: Tensor = lanes.view(-1, self.heads, *lanes.shape[1:])
        return laid_out

    def layout(self, lanes: Lanes) -> tuple[int, int]:
        """The first two axes of what is made of these lanes: (rows, H) where they are whole rows, else (1, L)."""
        if not self.whole(lanes):
            return (1, self.rows * self.heads if lanes.q is None else len(lanes.q))
        return (self.rows if lanes.q is None else len(lanes.q) // self.heads, self.heads)

    def whole(self, lanes: Lanes) -> bool:
        """Whether the lanes are whole rows of queries, keys and values."""
        return self._rows(lanes) is not None

    def _rows(self, lanes: Lanes) -> tuple[slice | Tensor, ...] | None:
        """The rows of q, k and v, where all three are all heads of some: these need no gathering head by head."""
        rows = tuple(self.kept.rows(index, self.heads) for index in (lanes.q, lanes.k, lanes.v))
        whole = tuple(some for some in rows if some is not None)
        return whole if len(whole) == len(rows) else None

    def attend(self, lanes: Lanes) -> Tensor:
        """The fused call of these lanes: [*layout(lanes), N, value_dim]."""
        if lanes.plain:
            key, value = self.source(lanes.keys)
            return attend(self.query, key, value, scale=self.scale, backend=self.backend)
        if lanes.token is not None and self._differs_within_groups(lanes):
            return self._by_groups(lanes, lanes.token)
        return self.mixed(lanes, self._transformed(lanes))

    def mixed(self, lanes: Lanes, value: Tensor) -> Tensor:
        """softmax(scores of these lanes) · value; value [·, ·, K, n] in the layout of its keys."""
        query, key, bias = self.scored(lanes)
        heads = max(key.shape[1], value.shape[1])  # one of them a head a group, the other edited head by head
        key, value = (
            t if t.shape[1] == heads else t.repeat_interleave(heads // t.shape[1], dim=1) for t in (key, value)
        )
        return attend(query, key, value, bias=bias, scale=self.scale, backend=self.backend)

    def scored(self, lanes: Lanes) -> tuple[Tensor, Tensor, Tensor | None]:
        """Query, key and bias of these lanes, ready for a kernel: [*layout(lanes), …]."""
        query = self.queries(lanes)
        bias = None
        if lanes.bias:
            key = self._laid_out(self.source(lanes.keys)[0], 1, lanes)
            fields = self._fields(lanes, query, key)
            if lanes.keys == "self":  # N×N is never made: the bias becomes extra head dimensions
                return self._widened(lanes, query, key, fields)
            bias = _mask(fields, [tokens for _, tokens in lanes.bias])
            bias = _spread(bias, query.shape[:2]).to(query.dtype)
        return query, self.key(lanes), bias

    def queries(self, lanes: Lanes) -> Tensor:
        """Q of these lanes, [*layout(lanes), N, D]."""
        query = self._laid_out(self.query, 0, lanes)
        if lanes.transform is None:
            return query
        transformed: Tensor = lanes.transform(query.flatten(0, 1)).unflatten(0, query.shape[:2])
        return transformed

    def key(self, lanes: Lanes) -> Tensor:
        """K · kscale of these lanes, [rows, kv_heads, K, D] or [1, L, K, D]."""

        def made() -> Tensor:
            return self._scaled(lanes, self._laid_out(self.source(lanes.keys)[0], 1, lanes))

        return self.kept.text("key", lanes, made)

    def _laid_out(self, tensor: Tensor, which: int, lanes: Lanes) -> Tensor:
        """Queries, keys or values (`which` of them) of these lanes: untouched where all are in order, or whole rows."""
        rows = self._rows(lanes)
        if rows is not None:
            return _taken(tensor, rows[which])
        return self.pick(tensor, (lanes.q, lanes.k, lanes.v)[which])[None]

    def _scaled(self, lanes: Lanes, key: Tensor) -> Tensor:
        if lanes.kscale is None:
            return key
        factor, key = _beside(lanes.kscale, key, self.heads)
        return (key * factor).to(key.dtype)

    def _transformed(self, lanes: Lanes) -> Tensor:
        def made() -> Tensor:
            value = self._laid_out(self.source(lanes.keys)[1], 2, lanes)
            return value if lanes.token is None else turned(*_beside(lanes.token, value, self.heads))

        return self.kept.text("value", lanes, made)

    def add(self, total: Tensor | None, some: Tensor, out: Tensor | None) -> Tensor:
        """total + some [L, N, ·] on the output lanes `out`, None for all: [B·H, N, ·] in the wider dtype."""
        if out is None:
            return some if total is None else total + some
        base = self.empty(some) if total is None else total
        wide = promoted(base, some)
        # At most two addends a lane and call (own and source): the order of a sum of two does not show.
        return base.to(wide).index_add(0, out, some.to(wide).expand(len(out), -1, -1))

    def empty(self, like: Tensor) -> Tensor:
        """Nothing yet on any output lane, [B·H, N, ·]."""
        return like.new_zeros(self.rows * self.heads, *like.shape[1:])

    def _fields(self, lanes: Lanes, query: Tensor, key: Tensor) -> list[Tensor]:
        """The fields of the biases, [L|1, N]; those that want it are told the range of the scores."""
        if all(isinstance(where, Tensor) for where, _ in lanes.bias):
            return [where for where, _ in lanes.bias if isinstance(where, Tensor)]
        low, high = (t.flatten(0, 1) for t in score_range(query, key, self.scale))
        return [where if isinstance(where, Tensor) else where(low, high) for where, _ in lanes.bias]

    def _widened(self, lanes: Lanes, query: Tensor, key: Tensor, fields: list[Tensor]) -> tuple[Tensor, Tensor, None]:
        """[Q, f/scale] [K, s]ᵀ · scale = Q Kᵀ · scale + f ⊗ s."""
        key = self._scaled(lanes, key)
        f = torch.stack(torch.broadcast_tensors(*fields), dim=-1).clamp(FAR, -FAR) / self.scale
        s = torch.stack(torch.broadcast_tensors(*(tokens for _, tokens in lanes.bias)), dim=-1).clamp(FAR, -FAR)
        s, key = _beside(s, key, self.heads)
        f = _spread(f, query.shape[:2])
        query = torch.cat([query, f.to(query.dtype).expand(*query.shape[:-1], -1)], dim=-1)
        key = torch.cat([key, s.to(key.dtype).expand(*key.shape[:-1], -1)], dim=-1)
        return query, key, None

    def _differs_within_groups(self, lanes: Lanes) -> bool:
        """Whether query heads that share a value head want it transformed differently."""
        kv_heads = self.source(lanes.keys)[1].shape[1]
        in_order = lanes.q is None and lanes.k is None and lanes.v is None
        if lanes.token is None or lanes.token.shape[0] == 1 or kv_heads == self.heads or not in_order:
            return False
        return not _same_within_groups(self._grouped(lanes.token, kv_heads))

    def _by_groups(self, lanes: Lanes, token: Tensor) -> Tensor:
        """Grouped-query attention, group by group: only a group whose heads differ is expanded to its heads."""
        query, key, bias = self.scored(lanes)
        value = self.source(lanes.keys)[1]
        grouped = self._grouped(token, value.shape[1])
        size = grouped.shape[2]
        outputs = []
        for group in range(value.shape[1]):
            own, heads = grouped[:, group], slice(group * size, (group + 1) * size)
            if _same_within_groups(grouped[:, group : group + 1]):
                own = own[:, :1]
            some = bias if bias is None or bias.shape[1] == 1 else bias[:, heads]
            scaled_by_head = key.shape[1] == self.heads
            k = key[:, heads] if scaled_by_head else key[:, group : group + 1]
            v = turned(own, value[:, group : group + 1])
            count = max(k.shape[1], v.shape[1])
            k, v = k.expand(-1, count, -1, -1), v.expand(-1, count, -1, -1)
            outputs.append(attend(query[:, heads], k, v, bias=some, scale=self.scale, backend=self.backend))
        return torch.cat(outputs, dim=1)

    def _grouped(self, token: Tensor, kv_heads: int) -> Tensor:
        """[L, …] → [B, kv_heads, group, …]."""
        grouped: Tensor = token.unflatten(0, (self.rows, kv_heads, self.heads // kv_heads))
        return grouped


def _taken(tensor: Tensor, rows: slice | Tensor) -> Tensor:
    """Rows of [B, heads, tokens, D]. Copied in the order in which projections leave them, tokens before heads."""
    if isinstance(rows, slice):
        return tensor if rows == slice(None) else tensor[rows]
    return tensor.transpose(1, 2).index_select(0, rows).transpose(1, 2)


def _same_within_groups(grouped: Tensor) -> bool:
    return bool((grouped == grouped[:, :, :1]).all())


def turned(token: Tensor, values: Tensor) -> Tensor:
    """T V, in the wider of the two dtypes and rounded once to that of V.

    values: [B, heads, K, D]. token: a diagonal [B|1, heads|1, K] or a map [B|1, heads|1, K, K'].
    """
    wide = promoted(token, values)
    t, v = token.to(wide), values.to(wide)
    return (t[..., None] * v if t.dim() == 3 else t @ v).to(values.dtype)


def _mask(fields: list[Tensor], tokens: list[Tensor]) -> Tensor:
    """Σ field ⊗ tokens, [L|1, N, K], where 0 · −inf is 0."""
    total: Tensor | None = None
    for where, own in zip(fields, tokens, strict=True):
        f, s = where[:, :, None], own[:, None, :]
        term = torch.where((f == 0) | (s == 0), torch.zeros((), dtype=f.dtype, device=f.device), f * s)
        total = term if total is None else total + term
    assert total is not None  # called with at least one pair
    return total


def _spread(tensor: Tensor, layout: torch.Size) -> Tensor:
    """[L|1, …] → [B, H, …] or [1, L, …], broadcastable to the layout of the queries."""
    if tensor.shape[0] == 1:
        return tensor[None]
    spread: Tensor = tensor.unflatten(0, layout)
    return spread


def _beside(own: Tensor, tensor: Tensor, heads: int) -> tuple[Tensor, Tensor]:
    """A program's [L|1, …] and keys or values [B, heads, …] or [1, L, …], made to broadcast over both first axes."""
    gathered = tensor.shape[0] == 1 and tensor.shape[1] == own.shape[0]
    if own.shape[0] == 1 or gathered:
        return own[None], tensor
    spread = _spread(own, torch.Size((tensor.shape[0], heads)))
    kv_heads = tensor.shape[1]
    if kv_heads == heads:
        return spread, tensor
    first = spread[:, :: heads // kv_heads]
    if bool((spread == first.repeat_interleave(heads // kv_heads, dim=1)).all()):
        return first, tensor
    return spread, tensor.repeat_interleave(heads // kv_heads, dim=1)
