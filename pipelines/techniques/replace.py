"""Words change places: the target's maps are the source's (Hertz et al. 2022, "Prompt-to-Prompt", word swap).

With M the mapper from the source's columns to the target's,

    P ← P_source · M

so that what is drawn for the new word is drawn where the old one was. Fused, only queries and keys change, and V
becomes M·V.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from pipelines.techniques import published
from pipelines.techniques.alignment import Pairs, check_pairs
from pipelines.techniques.edit import Edit
from pipelines.techniques.window import Window
from xattn.errors import BadValue

if TYPE_CHECKING:
    from pipelines.techniques.here import Here
    from xattn.parts import Part

CROSS = Window(steps=(0.0, 0.8))
"""The paper's share of the steps for cross-attention."""


@dataclass(frozen=True, slots=True)
class Replace(Edit):
    """Every word's map is that of the source's word in its place; words that the source has nothing for keep theirs.

    pairs: words or phrases that stand for each other, where the automatic alignment (`pipe.alignment`) errs
    published: the paper's code: as many words in both prompts, between spaces, one chunk of tokens, no pairs; and after
        the last word that changes, where that is cut into another number of tokens, it reads wrong columns
    """

    kind: ClassVar[str] = "replace"
    wants_source: ClassVar[bool] = True

    pairs: Pairs = ()
    published: bool = False
    window: Window = field(default=CROSS, kw_only=True)

    def check(self) -> None:
        """See `Edit.check`."""
        check_mapper(self.kind, self.pairs, self.published)

    def opens(self, index: int, steps: int) -> bool:
        """See `Edit.opens`."""
        opens = published.cross_opens if self.published else Window.open
        return opens(self.window, index, steps)

    def lower(self, here: Here) -> Sequence[Part]:
        """See `Edit.lower`."""
        alignment = here.alignment(self.pairs)
        if self.published:
            published.check_short(self.kind, alignment.source, alignment.target)
            return (here.from_source(published.replacement(alignment.source, alignment.target)),)
        return (here.from_source(alignment.shares("kept", "replaced", "paired")),)


def check_mapper(kind: str, pairs: object, published: object) -> None:
    """Raise BadValue for pairs and a preset that cannot be."""
    check_pairs(f"{kind}.pairs", pairs)
    check_flag(f"{kind}.published", published)
    if published and pairs:
        raise BadValue(f"{kind}.pairs", pairs, "left out with published=True, whose code aligns by itself")


def check_flag(parameter: str, value: object) -> None:
    """Raise BadValue for what is neither True nor False."""
    if not isinstance(value, bool):
        raise BadValue(parameter, value, "True or False")
