"""What an edit is told when it lowers itself: which call, whose rows, which words, which step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from pipelines.ledger import Ledger, Phrase, holds
from pipelines.techniques.alignment import Alignment, Pairs, Shares, align
from pipelines.techniques.values import Reach, Shape, Strength, strength_at
from xattn.errors import UnknownWord
from xattn.parts import Mix
from xattn.space import Space


class Unsaid(Exception):
    """The prompt changes over the steps and does not say a word at this one: the edit waits. Never leaves Programs."""


@dataclass(frozen=True, slots=True)
class Said:
    """What a row's prompt says at one step, and what it says at any. `whose`: what an error calls the prompt."""

    ledger: Ledger
    others: tuple[Ledger, ...] = ()
    whose: str = "prompt"

    def columns(self, word: Phrase) -> tuple[int, ...]:
        """The columns of a word. Raises UnknownWord where no step's prompt has it, Unsaid where another step's has."""
        try:
            return self.ledger.columns(word)
        except UnknownWord as error:
            if any(holds(other, word) for other in self.others):
                raise Unsaid from None
            raise UnknownWord(str(error.got), error.words, error.remedy, whose=self.whose) from error


@dataclass(frozen=True, slots=True, eq=False)
class Here:
    """One edit of one image, for the rows of one role, at one kind of attention call at one step.

    space: the call (all its lanes); cross: whether it attends to text
    grid: (height, width) of the call's places, `space.queries` of them, row by row
    downsampling: the latent's side divided by the grid's
    lanes: the output lanes that the edit may change, its rows' and its window's heads
    others: the source picture's lanes of the same role, lane for lane; None where the recipe has no source
    index, steps: which step, counted from 0, of how many
    sigma: standard deviation of the noise, sqrt((1−ᾱ)/ᾱ), before the step
    keys: names of the key sources that `Edit.texts` asked for
    name: how an error calls the edit
    """

    space: Space
    cross: bool
    grid: tuple[int, int]
    downsampling: int
    lanes: tuple[int, ...]
    others: tuple[int, ...] | None
    index: int
    steps: int
    sigma: float
    keys: tuple[str, ...]
    name: str
    said: Said
    source_said: Said | None
    fields: Callable[[Shape, tuple[int, int]], Tensor]

    def columns(self, word: Phrase) -> tuple[int, ...]:
        """The columns of a word or phrase in the row's prompt. Raises UnknownWord."""
        return self.said.columns(word)

    def reached(self, word: Phrase, reach: Reach) -> tuple[int, ...]:
        """Its columns and those in the same chunks that have read it, as far as `reach` says. Raises UnknownWord."""
        own = self.columns(word)
        if reach == "word":
            return own
        last = {self.said.ledger.tokens[column].chunk: column for column in own}
        later = (
            token.position
            for token in self.said.ledger.tokens
            if token.position > last.get(token.chunk, token.position)
            and (reach == "after" or token.role in ("end", "pad"))
        )
        return tuple(sorted({*own, *later}))

    def source_columns(self, word: Phrase) -> tuple[int, ...]:
        """The same in the source's prompt."""
        assert self.source_said is not None, "an edit that asks for the source says takes_source"
        try:
            return self.source_said.columns(word)
        except UnknownWord as error:
            raise UnknownWord(str(error.got), error.words, error.remedy, whose="source's prompt") from error

    def alignment(self, pairs: Pairs = ()) -> Alignment:
        """The source's prompt and the row's, side by side. Raises UnknownWord for a pair that is not there."""
        assert self.source_said is not None, "an edit that asks for the source says takes_source"
        for theirs, ours in pairs:
            self.source_columns(theirs)
            self.columns(ours)
        return align(self.source_said.ledger, self.said.ledger, pairs)

    @property
    def source_lanes(self) -> tuple[int, ...]:
        """`others`, for edits that cannot be without."""
        assert self.others is not None, "an edit that asks for the source says takes_source"
        return self.others

    @property
    def tokens(self) -> int:
        """K of the text."""
        return self.space.width("text")

    def value(self, strength: Strength) -> float:
        """What a strength is at this step."""
        return strength_at(strength, self.index, self.steps)

    def field(self, shape: Shape) -> Tensor:
        """A place as numbers from 0 to 1 on this call's grid, [N], float32: by area averaging."""
        return self.fields(shape, self.grid).flatten()

    def zeros(self, *shape: int) -> Tensor:
        """Zeros of the call's dtype and device."""
        return torch.zeros(shape, dtype=self.space.dtype, device=self.space.device)

    def from_source(self, shares: Shares) -> Mix:
        """The part that makes target columns of the source's, and leaves the others their own."""
        alpha = self.zeros(self.tokens)
        alpha[list(shares)] = 1.0
        matrix = None  # no product at all where every column stays where it is
        if any(sources != ((target, 1.0),) for target, sources in shares.items()):
            made = [(source, target, factor) for target, sources in shares.items() for source, factor in sources]
            matrix = self.zeros(self.tokens, self.tokens)
            place = torch.tensor([one[:2] for one in made], dtype=torch.int64, device=matrix.device).view(-1, 2)
            factors = torch.tensor([one[2] for one in made], dtype=matrix.dtype, device=matrix.device)
            matrix.index_put_((place[:, 0], place[:, 1]), factors, accumulate=True)
        return Mix(self.source_lanes, matrix, alpha, on=self.lanes, name=self.name)
