"""Words are added: what both prompts say keeps the source's maps (Hertz et al. 2022, adding a new phrase).

With G the gather of what both prompts have and a what that is, 1 or 0 a column,

    P ← P_source · G · diag a + P · diag(1 − a)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from pipelines.techniques import published
from pipelines.techniques.alignment import Pairs
from pipelines.techniques.edit import Edit
from pipelines.techniques.replace import CROSS, check_mapper
from pipelines.techniques.window import Window
from pipelines.techniques.word_steps import Opens, WordSteps, any_open, check_word_steps, open_now

if TYPE_CHECKING:
    from pipelines.techniques.here import Here
    from xattn.parts import Part


@dataclass(frozen=True, slots=True)
class Refine(Edit):
    """Words that both prompts have keep the source's maps, new and changed ones have their own.

    Begin-of-text is the source's too, for it is the same word to the UNet; end-of-text and padding, which sum up the
    prompt as it is now, are the target's own.
    pairs: words or phrases that count as the same, though they are not, or where the alignment (`pipe.alignment`) errs
    word_steps: words that do so at steps of their own (replace.py)
    published: the paper's code: aligned token by token, end-of-text and padding the source's, one chunk, no pairs
    """

    kind: ClassVar[str] = "refine"
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
            shares = published.refinement(alignment.source, alignment.target)
        else:
            shares = alignment.shares("kept", "paired", end=False)
        return (here.from_source(open_now(shares, self.window, self.word_steps, self._opens, here)),)
