"""What reads the attention for a capture: words, probes, and places; recorder.py sets them to work.

Each hands what it has read to the sums of the picture that it reads, which are all that is kept.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from pipelines.capture import Capture, columns
from pipelines.ledger import Ledger, Phrase
from pipelines.places import coarse_weights, place_weights
from pipelines.techniques.edit import Live
from pipelines.techniques.live import LiveMaps
from pipelines.watching import Columns
from xattn.maps import Accumulator, straight
from xattn.sites import AttentionSite


@dataclass(frozen=True, slots=True, eq=False)
class WatchedPass:
    """One pass of a run, as its watchers need it.

    before: steps of earlier passes; latent: (height, width); sigmas: before each step
    text: K of the prompt's keys; probes: of each probe of the capture the key source, and which of its keys are its own
    """

    before: int
    latent: tuple[int, int]
    sigmas: tuple[float, ...]
    text: int
    probes: tuple[tuple[str, tuple[int, ...]], ...] = ()


@dataclass(frozen=True, slots=True)
class Watched:
    """One picture of the run: its row, its phrases, and what has been added up."""

    row: int
    phrases: tuple[Phrase, ...]
    tokens: tuple[tuple[int, ...], ...]
    words: Accumulator
    probes: tuple[Accumulator, ...]
    places: Accumulator
    shares: Accumulator
    grid: Accumulator


@dataclass(frozen=True, slots=True, eq=False)
class Picked:
    """Which of the columns that are read for all pictures are one picture's words, in their order.

    places: None is all of them. means: [columns, words], how words are made of them; None where each is one
    """

    places: slice | list[int] | None
    means: Tensor | None

    @classmethod
    def of_words(cls, words: Sequence[Sequence[int]], count: int, *, mean: bool) -> Picked:
        """words: of each the columns, one or, where it is the mean of its tokens, several; count: of all columns."""
        own = [place for word in words for place in word]
        means = _means([len(word) for word in words]) if mean else None
        return cls(None if own == list(range(count)) else straight(own), means)

    def of(self, taps: Tensor) -> Tensor:
        """Of taps [..., all columns] one's own."""
        return taps if self.places is None else taps[..., self.places]


@dataclass(frozen=True, slots=True, eq=False)
class WordWatcher:
    """Reads the words of a capture in one pass.

    sets: at each step (or once, where the prompts never change) what is read for all pictures together
    places: of each picture, at each step, which of the sets are its words
    """

    capture: Capture
    watched: tuple[Watched, ...]
    sets: tuple[Columns, ...]
    places: tuple[tuple[Picked, ...], ...]
    before: int
    keys: str = "text"
    mean: bool = False

    @property
    def at(self) -> Literal["model", "edited"]:
        """See `Watcher.at`."""
        return self.capture.side

    @property
    def rows(self) -> tuple[int, ...]:
        """See `Watcher.rows`."""
        return tuple(watched.row for watched in self.watched)

    def sees(self, site: AttentionSite) -> bool:
        """See `Watcher.sees`."""
        return site.cross

    def columns(self, index: int) -> Columns:
        """See `Watcher.columns`."""
        return self.sets[0 if len(self.sets) == 1 else index]

    def take(self, index: int, site: AttentionSite, grid: tuple[int, int], taps: Tensor) -> None:
        """See `Watcher.take`."""
        layer = layer_key(self.capture, site)
        rows = (taps,) if len(self.watched) == 1 else taps.split(1)
        for own, watched, steps in zip(rows, self.watched, self.places, strict=True):
            picked = steps[0 if len(steps) == 1 else index]
            watched.words.add(picked.of(own), grid, step=self.before + index, layer=layer, combine=picked.means)


@dataclass(frozen=True, slots=True, eq=False)
class ProbeWatcher:
    """Reads one probe of a capture: the model's own attention, since no edit knows its keys."""

    capture: Capture
    watched: tuple[Watched, ...]
    number: int
    keys: str
    own: tuple[int, ...]
    before: int
    at: Literal["model", "edited"] = "model"
    mean: bool = False
    means: Tensor | None = field(init=False)

    def __post_init__(self) -> None:
        means = None if self.capture.measure == "mass" else _means([len(self.own)])
        object.__setattr__(self, "means", means)  # frozen: once, while it is being made

    @property
    def rows(self) -> tuple[int, ...]:
        """See `Watcher.rows`."""
        return tuple(watched.row for watched in self.watched)

    def sees(self, site: AttentionSite) -> bool:
        """See `Watcher.sees`."""
        return site.cross

    def columns(self, index: int) -> Columns:  # noqa: ARG002  the same at every step
        """See `Watcher.columns`."""
        return (self.own,) if self.capture.measure == "mass" else tuple((token,) for token in self.own)

    def take(self, index: int, site: AttentionSite, grid: tuple[int, int], taps: Tensor) -> None:
        """See `Watcher.take`."""
        layer = layer_key(self.capture, site)
        for row, watched in enumerate(self.watched):
            sums = watched.probes[self.number]
            sums.add(taps[row : row + 1], grid, step=self.before + index, layer=layer, combine=self.means)


@dataclass(frozen=True, slots=True, eq=False)
class LookWatcher:
    """Reads where places look in the picture: the capture's own, or everywhere on its coarse grid.

    coarsest: the least downsampling of the sites that are read everywhere
    """

    capture: Capture
    watched: Watched
    run: WatchedPass
    everywhere: bool
    coarsest: int = 1

    @property
    def at(self) -> Literal["model", "edited"]:
        """See `RowWatcher.at`."""
        return self.capture.side

    @property
    def row(self) -> int:
        """See `RowWatcher.row`."""
        return self.watched.row

    def sees(self, site: AttentionSite) -> bool:
        """See `RowWatcher.sees`."""
        return not site.cross and site.downsampling >= self.coarsest

    def state(self, index: int) -> Hashable:  # noqa: ARG002  the same at every step
        """See `RowWatcher.state`."""
        return True

    def tap(self, index: int, grid: tuple[int, int], downsampling: int) -> tuple[Tensor, Tensor | None]:  # noqa: ARG002
        """See `RowWatcher.tap`."""
        latent = self.run.latent
        if self.everywhere:
            return coarse_weights(self.watched.grid.size, latent, grid, downsampling), None
        return torch.stack([place_weights(p, latent, grid, downsampling) for p in self.capture.places]), None

    def take(self, index: int, site: AttentionSite, grid: tuple[int, int], rows: Tensor) -> None:
        """See `RowWatcher.take`."""
        sums = self.watched.grid if self.everywhere else self.watched.places
        # a map sums to 1 whatever the grid: layers of coarser ones would count more otherwise
        spread = math.prod(grid) / math.prod(sums.size)
        layer = layer_key(self.capture, site)
        sums.add(rows[self.row, None].mT * spread, grid, step=self.run.before + index, layer=layer)


@dataclass(frozen=True, slots=True, eq=False)
class ShareWatcher:
    """Reads how places share out their attention among the words."""

    capture: Capture
    watched: Watched
    run: WatchedPass
    ledgers: tuple[Ledger, ...]

    @property
    def at(self) -> Literal["model", "edited"]:
        """See `RowWatcher.at`."""
        return self.capture.side

    @property
    def row(self) -> int:
        """See `RowWatcher.row`."""
        return self.watched.row

    def sees(self, site: AttentionSite) -> bool:
        """See `RowWatcher.sees`."""
        return site.cross

    def _said(self, index: int) -> Columns:
        ledger = self.ledgers[0 if len(self.ledgers) == 1 else index]
        return said_columns(ledger, self.watched.phrases, rest=True)

    def state(self, index: int) -> Hashable:
        """See `RowWatcher.state`."""
        return self._said(index)

    def tap(self, index: int, grid: tuple[int, int], downsampling: int) -> tuple[Tensor, Tensor | None]:
        """See `RowWatcher.tap`."""
        latent = self.run.latent
        weights = torch.stack([place_weights(p, latent, grid, downsampling) for p in self.capture.places])
        said = self._said(index)
        sums = torch.zeros(self.run.text, len(said))
        for place, some in enumerate(said):
            sums[list(some), place] = 1.0
        return weights, sums

    def take(self, index: int, site: AttentionSite, grid: tuple[int, int], rows: Tensor) -> None:  # noqa: ARG002
        """See `RowWatcher.take`."""
        layer = layer_key(self.capture, site)
        self.watched.shares.add(rows[self.row, None].mT, (1, rows.shape[-1]), step=self.run.before + index, layer=layer)


@dataclass(frozen=True, slots=True, eq=False)
class LiveWatcher:
    """Feeds one word of one picture to the live maps, up to the last step at which an edit looks at them."""

    key: tuple[int, Live]
    row: int
    sets: tuple[Columns, ...]
    until: int
    maps: LiveMaps
    grid: int | None
    keys: str = "text"
    mean: bool = False

    @property
    def at(self) -> Literal["model", "edited"]:
        """See `Watcher.at`."""
        return self.key[1].at

    @property
    def rows(self) -> tuple[int, ...]:
        """See `Watcher.rows`."""
        return (self.row,)

    def sees(self, site: AttentionSite) -> bool:
        """See `Watcher.sees`."""
        return site.cross and self.grid in (None, site.downsampling)

    def columns(self, index: int) -> Columns:
        """See `Watcher.columns`."""
        return self.sets[0 if len(self.sets) == 1 else index] if index <= self.until else ()

    def take(self, index: int, site: AttentionSite, grid: tuple[int, int], taps: Tensor) -> None:  # noqa: ARG002
        """See `Watcher.take`."""
        self.maps.add(self.key, site, grid, taps[0, :, :, 0])


def said_columns(ledger: Ledger, phrases: Sequence[Phrase], *, rest: bool) -> Columns:
    """The columns of each phrase, and with `rest` those of begin-of-text, end-of-text, padding and everything else."""
    own = tuple(columns(ledger, phrase) for phrase in phrases)
    if not rest:
        return own
    named = {column for some in own for column in some}
    roles = ("begin", "end", "pad")
    others = tuple(tuple(t.position for t in ledger.tokens if t.role == role) for role in roles)
    left = tuple(t.position for t in ledger.text_tokens if t.position not in named)
    return (*own, *others, left)


def _means(counts: Sequence[int]) -> Tensor:
    """[columns, words]: each word the mean of so many columns, which stand side by side; 0 of none."""
    means = torch.zeros(sum(counts), len(counts))
    start = 0
    for word, count in enumerate(counts):
        means[start : start + count, word] = 1 / max(1, count)
        start += count
    return means


def layer_key(capture: Capture, site: AttentionSite) -> str:
    """What a site's maps are kept under: its name, or its grid where grids are kept."""
    return f"1/{site.downsampling}" if "resolution" in capture.keep else site.name
