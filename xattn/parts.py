"""The primitives: what one edit does to one attention call, in tensors. compose.py makes a Program of a list of them.

Techniques (words, windows, papers) live above and lower themselves to these. Common to all:

on: the output lanes that the part acts on, as numbers row · heads + head (`Space.lanes`); None is every lane.
keys: the key source whose tokens it means, "text" unless said; None is the site's own source.
name: how an error calls it: 'the reweight of "cat"'.

Tensors may hold one value for all lanes or one a lane of `on`, in order, in a leading dimension.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from torch import Tensor

LaneSet: TypeAlias = tuple[int, ...] | None


@dataclass(frozen=True, eq=False, slots=True)
class Bias:
    """scores += field ⊗ tokens: paint with words, hard regions, log-gains. −inf hides; −inf · 0 counts as 0.

    field: [N] or [lanes, N], or a function of the range of the scores, (lowest, greatest), each [lanes, N] over the
        keys of one query → [lanes, N]. tokens: [K] or [lanes, K].
    """

    field: Tensor | Callable[[Tensor, Tensor], Tensor]
    tokens: Tensor
    on: LaneSet = None
    keys: str | None = None
    name: str = "a bias"


@dataclass(frozen=True, eq=False, slots=True)
class KeyScale:
    """scores · factor, by key: factor [K] or [lanes, K]."""

    factor: Tensor
    on: LaneSet = None
    keys: str | None = None
    name: str = "a key scale"


@dataclass(frozen=True, eq=False, slots=True)
class QueryTransform:
    """Changes the queries before the scores: [L, N, head_dim] → the same shape (smoothed energy guidance: a blur)."""

    transform: Callable[[Tensor], Tensor]
    on: LaneSet = None
    keys: str | None = None
    name: str = "a query transform"


@dataclass(frozen=True, eq=False, slots=True)
class TokenDiagonal:
    """P · diag s: the probabilities of some tokens times a factor; rows no longer sum to one.

    columns: token positions. scale: one number, or a tensor [columns] or [lanes, columns].
    """

    columns: tuple[int, ...]
    scale: float | Tensor
    on: LaneSet = None
    keys: str | None = None
    name: str = "a token factor"


@dataclass(frozen=True, eq=False, slots=True)
class TokenMap:
    """P · S: what was attended to at one token is spent on others. matrix: [K, K'] or [lanes, K, K']."""

    matrix: Tensor
    on: LaneSet = None
    keys: str | None = None
    name: str = "a token map"


@dataclass(frozen=True, eq=False, slots=True)
class OutputField:
    """D · (what the output is so far). field: [N] or [lanes, N]."""

    field: Tensor
    on: LaneSet = None
    name: str = "an output field"


@dataclass(frozen=True, eq=False, slots=True)
class AddSource:
    """+ field · attend(Q, K', V') with another key source: image prompts, soft regions, a prompt's other half.

    field: [N] or [lanes, N] or None for 1.
    """

    keys: str
    field: Tensor | None = None
    on: LaneSet = None
    name: str = "an added source"


@dataclass(frozen=True, eq=False, slots=True)
class Mix:
    """P := P_source · matrix · diag α + P · diag(1 − α), per token of the target (prompt-to-prompt, injection).

    source: a lane for each lane of `on`. matrix: [K_source, K] or None for the identity. alpha: a number, [K] or
        [lanes, K]. The source is taken as the parts before this one have built it.
    instead: what an error advises where another mix takes the same token
    """

    source: tuple[int, ...]
    matrix: Tensor | None = None
    alpha: float | Tensor = 1.0
    on: LaneSet = None
    keys: str | None = None
    name: str = "a mix"
    instead: str = ""


@dataclass(frozen=True, eq=False, slots=True)
class Route:
    """Keys, values or both from other lanes, one for each lane of `on` (mutual self-attention, MasaCtrl).

    A route of lanes to themselves is nothing, also after another route: it takes nothing back.
    """

    key_from: tuple[int, ...] | None = None
    value_from: tuple[int, ...] | None = None
    on: LaneSet = None
    keys: str | None = None
    name: str = "a route"


@dataclass(frozen=True, eq=False, slots=True)
class SetMap:
    """The column of a token := field; of a phrase, the sum of its columns, shared out as they were.

    field: [N] or [lanes, N]. relative: times that lane's own mean mass of the phrase, since most mass sits on
        begin-of-text and an absolute number would mean something else in every head.
    renormalise: the other columns become (1 − the phrase's new mass) of what they are without this phrase, so that rows
        still sum to one, and a new mass over 1 counts as 1; else they stay.
    """

    columns: tuple[int, ...]
    field: Tensor
    relative: bool = False
    renormalise: bool = False
    on: LaneSet = None
    keys: str | None = None
    name: str = "a set map"


@dataclass(frozen=True, eq=False, slots=True)
class GainMap:
    """The columns of some tokens times a field g ≥ 0: [N] or [lanes, N].

    renormalise: log g is added to the scores instead, so that rows still sum to one.
    """

    columns: tuple[int, ...]
    field: Tensor
    renormalise: bool = False
    on: LaneSet = None
    keys: str | None = None
    name: str = "a gain map"


@dataclass(frozen=True, eq=False, slots=True)
class MoveMap:
    """The columns of some tokens := warp(columns), [lanes, N, columns] → the same shape.

    renormalise: the other columns become (1 − the sum of these) of what they are without these tokens, so that rows
        still sum to one; the warp keeps that sum at or below 1.
    """

    columns: tuple[int, ...]
    warp: Callable[[Tensor], Tensor]
    on: LaneSet = None
    keys: str | None = None
    name: str = "a moved map"
    renormalise: bool = False


@dataclass(frozen=True, eq=False, slots=True)
class Gate:
    """The whole output of a lane times a number, or a tensor [lanes]: silence a head, or weaken it."""

    value: float | Tensor
    on: LaneSet = None
    name: str = "a gate"


@dataclass(frozen=True, eq=False, slots=True)
class Replace:
    """Something else instead of attention: see `xattn.program.Override` for `how`."""

    how: Literal["identity"] | Tensor | Callable[[Tensor], Tensor]
    on: LaneSet = None
    name: str = "an override"


@dataclass(frozen=True, eq=False, slots=True)
class Watch:
    """Reads columns of the probabilities and changes nothing: weights [K, n].

    at: "model" before any edit, "edited" after all, "here" after the parts before this one (biases count everywhere
        but in "model": they come before the softmax). Lanes outside `on` are not computed and come back 0.
    steers: whether an edit at a later step is made from it; see `xattn.program.Tap`.
    """

    weights: Tensor
    at: Literal["model", "edited", "here"] = "model"
    on: LaneSet = None
    keys: str | None = None
    steers: bool = False
    name: str = "a tap"


@dataclass(frozen=True, eq=False, slots=True)
class WatchRows:
    """Reads where chosen queries look and changes nothing: weights [n, N], columns [K, m] (`xattn.program.RowTap`).

    at: "model" before any edit, "edited" after all. Lanes outside `on` are not computed and come back 0.
    """

    weights: Tensor
    columns: Tensor | None = None
    at: Literal["model", "edited"] = "model"
    on: LaneSet = None
    keys: str | None = None
    name: str = "a row tap"


Score: TypeAlias = Bias | KeyScale | QueryTransform | Route
Column: TypeAlias = SetMap | GainMap | MoveMap
Part: TypeAlias = (
    Score | TokenDiagonal | TokenMap | OutputField | AddSource | Mix | Column | Gate | Replace | Watch | WatchRows
)
