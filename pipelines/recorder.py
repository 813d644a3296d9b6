"""Watch where words look while a picture is drawn.

A word's map is its column of the probabilities, P · one-hot, at every cross-attention site; where a place looks is its
row. Both are read by products of their own (xattn/reading.py, rows.py), so watching never changes a bit of the picture,
and they are added up as they come, so memory grows with what is asked for and, unless "step" is kept, not with steps.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from pipelines.asked import Asked, Probe
from pipelines.attention_maps import AttentionMaps, Made
from pipelines.capture import READ, Capture, columns
from pipelines.ledger import Ledger, Phrase
from pipelines.places import coarse_weights, place_weights
from pipelines.prompt import Reading
from pipelines.step_text import Further
from pipelines.text import TextEncoder
from pipelines.watching import Columns, RowWatcher, Watcher
from pipelines.where import REST
from xattn.errors import BadValue
from xattn.maps import Accumulator
from xattn.maps import Axis as Kept
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
class _Watched:
    """One picture of the run: its row, its phrases, and what has been added up."""

    row: int
    phrases: tuple[Phrase, ...]
    tokens: tuple[tuple[int, ...], ...]
    words: Accumulator
    probes: tuple[Accumulator, ...]
    places: Accumulator
    shares: Accumulator
    grid: Accumulator


class Recorder:
    """One run's watching: whose words, and the sums that their maps go to.

    ledgers: by row of the batch, what its prompt says at each step of the first pass, or once where nothing changes
    latent: (height, width) of the last pass: the words of all passes are the same, and so is the shape of the picture
    Raises UnknownWord, BadValue.
    """

    def __init__(
        self,
        capture: Capture,
        ledgers: Mapping[int, tuple[Ledger, ...]],
        sites: Sequence[AttentionSite],
        latent: tuple[int, int],
    ) -> None:
        capture.check_sites(sites)
        self._capture, self._sites, self._latent = capture, tuple(sites), latent
        self._sigmas: dict[int, tuple[float, ...]] = {}
        self._watched = [self._begin(row, said) for row, said in ledgers.items()]

    def _begin(self, row: int, said: tuple[Ledger, ...]) -> _Watched:
        capture = self._capture
        phrases = capture.phrases(*said)
        keep = tuple(dict.fromkeys(_kept(axis) for axis in capture.keep))
        only_steps: tuple[Kept, ...] = ("step",) if "step" in keep else ()

        def sums(size: tuple[int, int], keep: tuple[Kept, ...] = keep) -> Accumulator:
            return Accumulator(size, keep=keep, reduce=capture.reduce, dtype=capture.dtype, rows=[row])

        size = capture.size(self._latent)
        return _Watched(
            row,
            phrases,
            tuple(next(filter(None, (columns(ledger, phrase) for ledger in said)), ()) for phrase in phrases),
            words=sums(size),
            probes=tuple(sums(size) for _ in capture.probes),
            places=sums(size),
            shares=sums((1, len(phrases) + len(REST))),
            grid=sums(capture.coarse(self._latent), only_steps),
        )

    def watchers(
        self, ledgers: Mapping[int, tuple[Ledger, ...]], run: WatchedPass
    ) -> tuple[list[Watcher], list[RowWatcher]]:
        """What reads in one pass: columns of the words, and rows of the places. Raises BadValue."""
        capture = self._capture
        self._sigmas[run.before] = run.sigmas
        found: list[Watcher] = []
        words = self._words(ledgers, run)
        if words.sets:
            found.append(words)
        for number, (keys, own) in enumerate(run.probes):
            found.append(_ProbeWords(capture, tuple(self._watched), number, keys, own, run.before))
        rows: list[RowWatcher] = []
        for watched in self._watched:
            for place in capture.places:  # a region that covers nothing is told before the first step
                place_weights(place, run.latent, run.latent, 1)
            if capture.places:
                rows.append(_PlacesLook(capture, watched, run, everywhere=False))
                rows.append(_PlacesShare(capture, watched, run, ledgers[watched.row]))
            if capture.self_attention:
                rows.append(_PlacesLook(capture, watched, run, everywhere=True, coarsest=self._coarsest(run.latent)))
        return found, rows

    def _words(self, ledgers: Mapping[int, tuple[Ledger, ...]], run: WatchedPass) -> _Words:
        # A set of columns is read once for all rows in which a phrase has the same, step by step (one step, where the
        # prompt never changes). What is not said at a step has none there.
        sets: dict[tuple[tuple[int, ...], ...], int] = {}
        places: list[list[int]] = []
        for watched in self._watched:
            said = [_columns(ledger, watched.phrases, rest=self._rest) for ledger in ledgers[watched.row]]
            by_word = zip(*said, strict=True)
            places.append([sets.setdefault(steps, len(sets)) for steps in by_word])
        return _Words(self._capture, tuple(self._watched), tuple(sets), tuple(map(tuple, places)), run.before)

    @property
    def _rest(self) -> bool:
        return self._capture.whole and self._capture.measure == "mass"

    def _coarsest(self, latent: tuple[int, int]) -> int:
        """The least downsampling at which every place's self-attention is read."""
        grids = sorted({site.downsampling for site in self._sites if not site.cross})
        small = [down for down in grids if math.ceil(latent[0] / down) * math.ceil(latent[1] / down) <= READ]
        return small[0] if small else grids[-1]

    def maps(self) -> tuple[AttentionMaps, ...]:
        """What has been seen so far, one value a picture; may be asked after any step."""
        return tuple(self._maps(watched) for watched in self._watched)

    def _maps(self, watched: _Watched) -> AttentionMaps:
        capture = self._capture
        cross = self._made(watched, cross=True)
        some: list[AttentionMaps | None] = [
            self._of((*watched.phrases, *(REST if self._rest else ())), watched.words, cross)
        ]
        some += [self._of((probe,), sums, cross) for probe, sums in zip(capture.probes, watched.probes, strict=True)]
        words = len(watched.phrases)
        parts: dict[str, AttentionMaps] = {}
        if (both := some[0]) is not None and self._rest:
            parts["rest"] = _part(both, slice(words, None))
            some[0] = _part(both, slice(words)) if words else None
        own = self._made(watched, cross=False)
        for name, asked, sums, made in (
            ("places", capture.places, watched.places, own),
            ("shares", capture.places, watched.shares, cross),
            ("grid", _centres(capture.coarse(self._latent)), watched.grid, own),
        ):
            if (maps := self._of(asked, sums, made)) is not None:
                parts[name] = maps
        return replace(_joined([maps for maps in some if maps is not None]), parts=parts)

    def _of(self, words: tuple[Asked, ...], sums: Accumulator, made: Made) -> AttentionMaps | None:
        if not sums.nbytes:
            return None
        return AttentionMaps.of(words, sums.result(), made, resolutions="resolution" in self._capture.keep)

    def _made(self, watched: _Watched, *, cross: bool) -> Made:
        capture = self._capture
        sites = [site for site in self._sites if site.cross is cross]
        return Made(
            measure=capture.measure,
            reduce=capture.reduce,
            role=capture.role,
            heads=max(site.heads for site in sites),
            at=capture.at,
            sites=tuple(site.name for site in sites),
            sigmas=tuple(sigma for before in sorted(self._sigmas) for sigma in self._sigmas[before]),
            tokens=watched.tokens if cross else (),
        )


def probe_sources(
    capture: Capture, rows: int, chunks: int, text: TextEncoder
) -> tuple[list[Further], tuple[tuple[str, tuple[int, ...]], ...]]:
    """The key sources of a capture's probes, and of each its name and which of its keys are its own.

    Each has all keys of the row's own prompt and then the tokens of the probe. Raises BadValue for a probe of several
    chunks, or of no token.
    """
    sources, own = [], []
    for number, probe in enumerate(capture.probes):
        reading = Reading.plain(f"{probe.after} {probe.text}".strip())
        if text.chunks(reading) > 1:
            raise BadValue("probe", probe.text[:40] + "…", "a few words")
        start = len(f"{probe.after} ".lstrip())
        tokens = [token for token in text.ledger(reading).text_tokens if token.start >= start]
        if not tokens:
            raise BadValue("probe", probe.text, "text with at least one token")
        length = len(text.ledger("").tokens) * chunks
        kept = (*range(length), *(length + token.position for token in tokens))
        name = f"probe:{number}"
        sources.append(Further(name, chunks, ((None, reading),) * rows, kept))
        own.append((name, tuple(range(length, len(kept)))))
    return sources, tuple(own)


@dataclass(frozen=True, slots=True, eq=False)
class _Words:
    """Reads the words of a capture in one pass."""

    capture: Capture
    watched: tuple[_Watched, ...]
    sets: tuple[tuple[tuple[int, ...], ...], ...]
    places: tuple[tuple[int, ...], ...]
    before: int
    keys: str = "text"

    @property
    def at(self) -> Literal["model", "edited"]:
        return self.capture.at

    @property
    def mean(self) -> bool:
        return self.capture.measure == "mean"

    @property
    def rows(self) -> tuple[int, ...]:
        return tuple(watched.row for watched in self.watched)

    def sees(self, site: AttentionSite) -> bool:
        return site.cross

    def columns(self, index: int) -> Columns:
        return tuple(steps[0] if len(steps) == 1 else steps[index] for steps in self.sets)

    def take(self, index: int, site: AttentionSite, grid: tuple[int, int], taps: Tensor) -> None:
        for watched, mine in zip(self.watched, self.places, strict=True):
            if mine:
                layer = _layer(self.capture, site)
                watched.words.add(taps[..., list(mine)], grid, step=self.before + index, layer=layer)


@dataclass(frozen=True, slots=True, eq=False)
class _ProbeWords:
    """Reads one probe of a capture: the model's own attention, since no edit knows its keys."""

    capture: Capture
    watched: tuple[_Watched, ...]
    number: int
    keys: str
    own: tuple[int, ...]
    before: int
    at: Literal["model", "edited"] = "model"

    @property
    def mean(self) -> bool:
        return self.capture.measure == "mean"

    @property
    def rows(self) -> tuple[int, ...]:
        return tuple(watched.row for watched in self.watched)

    def sees(self, site: AttentionSite) -> bool:
        return site.cross

    def columns(self, index: int) -> Columns:  # noqa: ARG002  the same at every step
        return (self.own,)

    def take(self, index: int, site: AttentionSite, grid: tuple[int, int], taps: Tensor) -> None:
        for watched in self.watched:
            layer = _layer(self.capture, site)
            watched.probes[self.number].add(taps, grid, step=self.before + index, layer=layer)


@dataclass(frozen=True, slots=True, eq=False)
class _PlacesLook:
    """Reads where places look in the picture: the capture's own, or everywhere on its coarse grid.

    coarsest: the least downsampling of the sites that are read everywhere
    """

    capture: Capture
    watched: _Watched
    run: WatchedPass
    everywhere: bool
    coarsest: int = 1

    @property
    def at(self) -> Literal["model", "edited"]:
        return self.capture.at

    @property
    def row(self) -> int:
        return self.watched.row

    def sees(self, site: AttentionSite) -> bool:
        return not site.cross and site.downsampling >= self.coarsest

    def state(self, index: int) -> Hashable:  # noqa: ARG002  the same at every step
        return True

    def tap(self, index: int, grid: tuple[int, int], downsampling: int) -> tuple[Tensor, Tensor | None]:  # noqa: ARG002
        latent = self.run.latent
        if self.everywhere:
            return coarse_weights(self.watched.grid.size, latent, grid, downsampling), None
        return torch.stack([place_weights(p, latent, grid, downsampling) for p in self.capture.places]), None

    def take(self, index: int, site: AttentionSite, grid: tuple[int, int], rows: Tensor) -> None:
        sums = self.watched.grid if self.everywhere else self.watched.places
        # a map sums to 1 whatever the grid: layers of coarser ones would count more otherwise
        spread = math.prod(grid) / math.prod(sums.size)
        layer = _layer(self.capture, site)
        sums.add(rows.mT * spread, grid, step=self.run.before + index, layer=layer)


@dataclass(frozen=True, slots=True, eq=False)
class _PlacesShare:
    """Reads how places share out their attention among the words."""

    capture: Capture
    watched: _Watched
    run: WatchedPass
    ledgers: tuple[Ledger, ...]

    @property
    def at(self) -> Literal["model", "edited"]:
        return self.capture.at

    @property
    def row(self) -> int:
        return self.watched.row

    def sees(self, site: AttentionSite) -> bool:
        return site.cross

    def _said(self, index: int) -> Columns:
        ledger = self.ledgers[0 if len(self.ledgers) == 1 else index]
        return _columns(ledger, self.watched.phrases, rest=True)

    def state(self, index: int) -> Hashable:
        return self._said(index)

    def tap(self, index: int, grid: tuple[int, int], downsampling: int) -> tuple[Tensor, Tensor | None]:
        latent = self.run.latent
        weights = torch.stack([place_weights(p, latent, grid, downsampling) for p in self.capture.places])
        said = self._said(index)
        sums = torch.zeros(self.run.text, len(said))
        for place, some in enumerate(said):
            sums[list(some), place] = 1.0
        return weights, sums

    def take(self, index: int, site: AttentionSite, grid: tuple[int, int], rows: Tensor) -> None:  # noqa: ARG002
        layer = _layer(self.capture, site)
        self.watched.shares.add(rows.mT, (1, rows.shape[-1]), step=self.run.before + index, layer=layer)


def _columns(ledger: Ledger, phrases: Sequence[Phrase], *, rest: bool) -> Columns:
    """The columns of each phrase, and with `rest` those of begin-of-text, end-of-text, padding and everything else."""
    own = tuple(columns(ledger, phrase) for phrase in phrases)
    if not rest:
        return own
    named = {column for some in own for column in some}
    roles = ("begin", "end", "pad")
    others = tuple(tuple(t.position for t in ledger.tokens if t.role == role) for role in roles)
    left = tuple(t.position for t in ledger.text_tokens if t.position not in named)
    return (*own, *others, left)


def _layer(capture: Capture, site: AttentionSite) -> str:
    return f"1/{site.downsampling}" if "resolution" in capture.keep else site.name


def _kept(axis: str) -> Kept:
    match axis:
        case "step":
            return "step"
        case "head":
            return "head"
    return "layer"


def _centres(size: tuple[int, int]) -> tuple[tuple[float, float], ...]:
    return tuple(((x + 0.5) / size[1], (y + 0.5) / size[0]) for y in range(size[0]) for x in range(size[1]))


def _part(maps: AttentionMaps, some: slice) -> AttentionMaps:
    levels = None if maps.levels is None else maps.levels[some]
    return replace(maps, values=maps.values[some], words=maps.words[some], levels=levels)


def _joined(some: Sequence[AttentionMaps]) -> AttentionMaps:
    if len(some) == 1:
        return some[0]
    levels = [maps.levels for maps in some if maps.levels is not None]
    return replace(
        some[0],
        values=np.concatenate([maps.values for maps in some]),
        words=tuple(word for maps in some for word in maps.words),
        levels=np.concatenate(levels) if levels else None,
        made=replace(some[0].made, tokens=tuple(t for maps in some for t in _tokens(maps))),
    )


def _tokens(maps: AttentionMaps) -> tuple[tuple[int, ...], ...]:
    return ((),) if isinstance(maps.words[0], Probe) else maps.made.tokens
