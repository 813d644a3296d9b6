"""Who reads the attention while a picture is drawn: a Watcher says which columns of which rows, and takes them.

A watcher adds Watch parts to the programs of the sites that it reads, and so changes no bit of the picture.
"""

from __future__ import annotations

from typing import Literal, Protocol

from torch import Tensor

from xattn.sites import AttentionSite

Columns = tuple[tuple[int, ...], ...]
"""Sets of token positions, one map each."""


class Watcher(Protocol):
    """What reads columns of the probabilities at some sites, for some rows, at some steps."""

    @property
    def at(self) -> Literal["model", "edited"]:
        """Before all edits, or after them."""

    @property
    def keys(self) -> str:
        """Whose tokens the columns count: "text" or another key source."""

    @property
    def mean(self) -> bool:
        """Whether a map is the mean of its columns rather than their sum."""

    @property
    def rows(self) -> tuple[int, ...]:
        """The rows of the batch that are read."""

    def sees(self, site: AttentionSite) -> bool:
        """Whether it reads at this site."""

    def columns(self, index: int) -> Columns:
        """What it reads at step `index`; nothing when it is idle."""

    def take(self, index: int, site: AttentionSite, grid: tuple[int, int], taps: Tensor) -> None:
        """One site's answer: [rows of the batch, heads, N, sets of columns]."""
