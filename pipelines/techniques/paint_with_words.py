"""Paint with words: a word's scores are raised where it is painted (Balaji et al. 2022, "eDiff-I", section 5).

    scores += w · log(1 + σ) · max(QKᵀ)       inside the field, on the word's tokens

so painting is strong while there is only noise and fades as the picture takes shape. The greatest score is that of one
row and head at one step: the published code takes it over the batch, and a picture would depend on its neighbours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log1p
from typing import TYPE_CHECKING, ClassVar

from pipelines.ledger import Phrase
from pipelines.techniques.edit import Edit, check_word
from pipelines.techniques.values import Reach, Shape, Strength, check_reach, check_shape, check_strength

if TYPE_CHECKING:
    from torch import Tensor

    from pipelines.techniques.here import Here
    from xattn.parts import Part

MOST_SIGMA = 4096.0
"""σ of pure noise is infinite; schedules that begin there (zero terminal SNR) are given as this."""


@dataclass(frozen=True, slots=True)
class PaintWithWords(Edit):
    """A word or phrase is drawn to where it is painted, and rows still sum to one.

    field: where, white is 1
    strength: w, 0 … 10, or points over the steps; 0 changes nothing
    reach: which tokens are the word's (values.Reach)
    """

    kind: ClassVar[str] = "paint_with_words"

    word: Phrase
    field: Shape
    strength: Strength = 0.4
    reach: Reach = "word"

    def check(self) -> None:
        """See `Edit.check`."""
        check_word("paint_with_words.word", self.word)
        check_shape("paint_with_words.field", self.field)
        strength = check_strength("paint_with_words.strength", self.strength, 0.0, 10.0, "0 changes nothing")
        self._set("strength", strength)
        check_reach("reach of paint_with_words", self.reach)

    @property
    def moves(self) -> bool:
        """See `Edit.moves`: σ falls from step to step."""
        return True

    def lower(self, here: Here) -> Sequence[Part]:
        """See `Edit.lower`."""
        from xattn.parts import Bias

        columns = here.reached(self.word, self.reach)
        factor = here.value(self.strength) * log1p(min(here.sigma, MOST_SIGMA))
        if factor == 0:
            return []
        field = here.field(self.field).to(here.zeros()) * factor

        def raised(lowest: Tensor, greatest: Tensor) -> Tensor:  # noqa: ARG001  [lanes, N], over the keys of a place
            return field * greatest.amax(dim=-1, keepdim=True)

        tokens = here.space.one_hot(columns, "text").sum(dim=0)
        return [Bias(raised, tokens, on=here.lanes, name=here.name)]
