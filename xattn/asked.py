"""What a program reads, decided once for all its calls.

All columns that read the same probabilities are stacked into one product: one extra product a site.
"""

from __future__ import annotations

import torch
from torch import Tensor

from xattn.program import Lanes, Override, Program, Reading, Tap
from xattn.tiled import promoted

Scores = tuple[object, ...]
"""Equal for lanes whose probabilities are the same and which shape the picture or do not. Those that do are never in
one product with what is only watched: how many columns a product has shows in its last bit."""


class Asked:
    """All that a program reads, stacked into as few products as its scores allow. Made once, for any number of calls.

    products: of each product one of its lanes, and the columns [L|1, K, n] that it has
    few: of each product of one set of columns for all lanes, which keys they have, and what they make of these
        [keys, n]; None where each is one key's
    places: of what a tap reads of some lanes: which product, and which of its columns
    alone: of a tap that reads one set of lanes, which need no filing under their rows: these
    """

    def __init__(self, program: Program, plain: str) -> None:
        self.products: dict[Scores, tuple[Lanes, Tensor]] = {}
        self.few: dict[Scores, tuple[Tensor, Tensor | None]] = {}
        self.places: dict[tuple[Lanes, Tap], tuple[Scores, int, int]] = {}
        self.alone: dict[Tap, Lanes] = {}
        self._plain, self._untouched = plain, dict[str, Lanes]()
        self._overridden: dict[Override, Lanes] = {}
        self._stacks: dict[Scores, tuple[Lanes, list[Tensor]]] = {}
        self._met: set[Reading] = set()
        for tap in program.taps:
            self._ask(tap, program, shaping=tap.steers)
            self._alone(tap, stage_of(tap, program))
        self._ask_shapes(program)
        for scores, (lanes, stack) in self._stacks.items():
            count = max(columns.shape[0] for columns in stack)
            self.products[scores] = lanes, joined([columns.expand(count, -1, -1) for columns in stack], dim=-1)
            if count == 1:
                self.few[scores] = _few(self.products[scores][1][0])
        self._stacks.clear()

    def lanes(self, stage: Program, keys: str) -> tuple[Lanes, ...]:
        """The lanes of one key source; a program that names none at all is the plain call."""
        if not stage.lanes:
            return (self._untouched.setdefault(keys, Lanes(keys)),)
        return tuple(lanes for lanes in stage.lanes if lanes.keys == keys)

    def instead_of(self, override: Override) -> Lanes:
        """The lanes whose probabilities an override takes."""
        if override not in self._overridden:
            index = override.out
            self._overridden[override] = Lanes(self._plain, q=index, k=index, v=index, out=index)
        return self._overridden[override]

    def _ask(self, tap: Tap, program: Program, *, shaping: bool) -> None:
        stage = stage_of(tap, program)
        for lanes in self.lanes(stage, tap.keys or self._plain):
            if (lanes, tap) in self.places:  # two readings of one tap
                continue
            # what is watched before and after edits of V is not in one product, so that each is as it is alone
            scores = ((shaping, not shaping and lanes.token is not None), *_scores(lanes))
            stack = self._stacks.setdefault(scores, (lanes, []))[1]
            start = _place(_turned(lanes.token, tap.weights), stack, again=not shaping)
            self.places[lanes, tap] = (scores, start, start + tap.weights.shape[-1])
        self._ask_shapes(stage)

    def _alone(self, tap: Tap, stage: Program) -> None:
        lanes = self.lanes(stage, tap.keys or self._plain)
        exact = len(lanes) == 1 and lanes[0].out is tap.on and not (stage.ranks or stage.overrides)
        if exact and (tap.on is None or tap.rows is not None):
            self.alone[tap] = lanes[0]

    def _ask_shapes(self, program: Program) -> None:
        readings = [rank.u for rank in program.ranks if isinstance(rank.u, Reading)]
        readings += [reading for lanes in program.lanes for reading, _ in lanes.shaped]
        for reading in readings:
            if reading not in self._met:
                self._met.add(reading)
                self._ask(reading.tap, program, shaping=True)


def _place(columns: Tensor, stack: list[Tensor], *, again: bool) -> int:
    """Where in a stack these columns begin; they are put there, unless with `again` the same already are."""
    start = 0
    for known in stack:
        if again and known.shape == columns.shape and torch.equal(known, columns):
            return start
        start += known.shape[-1]
    stack.append(columns)
    return start


def _few(columns: Tensor) -> tuple[Tensor, Tensor | None]:
    used = (columns != 0).any(dim=1).nonzero()[:, 0]
    mix = columns[used]
    if bool(((mix != 0).sum(dim=0) == 1).all()) and bool((mix.sum(dim=0) == 1).all()):
        return used[mix.argmax(dim=0)], None  # one key each, in the order of the columns
    return used, mix


def stage_of(tap: Tap, program: Program) -> Program:
    """The program whose probabilities a tap reads."""
    if isinstance(tap.at, Program):
        return tap.at
    return program if tap.at == "edited" else Program()


def _scores(lanes: Lanes) -> Scores:
    # By identity: composition gives equal numbers as one tensor, and the program holds them for the whole call.
    parts = (lanes.q, lanes.k, lanes.kscale, lanes.transform)
    return (lanes.keys, *map(id, parts), *((id(where), id(tokens)) for where, tokens in lanes.bias))


def _turned(token: Tensor | None, weights: Tensor) -> Tensor:
    """T · W, [L|1, K, n]."""
    if token is None:
        return weights[None]
    wide = promoted(token, weights)
    if token.dim() == 2:
        return token[..., None].to(wide) * weights.to(wide)
    return token.to(wide) @ weights.to(wide)


def joined(some: list[Tensor], dim: int) -> Tensor:
    """Their concatenation; a single one as it is, without a copy."""
    return some[0] if len(some) == 1 else torch.cat(some, dim=dim)
