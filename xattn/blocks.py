"""The pieces that composition works on: lanes that share a history, and how they are packed into fused calls."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from typing import NamedTuple, TypeAlias, TypeVar

import torch
from torch import Tensor

from xattn.program import BiasField, Lanes, QueryTransform, Rank, Reading

Numbers: TypeAlias = tuple[int, ...]


class PerLane(NamedTuple):
    """A tensor [n|1, …] and which of the n each lane takes. Keeps the tensor itself, so that sameness can be seen."""

    value: Tensor
    rows: Numbers

    def at(self, positions: Sequence[int]) -> PerLane:
        """The same value for fewer or repeated lanes."""
        return PerLane(self.value, tuple(self.rows[position] for position in positions))

    def of(self, position: int) -> Tensor:
        """The value of one lane."""
        return self.value[self.rows[position] if self.value.shape[0] > 1 else 0]


Where: TypeAlias = PerLane | Callable[[Tensor, Tensor], Tensor]
Pair: TypeAlias = tuple[Where, PerLane]
"""field and tokens of one bias."""
Shaped: TypeAlias = tuple[Reading, Numbers]
"""A factor of the output that depends on the probabilities, and which of its rows each lane takes."""


@dataclass(frozen=True, eq=False, slots=True)
class Block:
    """Lanes with one history. q, k, v, out as in `Lanes`, in plain numbers; token [L|1, …], field [L|1, N]."""

    keys: str
    q: Numbers
    k: Numbers
    v: Numbers
    out: Numbers
    kscale: PerLane | None = None
    bias: tuple[Pair, ...] = ()
    transform: QueryTransform | None = None
    token: Tensor | None = None
    field: Tensor | None = None
    shaped: tuple[Shaped, ...] = ()

    def at(self, positions: Sequence[int], out: Numbers | None = None, v: Numbers | None = None) -> Block:
        """These lanes of it, in this order, for other outputs or with other values where said."""

        def pick(numbers: Numbers) -> Numbers:
            return tuple(numbers[position] for position in positions)

        return Block(
            keys=self.keys,
            q=pick(self.q),
            k=pick(self.k),
            v=pick(self.v) if v is None else v,
            out=pick(self.out) if out is None else out,
            kscale=None if self.kscale is None else self.kscale.at(positions),
            bias=tuple(
                (where.at(positions) if isinstance(where, PerLane) else where, tokens.at(positions))
                for where, tokens in self.bias
            ),
            transform=self.transform,
            token=select(self.token, positions),
            field=select(self.field, positions),
            shaped=tuple((reading, pick(rows)) for reading, rows in self.shaped),
        )

    @property
    def signature(self) -> tuple[object, ...]:
        """Equal where scores are made alike, and the same is read for the output, so that lanes may share a call.

        Lanes without a bias never share the call of lanes with one: a mask of zeros is another kernel on some
        machines, and lanes that nobody edits may not change by a bit.
        """
        return (
            self.keys,
            None if self.kscale is None else id(self.kscale.value),
            tuple((id(w.value) if isinstance(w, PerLane) else id(w), id(t.value)) for w, t in self.bias),
            id(self.transform),
            tuple(id(reading) for reading, _ in self.shaped),
        )


@dataclass(frozen=True, eq=False, slots=True)
class RankBlock:
    """`Rank` in plain numbers: u [S|1, N, r] or a Reading, read which of the S; c [R|1, r, K], field [R|1, N]."""

    u: Tensor | Reading
    read: Numbers
    c: Tensor
    keys: str
    v: Numbers
    out: Numbers
    field: Tensor | None = None

    def at(self, positions: Sequence[int], out: Numbers | None = None, v: Numbers | None = None) -> RankBlock:
        """As `Block.at`."""

        def pick(numbers: Numbers) -> Numbers:
            return tuple(numbers[position] for position in positions)

        return replace(
            self,
            read=pick(self.read),
            c=_selected(self.c, positions),
            v=pick(self.v) if v is None else v,
            out=pick(self.out) if out is None else out,
            field=select(self.field, positions),
        )


Piece = TypeVar("Piece", Block, RankBlock)


def parted(pieces: Iterable[Piece], lanes: AbstractSet[int]) -> tuple[list[Piece], list[Piece]]:
    """Those whose outputs are among `lanes` and those whose are not; what has both is cut in two."""
    inside, outside = [], []
    for piece in pieces:
        within = [position for position, lane in enumerate(piece.out) if lane in lanes]
        if len(within) == len(piece.out):
            inside.append(piece)
        elif not within:
            outside.append(piece)
        else:
            inside.append(piece.at(within))
            outside.append(piece.at([position for position, lane in enumerate(piece.out) if lane not in lanes]))
    return inside, outside


def select(tensor: Tensor | None, positions: Sequence[int]) -> Tensor | None:
    """The rows of a tensor [L|1, …]; one row for all stays one row for all."""
    return None if tensor is None else _selected(tensor, positions)


def _selected(tensor: Tensor, positions: Sequence[int]) -> Tensor:
    return tensor if tensor.shape[0] == 1 else tensor[list(positions)]


def times(token: Tensor | None, further: Tensor) -> Tensor:
    """T · S of token transforms, each a diagonal [L|1, K] or a map [L|1, K, K']."""
    if token is None:
        return further
    if token.dim() == 2:
        return token * further if further.dim() == 2 else token[..., None] * further
    return token * further[:, None, :] if further.dim() == 2 else token @ further


@dataclass(slots=True)
class Packer:
    """Packs blocks into as few fused calls as their scores allow; equal numbers become one and the same tensor."""

    size: int
    device: str | torch.device
    indices: dict[Numbers, Tensor] = field(default_factory=dict)
    picked: dict[tuple[int, Numbers], tuple[Tensor, Tensor]] = field(default_factory=dict)  # with the original: its id
    untouched: dict[tuple[str, Tensor | None], Lanes] = field(default_factory=dict)

    def lanes(self, blocks: Iterable[Block]) -> tuple[Lanes, ...]:
        """One `Lanes` for each way in which scores are made, lanes in the order of their outputs."""
        groups: dict[tuple[object, ...], list[Block]] = {}
        for block in blocks:
            if block.out:
                groups.setdefault(block.signature, []).append(block)
        return tuple(self._together(group) for group in groups.values())

    def rank(self, block: RankBlock) -> Rank:
        """One rank, its numbers as tensors."""
        shared = isinstance(block.u, Tensor) and block.u.shape[0] == 1
        count = 0 if isinstance(block.u, Tensor) or block.u.lanes is None else len(block.u.lanes)
        straight = shared or block.read == tuple(range(count or self.size))
        return Rank(
            u=block.u,
            c=block.c,
            keys=block.keys,
            read=None if straight else self.numbers(block.read),
            v=self.index(block.v),
            out=self.index(block.out),
            field=None if block.field is None else block.field[..., None],
        )

    def index(self, numbers: Numbers) -> Tensor | None:
        """The tensor of these lanes, None where they are all in order."""
        return None if numbers == tuple(range(self.size)) else self.numbers(numbers)

    def numbers(self, numbers: Numbers) -> Tensor:
        """int64 [len(numbers)], the same tensor for the same numbers."""
        if numbers not in self.indices:
            self.indices[numbers] = torch.tensor(numbers, dtype=torch.int64, device=self.device)
        return self.indices[numbers]

    def plain(self, keys: str, index: Tensor | None) -> Lanes:
        """Lanes that nothing is done to; the same for the same lanes, so that what reads them is one product."""
        if (keys, index) not in self.untouched:
            self.untouched[keys, index] = Lanes(keys, q=index, k=index, v=index, out=index)
        return self.untouched[keys, index]

    def _together(self, group: list[Block]) -> Lanes:
        outs = [out for block in group for out in block.out]
        order = sorted(range(len(outs)), key=outs.__getitem__)

        def gather(numbers: Iterable[Numbers]) -> Tensor | None:
            flat = [number for some in numbers for number in some]
            return self.index(tuple(flat[position] for position in order))

        first = group[0]
        return Lanes(
            keys=first.keys,
            q=gather(block.q for block in group),
            k=gather(block.k for block in group),
            v=gather(block.v for block in group),
            out=gather(block.out for block in group),
            kscale=self._kscale([block.kscale for block in group], order),
            bias=tuple(self._pair([block.bias[place] for block in group], order) for place in range(len(first.bias))),
            transform=first.transform,
            token=_token([block.token for block in group], [len(block.out) for block in group], order),
            field=_field([block.field for block in group], [len(block.out) for block in group], order),
            shaped=tuple(
                self._shaped([block.shaped[place] for block in group], order) for place in range(len(first.shaped))
            ),
        )

    def _shaped(self, some: list[Shaped], order: list[int]) -> tuple[Reading, Tensor | None]:
        reading = some[0][0]  # one signature: all have the same
        flat = [row for _, rows in some for row in rows]
        rows = tuple(flat[position] for position in order)
        count = self.size if reading.lanes is None else len(reading.lanes)
        return reading, None if rows == tuple(range(count)) else self.numbers(rows)

    def _kscale(self, scales: list[PerLane | None], order: list[int]) -> Tensor | None:
        known = [scale for scale in scales if scale is not None]
        return self._picked(known, order)[..., None] if known else None

    def _pair(self, pairs: list[Pair], order: list[int]) -> tuple[BiasField, Tensor]:
        where = pairs[0][0]  # one signature: all have the same
        tokens = self._picked([pair[1] for pair in pairs], order)
        if not isinstance(where, PerLane):
            return where, tokens
        return self._picked([pair[0] for pair in pairs if isinstance(pair[0], PerLane)], order), tokens

    def _picked(self, values: list[PerLane], order: list[int]) -> Tensor:
        value = values[0].value
        if value.shape[0] == 1:
            return value
        flat = [row for some in values for row in some.rows]
        rows = tuple(flat[position] for position in order)
        if rows == tuple(range(value.shape[0])):
            return value
        key = (id(value), rows)
        if key not in self.picked:
            self.picked[key] = (value, value[list(rows)])
        return self.picked[key][1]


def _token(tokens: list[Tensor | None], counts: list[int], order: list[int]) -> Tensor | None:
    known = [token for token in tokens if token is not None]
    if not known:
        return None
    if len(tokens) == 1 or (known[0].shape[0] == 1 and all(token is known[0] for token in tokens)):
        return select(known[0], order)
    maps = any(token.dim() == 3 for token in known)
    like = known[0]
    spread = []
    for token, count in zip(tokens, counts, strict=True):
        whole = like.new_ones(1, like.shape[1]) if token is None else token
        if maps and whole.dim() == 2:
            whole = torch.diag_embed(whole)  # ones and zeros: multiplying by them is exact
        spread.append(whole.expand(count, *whole.shape[1:]))
    return torch.cat(spread)[order]


def _field(fields: list[Tensor | None], counts: list[int], order: list[int]) -> Tensor | None:
    known = [one for one in fields if one is not None]
    if not known:
        return None
    if len(fields) == 1:
        return known[0][..., None] if known[0].shape[0] == 1 else known[0][order][..., None]
    ones = known[0].new_ones(1, known[0].shape[1])
    spread = [(ones if one is None else one).expand(count, -1) for one, count in zip(fields, counts, strict=True)]
    return torch.cat(spread)[order][..., None]
