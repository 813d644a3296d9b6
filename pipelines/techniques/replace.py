"""Words change places: the target's maps are the source's (Hertz et al. 2022, "Prompt-to-Prompt", word swap).

With M the mapper from the source's columns to the target's,

    P ← P_source · M

so that what is drawn for the new word is drawn where the old one was. Fused, only queries and keys change, and V
becomes M·V.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from pipelines.techniques import published
from pipelines.techniques.from_source import FromSource

if TYPE_CHECKING:
    from pipelines.techniques.alignment import Alignment, Shares


@dataclass(frozen=True, slots=True)
class Replace(FromSource):
    """Every word's map is that of the source's word in its place; words that the source has nothing for keep theirs.

    pairs: words or phrases that stand for each other, where the automatic alignment (`pipe.alignment`) errs
    word_steps: words that take over their maps at steps of their own, (("dog", (0.0, 0.3)),), or never, (0.0, 0.0)
    published: the paper's code: as many words in both prompts, between spaces, one chunk of tokens, no pairs; and after
        the last word that changes, where that is cut into another number of tokens, it reads wrong columns
    """

    kind: ClassVar[str] = "replace"

    def shares(self, alignment: Alignment) -> Shares:
        """See `FromSource.shares`."""
        if self.published:
            return published.replacement(alignment.source, alignment.target)
        return alignment.shares("kept", "replaced", "paired")
