"""Words are added: what both prompts say keeps the source's maps (Hertz et al. 2022, adding a new phrase).

With G the gather of what both prompts have and a what that is, 1 or 0 a column,

    P ← P_source · G · diag a + P · diag(1 − a)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from pipelines.techniques import published
from pipelines.techniques.from_source import FromSource

if TYPE_CHECKING:
    from pipelines.techniques.alignment import Alignment, Shares


@dataclass(frozen=True, slots=True)
class Refine(FromSource):
    """Words that both prompts have keep the source's maps, new and changed ones have their own.

    Begin-of-text is the source's too, for it is the same word to the UNet; end-of-text and padding, which sum up the
    prompt as it is now, are the target's own.
    pairs: words or phrases that count as the same, though they are not, or where the alignment (`pipe.alignment`) errs
    word_steps: words that do so at steps of their own (from_source.py)
    published: the paper's code: aligned token by token, end-of-text and padding the source's, one chunk, no pairs
    """

    kind: ClassVar[str] = "refine"

    def shares(self, alignment: Alignment) -> Shares:
        """See `FromSource.shares`."""
        if self.published:
            return published.refinement(alignment.source, alignment.target)
        return alignment.shares("kept", "paired", end=False)
