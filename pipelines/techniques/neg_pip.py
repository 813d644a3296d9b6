"""A word of the prompt that acts against itself: attended to as ever, its values by −V (the NegPip of web UIs).

    O = Σ_k P_k V_k − (1 + s) P_t V_t = (P · diag(1, …, −s, …)) V

Beside a negative prompt it needs no rows of its own and no guidance, and it has a place in the prompt.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from pipelines.ledger import Phrase
from pipelines.techniques.edit import Edit, check_word
from pipelines.techniques.values import Strength, check_strength

if TYPE_CHECKING:
    from pipelines.techniques.here import Here
    from xattn.parts import Part


@dataclass(frozen=True, slots=True)
class NegPip(Edit):
    """Take a word or phrase of the prompt away from the picture.

    strength: s, 0 … 10, or points over the steps: 0 silences the word, 1 takes away what it would have given
    """

    kind: ClassVar[str] = "neg_pip"

    word: Phrase
    strength: Strength = 1.0

    def check(self) -> None:
        """See `Edit.check`."""
        check_word("neg_pip.word", self.word)
        self._set("strength", check_strength("neg_pip.strength", self.strength, 0.0, 10.0, "0 silences the word"))

    @property
    def moves(self) -> bool:
        """See `Edit.moves`."""
        return isinstance(self.strength, tuple)

    def lower(self, here: Here) -> Sequence[Part]:
        """See `Edit.lower`."""
        from xattn.parts import TokenDiagonal

        return [TokenDiagonal(here.columns(self.word), -here.value(self.strength), on=here.lanes, name=here.name)]
