"""What moves the latents before a step: down the gradient of a loss on where words look (pipelines/steering.py).

A technique of this kind says which maps it reads, what is wrong with them as one number, how far to go, and how often
at one step. It changes no attention call.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from pipelines.ledger import Ledger, Phrase
from pipelines.techniques.edit import Edit
from xattn.errors import BadValue
from xattn.sites import AttentionSite

if TYPE_CHECKING:
    from torch import Tensor

Columns = tuple[tuple[int, ...], ...]
"""Sets of token positions, one map each: the sum of their columns."""


class Read(NamedTuple):
    """What is read at a step: maps of the words that are meant, and of what they are weighed against."""

    words: Columns
    others: Columns = ()


class Patience(NamedTuple):
    """How often the latents are moved before a step: again while the loss is over `over`, `most` times at most.

    once_more: also after the pass that found the loss low enough, unless it was the first
    """

    over: float
    most: int
    once_more: bool = False


ONCE = Patience(float("inf"), 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Descent(Edit):
    """Moves the latents of its picture, z ← z − step · ∂loss/∂z, before each step in its window."""

    def at(self, site: AttentionSite) -> bool:  # noqa: ARG002
        """See `Edit.at`: it changes latents, no attention."""
        return False

    def _check_rows(self) -> None:
        if "cond" not in self.window.rows:
            rows = list(self.window.rows)
            raise BadValue(f"{self.kind}.window.rows", rows, 'with "cond", for the loss is on the prompt\'s own maps')

    @property
    def meant(self) -> tuple[Phrase, ...]:
        """The words that the prompt must say at one step at least."""
        raise NotImplementedError

    def reads(self, sites: Sequence[AttentionSite], latent: tuple[int, int]) -> tuple[AttentionSite, ...]:
        """The sites, of one grid, whose maps the loss is of; latent: (height, width). Raises BadValue."""
        raise NotImplementedError

    def read(self, ledger: Ledger) -> Read:
        """What it reads where a prompt says this; no words is nothing. Raises BadValue."""
        raise NotImplementedError

    def loss(self, maps: Tensor, words: int) -> Tensor:
        """One number, to be made small. maps: [sets, h, w], the mean probabilities over heads and sites, at least
        float32, of `words` words and then of the others."""
        raise NotImplementedError

    def step(self, index: int, steps: int) -> float:
        """How many times the gradient is taken off the latents before step `index` of `steps`, counted from 0."""
        raise NotImplementedError

    def patience(self, index: int, steps: int) -> Patience:  # noqa: ARG002
        """How often before step `index`: once."""
        return ONCE
