"""Which parts cannot hold together, and which may change places. See `xattn.compose` for what order means."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import TypeGuard

import torch
from torch import Tensor

from xattn.errors import Conflict
from xattn.parts import (
    AddSource,
    Bias,
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
from xattn.space import Space

ANOTHER = "Keep one of them, or give them other rows, heads, sites or steps"


def check(parts: Sequence[Part], space: Space) -> None:
    """Raise Conflict for the first two parts, in list order, that cannot both hold."""
    for first, second in combinations(parts, 2):
        shared = set(lanes_of(first, space)) & set(lanes_of(second, space))
        if not shared:
            continue
        why = _override(first, second) or _same_source(first, second, space, shared)
        if why:
            raise Conflict(f"{_capital(first.name)} and {second.name} cannot both hold: {why}.")


def lanes_of(part: Part, space: Space) -> tuple[int, ...]:
    """The output lanes that a part acts on."""
    return tuple(range(space.size)) if part.on is None else part.on


def keys_of(part: Part, space: Space) -> str | None:
    """The key source whose tokens a part means; None where it means none."""
    if isinstance(part, OutputField | Gate | Replace):
        return None
    return part.keys or space.keys


def commute(first: Part, second: Part, space: Space) -> bool:
    """Whether two parts that do not conflict give the same program in either order."""
    if isinstance(first, Gate) or isinstance(second, Gate):
        return True
    for one, other in ((first, second), (second, first)):
        if isinstance(one, WatchRows):
            return True
        if isinstance(one, Watch):  # a tap in the middle of the list reads what stands before it
            return one.at != "here" or isinstance(other, Bias | KeyScale | QueryTransform | Watch)
    if not _touched(first, space) & _touched(second, space):
        return True
    if any(isinstance(part, Bias | KeyScale | QueryTransform | Route) for part in (first, second)):
        return not all(isinstance(part, QueryTransform) for part in (first, second))  # the rest comes first, always
    if any(isinstance(part, AddSource) for part in (first, second)):
        return _commutes_with_source(first, second, space)
    if isinstance(first, Mix) or isinstance(second, Mix):
        return False
    return all(_linear(one, other, space) for one, other in ((first, second), (second, first)))


def renormalises(part: Part) -> TypeGuard[SetMap | MoveMap]:
    """Whether a part hides its tokens from the softmax of the others, and shares the row out anew."""
    return isinstance(part, SetMap | MoveMap) and part.renormalise


def full(part: Mix) -> bool:
    """Whether nothing of the target's own probabilities is left."""
    return bool((torch.as_tensor(part.alpha) == 1).all())


def _touched(part: Part, space: Space) -> set[int]:
    reads = set(part.source) if isinstance(part, Mix) else set()
    return set(lanes_of(part, space)) | reads


def _commutes_with_source(first: Part, second: Part, space: Space) -> bool:
    if isinstance(first, AddSource) and isinstance(second, AddSource):
        return True
    sources = {keys_of(first, space), keys_of(second, space)}
    return len(sources) == 2 and None not in sources  # an output field acts on all sources that stand before it


def _linear(one: Part, other: Part, space: Space) -> bool:
    """For every pairing of a column edit with what it does not commute with; the rest is linear in P."""
    if keys_of(one, space) != keys_of(other, space) and not isinstance(one, OutputField) | isinstance(
        other, OutputField
    ):
        return True
    if isinstance(one, TokenMap):
        return isinstance(other, OutputField)
    if renormalises(one):
        return isinstance(other, TokenDiagonal) and not _overlap(one, other)
    if isinstance(one, SetMap | MoveMap):
        return not isinstance(other, OutputField) and not _overlap(one, other)
    return True


def _overlap(one: Part, other: Part) -> bool:
    columns = [set(p.columns) for p in (one, other) if isinstance(p, SetMap | GainMap | MoveMap | TokenDiagonal)]
    return len(columns) == 2 and bool(columns[0] & columns[1])


def _override(first: Part, second: Part) -> str | None:
    for one, other in ((first, second), (second, first)):
        if not isinstance(one, Replace):
            continue
        if not isinstance(other, Watch | WatchRows):
            return f"one puts something else in the place of attention. {ANOTHER}"
        if other.at != "model" and isinstance(one.how, Tensor):
            return 'a kept output has no probabilities to read. Read them at "model", or in other rows or heads'
    return None


def _same_source(first: Part, second: Part, space: Space, shared: set[int]) -> str | None:
    if keys_of(first, space) != keys_of(second, space):
        return None
    reasons = (
        _two_sets(first, second),
        _two_mixes(first, second, space, shared),
        _routes(first, second),
        _score(first, second),
        _score(second, first) if isinstance(second, Mix) and full(second) else None,
        _renormalise(first, second),
    )
    return next((reason for reason in reasons if reason), None)


def _two_sets(first: Part, second: Part) -> str | None:
    if isinstance(first, SetMap) and isinstance(second, SetMap) and _overlap(first, second):
        return "both set the map of one token. Keep one of them, or use a gain"
    return None


def _two_mixes(first: Part, second: Part, space: Space, shared: set[int]) -> str | None:
    if not (isinstance(first, Mix) and isinstance(second, Mix)):
        return None
    width = space.width(keys_of(first, space) or space.keys)
    taken = torch.zeros(2, width, dtype=torch.bool)
    for place, part in enumerate((first, second)):
        lanes = lanes_of(part, space)
        alpha = space.tensor(part.alpha, len(lanes), (width,), "alpha") != 0
        rows = [position for position, lane in enumerate(lanes) if lane in shared]
        taken[place] = (alpha if alpha.shape[0] == 1 else alpha[rows]).any(dim=0).cpu()
    if bool((taken[0] & taken[1]).any()):
        return f"both take the map of one token from elsewhere. {second.instead or first.instead or ANOTHER}"
    return None


def _routes(first: Part, second: Part) -> str | None:
    if {type(first), type(second)} == {Mix, Route}:
        return "one takes the probabilities of another picture, the other its keys and values. Choose one"
    if isinstance(first, Route) and isinstance(second, Route):
        same = (first.key_from and second.key_from) or (first.value_from and second.value_from)
        return "both say where the same keys or values come from. Choose one" if same else None
    return None


def _score(first: Part, second: Part) -> str | None:
    """A part on scores, and a mix or map that leaves no scores for it to act on."""
    for one, other in _scores_first(first, second):
        if isinstance(other, Mix) and full(other):
            why = f"{one.name} acts on scores that {other.name} throws away"
            return f"{why}. Give it to the source instead, or give the two other steps"
    late = renormalises(second) or isinstance(second, Bias | KeyScale | QueryTransform | Route)
    if late and (isinstance(first, TokenMap) or (isinstance(first, Mix) and first.matrix is not None)):
        return f"scores come before the probabilities that {first.name} rearranges. Put {second.name} before it"
    return None


def _scores_first(first: Part, second: Part) -> Iterator[tuple[Part, Part]]:
    for one, other in ((first, second), (second, first)):
        if isinstance(one, Bias | KeyScale | QueryTransform | Route):
            yield one, other


def _renormalise(first: Part, second: Part) -> str | None:
    if not renormalises(second):
        if renormalises(first) and isinstance(second, Mix):
            return "the other words of a mixed map cannot be renormalised. Do not renormalise, or give them other steps"
        return None
    if isinstance(first, Mix):
        return "the other words of a mixed map cannot be renormalised. Do not renormalise, or give them other steps"
    if isinstance(first, SetMap | GainMap | MoveMap):
        return f"renormalising the other words would undo {first.name}. Put it first, or do not renormalise"
    return None


def _capital(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]
