"""What to keep of the attention while a picture is drawn; recorder.py keeps it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from pipelines import checks
from pipelines.asked import Place, Probe, check_place
from pipelines.attention_maps import Axis
from pipelines.ledger import Ledger, Phrase, phrase_parts
from pipelines.where import REST
from xattn.errors import BadValue, UnknownName, UnknownWord
from xattn.maps import DTYPES, LEVELS_BYTES, REDUCTIONS, Dtype, Reduce
from xattn.sites import AttentionSite

AXES: tuple[Axis, ...] = ("step", "layer", "head", "resolution")
SMALL = 16
"""Maps are at most a quarter of the latent's side, but not smaller than this where the latent is not."""
READ = 1024
"""Where every place's self-attention is kept, sites of at most so many places are read: more would cost as much again
as all attention does."""


@dataclass(frozen=True, slots=True)
class Capture:
    """What to keep of the attention.

    words: words and phrases of the prompt, and Probe("sky") for what is not in it; "*" stands for each word of the
        prompt, alone or among others. With "*" what the words leave is kept too (AttentionMaps.rest)
    keep: axes that stay apart: "step", "layer" or "resolution" (the layers of one grid together), "head"; `reduce` is
        over the others
    measure: a phrase of several tokens has the sum of their columns ("mass") or their mean ("mean", as Tang et al.
        2022, DAAM)
    reduce: "mean" or "sum" over what is not kept, each head of each layer and step counting once; "daam" is the sum
        over steps of the mean over layers and heads (`Capture.daam`)
    resolution: the longer side of the maps; None is a quarter of the latent's, at least 16; "native" the latent's own
    role: the rows that are watched, those with the prompt or those with the negative prompt
    at: "edited" reads the attention that the picture is made with, "model" what it would be at each site without the
        edits there; without edits both are one. "both" reads both in one run: the maps are the edited ones, and
        `AttentionMaps.model` the model's own, each bit for bit what a run for it alone gives, in twice the bytes
    dtype: what is stored: "float32"; "float16", off by at most 2^-11 of each map's greatest; "uint8", by 1/510 of its
        range. Maps whose sum still grows are float32.
    places: points (x, y) in fractions of the picture, boxes or painted regions: where each looks in the picture
        (AttentionMaps.places) and how it shares out its attention among the words (AttentionMaps.where), exactly
    self_attention: keep where each place of a coarse grid (the longer side 16) looks, over all layers and heads:
        66 kB in uint8, once, or a step where "step" is kept (AttentionMaps.grid). It is read at sites of at most 1,024
        places, at the coarsest where there are none.
    """

    words: tuple[Phrase | Probe, ...] | Literal["*"] = "*"
    keep: tuple[Axis, ...] = ()
    measure: Literal["mass", "mean"] = "mass"
    reduce: Reduce = "mean"
    resolution: int | Literal["native"] | None = None
    role: Literal["cond", "uncond"] = "cond"
    at: Literal["model", "edited", "both"] = "edited"
    dtype: Dtype = "float32"
    places: tuple[Place, ...] = ()
    self_attention: bool = False

    def __post_init__(self) -> None:
        words: object = self.words
        if words != "*" and not (isinstance(words, tuple) and words):
            raise BadValue("words", self.words, 'a tuple of words and phrases of the prompt, or "*" for all of them')
        for axis in self.keep:
            if axis not in AXES:
                raise UnknownName("axis", axis, AXES)
        if {"layer", "resolution"} <= set(self.keep):
            raise BadValue("keep", self.keep, '"layer" or "resolution", which is layers taken together')
        for name, value, known in (
            ("measure", self.measure, ("mass", "mean")),
            ("reduce", self.reduce, REDUCTIONS),
            ("role", self.role, ("cond", "uncond")),
            ("at", self.at, ("model", "edited", "both")),
            ("dtype", self.dtype, tuple(DTYPES)),
        ):
            if value not in known:
                raise UnknownName(name, value, known)
        if self.resolution not in (None, "native"):
            checks.whole("resolution", self.resolution, 1, 512)
        if self.probes and self.role == "uncond":
            raise BadValue("role", self.role, '"cond" where words has a Probe, which stands beside the prompt')
        if not isinstance(self.places, tuple):
            raise BadValue("places", self.places, "a tuple of places, such as ((0.5, 0.25),)")
        places = tuple(check_place("places", place) for place in self.places)
        object.__setattr__(self, "places", places)  # frozen: points become floats while it is being made

    @classmethod
    def daam(cls, words: tuple[Phrase, ...] | Literal["*"] = "*") -> Capture:
        """Heat maps as Tang et al. 2022, "What the DAAM", define them.

        Each map is brought to the latent's grid by bicubic interpolation clamped at 0; the mean over layers and heads,
        the sum over steps; a word is the mean of its tokens.
        """
        return cls(words, measure="mean", reduce="daam", resolution="native")

    @property
    def probes(self) -> tuple[Probe, ...]:
        """The concepts that have keys of their own."""
        return tuple(dict.fromkeys(word for word in self.words if isinstance(word, Probe)))

    @property
    def sides(self) -> tuple[Capture, ...]:
        """One capture for each attention that is read: itself, or the edited and the model's own."""
        return (replace(self, at="edited"), replace(self, at="model")) if self.at == "both" else (self,)

    @property
    def side(self) -> Literal["model", "edited"]:
        """The attention that one of `sides` reads."""
        return "model" if self.at == "model" else "edited"

    @property
    def whole(self) -> bool:
        """Whether all words are asked for, and what they leave with them."""
        return "*" in self.words

    def phrases(self, *ledgers: Ledger) -> tuple[Phrase, ...]:
        """The phrases that are meant in a prompt, which has several ledgers where it changes over the steps.

        Raises UnknownWord, which lists the words that are there, BadValue where there is nothing to be watched.
        """
        found: dict[Phrase, None] = {}
        for word in self.words:
            if word == "*":
                found.update(dict.fromkeys(phrase for ledger in ledgers for phrase in _every_word(ledger)))
            elif not isinstance(word, Probe):
                _check_word(word, ledgers)
                found[word] = None
        if not found and not self.probes:  # "((()))" is text, and says nothing
            raise BadValue("words", "*", "asked of a prompt that has words", "This one has none; watch a Probe instead")
        return tuple(found)

    def size(self, latent: tuple[int, int]) -> tuple[int, int]:
        """Height and width of the maps of a latent of that height and width."""
        longest = max(latent)
        if self.resolution == "native":
            wanted = longest
        else:
            wanted = self.resolution or min(longest, max(SMALL, math.ceil(longest / 4)))
        return max(1, round(latent[0] * wanted / longest)), max(1, round(latent[1] * wanted / longest))

    def coarse(self, latent: tuple[int, int]) -> tuple[int, int]:
        """Height and width of the grid whose every place's self-attention is kept."""
        factor = min(1.0, SMALL / max(latent))
        return max(1, round(latent[0] * factor)), max(1, round(latent[1] * factor))

    def nbytes(self, words: int, latent: tuple[int, int], steps: int, sites: Sequence[AttentionSite]) -> int:
        """Bytes that the maps of one picture will have.

        words: how many are watched, phrases and probes (`phrases`, `probes`). latent: (height, width) of the last pass.
        steps: of all passes. sites: of the UNet.
        """
        cross, own = [site for site in sites if site.cross], [site for site in sites if not site.cross]
        height, width = self.size(latent)
        rest = len(REST) if self.whole and self.measure == "mass" else 0
        total = (words + rest) * self._slices(steps, cross) * self._bytes(height * width)
        if self.places:
            said = words - len(self.probes) + len(REST)
            total += len(self.places) * self._slices(steps, own) * self._bytes(height * width)
            total += len(self.places) * self._slices(steps, cross) * self._bytes(said)
        if self.self_attention:
            cells = math.prod(self.coarse(latent))
            total += cells * (steps if "step" in self.keep else 1) * self._bytes(cells)
        return total * len(self.sides)

    def _slices(self, steps: int, sites: Sequence[AttentionSite]) -> int:
        layers = len({site.downsampling for site in sites}) if "resolution" in self.keep else 1
        layers = len(sites) if "layer" in self.keep else layers
        heads = max(site.heads for site in sites) if "head" in self.keep else 1
        return (steps if "step" in self.keep else 1) * layers * heads

    def _bytes(self, cells: int) -> int:
        return cells * DTYPES[self.dtype] + (0 if self.dtype == "float32" else LEVELS_BYTES)

    def check_sites(self, sites: Sequence[AttentionSite]) -> None:
        """Raise BadValue where heads are kept but not the layers, whose numbers of heads differ."""
        if "head" not in self.keep or "layer" in self.keep:
            return
        for kind in (True, False):
            by_grid: dict[int, set[int]] = {}
            for site in sites:
                if site.cross is kind:
                    grid = site.downsampling if "resolution" in self.keep else 0
                    by_grid.setdefault(grid, set()).add(site.heads)
            if any(len(heads) > 1 for heads in by_grid.values()):
                every = ", ".join(map(str, sorted(set().union(*by_grid.values()))))
                remedy = f"Its layers have {every} heads, and head 0 of one has nothing to do with that of another"
                raise BadValue("keep", self.keep, '"layer" with "head" on this model', remedy)


def _check_word(word: Phrase, ledgers: Sequence[Ledger]) -> None:
    if len(ledgers) == 1:
        ledgers[0].columns(word)
    elif not any(columns(ledger, word) for ledger in ledgers):
        listed = dict.fromkeys(known.text for ledger in ledgers for known in ledger.words)
        raise UnknownWord(phrase_parts(word)[0], tuple(listed))


def _every_word(ledger: Ledger) -> tuple[Phrase, ...]:
    seen: dict[str, int] = {}
    phrases: list[Phrase] = []
    for word in ledger.words:
        key = word.text.casefold()
        seen[key] = seen.get(key, 0) + 1
        phrases.append(word.text if seen[key] == 1 else (word.text, seen[key]))
    return tuple(phrases)


def columns(ledger: Ledger, phrase: Phrase) -> tuple[int, ...]:
    """The columns of a phrase; none where the prompt does not say it at this step."""
    try:
        return ledger.columns(phrase)
    except UnknownWord:
        return ()


def wanted(words: Sequence[Phrase | Probe] | Literal["*"], maps: Capture | None) -> Capture | None:
    """The capture that `words` and `maps` of a call ask for together. Raises BadValue."""
    given: object = words
    if isinstance(given, Probe) or (isinstance(given, str) and given != "*"):
        words = (given,)
    if not words:
        return maps
    if maps is None:
        return Capture("*" if words == "*" else tuple(words))
    raise BadValue("words", words, "left out where maps is given", "Name the words in Capture(words=…)")
