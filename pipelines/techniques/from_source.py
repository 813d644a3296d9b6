"""What word swap and added words share: columns of the source's maps stand for the target's own (Hertz et al. 2022)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from pipelines import checks
from pipelines.techniques import published
from pipelines.techniques.alignment import Pairs, check_pairs
from pipelines.techniques.edit import Edit
from pipelines.techniques.window import Window
from pipelines.techniques.word_steps import Opens, WordSteps, any_open, check_word_steps, open_now
from xattn.errors import BadValue

if TYPE_CHECKING:
    from pipelines.techniques.alignment import Alignment, Shares
    from pipelines.techniques.here import Here
    from xattn.parts import Part

CROSS = Window(steps=(0.0, 0.8))
"""The paper's share of the steps for cross-attention."""


@dataclass(frozen=True, slots=True)
class FromSource(Edit):
    """The target's maps are the source's, in the shares that the technique answers.

    pairs: words or phrases that count as each other, where the automatic alignment (`pipe.alignment`) errs
    word_steps: words that take over their maps at steps of their own, (("dog", (0.0, 0.3)),), or never, (0.0, 0.0)
    published: the paper's code, which knows one chunk of tokens and no pairs
    """

    wants_source: ClassVar[bool] = True

    pairs: Pairs = ()
    published: bool = False
    word_steps: WordSteps = ()
    window: Window = field(default=CROSS, kw_only=True)

    def shares(self, alignment: Alignment) -> Shares:
        """Which of the source's columns each of the target's has, and how much of them; no entry leaves it its own."""
        raise NotImplementedError

    def check(self) -> None:
        """See `Edit.check`."""
        check_pairs(f"{self.kind}.pairs", self.pairs)
        checks.flag(f"{self.kind}.published", self.published)
        if self.published and self.pairs:
            raise BadValue(
                f"{self.kind}.pairs", self.pairs, "left out with published=True, whose code aligns by itself"
            )
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
        return (here.from_source(open_now(self.shares(alignment), self.window, self.word_steps, self._opens, here)),)
