"""A word's map, painted by hand: turned up where you paint, replaced by what you paint, added to, or moved.

With P the probabilities of one head, t the tokens of the word, f the painted field and a the amount,

    gain    P_t ← (a f + b (1 − f)) P_t     a times where it is painted, b times where not
    set     P_t ← a f p                     p: the mean of that head's own mass of the word over the picture
    add     P_t ← P_t + a f p
    move    P_t ← (1 − f) P_t + a warp(f P_t)

and the output by what has changed, O + (P_t′ − P_t) ⊗ v_t, so that the fused call stays as it is. Painting counts in p
since most of the mass of every head sits on the begin-of-text token: an absolute number would mean something else in
each.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from dataclasses import field as given
from typing import TYPE_CHECKING, ClassVar, Literal, get_args

from pipelines import checks
from pipelines.ledger import Phrase
from pipelines.techniques.edit import Edit, check_word
from pipelines.techniques.values import Reach, Shape, Strength, check_reach, check_shape, check_strength
from pipelines.techniques.window import Window
from xattn.errors import BadValue, UnknownName

if TYPE_CHECKING:
    from torch import Tensor

    from pipelines.techniques.here import Here
    from xattn.parts import Part

Op = Literal["gain", "set", "add", "move"]
Renormalise = Literal["none", "others", "softmax"]
AMOUNTS: dict[str, float] = {"gain": 3.0, "set": 2.0, "add": 2.0, "move": 1.0}
"""What an amount that is left out becomes."""
FIRST_HALF = Window(steps=(0.0, 0.5))
"""Where things are is settled early; later steps make good what painting took from the other words."""
FLOOR = 1e-12
"""Below this there is no mass to be shared out."""


@dataclass(frozen=True, slots=True)
class PaintMap(Edit):
    """The map of a word or phrase, edited with a painted field. A phrase's tokens share its mass as they did.

    op: "gain", "set", "add" or "move", as above
    field: where, white is 1; None is everywhere. For "move" it is what is cut out and put elsewhere
    amount: 0 … 100, or points over the steps; one of AMOUNTS where it is left out
    shift: for "move", to the right and down, in parts of the picture's width and height, −1 … 1
    scale: for "move", .1 … 10, about the middle of what is moved
    outside: for "gain", b
    reach: which tokens are the word's (values.Reach); "after" is what moves a single object on most prompts
    renormalise: what becomes of the other words. "none": their maps stay, and rows do not sum to one any more.
        "others": they share what the word leaves them, as they did, and the word's map is just what was painted.
        "softmax": the painted row is divided by its sum, which for a gain is a bias of its logarithm.
    relative: whether "set" and "add" count in p; False counts in mass itself, 0 … 1
    """

    kind: ClassVar[str] = "paint_map"

    window: Window = given(default=FIRST_HALF, kw_only=True)

    word: Phrase
    op: Op = "gain"
    field: Shape | None = None
    amount: Strength | None = None
    shift: tuple[float, float] = (0.0, 0.0)
    scale: float = 1.0
    outside: float = 1.0
    reach: Reach = "word"
    renormalise: Renormalise = "none"
    relative: bool = True

    def check(self) -> None:
        """See `Edit.check`."""
        check_word("paint_map.word", self.word)
        if self.op not in get_args(Op):
            raise UnknownName("op of paint_map", self.op, get_args(Op))
        if self.renormalise not in get_args(Renormalise):
            raise UnknownName("renormalise of paint_map", self.renormalise, get_args(Renormalise))
        if self.field is not None:
            check_shape("paint_map.field", self.field)
        amount = AMOUNTS[self.op] if self.amount is None else self.amount
        # kept as a number, so that a stored recipe means the same when what is usual changes
        self._set("amount", check_strength("paint_map.amount", amount, 0.0, 100.0))
        self._set("shift", _shift(self.shift))
        self._set("scale", checks.number("paint_map.scale", self.scale, 0.1, 10.0, "1 keeps the size"))
        if self.op != "move" and (self.shift != (0.0, 0.0) or self.scale != 1.0):
            raise BadValue("paint_map.op", self.op, '"move" where shift or scale is given')
        self._set("outside", checks.number("paint_map.outside", self.outside, 0.0, 100.0, "1 leaves it as it is"))
        if self.op != "gain" and self.outside != 1.0:
            raise BadValue("paint_map.op", self.op, '"gain" where outside is given')
        check_reach("reach of paint_map", self.reach)
        checks.flag("paint_map.relative", self.relative)
        if not self.relative and self.op not in ("set", "add"):
            raise BadValue("paint_map.relative", False, f'left out for "{self.op}", which paints no mass of its own')

    @property
    def moves(self) -> bool:
        """See `Edit.moves`."""
        return isinstance(self.amount, tuple) or bool(self.live)

    def lower(self, here: Here) -> Sequence[Part]:
        """See `Edit.lower`."""
        from xattn.parts import GainMap, MoveMap, SetMap

        columns, lanes, name = here.reached(self.word, self.reach), here.lanes, here.name
        assert self.amount is not None, "a number since it was checked"
        amount, field = here.value(self.amount), self._field(here)
        if self.op == "gain" and self.renormalise != "others":
            field = self.outside + (amount - self.outside) * field
            return [GainMap(columns, field, renormalise=self.renormalise == "softmax", on=lanes, name=name)]
        if self.op == "set" and self.renormalise != "softmax":
            others = self.renormalise == "others"
            return [SetMap(columns, amount * field, self.relative, others, on=lanes, name=name)]
        if self._changes_nothing(amount):
            return []
        paint = self._paint(amount, field[:, None], here)
        if self.renormalise == "none":
            return [MoveMap(columns, paint, on=lanes, name=name)]
        within = _divided(paint) if self.renormalise == "softmax" else _at_most_one(paint)
        return [MoveMap(columns, within, on=lanes, name=name, renormalise=True)]

    def _field(self, here: Here) -> Tensor:
        if self.field is None:
            return here.zeros(here.space.queries) + 1
        return here.field(self.field).to(here.zeros())

    def _changes_nothing(self, amount: float) -> bool:
        stays = self.shift == (0.0, 0.0) and self.scale == 1.0
        same = (self.op, amount, self.outside) == ("gain", 1.0, 1.0)
        return same or (self.op, amount) == ("add", 0.0) or (self.op == "move" and amount == 1.0 and stays)

    def _paint(self, amount: float, field: Tensor, here: Here) -> Callable[[Tensor], Tensor]:
        """The word's columns [lanes, N, tokens] → what they become; field [N, 1]."""
        if self.op == "gain":
            return lambda own: (self.outside + (amount - self.outside) * field) * own
        if self.op == "set":
            return lambda own: amount * field * self._unit(own) * _share(own)
        if self.op == "add":
            return lambda own: own + amount * field * self._unit(own) * _share(own.mean(dim=1, keepdim=True))
        from pipelines.techniques.warp import middle, warping

        warp = warping(here.grid, self.shift, self.scale, middle(field[:, 0], here.grid))
        return lambda own: (1 - field) * own + amount * warp(field * own)

    def _unit(self, own: Tensor) -> Tensor | float:
        """What painting counts in: the mean mass of the word, lane by lane, [lanes, 1, 1]."""
        return own.sum(dim=-1, keepdim=True).mean(dim=1, keepdim=True) if self.relative else 1.0


def _share(own: Tensor) -> Tensor:
    """How the tokens of a word share its mass; alike where there is none."""
    mass = own.sum(dim=-1, keepdim=True)
    some = mass > FLOOR
    return own.masked_fill(~some, 1.0) / mass.masked_fill(~some, own.shape[-1])


def _at_most_one(paint: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """A row has no more than 1 to give."""

    def bounded(own: Tensor) -> Tensor:
        painted = paint(own)
        return painted / painted.sum(dim=-1, keepdim=True).clamp(min=1.0)

    return bounded


def _divided(paint: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """The painted row over its sum."""

    def divided(own: Tensor) -> Tensor:
        painted = paint(own)
        others = (1 - own.sum(dim=-1, keepdim=True)).clamp(min=0.0)
        return painted / (others + painted.sum(dim=-1, keepdim=True)).clamp(min=FLOOR)

    return divided


def _shift(given: object) -> tuple[float, float]:
    if not isinstance(given, tuple) or len(given) != 2:
        raise BadValue("paint_map.shift", given, "a pair such as (0.25, 0.0): to the right, and down")
    right, down = (checks.number("paint_map.shift", one, -1.0, 1.0) for one in given)
    return right, down
