"""Watch where words look while a picture is drawn.

A word's map is its column of the probabilities, P · one-hot, at every cross-attention site. It is read by a product
of its own (xattn/reading.py), so watching never changes a bit of the picture, and it is added up as it comes, so
memory grows with the words and the axes that are kept and, unless "step" is one of them, not with the steps.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from torch import Tensor

from pipelines import checks
from pipelines.attention_maps import AttentionMaps, Made
from pipelines.ledger import Ledger, Phrase, phrase_parts
from pipelines.plan import Plan
from unet import UNet
from xattn.errors import BadValue, UnknownName, UnknownWord
from xattn.maps import AXES, Accumulator, Axis
from xattn.program import Program, StepProgram, Tap
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
    """

    words: tuple[Phrase, ...] | Literal["*"] = "*"
    keep: tuple[Axis, ...] = ()
    measure: Literal["mass", "mean"] = "mass"
    reduce: Literal["mean", "sum"] = "mean"
    resolution: int | Literal["native"] | None = None
    role: Literal["cond", "uncond"] = "cond"

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
    """One image of the run: its row, its phrases, and what has been added up."""

    row: int
    phrases: tuple[Phrase, ...]
    sums: Accumulator


class Recorder:
    """One run's watching: the programs that read the words, and the sums that they go to."""

    def __init__(self, capture: Capture, plan: Plan, unet: UNet, latent: tuple[int, int]) -> None:
        rows = [place for place, row in enumerate(plan.rows) if row.role == capture.role]
        if not rows:
            raise BadValue("role", capture.role, '"cond", since guidance_scale 1 runs no rows of the negative prompt')
        self._capture = capture
        self._sites = tuple(site for site in unet.sites if site.cross)
        self._watched = [
            _Watched(
                row,
                capture.phrases(*plan.texts.ledgers(row)),
                Accumulator(capture.size(latent), keep=capture.keep, reduce=capture.reduce, rows=[row]),
            )
            for row in rows
        ]

    def programs(self, plan: Plan, before: int = 0) -> Callable[[int], StepProgram]:
        """What the UNet's sites do at each step of `plan`, which `before` steps of other passes precede."""
        # A tap is the columns of a phrase step by step (one step, where the prompt never changes), shared by all rows
        # in which they are the same. What is not said at a step has none there.
        taps: dict[tuple[tuple[int, ...], ...], int] = {}
        places: list[list[int]] = []
        for watched in self._watched:
            ledgers = plan.texts.ledgers(watched.row)
            steps = [tuple(_columns(ledger, phrase) for ledger in ledgers) for phrase in watched.phrases]
            places.append([taps.setdefault(columns, len(taps)) for columns in steps])
        heads = {site.heads for site in self._sites}
        made: dict[tuple[tuple[int, ...], ...], dict[int, Program]] = {}

        def at(index: int) -> StepProgram:
            columns = tuple(steps[0] if len(steps) == 1 else steps[index] for steps in taps)
            if columns not in made:
                made[columns] = {count: self._program(columns, plan, count) for count in heads}
            sites = {site.name: made[columns][site.heads] for site in self._sites}
            return StepProgram(sites=sites, record=partial(self._record, places, before + index))

        return at

    def _program(self, columns: Sequence[tuple[int, ...]], plan: Plan, heads: int) -> Program:
        """What reads these columns at a site of so many heads, on the watched rows alone."""
        hidden = plan.texts.every.conditioning.hidden
        weights = torch.zeros(hidden.shape[1], len(columns), device=hidden.device)
        for place, tokens in enumerate(columns):
            weights[list(tokens), place] = 1.0 if self._capture.measure == "mass" else 1.0 / max(1, len(tokens))
        lanes = [watched.row * heads + head for watched in self._watched for head in range(heads)]
        on = torch.tensor(lanes, device=hidden.device)
        return Program(taps=(Tap(weights, on=on),)) if columns else Program()

    def _record(
        self, places: list[list[int]], index: int, site: AttentionSite, grid: tuple[int, int], taps: Tensor
    ) -> None:
        for watched, mine in zip(self._watched, places, strict=True):
            watched.sums.add(taps[..., mine], grid, step=index, layer=site.name)

    def maps(self) -> tuple[AttentionMaps, ...]:
        """What has been seen so far, one value an image; may be asked after any step."""
        made = Made(
            measure=self._capture.measure,
            reduce=self._capture.reduce,
            role=self._capture.role,
            heads=max(site.heads for site in self._sites),
        )
        return tuple(AttentionMaps.of(watched.phrases, watched.sums.result(), made) for watched in self._watched)


def wanted(words: Sequence[Phrase] | Literal["*"], maps: Capture | None) -> Capture | None:
    """The capture that `words` and `maps` of a call ask for together. Raises BadValue."""
    if isinstance(words, str) and words != "*":
        words = (words,)
    if not words:
        return maps
    if maps is None:
        return Capture("*" if words == "*" else tuple(words))
    raise BadValue("words", words, "left out where maps is given", "Name the words in Capture(words=…)")
