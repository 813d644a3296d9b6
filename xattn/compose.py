"""From a list of parts to one Program, exactly.

Per output lane and in list order. What acts on scores (biases, key scales, query transforms, routes) comes first
wherever it stands in the list, for it must come before the softmax. With P the probabilities so far,

    right(S)           P ← P·S            T ← T·S, c ← c·S
    left(F)            P ← F·P            D ← F·D, u ← F·u
    mix(source, M, α)  P ← P_s·M·diag α + P·diag(1−α)
                                          own lanes right(diag(1−α)); a copy of the source's lanes, as built so far and
                                          with its ranks, right(M·diag α), its values the target's
    column(W)          P·W                Σ D·attend(Q, K, T·W) + Σ u·(c·W)

and set, gain and move are ranks made of columns. Parts that are the identity are dropped here: that is what makes
"changes nothing" true bit for bit, where a split by arithmetic would differ in the last digit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from xattn.blocks import Block, Numbers, Packer, RankBlock, parted, times
from xattn.conflicts import check, full, keys_of, lanes_of, renormalises
from xattn.errors import BadValue
from xattn.identity import changes_nothing, check_part
from xattn.kept import whole_rows
from xattn.parts import (
    AddSource,
    Bias,
    Column,
    GainMap,
    Gate,
    KeyScale,
    Mix,
    MoveMap,
    OutputField,
    Part,
    QueryTransform,
    Replace,
    Route,
    SetMap,
    TokenDiagonal,
    TokenMap,
    Watch,
    WatchRows,
)
from xattn.program import Override, Program, Reading, RowTap, Tap
from xattn.scores import biased, check_seen, hiding, scored
from xattn.shapes import gained, left_over, moved, shared_out
from xattn.space import Space


def compose(parts: Sequence[Part], space: Space) -> Program | None:
    """The program that does all of `parts`, in order, to one attention call; None where that is nothing.

    Raises BadValue for a part that does not fit `space`, Conflict for two that cannot both hold.
    """
    expanded: list[Part] = []
    for part in parts:
        check_part(part, space)
        if not changes_nothing(part, space):
            expanded.append(_as_bias(part, space) if isinstance(part, GainMap) and part.renormalise else part)
    check(expanded, space)
    program = _Builder(space, expanded).build()
    return None if program.identity else program


def _as_bias(part: GainMap, space: Space) -> Bias:
    keys = part.keys or space.keys
    if bool((part.field < 0).any()):
        raise BadValue(f"field ({part.name})", float(part.field.min()), "at least 0")
    tokens = space.one_hot(part.columns, keys).sum(dim=0)
    return Bias(torch.log(part.field.to(space.dtype)), tokens, on=part.on, keys=keys, name=part.name)


class _Builder:
    def __init__(self, space: Space, parts: Sequence[Part]) -> None:
        self.space, self.parts = space, parts
        self.packer = Packer(space.size, space.device)
        self.values: dict[str, list[int]] = {}  # where each lane's V comes from, by key source
        self.ranks: list[RankBlock] = []
        self.taps: dict[int, Tap] = {}  # by place in the list
        self.overrides: list[Override] = []
        self.gate: Tensor | None = None
        self.blocks = self._source(space.keys, tuple(range(space.size)))

    def build(self) -> Program:
        for place, part in enumerate(self.parts):
            self._check_source(part)
            match part:
                case TokenDiagonal() | TokenMap():
                    self._right(lanes_of(part, self.space), self._keys(part), self._transform(part))
                case OutputField():
                    lanes = lanes_of(part, self.space)
                    self._left(lanes, self._field(part.field, lanes, part.name))
                case AddSource():
                    self._add(part)
                case Mix():
                    self._mix(part)
                case SetMap() | GainMap() | MoveMap():
                    self._column(part)
                case Gate():
                    self._gate(part)
                case Replace():
                    self.overrides.append(Override(part.how, self.packer.index(lanes_of(part, self.space))))
                case Watch() if part.at != "edited":
                    self.taps[place] = self._tap(part)
        replaced = {lane for p in self.parts if isinstance(p, Replace) for lane in lanes_of(p, self.space)}
        _, self.blocks = parted(self.blocks, replaced)
        return self._finish()

    def _finish(self) -> Program:
        for place, part in enumerate(self.parts):
            if isinstance(part, Watch) and part.at == "edited":
                self.taps[place] = self._tap(part)
        lanes = self.packer.lanes(_seen(self.blocks))
        if len(lanes) == 1 and lanes[0].plain and lanes[0].keys == self.space.keys:
            lanes = ()
        return Program(
            lanes=lanes,
            ranks=tuple(self.packer.rank(rank) for rank in self.ranks),
            taps=tuple(self.taps[place] for place in sorted(self.taps)),
            gate=None if self.gate is None else self.gate[:, None, None],
            overrides=tuple(self.overrides),
            rows=tuple(self._row_tap(part) for part in self.parts if isinstance(part, WatchRows)),
        )

    def _check_source(self, part: Part) -> None:
        keys = keys_of(part, self.space)
        if keys is None or isinstance(part, AddSource) or keys in self.values:
            return
        early = isinstance(part, Bias | KeyScale | QueryTransform | Route)
        if isinstance(part, Watch | WatchRows) or (
            early and any(isinstance(p, AddSource) and p.keys == keys for p in self.parts)
        ):
            return
        raise BadValue(
            f"keys ({part.name})", keys, "a key source that takes part", f'Add the source "{keys}" before it'
        )

    def _keys(self, part: Part) -> str:
        return keys_of(part, self.space) or self.space.keys

    def _field(self, given: Tensor | float, lanes: Numbers, name: str) -> Tensor:
        return self.space.tensor(given, len(lanes), (self.space.queries,), f"field ({name})")

    def _transform(self, part: TokenDiagonal | TokenMap) -> Tensor:
        """[lanes|1, K] or [lanes|1, K, K'] for the lanes of the part."""
        count, width = len(lanes_of(part, self.space)), self.space.width(self._keys(part))
        if isinstance(part, TokenMap):
            return self.space.tensor(part.matrix, count, (width, part.matrix.shape[-1]), f"matrix ({part.name})")
        scale = self.space.tensor(part.scale, count, (len(part.columns),), f"scale ({part.name})")
        diagonal = scale.new_ones(scale.shape[0], width)
        diagonal[:, list(part.columns)] = scale
        return diagonal

    def _source(self, keys: str, lanes: Numbers) -> list[Block]:
        values = list(range(self.space.size))
        for part in self.parts:
            if isinstance(part, Route) and part.value_from is not None and self._keys(part) == keys:
                for lane, value in zip(lanes_of(part, self.space), part.value_from, strict=True):
                    values[lane] = value
        self.values[keys] = values
        return scored(keys, lanes, self.parts, self.space)

    # Token space and output

    def _split(self, lanes: Numbers) -> tuple[list[Block], list[RankBlock]]:
        """Part every block at the border of `lanes`; returns those inside."""
        inside, outside = parted(self.blocks, set(lanes))
        self.blocks = [*inside, *outside]
        within, without = parted(self.ranks, set(lanes))
        self.ranks = [*within, *without]
        return inside, within

    def _right(self, lanes: Numbers, keys: str, transform: Tensor) -> None:
        blocks, ranks = self._split(lanes)
        place = {lane: position for position, lane in enumerate(lanes)}
        for block in blocks:
            if block.keys == keys:
                own = _rows(transform, block.out, place)
                self._swap(block, replace(block, token=times(block.token, own)))
        for rank in ranks:
            if rank.keys == keys:
                own = _rows(transform, rank.out, place)
                self._swap_rank(rank, replace(rank, c=rank.c * own[:, None, :] if own.dim() == 2 else rank.c @ own))

    def _left(self, lanes: Numbers, field: Tensor, keys: str | None = None) -> None:
        blocks, ranks = self._split(lanes)
        place = {lane: position for position, lane in enumerate(lanes)}
        for block in blocks:
            if keys in (None, block.keys):
                own = _rows(field, block.out, place)
                self._swap(block, replace(block, field=own if block.field is None else own * block.field))
        for rank in ranks:
            if keys in (None, rank.keys):
                own = _rows(field, rank.out, place)
                self._swap_rank(rank, replace(rank, field=own if rank.field is None else own * rank.field))

    def _add(self, part: AddSource) -> None:
        lanes = lanes_of(part, self.space)
        self.space.width(part.keys)  # refuses a source that the call does not have
        blocks = self._source(part.keys, lanes)
        if part.field is not None:
            field = self._field(part.field, lanes, part.name)
            place = {lane: position for position, lane in enumerate(lanes)}
            blocks = [replace(block, field=_rows(field, block.out, place)) for block in blocks]
        self.blocks = [*self.blocks, *blocks]

    def _mix(self, part: Mix) -> None:
        lanes, keys = lanes_of(part, self.space), self._keys(part)
        width = self.space.width(keys)
        alpha = self.space.tensor(part.alpha, len(lanes), (width,), f"alpha ({part.name})")
        matrix = None
        if part.matrix is not None:
            matrix = self.space.tensor(part.matrix, len(lanes), (width, width), f"matrix ({part.name})")
        whole = full(part)
        taken = None if whole and matrix is None else alpha if matrix is None else matrix * alpha[:, None, :]
        blocks, ranks = list(self.blocks), list(self.ranks)  # the source as built so far
        if whole:
            self._split(lanes)
            self.blocks = [b for b in self.blocks if b.keys != keys or not set(b.out) <= set(lanes)]
            self.ranks = [r for r in self.ranks if r.keys != keys or not set(r.out) <= set(lanes)]
        else:
            self._right(lanes, keys, 1 - alpha)
        values = self.values[keys]
        for block in blocks:
            if block.keys == keys:
                positions, targets, rows = _copies(block.out, part.source, lanes)
                copy = block.at(positions, out=targets, v=tuple(values[lane] for lane in targets))
                token = copy.token if taken is None else times(copy.token, _some(taken, rows))
                self.blocks.append(replace(copy, token=token))
        for rank in ranks:
            if rank.keys == keys:
                positions, targets, rows = _copies(rank.out, part.source, lanes)
                mine = rank.at(positions, out=targets, v=tuple(values[lane] for lane in targets))
                own = None if taken is None else _some(taken, rows)
                c = mine.c if own is None else mine.c * own[:, None, :] if own.dim() == 2 else mine.c @ own
                self.ranks.append(replace(mine, c=c))
        self.blocks = [block for block in self.blocks if block.out]
        self.ranks = [rank for rank in self.ranks if rank.out]

    def _column(self, part: Column) -> None:
        lanes, keys = lanes_of(part, self.space), self._keys(part)
        picked = self.space.one_hot(part.columns, keys)
        u: Tensor | Reading
        match part:
            case SetMap():
                field = self._field(part.field, lanes, part.name)
                if len(part.columns) == 1 and not part.relative:
                    field = field.clamp(max=1.0) if part.renormalise else field
                    u = field[..., None]
                else:
                    shape = shared_out(field, part.relative, 1.0 if part.renormalise else math.inf)
                    u = self._reading(part, lanes, picked, shape)
                if not part.renormalise:
                    self._right(lanes, keys, 1 - picked.sum(dim=0, keepdim=True))
            case GainMap():
                u = self._reading(part, lanes, picked, gained(self._field(part.field, lanes, part.name)))
            case MoveMap():
                u = self._reading(part, lanes, picked, part.warp if part.renormalise else moved(part.warp))
        if renormalises(part):
            self._share_rest(part, lanes, u)
        v = tuple(self.values[keys][lane] for lane in lanes)
        self.ranks.append(RankBlock(u, tuple(range(len(lanes))), picked[None], keys, v=v, out=lanes))

    def _share_rest(self, part: SetMap | MoveMap, lanes: Numbers, u: Tensor | Reading) -> None:
        """The others become what they are without these tokens, times what u leaves of the row."""
        self.blocks = biased(self.blocks, hiding(part, self.space), self.space)
        for block in self.blocks:
            check_seen(block, self.space)
        if isinstance(u, Tensor):
            self._left(lanes, 1 - u[..., 0], self._keys(part))
            return
        rest = replace(u, shape=left_over(u.shape))
        inside, _ = self._split(lanes)
        place = {lane: position for position, lane in enumerate(lanes)}
        for block in inside:
            if block.keys == self._keys(part):
                rows = tuple(place[lane] for lane in block.out)
                self._swap(block, replace(block, shaped=(*block.shaped, (rest, rows))))

    def _reading(self, part: Column, lanes: Numbers, picked: Tensor, shape: Callable[[Tensor], Tensor]) -> Reading:
        tap = Tap(picked.mT, self._stage(lanes), self._keys(part))
        return Reading(tap, shape, self.packer.numbers(lanes))

    def _gate(self, part: Gate) -> None:
        lanes = lanes_of(part, self.space)
        gate = torch.ones(self.space.size, dtype=self.space.dtype, device=self.space.device)
        gate[list(lanes)] = self.space.tensor(part.value, len(lanes), (), f"value ({part.name})")
        self.gate = gate if self.gate is None else self.gate * gate

    # Reading

    def _tap(self, part: Watch) -> Tap:
        keys, lanes = self._keys(part), lanes_of(part, self.space)
        width = self.space.width(keys)
        if part.weights.dim() != 2 or part.weights.shape[0] != width:
            raise BadValue(f"weights ({part.name})", list(part.weights.shape), f"of shape [{width}, columns]")
        weights = part.weights.to(self.space.device, self.space.dtype)
        if part.at != "here" and part.on is None:
            return Tap(weights, part.at, keys, steers=part.steers)
        index = self.packer.index(lanes)
        rows = None if index is None else whole_rows(lanes, self.space.heads)
        if part.at != "model":
            seen = set(lanes)
            touching = (one for one in self.overrides if one.out is None or seen & set(one.out.tolist()))
            return Tap(
                weights, replace(self._stage(lanes), overrides=tuple(touching)), keys, index, rows, part.steers
            )
        return Tap(weights, Program(lanes=(self.packer.plain(keys, index),)), keys, index, rows, part.steers)

    def _row_tap(self, part: WatchRows) -> RowTap:
        keys = self._keys(part)
        width = self.space.width(keys)
        if part.weights.dim() != 2 or part.weights.shape[1] != self.space.queries:
            raise BadValue(
                f"weights ({part.name})", list(part.weights.shape), f"of shape [places, {self.space.queries}]"
            )
        if part.columns is not None and (part.columns.dim() != 2 or part.columns.shape[0] != width):
            raise BadValue(f"columns ({part.name})", list(part.columns.shape), f"of shape [{width}, columns]")
        return RowTap(
            weights=part.weights.to(self.space.device, self.space.dtype),
            columns=None if part.columns is None else part.columns.to(self.space.device, self.space.dtype),
            at=part.at,
            keys=keys,
            on=None if part.on is None else self.packer.numbers(part.on),
        )

    def _stage(self, lanes: Numbers) -> Program:
        """The program as it stands, for these outputs only."""
        blocks, _ = parted(self.blocks, set(lanes))
        ranks, _ = parted(self.ranks, set(lanes))
        return Program(lanes=self.packer.lanes(_seen(blocks)), ranks=tuple(self.packer.rank(rank) for rank in ranks))

    def _swap(self, old: Block, new: Block) -> None:
        self.blocks = [new if block is old else block for block in self.blocks]

    def _swap_rank(self, old: RankBlock, new: RankBlock) -> None:
        self.ranks = [new if rank is old else rank for rank in self.ranks]


def _seen(blocks: list[Block]) -> list[Block]:
    """Without lanes of which the output field leaves nothing: they need not be computed."""
    made = []
    for block in blocks:
        nothing = torch.zeros(1) if block.field is None else (block.field == 0).all(dim=1)
        if not bool(nothing.any()):
            made.append(block)
        elif len(nothing) > 1 and not bool(nothing.all()):
            made.append(block.at([position for position, gone in enumerate(nothing.tolist()) if not gone]))
    return made or blocks  # a program without lanes is the plain call


def _rows(tensor: Tensor, outs: Numbers, place: dict[int, int]) -> Tensor:
    """Of a part's values [lanes|1, …], those of the lanes `outs`."""
    return _some(tensor, [place[lane] for lane in outs])


def _some(tensor: Tensor, rows: Sequence[int]) -> Tensor:
    return tensor if tensor.shape[0] == 1 else tensor[list(rows)]


def _copies(outs: Numbers, source: Numbers, targets: Numbers) -> tuple[list[int], Numbers, list[int]]:
    """Where in `outs` each target's source is: positions, the targets they go to, and the targets' own places."""
    place = {lane: position for position, lane in enumerate(outs)}
    found = [
        (place[lane], target, row)
        for row, (lane, target) in enumerate(zip(source, targets, strict=True))
        if lane in place
    ]
    return [f[0] for f in found], tuple(f[1] for f in found), [f[2] for f in found]
