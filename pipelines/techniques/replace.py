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
from pipelines.techniques.word_steps import Opens, WordSteps, any_open, check_word_steps, open_now
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
    word_steps: words that take over their maps at steps of their own, (("dog", (0.0, 0.3)),), or never, (0.0, 0.0)
    published: the paper's code: as many words in both prompts, between spaces, one chunk of tokens, no pairs; and after
        the last word that changes, where that is cut into another number of tokens, it reads wrong columns
    """

    kind: ClassVar[str] = "replace"
    wants_source: ClassVar[bool] = True

    pairs: Pairs = ()
    published: bool = False
    word_steps: WordSteps = ()
    window: Window = field(default=CROSS, kw_only=True)

    def check(self) -> None:
        """See `Edit.check`."""
        check_mapper(self.kind, self.pairs, self.published)
        self._set("word_steps", check_word_steps(f"{self.kind}.word_steps", self.word_steps))

    @property
    def moves(self) -> bool:
        """See `Edit.moves`."""
        return bool(self.word_steps)

    def opens(self, index: int, steps: int) -> bool:
        """See `Edit.opens`."""
        return any_open(self.window, self.word_steps, self._opens, index, steps)

    @property
    def _opens(self) -> Opens:
        return published.cross_opens if self.published else Window.open

    def lower(self, here: Here) -> Sequence[Part]:
        """See `Edit.lower`."""
        alignment = here.alignment(self.pairs)
        if self.published:
            published.check_short(self.kind, alignment.source, alignment.target)
            shares = published.replacement(alignment.source, alignment.target)
        else:
            shares = alignment.shares("kept", "replaced", "paired")
        return (here.from_source(open_now(shares, self.window, self.word_steps, self._opens, here)),)


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
