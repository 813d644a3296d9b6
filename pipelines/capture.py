"""Watch where words look while a picture is drawn.

A word's map is its column of the probabilities, P · one-hot, at every cross-attention site. It is read by a product
of its own (xattn/reading.py), so watching never changes a bit of the picture, and it is added up as it comes, so
memory grows with the words and the axes that are kept and, unless "step" is one of them, not with the steps.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from pipelines import checks
from pipelines.attention_maps import AttentionMaps, Made
from pipelines.ledger import Ledger, Phrase, phrase_parts
from pipelines.watching import Columns, Watcher
from xattn.errors import BadValue, UnknownName, UnknownWord
from xattn.maps import AXES, Accumulator, Axis
from xattn.sites import AttentionSite

SMALL = 16
"""Maps are at most a quarter of the latent's side, but not smaller than this where the latent is not."""


@dataclass(frozen=True, slots=True)
class Capture:
    """What to keep of the cross-attention.

    words: words and phrases of the prompt, or "*" for each of its words
    keep: axes that stay apart, of "step", "layer" and "head"; the mean (or sum) is taken over the others
    measure: a phrase of several tokens has the sum of their columns ("mass") or their mean ("mean", as Tang et al.
        2022, DAAM)
    reduce: "mean" or "sum" over what is not kept, each head of each layer and step counting once
    resolution: the longer side of the maps; None is a quarter of the latent's, at least 16; "native" the latent's own
    role: the rows that are watched, those with the prompt or those with the negative prompt
    at: "edited" reads the attention that the picture is made with, "model" what it would be at each site without the
        edits there; without edits both are one
    """

    words: tuple[Phrase, ...] | Literal["*"] = "*"
    keep: tuple[Axis, ...] = ()
    measure: Literal["mass", "mean"] = "mass"
    reduce: Literal["mean", "sum"] = "mean"
    resolution: int | Literal["native"] | None = None
    role: Literal["cond", "uncond"] = "cond"
    at: Literal["model", "edited"] = "edited"

    def __post_init__(self) -> None:
        words: object = self.words
        if words != "*" and not (isinstance(words, tuple) and words):
            raise BadValue("words", self.words, 'a tuple of words and phrases of the prompt, or "*" for all of them')
        for axis in self.keep:
            if axis not in AXES:
                raise UnknownName("axis", axis, AXES)
        for name, value, known in (
            ("measure", self.measure, ("mass", "mean")),
            ("reduce", self.reduce, ("mean", "sum")),
            ("role", self.role, ("cond", "uncond")),
            ("at", self.at, ("model", "edited")),
        ):
            if value not in known:
                raise UnknownName(name, value, known)
        if self.resolution not in (None, "native"):
            checks.whole("resolution", self.resolution, 1, 512)

    def phrases(self, *ledgers: Ledger) -> tuple[Phrase, ...]:
        """The phrases that are meant in a prompt, which has several ledgers where it changes over the steps.

        Raises UnknownWord, which lists the words that are there.
        """
        if self.words == "*":
            return tuple(dict.fromkeys(phrase for ledger in ledgers for phrase in _every_word(ledger)))
        for phrase in self.words:
            if len(ledgers) == 1:
                ledgers[0].columns(phrase)
            elif not any(_columns(ledger, phrase) for ledger in ledgers):
                listed = dict.fromkeys(word.text for ledger in ledgers for word in ledger.words)
                raise UnknownWord(phrase_parts(phrase)[0], tuple(listed))
        return tuple(dict.fromkeys(self.words))

    def size(self, latent: tuple[int, int]) -> tuple[int, int]:
        """Height and width of the maps of a latent of that height and width."""
        longest = max(latent)
        if self.resolution == "native":
            wanted = longest
        else:
            wanted = self.resolution or min(longest, max(SMALL, math.ceil(longest / 4)))
        return max(1, round(latent[0] * wanted / longest)), max(1, round(latent[1] * wanted / longest))


def _every_word(ledger: Ledger) -> tuple[Phrase, ...]:
    seen: dict[str, int] = {}
    phrases: list[Phrase] = []
    for word in ledger.words:
        key = word.text.casefold()
        seen[key] = seen.get(key, 0) + 1
        phrases.append(word.text if seen[key] == 1 else (word.text, seen[key]))
    return tuple(phrases)


def _columns(ledger: Ledger, phrase: Phrase) -> tuple[int, ...]:
    """The columns of a phrase; none where the prompt does not say it at this step."""
    try:
        return ledger.columns(phrase)
    except UnknownWord:
        return ()


@dataclass(frozen=True, slots=True)
class _Watched:
    """One picture of the run: its row, its phrases, and what has been added up."""

    row: int
    phrases: tuple[Phrase, ...]
    sums: Accumulator


class Recorder:
    """One run's watching: whose words, and the sums that their maps go to.

    ledgers: by row of the batch, what its prompt says at each step of the first pass, or once where nothing changes
    latent: (height, width) of the last pass: the words of all passes are the same, and so is the shape of the picture
    """

    def __init__(
        self,
        capture: Capture,
        ledgers: Mapping[int, tuple[Ledger, ...]],
        sites: Sequence[AttentionSite],
        latent: tuple[int, int],
    ) -> None:
        self._capture = capture
        self._heads = max(site.heads for site in sites if site.cross)
        self._watched = [
            _Watched(
                row,
                capture.phrases(*said),
                Accumulator(capture.size(latent), keep=capture.keep, reduce=capture.reduce, rows=[row]),
            )
            for row, said in ledgers.items()
        ]

    def watcher(self, ledgers: Mapping[int, tuple[Ledger, ...]], before: int = 0) -> Watcher:
        """What reads the words in one pass, which `before` steps of other passes precede."""
        # A set of columns is read once for all rows in which a phrase has the same, step by step (one step, where the
        # prompt never changes). What is not said at a step has none there.
        sets: dict[tuple[tuple[int, ...], ...], int] = {}
        places: list[list[int]] = []
        for watched in self._watched:
            said = ledgers[watched.row]
            steps = [tuple(_columns(ledger, phrase) for ledger in said) for phrase in watched.phrases]
            places.append([sets.setdefault(columns, len(sets)) for columns in steps])
        return _Words(self._capture, tuple(self._watched), tuple(sets), tuple(map(tuple, places)), before)

    def maps(self) -> tuple[AttentionMaps, ...]:
        """What has been seen so far, one value a picture; may be asked after any step."""
        capture = self._capture
        made = Made(measure=capture.measure, reduce=capture.reduce, role=capture.role, heads=self._heads)
        return tuple(AttentionMaps.of(watched.phrases, watched.sums.result(), made) for watched in self._watched)


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
            watched.sums.add(taps[..., list(mine)], grid, step=self.before + index, layer=site.name)


def wanted(words: Sequence[Phrase] | Literal["*"], maps: Capture | None) -> Capture | None:
    """The capture that `words` and `maps` of a call ask for together. Raises BadValue."""
    if isinstance(words, str) and words != "*":
        words = (words,)
    if not words:
        return maps
    if maps is None:
        return Capture("*" if words == "*" else tuple(words))
    raise BadValue("words", words, "left out where maps is given", "Name the words in Capture(words=…)")
