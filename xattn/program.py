"""What is done to one attention call, as a value: the one intermediate form of every edit.

Almost every published edit of attention is linear in the probabilities P = softmax(QKᵀ·scale + bias), so it moves onto
V and the call stays fused, exactly. A lane is one (row, head) of the batch, numbered row · heads + head, query heads
also where keys have fewer. For each output lane o,

    out[o] = gate · ( Σ_{l: out=o} D_l · attend(Q[q], K[k]·kscale, T_l V[v]; bias) + Σ_j u_j (c_j V[o]) )

Composition is in compose.py, execution in lower.py. All of this knows tensors; words, steps and techniques live above.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from torch import Tensor

from xattn.sites import AttentionSite

QueryTransform: TypeAlias = Callable[[Tensor], Tensor]
"""[L, N, head_dim] → the same shape."""

BiasField: TypeAlias = Tensor | Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True, eq=False, slots=True)
class Lanes:
    """One fused call over L lanes.

    keys: the name of the key source: "self", "text", "image:0", "region:1" …
    q, k, v, out: int64 [L], which lane gives the queries, keys, values and takes the output. None is every lane in
        order: no gather, no copy.
    kscale: [L|1, K, 1], multiplies the keys and so the scores.
    bias: pairs of (field [L|1, N], tokens [L|1, K]); the scores get Σ field ⊗ tokens, and −inf · 0 counts as 0. A field
        may be a function of the range of the scores, (lowest, greatest), each [L, N] → [L, N].
    token: T on V: None, a diagonal [L|1, K], or a map [L|1, K, K'] from K' values to K keys.
    field: D on the output, [L|1, N, 1].
    transform: on the gathered queries, before the scores.
    shaped: further factors of D that depend on the probabilities: Readings that make [R, N, 1], and which of the R each
        lane takes, int64 [L] or None for all in order.
    """

    keys: str
    q: Tensor | None = None
    k: Tensor | None = None
    v: Tensor | None = None
    out: Tensor | None = None
    kscale: Tensor | None = None
    bias: tuple[tuple[BiasField, Tensor], ...] = ()
    token: Tensor | None = None
    field: Tensor | None = None
    transform: QueryTransform | None = None
    shaped: tuple[tuple[Reading, Tensor | None], ...] = ()

    @property
    def plain(self) -> bool:
        """Whether this is the model's own call on its own key source, untouched."""
        parts = (self.q, self.k, self.v, self.out, self.kscale, self.token, self.field, self.transform)
        return not (self.bias or self.shaped) and all(part is None for part in parts)


@dataclass(frozen=True, eq=False, slots=True)
class Tap:
    """Columns of the probabilities, read while the picture is made, never changing it.

    weights: [K', n]; the tap is P · weights, one column a word or phrase.
    at: "model" reads the probabilities without any edit, "edited" with all of them, a Program as they stood when it
        had been built so far (its lanes and ranks count).
    keys: the key source whose tokens the weights mean; None is the site's own ("self" or "text").
    on: int64, the output lanes that are read; the others come back 0. None is all that `at` has.
    rows: those rows of the batch, where the lanes are all heads of some: then only they come back, in this order.
    steers: whether a later call is made from what is read: then it is no product with what is only watched, whose
        columns would show in its last bit.
    """

    weights: Tensor
    at: Literal["model", "edited"] | Program = "model"
    keys: str | None = None
    on: Tensor | None = None
    rows: tuple[int, ...] | None = None
    steers: bool = False


@dataclass(frozen=True, eq=False, slots=True)
class RowTap:
    """Rows of the probabilities: where chosen queries look, of self-attention too without its N×N matrix.

    weights: [n, N], one place a row; a place of several queries is their weighted sum, a mean where they sum to 1.
        The tap is weights · P, or weights · P · columns: [n, K] or [n, m].
    columns: [K, m], brings keys together, so that many places of a large picture stay small
    at, keys, on: as in Tap
    """

    weights: Tensor
    columns: Tensor | None = None
    at: Literal["model", "edited"] = "model"
    keys: str | None = None
    on: Tensor | None = None


@dataclass(frozen=True, eq=False, slots=True)
class Reading:
    """A field that depends on the probabilities: shape(columns [R, N, n]) → [R, N, r], float32 or float64.

    lanes: int64 [R], the output lanes whose columns are read; None is all in order.
    """

    tap: Tap
    shape: Callable[[Tensor], Tensor]
    lanes: Tensor | None = None


@dataclass(frozen=True, eq=False, slots=True)
class Rank:
    """An outer product of low rank, added to the output: field · u (c V[v]).

    u: [S|1, N, r], constant, or a Reading of the probabilities. read: int64 [R], which of the S each lane takes.
    c: [R|1, r, K'], over the tokens of V. keys: the source of V. v, out: int64 [R] as in Lanes. field: [R|1, N, 1].
    """

    u: Tensor | Reading
    c: Tensor
    keys: str
    read: Tensor | None = None
    v: Tensor | None = None
    out: Tensor | None = None
    field: Tensor | None = None


@dataclass(frozen=True, eq=False, slots=True)
class Override:
    """Instead of attention, on the lanes `out` (int64 [n], None for all).

    how: "identity" gives each query its own value (P = I, self-attention only: perturbed attention guidance);
        a Tensor [n, N, value_dim] is an output kept from before; a function takes the explicit probabilities
        [n, N, K] of the text (never of self-attention) and returns those to use.
    """

    how: Literal["identity"] | Tensor | Callable[[Tensor], Tensor]
    out: Tensor | None = None


@dataclass(frozen=True, eq=False, slots=True)
class Program:
    """All that is done to one attention call. `Program()` is nothing: the plain call, bit for bit.

    lanes: the fused calls whose sum is the output; none means the plain call.
    gate: [O, 1, 1] on the output of each lane, None is 1.
    """

    lanes: tuple[Lanes, ...] = ()
    ranks: tuple[Rank, ...] = ()
    taps: tuple[Tap, ...] = ()
    gate: Tensor | None = None
    overrides: tuple[Override, ...] = ()
    rows: tuple[RowTap, ...] = ()

    @property
    def identity(self) -> bool:
        """Whether nothing is changed and nothing is read."""
        return not (self.taps or self.rows) and self.unedited

    @property
    def unedited(self) -> bool:
        """Whether the output is the plain call's (taps may still read)."""
        return not (self.lanes or self.ranks or self.overrides or self.gate is not None)


Record: TypeAlias = Callable[[AttentionSite, tuple[int, int], tuple[Tensor, ...]], None]
"""Takes a site, its grid (height, width) and what its taps read, each [rows, heads, N, n]: all rows, or `Tap.rows`."""

RecordRows: TypeAlias = Callable[[AttentionSite, tuple[int, int], tuple[Tensor, ...]], None]
"""Takes a site, its grid and what its row taps read, each [rows, heads, n, K or m]."""


@dataclass(frozen=True, eq=False, slots=True)
class StepProgram:
    """What the UNet is given for one step: a Program a site, by the site's name.

    stop_after: name of a site; the UNet returns right after it ran (a loss on maps needs no more).
    record, record_rows: get the taps and the row taps of every site that has some.
    """

    sites: Mapping[str, Program] = field(default_factory=dict)
    stop_after: str | None = None
    record: Record | None = None
    record_rows: RecordRows | None = None

    def at(self, site: str) -> Program | None:
        """The program of that site, or None for the plain call."""
        program = self.sites.get(site)
        return None if program is None or program.identity else program
