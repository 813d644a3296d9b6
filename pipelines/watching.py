"""Who reads the attention while a picture is drawn: a Watcher says which columns of which rows, and takes them.

A watcher adds Watch parts to the programs of the sites that it reads, and so changes no bit of the picture.
"""

from __future__ import annotations

from collections.abc import Hashable
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
        """One site's answer: [rows that are read, heads, N, sets of columns]."""


class RowWatcher(Protocol):
    """What reads where some places of one picture look: rows of the probabilities, self-attention's too."""

    @property
    def at(self) -> Literal["model", "edited"]:
        """Before all edits, or after them."""

    @property
    def row(self) -> int:
        """The row of the batch that is read."""

    def sees(self, site: AttentionSite) -> bool:
        """Whether it reads at this site."""

    def state(self, index: int) -> Hashable:
        """What tells what it reads at step `index` from what it reads at others."""

    def tap(self, index: int, grid: tuple[int, int], downsampling: int) -> tuple[Tensor, Tensor | None]:
        """Weights [n, N] over the places of a grid (height, width), and columns [K, m] (xattn.parts.WatchRows)."""

    def take(self, index: int, site: AttentionSite, grid: tuple[int, int], rows: Tensor) -> None:
        """One site's answer: [rows of the batch, heads, n, K or m]."""
