"""Parts checked one by one, before composition: whether they fit the call, and whether they change anything."""

from __future__ import annotations

import torch
from torch import Tensor

from xattn.conflicts import lanes_of
from xattn.errors import BadValue
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
    Route,
    SetMap,
    TokenDiagonal,
    TokenMap,
)
from xattn.space import Space


def check_part(part: Part, space: Space) -> None:
    """Raise BadValue where a part names lanes or tokens that the call does not have."""
    lanes = lanes_of(part, space)
    if len(set(lanes)) != len(lanes) or any(not 0 <= lane < space.size for lane in lanes):
        raise BadValue(f"on ({part.name})", list(lanes), f"different numbers from 0 to {space.size - 1}")
    for others in _sources(part):
        if len(others) != len(lanes) or any(not 0 <= lane < space.size for lane in others):
            raise BadValue(f"source ({part.name})", list(others), f"{len(lanes)} lanes from 0 to {space.size - 1}")
    if isinstance(part, TokenDiagonal | SetMap | GainMap | MoveMap):
        width = space.width(part.keys or space.keys)
        if len(set(part.columns)) != len(part.columns) or any(not 0 <= column < width for column in part.columns):
            raise BadValue(f"columns ({part.name})", list(part.columns), f"different numbers from 0 to {width - 1}")


def _sources(part: Part) -> tuple[tuple[int, ...], ...]:
    if isinstance(part, Mix):
        return (part.source,)
    if isinstance(part, Route):
        return tuple(lanes for lanes in (part.key_from, part.value_from) if lanes is not None)
    return ()


def changes_nothing(part: Part, space: Space) -> bool:
    """Whether a part is the identity by its parameters, or acts on no lane."""
    lanes = lanes_of(part, space)
    if not lanes or (isinstance(part, TokenDiagonal | SetMap | GainMap | MoveMap) and not part.columns):
        return True
    if isinstance(part, Route):
        return part.key_from in (None, lanes) and part.value_from in (None, lanes)
    if isinstance(part, TokenMap):
        return bool((part.matrix == torch.eye(part.matrix.shape[-1]).to(part.matrix)).all())
    return any(bool((torch.as_tensor(given) == neutral).all()) for given, neutral in _neutral(part))


def _neutral(part: Part) -> tuple[tuple[Tensor | float, float], ...]:
    """Numbers of a part with the value that makes it nothing."""
    match part:
        case TokenDiagonal():
            return ((part.scale, 1.0),)
        case OutputField() | GainMap():
            return ((part.field, 1.0),)
        case KeyScale():
            return ((part.factor, 1.0),)
        case Gate():
            return ((part.value, 1.0),)
        case Mix():
            return ((part.alpha, 0.0),)
        case AddSource() if part.field is not None:
            return ((part.field, 0.0),)
        case Bias() if isinstance(part.field, Tensor):
            return ((part.field, 0.0), (part.tokens, 0.0))
        case Bias():
            return ((part.tokens, 0.0),)
    return ()
