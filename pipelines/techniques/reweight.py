"""A word counts more, or less: P · diag s, not renormalised (Hertz et al. 2022, "Prompt-to-Prompt", section 4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Literal

from pipelines import checks
from pipelines.ledger import Phrase
from pipelines.techniques import published
from pipelines.techniques.alignment import Link
from pipelines.techniques.edit import Edit, check_word
from pipelines.techniques.values import Strength, check_strength
from pipelines.techniques.window import Window
from xattn.errors import BadValue, UnknownName

if TYPE_CHECKING:
    from pipelines.techniques.here import Here
    from xattn.parts import Part


AFTER = 'Scale the map that the other has taken over: a reweight with of="own", after it in the list'
"""What helps where another edit takes the word's map from the source too."""


@dataclass(frozen=True, slots=True)
class Reweight(Edit):
    """The map of a word times `scale`: 0 takes the word away, 1 is nothing, −1 turns it round.

    scale: a number from −10 to 10, or points over the steps
    of: "own" scales the row's own map; "source" that of the source picture's row, as the published code does, so the
        layout stays: the word's map is then the source's times scale, and other words keep theirs. After a `Replace`
        or `Refine`, whose maps are the source's already, "own" scales those
    published: the paper's code without another edit before it: all columns are the source's, each at its own place
    """

    kind: ClassVar[str] = "reweight"

    word: Phrase
    scale: Strength
    of: Literal["own", "source"] = "own"
    published: bool = False

    def check(self) -> None:
        """See `Edit.check`."""
        check_word("reweight.word", self.word)
        self._set("scale", check_strength("reweight.scale", self.scale, -10.0, 10.0, "1 changes nothing"))
        if self.of not in ("own", "source"):
            raise UnknownName("reweight.of", self.of, ("own", "source"))
        checks.flag("reweight.published", self.published)
        if self.published and self.of == "own":
            raise BadValue("reweight.of", self.of, '"source" with published=True, whose code scales the source\'s maps')

    @property
    def takes_source(self) -> bool:
        """See `Edit.takes_source`."""
        return self.of == "source"

    @property
    def moves(self) -> bool:
        """See `Edit.moves`."""
        return isinstance(self.scale, tuple)

    def opens(self, index: int, steps: int) -> bool:
        """See `Edit.opens`."""
        opens = published.cross_opens if self.published else Window.open
        return opens(self.window, index, steps)

    def lower(self, here: Here) -> Sequence[Part]:
        """See `Edit.lower`."""
        from xattn.parts import Mix, TokenDiagonal

        columns = here.columns(self.word)
        parts: list[Part] = []
        if self.published:
            parts.append(Mix(here.source_lanes, on=here.lanes, name=here.name, instead=AFTER))
        elif self.of == "source":
            theirs = here.source_columns(self.word)
            link = Link("paired", "", "", theirs, columns)
            parts.append(replace(here.from_source(dict(link.shares())), instead=AFTER))
        parts.append(TokenDiagonal(columns, here.value(self.scale), on=here.lanes, name=here.name))
        return parts
