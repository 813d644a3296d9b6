"""Random attention problems and random programs, small."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from hypothesis import strategies as st
from torch import Tensor

from tests.xattn.oracle import Problem
from xattn import parts as p
from xattn.conflicts import check
from xattn.errors import Conflict
from xattn.identity import changes_nothing
from xattn.program import Program
from xattn.space import Space

Lanes = tuple[int, ...] | None
seeds = st.integers(0, 2**31 - 1)


def noise(generator: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def laid_out(program: Program, taps: Sequence[Tensor], rows: int) -> Tensor | None:
    """What the taps of a program read, side by side, [B·H, N, n]; 0 of the rows that a tap does not name."""
    whole = []
    for tap, read in zip(program.taps, taps, strict=True):
        assert len(read) == (rows if tap.rows is None else len(tap.rows))
        every = read if tap.rows is None else read.new_zeros(rows, *read.shape[1:])
        if tap.rows is not None:
            every[list(tap.rows)] = read
        whole.append(every)
    return torch.cat(whole, dim=-1).flatten(0, 1) if whole else None


class Cases:
    """Draws numbers from one seed; hypothesis draws the structure."""

    def __init__(self, draw: st.DrawFn, plain: str | None = None, *, kept: bool = False) -> None:
        self.draw, self.kept = draw, kept
        self.generator = torch.Generator().manual_seed(draw(seeds))
        self.rows = draw(st.integers(1, 3))
        self.kv_heads = draw(st.integers(1, 2))
        self.heads = self.kv_heads * draw(st.integers(1, 2))
        self.places = draw(st.integers(1, 6))
        self.plain = plain or draw(st.sampled_from(["text", "text", "self"]))
        self.tokens = {"text": draw(st.integers(2, 7)), "image:0": draw(st.integers(1, 4))}
        self.head_dim, self.value_dim = draw(st.integers(1, 5)), draw(st.integers(1, 5))
        self.space = Space(self.rows, self.heads, self.places, self.plain, self.tokens, dtype=torch.float64)
        self.sources: list[str | None] = [None]  # whose tokens parts may mean: added ones once they take part
        self.keys: str | None = None
        self.width = self.space.width(self.plain)
        self.turned = False  # whether all columns of some place may have turned negative
        self.signed = False  # whether some may have beside others that did not

    def problem(self) -> Problem:
        query = self.noise(self.rows, self.heads, self.places, self.head_dim)
        sources = {
            name: (
                self.noise(self.rows, self.kv_heads, k, self.head_dim),
                self.noise(self.rows, self.kv_heads, k, self.value_dim),
            )
            for name, k in {**self.tokens, "self": self.places}.items()
        }
        return Problem(query, sources, self.plain)

    def noise(self, *shape: int) -> Tensor:
        return noise(self.generator, *shape)

    def positive(self, *shape: int) -> Tensor:
        return torch.rand(shape, generator=self.generator, dtype=torch.float64) * 1.5

    def on(self) -> Lanes:
        lanes = self.rows * self.heads
        kind = self.draw(st.sampled_from(["all", "all", "rows", "some"]))
        if kind == "all":
            return None
        if kind == "rows":  # whole rows that follow each other: what edits of pictures mostly are, and slices
            first = self.draw(st.integers(0, self.rows - 1))
            last = self.draw(st.integers(first + 1, self.rows))
            return tuple(range(first * self.heads, last * self.heads))
        return tuple(self.draw(st.lists(st.integers(0, lanes - 1), min_size=1, max_size=lanes, unique=True)))

    def columns(self, most: int = 2) -> tuple[int, ...]:
        return tuple(self.draw(st.lists(st.integers(0, self.width - 1), min_size=1, max_size=most, unique=True)))

    def phrase(self) -> tuple[int, ...]:
        """Columns whose mass is shared out as it was. Of two signs it may be all but 0, and what is divided by it has
        no digits left; one column is always its own share."""
        return self.columns(1 if self.signed else 2)

    def maybe_per_lane(self, on: Lanes, *shape: int) -> tuple[int, ...]:
        count = self.rows * self.heads if on is None else len(on)
        return (count, *shape) if self.draw(st.booleans()) else shape

    def part(self) -> p.Part:
        self.keys = self.draw(st.sampled_from(self.sources))
        self.width = self.space.width(self.keys or self.plain)
        on = self.on()
        part: p.Part = getattr(self, f"_{self.draw(st.sampled_from(KINDS))}")(on)
        if isinstance(part, p.OutputField):
            self.turned |= bool((part.field < 0).any())
        else:
            self.signed |= self.turned or (isinstance(part, p.MoveMap) and part.renormalise)
        return part

    def _count(self, on: Lanes) -> int:
        return self.rows * self.heads if on is None else len(on)

    def _source(self, on: Lanes) -> tuple[int, ...]:
        lanes = st.integers(0, self.rows * self.heads - 1)
        return tuple(self.draw(st.lists(lanes, min_size=self._count(on), max_size=self._count(on))))

    def _field(self, on: Lanes) -> Tensor:
        return self.positive(*self.maybe_per_lane(on, self.places))

    def _bias(self, on: Lanes) -> p.Part:
        return p.Bias(self._field(on) - 0.7, self.noise(*self.maybe_per_lane(on, self.width)), on, self.keys)

    def _ranged(self, on: Lanes) -> p.Part:
        return p.Bias(lambda low, high: high - 0.5 * low, self.noise(self.width), on, self.keys)

    def _kscale(self, on: Lanes) -> p.Part:
        return p.KeyScale(self.positive(*self.maybe_per_lane(on, self.width)), on, self.keys)

    def _transform(self, on: Lanes) -> p.Part:
        return p.QueryTransform(lambda query: query.roll(1, dims=1) * 0.5, on, self.keys)

    def _diagonal(self, on: Lanes) -> p.Part:
        columns = self.columns()
        scale = self.noise(*self.maybe_per_lane(on, len(columns)))
        self.signed |= bool((scale < 0).any())
        return p.TokenDiagonal(columns, scale, on, self.keys)

    def _map(self, on: Lanes) -> p.Part:
        self.signed = True
        return p.TokenMap(self.noise(*self.maybe_per_lane(on, self.width, self.width)), on, self.keys)

    def _left(self, on: Lanes) -> p.Part:
        field = self._field(on) - 0.5
        if self.draw(st.booleans()):
            field[: self.draw(st.integers(1, len(field)))] = 0.0  # whole lanes, or some places of all
        return p.OutputField(field, on)

    def _add(self, on: Lanes) -> p.Part:
        return p.AddSource("image:0", self._field(on) if self.draw(st.booleans()) else None, on)

    def _mix(self, on: Lanes) -> p.Part:
        matrix = self.noise(self.width, self.width) if self.draw(st.booleans()) else None
        alpha = self.draw(st.sampled_from(["soft", "hard", "full"]))
        some = self.positive(*self.maybe_per_lane(on, self.width))
        some = some if alpha == "soft" else (some > 0.7).double()
        self.signed |= matrix is not None or bool((some > 1).any())
        return p.Mix(self._source(on), matrix, 1.0 if alpha == "full" else some, on, self.keys)

    def _route(self, on: Lanes) -> p.Part:
        return p.Route(self._source(on) if self.draw(st.booleans()) else None, self._source(on), on, self.keys)

    def _set(self, on: Lanes) -> p.Part:
        return p.SetMap(self.phrase(), self._field(on), self.draw(st.booleans()), on=on, keys=self.keys)

    def _set_others(self, on: Lanes) -> p.Part:
        if self.width < 3:
            return self._gain(on)  # there are no others
        return p.SetMap(self.phrase(), self._field(on) / 2, self.draw(st.booleans()), True, on, self.keys)

    def _gain(self, on: Lanes) -> p.Part:
        return p.GainMap(self.columns(), self._field(on), self.draw(st.booleans()), on, self.keys)

    def _move(self, on: Lanes) -> p.Part:
        return p.MoveMap(self.columns(), lambda columns: columns.roll(1, dims=1) * 0.7, on, self.keys)

    def _move_others(self, on: Lanes) -> p.Part:
        if self.width < 3:
            return self._gain(on)  # there are no others
        return p.MoveMap(self.columns(), lambda columns: columns.roll(1, dims=1) * 0.5, on, self.keys, renormalise=True)

    def _gate(self, on: Lanes) -> p.Part:
        return p.Gate(self.noise(*self.maybe_per_lane(on)), on)

    def _replace(self, on: Lanes) -> p.Part:
        if self.kept and self.draw(st.booleans()):
            return p.Replace(self.noise(self._count(on), self.places, self.value_dim), on)
        return p.Replace("identity" if self.plain == "self" else lambda probs: probs**2, on)

    def _watch(self, on: Lanes) -> p.Part:
        at = self.draw(st.sampled_from(["model", "edited", "here"]))
        return p.Watch(self.noise(self.width, self.draw(st.integers(1, 3))), at, on, self.keys)


KINDS = (
    *("bias", "ranged", "kscale", "transform", "diagonal", "map", "left", "add", "mix", "route", "set", "set_others"),
    *("gain", "move", "move_others", "gate", "replace", "watch", "watch"),
)


@st.composite
def programs(draw: st.DrawFn, most: int = 5, *, kept: bool = False) -> tuple[Problem, Space, list[p.Part]]:
    """A problem and a list of parts that do not conflict: those that would are left out.

    kept: with outputs kept from before among them, of which nothing can be read
    """
    cases = Cases(draw, kept=kept)
    chosen: list[p.Part] = []
    for _ in range(draw(st.integers(1, most))):
        part = cases.part()
        if isinstance(part, p.GainMap) and part.renormalise:
            tokens = cases.space.one_hot(part.columns, part.keys or cases.plain).sum(0)
            part = p.Bias(part.field.log(), tokens, part.on, part.keys)
        try:
            check([q for q in [*chosen, part] if not changes_nothing(q, cases.space)], cases.space)
        except Conflict:
            continue
        chosen.append(part)
        if isinstance(part, p.AddSource):
            cases.sources = [None, part.keys]
    return cases.problem(), cases.space, chosen
