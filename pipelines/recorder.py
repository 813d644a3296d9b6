"""Watch where words look while a picture is drawn.

A word's map is its column of the probabilities, P · one-hot, at every cross-attention site; where a place looks is its
row. Both are read by products of their own (xattn/reading.py, rows.py), so watching never changes a bit of the picture,
and they are added up as they come, so memory grows with what is asked for and, unless "step" is kept, not with steps.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import numpy as np

from pipelines.asked import Asked, Probe
from pipelines.attention_maps import AttentionMaps, Made
from pipelines.capture import READ, Capture, columns
from pipelines.ledger import Ledger
from pipelines.places import place_weights
from pipelines.prompt import Reading
from pipelines.step_text import Further
from pipelines.text import TextEncoder
from pipelines.watchers import (
    LookWatcher,
    Picked,
    ProbeWatcher,
    ShareWatcher,
    Watched,
    WatchedPass,
    WordWatcher,
    said_columns,
)
from pipelines.watching import RowWatcher, Watcher
from pipelines.where import REST
from xattn.errors import BadValue
from xattn.maps import Accumulator
from xattn.maps import Axis as Kept
from xattn.sites import AttentionSite


class Recorder:
    """One run's watching: whose words, and the sums that their maps go to.

    ledgers: by row of the batch, what its prompt says at each step of the first pass, or once where nothing changes
    latent: (height, width) of the last pass: the words of all passes are the same, and so is the shape of the picture
    edited: the rows of pictures that have edits
    Raises UnknownWord, BadValue.
    """

    def __init__(
        self,
        capture: Capture,
        ledgers: Mapping[int, tuple[Ledger, ...]],
        sites: Sequence[AttentionSite],
        latent: tuple[int, int],
        edited: Collection[int] = (),
    ) -> None:
        capture.check_sites(sites)
        self._capture, self._sites, self._latent = capture, tuple(sites), latent
        self._edited = frozenset(edited)
        self._sigmas: dict[int, tuple[float, ...]] = {}
        self._watched = [self._begin(row, said) for row, said in ledgers.items()]
        # no edit reaches a probe, so those are read once for both sides
        again = ((own, self._begin(own.row, ledgers[own.row])) for own in self._watched)
        others = [replace(other, probes=own.probes) for own, other in again] if len(capture.sides) > 1 else []
        self._sides = tuple(zip(capture.sides, (self._watched, others), strict=False))

    def _begin(self, row: int, said: tuple[Ledger, ...]) -> Watched:
        capture = self._capture
        phrases = capture.phrases(*said)
        keep = tuple(dict.fromkeys(_kept(axis) for axis in capture.keep))
        only_steps: tuple[Kept, ...] = ("step",) if "step" in keep else ()

        def sums(size: tuple[int, int], keep: tuple[Kept, ...] = keep) -> Accumulator:
            return Accumulator(size, keep=keep, reduce=capture.reduce, dtype=capture.dtype)

        size = capture.size(self._latent)
        return Watched(
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
        self._sigmas[run.before] = run.sigmas
        for place in self._capture.places:  # a region that covers nothing is told before the first step
            place_weights(place, run.latent, run.latent, 1)
        found: list[Watcher] = []
        rows: list[RowWatcher] = []
        for capture, side in self._sides:
            words = self._words(capture, side, ledgers, run)
            if any(words.sets):
                found.append(words)
            for watched in side:
                if capture.places:
                    rows.append(LookWatcher(capture, watched, run, everywhere=False))
                    rows.append(ShareWatcher(capture, watched, run, ledgers[watched.row]))
                if capture.self_attention:
                    coarsest = self._coarsest(run.latent)
                    rows.append(LookWatcher(capture, watched, run, everywhere=True, coarsest=coarsest))
        for number, (keys, own) in enumerate(run.probes):
            found.append(ProbeWatcher(self._capture, tuple(self._watched), number, keys, own, run.before))
        return found, rows

    def _words(
        self,
        capture: Capture,
        side: Sequence[Watched],
        ledgers: Mapping[int, tuple[Ledger, ...]],
        run: WatchedPass,
    ) -> WordWatcher:
        # A set of columns is read once for all rows in which a word has the same. What is not said at a step has none.
        # DAAM's means are made of tokens that were clamped one by one, so there each token is a set of its own.
        steps = max(len(said) for said in ledgers.values())
        sets: list[dict[tuple[int, ...], int]] = [{} for _ in range(steps)]
        mean, places = capture.measure == "mean", []
        for watched in side:
            said = ledgers[watched.row]
            own = []
            for index, known in enumerate(sets):
                ledger = said[0 if len(said) == 1 else index]
                words = said_columns(ledger, watched.phrases, rest=self._rest)
                tokens = [tuple((token,) for token in word) if mean else (word,) for word in words]
                own.append([[known.setdefault(one, len(known)) for one in word] for word in tokens])
            places.append(own)
        picked = tuple(
            tuple(Picked.of_words(words, len(known), mean=mean) for words, known in zip(own, sets, strict=True))
            for own in places
        )
        return WordWatcher(capture, tuple(side), tuple(map(tuple, sets)), picked, run.before)

    @property
    def _rest(self) -> bool:
        return self._capture.whole and self._capture.measure == "mass"

    def _coarsest(self, latent: tuple[int, int]) -> int:
        """The least downsampling at which every place's self-attention is read."""
        grids = sorted({site.downsampling for site in self._sites if not site.cross})
        small = [down for down in grids if math.ceil(latent[0] / down) * math.ceil(latent[1] / down) <= READ]
        return small[0] if small else grids[-1]

    @property
    def nbytes(self) -> int:
        """Bytes that one picture's maps will have, that with the most words; to be asked after `watchers`."""
        words = max(len(watched.phrases) for watched in self._watched) + len(self._capture.probes)
        return self._capture.nbytes(words, self._latent, self._steps, self._sites)

    @property
    def _steps(self) -> int:
        return sum(map(len, self._sigmas.values()))

    def told(self) -> str:
        """One sentence: what is kept, and how much that is."""
        capture = self._capture
        cross = [site for site in self._sites if site.cross]
        words = max(len(watched.phrases) for watched in self._watched) + len(capture.probes)
        height, width = capture.size(self._latent)
        apart = {"step": self._steps, "layer": len(cross), "resolution": len({s.downsampling for s in cross})}
        apart["head"] = max(site.heads for site in cross)
        kept = " × ".join(f"{apart[axis]} {axis}s" for axis in capture.keep)
        kept = f"{kept} apart" if kept else f"the {capture.reduce} of everything"
        also = [f"{(count := len(capture.places))} {'place' if count == 1 else 'places'}"] if capture.places else []
        also += ["every place's self-attention"] if capture.self_attention else []
        extra = f", and {' and '.join(also)}" if also else ""
        size = f"{self.nbytes / 1e6:.1f} MB" if self.nbytes >= 1e6 else f"{self.nbytes / 1e3:.1f} kB"
        both = ", of the edited attention and of the model's own" if capture.at == "both" else ""
        return (
            f"Maps: {words} {'word' if words == 1 else 'words'} at {height}×{width}, {kept}{extra}{both}, "
            f"in {capture.dtype}: {size} a picture."
        )

    def maps(self) -> tuple[AttentionMaps, ...]:
        """What has been seen so far, one value a picture; may be asked after any step."""
        first, *others = [[self._maps(capture, watched) for watched in side] for capture, side in self._sides]
        for side in others:
            both = zip(first, side, strict=True)
            first = [replace(maps, parts={**maps.parts, "model": model}) for maps, model in both]
        return tuple(first)

    def _maps(self, capture: Capture, watched: Watched) -> AttentionMaps:
        cross = self._made(capture, watched, cross=True)
        some: list[AttentionMaps | None] = [
            self._of((*watched.phrases, *(REST if self._rest else ())), watched.words, cross)
        ]
        some += [self._of((probe,), sums, cross) for probe, sums in zip(capture.probes, watched.probes, strict=True)]
        words = len(watched.phrases)
        parts: dict[str, AttentionMaps] = {}
        if (both := some[0]) is not None and self._rest:
            parts["rest"] = _part(both, slice(words, None))
            some[0] = _part(both, slice(words)) if words else None
        own = self._made(capture, watched, cross=False)
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

    def _made(self, capture: Capture, watched: Watched, *, cross: bool) -> Made:
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
            edited=watched.row in self._edited,
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
