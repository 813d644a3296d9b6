"""The call on one key source, with everything that acts on its scores: first in every composition."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from xattn.blocks import Block, Numbers, PerLane, parted
from xattn.conflicts import keys_of, lanes_of
from xattn.errors import BadValue, Conflict
from xattn.parts import Bias, KeyScale, MoveMap, Part, QueryTransform, Route, Score, SetMap
from xattn.program import QueryTransform as Transform
from xattn.space import Space

CHUNK = 512  # queries looked at together: never all of N×N


def scored(keys: str, lanes: Numbers, parts: Iterable[Part], space: Space) -> list[Block]:
    """Lanes of one key source, parted where different parts act on their scores; raises Conflict, BadValue."""
    blocks = [Block(keys, q=lanes, k=lanes, v=lanes, out=lanes)]
    for part in parts:
        if isinstance(part, Bias | KeyScale | QueryTransform | Route) and keys_of(part, space) == keys:
            blocks = biased(blocks, part, space)
    for block in blocks:
        check_seen(block, space)
    return blocks


def biased(blocks: Sequence[Block], part: Score, space: Space) -> list[Block]:
    """The same lanes with one more part on the scores of those that it is about."""
    lanes = lanes_of(part, space)
    about = [block for block in blocks if block.keys == keys_of(part, space)]
    inside, outside = parted(about, set(lanes))
    outside += [block for block in blocks if block.keys != keys_of(part, space)]
    place = {lane: position for position, lane in enumerate(lanes)}
    add = _bias(part, space) if isinstance(part, Bias) else _other(part, space)
    return [*(add(block, tuple(place[lane] for lane in block.out)) for block in inside), *outside]


def hiding(part: SetMap | MoveMap, space: Space) -> Bias:
    """The bias by which a renormalising part hides its tokens from the softmax of the others."""
    keys = part.keys or space.keys
    hidden = space.one_hot(part.columns, keys).sum(dim=0) > 0
    tokens = torch.zeros_like(hidden, dtype=space.dtype).masked_fill(hidden, -torch.inf)
    return Bias(tokens.new_ones(space.queries), tokens, on=part.on, keys=keys, name=part.name)


def _bias(part: Bias, space: Space) -> Callable[[Block, Numbers], Block]:
    lanes, width = lanes_of(part, space), space.width(part.keys or space.keys)
    tokens = space.tensor(part.tokens, len(lanes), (width,), f"tokens ({part.name})")
    field = part.field
    if isinstance(field, Tensor):
        field = space.tensor(field, len(lanes), (space.queries,), f"field ({part.name})")
    if tokens.isposinf().any() or (isinstance(field, Tensor) and _upwards(field, tokens)):
        raise BadValue(f"bias ({part.name})", "+inf", "finite, or -inf where a token is hidden")

    def add(block: Block, rows: Numbers) -> Block:
        where = PerLane(field, rows) if isinstance(field, Tensor) else field
        return replace(block, bias=(*block.bias, (where, PerLane(tokens, rows))))

    return add


def _upwards(field: Tensor, tokens: Tensor) -> bool:
    """Whether field ⊗ tokens holds +inf anywhere."""
    negative = bool((field < 0).any()) and bool(tokens.isneginf().any())
    return negative or bool(field.isposinf().any()) or (bool(field.isneginf().any()) and bool((tokens < 0).any()))


def _other(part: KeyScale | QueryTransform | Route, space: Space) -> Callable[[Block, Numbers], Block]:
    if isinstance(part, Route):
        key_from, value_from = part.key_from, part.value_from

        def lead(block: Block, rows: Numbers) -> Block:
            k = block.k if key_from is None else tuple(key_from[row] for row in rows)
            v = block.v if value_from is None else tuple(value_from[row] for row in rows)
            return replace(block, k=k, v=v)

        return lead
    if isinstance(part, QueryTransform):
        transform = part.transform

        def turn(block: Block, rows: Numbers) -> Block:  # noqa: ARG001  one function for all lanes
            return replace(block, transform=_after(block.transform, transform))

        return turn
    lanes, width = lanes_of(part, space), space.width(part.keys or space.keys)
    factor = space.tensor(part.factor, len(lanes), (width,), f"factor ({part.name})")

    def scale(block: Block, rows: Numbers) -> Block:
        own = PerLane(factor, rows)
        return replace(block, kscale=own if block.kscale is None else _product(block.kscale, own))

    return scale


def _after(first: Transform | None, second: Transform) -> Transform:
    if first is None:
        return second
    before = first

    def both(query: Tensor) -> Tensor:
        return second(before(query))

    return both


def _product(one: PerLane, other: PerLane) -> PerLane:
    value = one.value[list(one.rows)] if one.value.shape[0] > 1 else one.value
    further = other.value[list(other.rows)] if other.value.shape[0] > 1 else other.value
    return PerLane(value * further, tuple(range(len(one.rows))))


def check_seen(block: Block, space: Space) -> None:
    """Raise Conflict where hard regions leave a query without a single token: it has nothing to be made of."""
    pairs = [(where, tokens) for where, tokens in block.bias if isinstance(where, PerLane)]
    if not any(bool(value.isneginf().any()) for where, tokens in pairs for value in (where.value, tokens.value)):
        return
    shared = all(value.shape[0] == 1 for where, tokens in pairs for value in (where.value, tokens.value))
    for lane in range(1 if shared else len(block.out)):
        rows = [(where.of(lane), tokens.of(lane)) for where, tokens in pairs]
        for start in range(0, space.queries, CHUNK):
            hidden = torch.zeros(1, 1, dtype=torch.bool, device=space.device)
            for field, tokens in rows:
                part = field[start : start + CHUNK, None]
                hidden = hidden | (part.isneginf() & (tokens > 0)) | ((part > 0) & tokens.isneginf())
            if bool(hidden.all(dim=-1).any()):
                raise Conflict(
                    "Some places of the picture are left without any token to attend to: they are in no region. "
                    "Give them to the base prompt, or cover the whole picture."
                )
