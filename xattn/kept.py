"""What a program makes of one site's text alone: the same at every step, so made once.

Keys and values of a text are made once a run, and a program stays until an edit's window opens or closes. What follows
from the two (keys gathered, values transformed, which rows some lanes are) need not be made again at each step.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from xattn.asked import Asked, Scores
from xattn.program import Lanes, Program


@dataclass(frozen=True, slots=True, eq=False)
class Few:
    """Text whose denominators are known: exp(scores − lse) of the keys that are read alone.

    rows: of the batch, all heads of each, or one row; keys: [L, D, n], scaled; mix: [n, columns], what the columns are
    made of these keys, None where each is one key's
    """

    rows: int | slice | Tensor
    keys: Tensor
    mix: Tensor | None

    def read(self, query: Tensor, lse: Tensor) -> Tensor:
        """The columns [L, N, ·] of queries [B, H, N, D]; lse: of all their scores, [B, H, N]."""
        own, total = query[self.rows], lse[self.rows]
        if not isinstance(self.rows, int):
            own, total = own.flatten(0, 1), total.flatten(0, 1)
        if own.dtype is not self.keys.dtype:
            own = own.to(self.keys.dtype)
        probs = torch.bmm(own, self.keys).sub_(total.unsqueeze(-1)).exp_()
        return probs if self.mix is None else probs @ self.mix


@dataclass(slots=True, eq=False)
class Kept:
    """Of one program at one site. Belongs to whoever knows that keys and values of texts stay: a new one for others.

    It holds the tensors and lanes that it is asked for by, so that none is taken for another. `_asked` may be shared by
    sites.
    """

    _asked: dict[tuple[Program, str], Asked] = field(default_factory=dict)
    _text: dict[tuple[str, Lanes], Tensor] = field(default_factory=dict)
    _rows: dict[Tensor, slice | Tensor | None] = field(default_factory=dict)
    _few: dict[Scores, Few | None] = field(default_factory=dict)
    quick: dict[tuple[Program, str], Few] = field(default_factory=dict)
    """Of a program that only watches, with one tap, and a backend: what gives it, where the denominators are known."""

    @property
    def size(self) -> int:
        """How many things are kept."""
        return len(self._asked) + len(self._text) + len(self._rows) + len(self._few) + len(self.quick)

    def asked(self, program: Program, plain: str) -> Asked:
        """What a program reads at a site whose own key source is `plain`."""
        if (program, plain) not in self._asked:
            self._asked[program, plain] = Asked(program, plain)
        return self._asked[program, plain]

    def text(self, what: str, lanes: Lanes, make: Callable[[], Tensor]) -> Tensor:
        """What is made of a text's keys or values for some lanes; of the picture's own, "self", made each time."""
        if lanes.keys == "self":
            return make()
        if (what, lanes) not in self._text:
            self._text[what, lanes] = make()
        return self._text[what, lanes]

    def few(self, scores: Scores, make: Callable[[], Few | None]) -> Few | None:
        """What reads the few keys of these scores, None where all must be read."""
        if scores not in self._few:
            self._few[scores] = make()
        return self._few[scores]

    def rows(self, index: Tensor | None, heads: int) -> slice | Tensor | None:
        """The rows that lanes int64 [L] are, where they are all heads of each: an index of the rows, else None."""
        if index is None:
            return slice(None)
        if index not in self._rows:
            self._rows[index] = _rows(index, heads)
        return self._rows[index]


def _rows(index: Tensor, heads: int) -> slice | Tensor | None:
    rows = whole_rows(tuple(index.tolist()), heads)
    if not rows:
        return None
    if rows == tuple(range(rows[0], rows[0] + len(rows))):
        return slice(rows[0], rows[0] + len(rows))  # which copies nothing
    return index[::heads] // heads


def whole_rows(lanes: tuple[int, ...], heads: int) -> tuple[int, ...] | None:
    """The rows that lanes row · heads + head are, where they are all heads of each in order; else None."""
    rows = tuple(lane // heads for lane in lanes[::heads])
    whole = tuple(row * heads + head for row in rows for head in range(heads))
    return rows if whole == lanes else None
