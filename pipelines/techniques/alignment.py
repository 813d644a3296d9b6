"""Which word of one prompt stands for which of another: prompt-to-prompt's mapper, by words and phrases.

Words that both prompts have, in order, are kept: the longest common subsequence, and of several the one that keeps
neighbours together. Between two kept words, as many words as stand on the other side replace each other one by one; a
different number replaces as a phrase; words with nothing on the other side are added, or removed. Pairs that are given
come first and may cross.

A word's map is the sum of its tokens' columns. Words of equally many tokens exchange them one by one; otherwise the
sum is shared out evenly, so a row loses and gains nothing (Hertz et al. 2022, section 3.2, and the code's mapper, but
without its mistake after a word that is cut into another number of tokens: published.py). Knows no torch.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import zip_longest
from typing import Literal

from pipelines.ledger import Ledger, Phrase, Token, phrase_parts, word_key
from xattn.errors import BadValue, UnknownWord

Kind = Literal["kept", "replaced", "paired", "added", "removed"]
Pairs = tuple[tuple[Phrase, Phrase], ...]
"""Words or phrases of the source and of the target that stand for each other."""
Shares = Mapping[int, tuple[tuple[int, float], ...]]
"""For each target column that is made of the source's, the (source column, factor) that are summed."""

_MARKS: Mapping[Kind, str] = {"kept": "=", "replaced": "↓", "paired": "↓", "added": "+", "removed": "−"}
_MEANINGS = {"=": "kept", "↓": "takes over the map above", "+": "its own map", "−": "removed"}
_WIDTH = 96


@dataclass(frozen=True, slots=True)
class Link:
    """A word or phrase of the source and what stands for it; one side is empty where words are added or removed."""

    kind: Kind
    source: str
    target: str
    source_columns: tuple[int, ...]
    target_columns: tuple[int, ...]

    def shares(self) -> Iterator[tuple[int, tuple[tuple[int, float], ...]]]:
        """What each target column is made of."""
        if len(self.source_columns) == len(self.target_columns):
            for theirs, ours in zip(self.source_columns, self.target_columns, strict=True):
                yield ours, ((theirs, 1.0),)
            return
        share = 1.0 / max(1, len(self.target_columns))
        for ours in self.target_columns:
            yield ours, tuple((theirs, share) for theirs in self.source_columns)


@dataclass(frozen=True, slots=True)
class Alignment:
    """Two prompts side by side. `str()` shows it to people, `document()` to programs.

    links: in reading order of the target, what was removed where it stood
    """

    source: Ledger
    target: Ledger
    links: tuple[Link, ...]

    def shares(self, *kinds: Kind, begin: bool = True, end: bool = True) -> Shares:
        """What target columns are made of, for links of these kinds.

        begin: begin-of-text too. end: end-of-text and padding too, in order from each chunk's end on; what the source
            has more of goes to the target's last, so that nothing of a row is lost
        """
        made = {ours: theirs for link in self.links if link.kind in kinds for ours, theirs in link.shares()}
        for chunk in range(self.target.chunks):
            place, share = self._chunk(chunk)
            ours, theirs = _specials(self.target, chunk), _specials(self.source, place)
            if begin:
                made |= {column: tuple((one, share) for one in theirs[:1]) for column in ours[:1]}
            if end:
                tails = list(zip_longest(theirs[1:], ours[1:]))
                for one, column in tails:
                    if column is not None:
                        made[column] = () if one is None else ((one, share),)
                rest = tuple((one, share) for one, column in tails if column is None and one is not None)
                if ours[1:]:
                    made[ours[-1]] += rest
        return made

    def _chunk(self, chunk: int) -> tuple[int, float]:
        """Which chunk of the source stands for one of the target's, and its share: its last one for all that are more,
        evenly."""
        last = self.source.chunks - 1
        return (chunk, 1.0) if chunk < last else (last, 1.0 / max(1, self.target.chunks - last))

    def __str__(self) -> str:
        columns = [(link.source or "·", _MARKS[link.kind], link.target or "·") for link in self.links]
        lines: list[str] = []
        for block in _blocks(columns):
            widths = [max(map(_cells, column)) for column in block]
            for row, label in enumerate(("source", "", "target")):
                cells = [
                    _centred(column[row], width) if row == 1 else column[row] + " " * (width - _cells(column[row]))
                    for column, width in zip(block, widths, strict=True)
                ]
                lines.append(f"{label:8}{'  '.join(cells)}".rstrip())
            lines.append("")
        used = dict.fromkeys(_MARKS[link.kind] for link in self.links)
        return "\n".join([*lines, "   ".join(f"{mark} {_MEANINGS[mark]}" for mark in used)])

    def document(self) -> dict[str, object]:
        """JSON's types: both prompts, and each link with its columns."""
        return {
            "source": self.source.prompt,
            "target": self.target.prompt,
            "links": [
                {
                    "kind": link.kind,
                    "source": link.source,
                    "target": link.target,
                    "source_columns": list(link.source_columns),
                    "target_columns": list(link.target_columns),
                }
                for link in self.links
            ],
        }


@dataclass(frozen=True, slots=True)
class _Unit:
    """What is aligned as one: a word, a given phrase, or a mark of punctuation."""

    key: Hashable
    text: str
    columns: tuple[int, ...]
    word: bool
    paired: bool = False


def check_pairs(parameter: str, pairs: object) -> None:
    """Raise BadValue for what are no pairs of words and phrases."""
    expected = 'pairs of a word of the source and one of this prompt, such as (("fox", "dog"),)'
    if not isinstance(pairs, tuple) or not all(isinstance(pair, tuple) and len(pair) == 2 for pair in pairs):
        raise BadValue(parameter, pairs, expected)
    for pair in pairs:
        for phrase in pair:
            if not phrase_parts(phrase)[0].strip():
                raise BadValue(parameter, pairs, expected)


@lru_cache(maxsize=64)
def align(source: Ledger, target: Ledger, pairs: Pairs = ()) -> Alignment:
    """Align two prompts. Raises UnknownWord for a pair that is not there, BadValue for a word in two pairs."""
    try:
        theirs = _units(source, [pair[0] for pair in pairs])
    except UnknownWord as error:
        raise UnknownWord(str(error.got), error.words, error.remedy, whose="source's prompt") from error
    ours = _units(target, [pair[1] for pair in pairs])
    matched = _common([unit.key for unit in theirs], [unit.key for unit in ours])
    links: list[Link] = []
    crossing = {unit.key: unit for unit in theirs if unit.paired}
    before = (0, 0)
    for one, other in (*matched, (len(theirs), len(ours))):
        links += _between(theirs[before[0] : one], ours[before[1] : other], crossing)
        if one < len(theirs):
            kind: Kind = "paired" if ours[other].paired else "kept"
            links.append(_link(kind, [theirs[one]], [ours[other]]))
        before = (one + 1, other + 1)
    return Alignment(source, target, tuple(links))


def _between(theirs: Sequence[_Unit], ours: Sequence[_Unit], paired: Mapping[Hashable, _Unit]) -> list[Link]:
    """The links between two kept words; pairs that cross others are linked where the target has them."""
    gone = [unit for unit in theirs if unit.word and not unit.paired]
    new = [unit for unit in ours if unit.word and not unit.paired]
    made: dict[int, Link] = {}  # by the first target column
    if gone and new:
        together = list(zip(gone, new, strict=True)) if len(gone) == len(new) else []
        groups = [([one], [other]) for one, other in together] or [(gone, new)]
        made = {some[0].columns[0]: _link("replaced", group, some) for group, some in groups}
        removed = [unit for unit in theirs if not unit.word]
        new_columns = {unit.columns for unit in new}
    else:
        removed = [unit for unit in theirs if not unit.paired]
        new_columns = set()
    for unit in ours:
        if unit.paired:
            made[unit.columns[0]] = _link("paired", [paired[unit.key]], [unit])
        elif unit.columns not in new_columns:
            made[unit.columns[0]] = _link("added", [], [unit])
    return [*(_link("removed", [unit], []) for unit in removed), *(made[column] for column in sorted(made))]


def _link(kind: Kind, theirs: Sequence[_Unit], ours: Sequence[_Unit]) -> Link:
    return Link(
        kind,
        " ".join(unit.text for unit in theirs),
        " ".join(unit.text for unit in ours),
        tuple(column for unit in theirs for column in unit.columns),
        tuple(column for unit in ours for column in unit.columns),
    )


def _units(ledger: Ledger, phrases: Sequence[Phrase]) -> list[_Unit]:
    """The prompt's words and marks in order; each phrase is one unit, equal to the one of its number in the other."""
    owner: dict[int, int] = {}  # word → which phrase it is in
    for number, phrase in enumerate(phrases):
        ledger.columns(phrase)  # raises UnknownWord
        text, occurrence = phrase_parts(phrase)
        for word in ledger.find(text)[occurrence - 1]:
            place = ledger.words.index(word)
            if place in owner:
                raise BadValue("pairs", word.text, "in one pair only", "Take it out of the others")
            owner[place] = number
    units = ((token, _unit(ledger, token, owner)) for token in ledger.text_tokens)
    return [unit for token, unit in units if token.position == unit.columns[0]]


def _unit(ledger: Ledger, token: Token, owner: Mapping[int, int]) -> _Unit:
    if token.word is None:
        text = ledger.prompt[token.start : token.end] or token.text
        return _Unit(("mark", token.text), text, (token.position,), word=False)
    number = owner.get(token.word)
    if number is not None:
        words = [ledger.words[place] for place, phrase in sorted(owner.items()) if phrase == number]
        columns = tuple(column for word in words for column in word.tokens)
        return _Unit(("pair", number), " ".join(word.text for word in words), columns, word=True, paired=True)
    word = ledger.words[token.word]
    return _Unit(("word", word_key(word.text)), word.text, word.tokens, word=True)


def _common(theirs: Sequence[Hashable], ours: Sequence[Hashable]) -> list[tuple[int, int]]:
    """Places of a longest common subsequence; of those the one with the most matches next to each other."""
    rows, columns = len(theirs), len(ours)
    one = rows + columns + 1  # a match counts more than any number of neighbours
    best = [[0] * (columns + 1) for _ in range(rows + 1)]
    here = [[-2] * (columns + 1) for _ in range(rows + 1)]  # the best that ends with a match here; −2 for no match
    for i in range(1, rows + 1):
        for j in range(1, columns + 1):
            if theirs[i - 1] == ours[j - 1]:
                here[i][j] = one + max(best[i - 1][j - 1], here[i - 1][j - 1] + 1)
            best[i][j] = max(here[i][j], best[i - 1][j], best[i][j - 1])
    return _traced(best, here, one)


def _traced(best: list[list[int]], here: list[list[int]], one: int) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    i, j = len(best) - 1, len(best[0]) - 1
    must = False  # whether the next match back stands right before this one
    while i and j:
        if must or best[i][j] == here[i][j]:
            found.append((i - 1, j - 1))
            must = here[i][j] - one == here[i - 1][j - 1] + 1
            i, j = i - 1, j - 1
        elif best[i][j] == best[i - 1][j]:
            i -= 1
        else:
            j -= 1
    return found[::-1]


def _specials(ledger: Ledger, chunk: int) -> list[int]:
    """Columns of a chunk that are not written in the prompt: begin, end, padding."""
    return [token.position for token in ledger.tokens if token.chunk == chunk and token.role != "text"]


def _blocks(columns: list[tuple[str, str, str]]) -> Iterator[list[tuple[str, str, str]]]:
    """Columns in blocks that fit a terminal's line."""
    block: list[tuple[str, str, str]] = []
    used = 0
    for column in columns:
        width = max(map(_cells, column)) + 2
        if block and used + width > _WIDTH - 8:
            yield block
            block, used = [], 0
        block.append(column)
        used += width
    if block:
        yield block


def _cells(text: str) -> int:
    """How many cells of a terminal a text takes."""
    return sum(0 if unicodedata.combining(mark) else 1 + (unicodedata.east_asian_width(mark) in "WF") for mark in text)


def _centred(text: str, width: int) -> str:
    left = (width - _cells(text)) // 2
    return " " * left + text + " " * (width - left - _cells(text))
