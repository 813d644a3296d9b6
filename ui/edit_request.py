"""From the flags of `xattn edit` to the edits of each target. Needs no torch."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines import checks
from pipelines.ledger import Ledger, Phrase
from pipelines.recipe import Recipe
from pipelines.techniques import Edit, Inject, LocalBlend, Refine, Replace, Reweight
from pipelines.techniques.codec import read_edits
from pipelines.techniques.window import Window
from pipelines.techniques.word_steps import WordSteps
from ui.commands.maps import phrases
from ui.request import parse_number, read_picture
from xattn.errors import BadValue, UnknownName, UnknownWord

if TYPE_CHECKING:
    from pipelines.assets import Asset
    from pipelines.pipeline import Pipeline
    from pipelines.techniques.alignment import Alignment, Pairs

METHODS = ("replace", "refine")


@dataclass(frozen=True, slots=True)
class EditFlags:
    """The flags as they were typed; see the command."""

    cross: str
    layout: str
    method: str | None
    pairs: str
    blend: str
    threshold: str
    mask: str | None
    reweight: str
    edits: str | None
    cross_words: str = ""

    def read(self) -> Wishes:
        """What they ask for. Raises BadValue, UnknownName."""
        if self.method is not None and self.method not in METHODS:
            raise UnknownName("--method", self.method, METHODS)
        pairs, scales = _equations("--pairs", self.pairs, "fox=dog"), _equations("--reweight", self.reweight, "red=1.6")
        own = _equations("--cross-words", self.cross_words, "fox=0.3")
        return Wishes(
            cross=_window("--cross", self.cross),
            layout=_window("--self", self.layout),
            method=self.method,
            pairs=tuple((phrases(one)[0], phrases(other)[0]) for one, other in pairs),
            blend=phrases(self.blend, "--blend"),
            threshold=checks.number("--threshold", parse_number("--threshold", self.threshold), 0.0, 1.0),
            mask=None if self.mask is None else read_picture("--mask", self.mask),
            scales=tuple((phrases(word)[0], parse_number("--reweight", factor)) for word, factor in scales),
            edits=None if self.edits is None else _read_json(self.edits),
            word_steps=tuple((phrases(word)[0], _steps("--cross-words", share)) for word, share in own),
        )


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the flags ask for, before the words of the prompts are known. `edits`: JSON of further ones."""

    cross: Window | None
    layout: Window | None
    method: str | None
    pairs: Pairs
    blend: tuple[Phrase, ...]
    threshold: float
    mask: Asset | None
    scales: tuple[tuple[Phrase, float], ...]
    edits: object
    word_steps: WordSteps = ()

    def of(self, pipe: Pipeline, base: Recipe, recipes: Sequence[Recipe]) -> tuple[list[Recipe], list[Alignment]]:
        """The recipes with their edits, and how each is aligned with the source. Raises UnknownWord and more."""
        further = () if self.edits is None else read_edits(self.edits, pipe.techniques)
        ledgers = [pipe.ledger(one.prompt, one.syntax) for one in (base, *recipes)]
        _check_words("--blend", self.blend, ledgers, "in source or target")
        _check_words("--reweight", tuple(word for word, _ in self.scales), ledgers[1:], "in any target")
        _check_words("--cross-words", tuple(word for word, _ in self.word_steps), ledgers[1:], "in any target")
        made, alignments = [], []
        for recipe, ledger in zip(recipes, ledgers[1:], strict=True):
            paired = replace(recipe, edits=(Replace(self.pairs),))
            alignments.append(pipe.alignment(paired))
            edits = (*self._edits(alignments[-1], ledgers[0], ledger), *further)
            made.append(replace(recipe, edits=edits))
        return made, alignments

    def _edits(self, alignment: Alignment, source: Ledger, target: Ledger) -> list[Edit]:
        made: list[Edit] = []
        own = tuple((word, steps) for word, steps in self.word_steps if _has(target, word))
        if self.cross is not None or own:
            method = self.method
            if method is None:
                method = "replace" if any(link.kind == "replaced" for link in alignment.links) else "refine"
            kind = Replace if method == "replace" else Refine
            made.append(kind(self.pairs, word_steps=own, window=self.cross or Window(steps=(0.0, 0.0))))
        made += [Reweight(word, scale) for word, scale in self.scales if _has(target, word)]
        if self.layout is not None:
            made.append(Inject(window=self.layout))
        words, others = (tuple(word for word in self.blend if _has(one, word)) for one in (target, source))
        if words or others or self.mask is not None:
            made.append(LocalBlend(words, others, self.threshold, self.mask))
        return made


def _window(flag: str, share: str) -> Window | None:
    """From the first step on; None for no step."""
    steps = _steps(flag, share)
    return Window(steps=steps) if steps[1] else None


def _steps(flag: str, share: str) -> tuple[float, float]:
    """A share of the steps, from the first one on."""
    return 0.0, checks.number(flag, parse_number(flag, share), 0.0, 1.0, "It is a share of the steps")


def _equations(flag: str, text: str, example: str) -> list[tuple[str, str]]:
    """What "red=1.6,on=0" pairs. Raises BadValue."""
    made = []
    for part in text.split(",") if text.strip() else ():
        left, sign, right = part.partition("=")
        if not (sign and left.strip() and right.strip()):
            raise BadValue(flag, part.strip(), f"pairs such as {example} with commas between")
        made.append((left.strip(), right.strip()))
    return made


def _read_json(path: str) -> object:
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise BadValue("--edits", path, f"a JSON file with a list of edits ({reason.lower()})") from error


def _check_words(flag: str, words: Sequence[Phrase], ledgers: Sequence[Ledger], where: str) -> None:
    known = tuple(dict.fromkeys(word.text for ledger in ledgers for word in ledger.words))
    for word in words:
        if not any(_has(ledger, word) for ledger in ledgers):
            said = word if isinstance(word, str) else f"{word[0]}:{word[1]}"
            raise UnknownName(f"word {where} for {flag}:", said, known)


def _has(ledger: Ledger, word: Phrase) -> bool:
    try:
        return bool(ledger.columns(word))
    except UnknownWord:
        return False
