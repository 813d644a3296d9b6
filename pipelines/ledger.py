"""Which token is which word: the ledger that comes with every conditioning.

People ask for words and phrases; attention knows columns. A ledger has one token for every column of the text that
the UNet reads, so a token's place in `Ledger.tokens` is its column.
"""

from __future__ import annotations

import bisect
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from xattn.errors import BadValue, UnknownWord

Phrase = str | tuple[str, int]
"""A word or phrase, and which one if it is not the first: `"cat"`, `("cat", 2)`, `"ice cream"`."""

Role = Literal["text", "begin", "end", "pad"]

APOSTROPHES = "'\u2019\u02bc\uff07"
# Zero-width joiners hold Persian and Indic words together as an apostrophe does "don't".
_JOINERS = APOSTROPHES + "\u200c\u200d"


@dataclass(frozen=True, slots=True)
class Token:
    """One column of the text.

    text: the vocabulary's own spelling: "fox</w>" ends a word, "fo" does not; bytes beyond ASCII look odd
    id: its row in the tower's embedding
    chunk, position: its chunk of 77, and its column over all chunks
    word: index into `Ledger.words`; None for punctuation and for what the prompt does not hold
    start, end: its characters in the prompt as written, as a slice (a character of several tokens is each one's)
    weight: the emphasis that is written; 1 is none
    role: "text" is written in the prompt; "begin", "end" and "pad" are put round it
    """

    text: str
    id: int
    chunk: int
    position: int
    word: int | None
    start: int
    end: int
    weight: float = 1.0
    role: Role = "text"


@dataclass(frozen=True, slots=True)
class Word:
    """A word as it is read, where it is written (`prompt[start:end]`), and the columns of all its tokens.

    The two differ only where syntax stands inside a word: "fo(x:1)" is read as "fox".
    """

    text: str
    start: int
    end: int
    tokens: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Ledger:
    """The columns of one prompt: `tokens[i].position == i`, and `words` in reading order."""

    prompt: str
    tokens: tuple[Token, ...]
    words: tuple[Word, ...]

    @property
    def chunks(self) -> int:
        """How many chunks (of 77 tokens, in CLIP) the prompt takes."""
        return self.tokens[-1].chunk + 1 if self.tokens else 0

    @property
    def text_tokens(self) -> tuple[Token, ...]:
        """The tokens that are written in the prompt, without begin, end and padding."""
        return tuple(token for token in self.tokens if token.role == "text")

    def find(self, text: str) -> tuple[tuple[Word, ...], ...]:
        """Every occurrence of a word or phrase, in reading order, none overlapping the one before.

        A phrase is words in a row, whatever case and punctuation: "ice cream" is found in "Ice-cream".
        """
        wanted = keys(text)
        have = tuple(word_key(word.text) for word in self.words)
        return tuple(self.words[start : start + len(wanted)] for start in starts(have, wanted))

    def columns(self, phrase: Phrase) -> tuple[int, ...]:
        """The columns of all tokens of a word or phrase; `("cat", 2)` is the second cat, `"cat"` the first.

        Raises UnknownWord, which lists the words there are, where the prompt does not hold it.
        """
        text, occurrence = phrase_parts(phrase)
        found = self.find(text)
        if len(found) < occurrence:
            listed = tuple(dict.fromkeys(word.text for word in self.words))
            if not found:
                raise UnknownWord(text, listed)
            raise UnknownWord(f"{text} ({occurrence})", listed, f'It holds "{text}" only {_times(len(found))}')
        return tuple(position for word in found[occurrence - 1] for position in word.tokens)


def holds(ledger: Ledger, phrase: Phrase) -> bool:
    """Whether a prompt has a word or phrase."""
    try:
        return bool(ledger.columns(phrase))
    except UnknownWord:
        return False


def check_said(phrase: Phrase, ledgers: Sequence[Ledger], whose: str = "prompt") -> None:
    """Raise UnknownWord for a word that none of these, a prompt's at its steps, has."""
    if any(holds(ledger, phrase) for ledger in ledgers):
        return
    try:
        ledgers[0].columns(phrase)
    except UnknownWord as error:
        raise UnknownWord(str(error.got), error.words, error.remedy, whose=whose) from error


def phrase_parts(phrase: Phrase) -> tuple[str, int]:
    """A phrase's text and which occurrence is meant, counted from 1. Raises BadValue for anything else."""
    if isinstance(phrase, str):
        return phrase, 1
    match phrase:
        case (str(text), int(occurrence)) if occurrence >= 1 and not isinstance(occurrence, bool):
            return text, occurrence
    raise BadValue("word", phrase, 'a word or phrase such as "cat", or a pair such as ("cat", 2) for the second one')


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def word_spans(text: str) -> tuple[tuple[int, int], ...]:
    """Where the words are: runs of letters, digits and their marks, with apostrophes inside ("don't")."""
    spans: list[tuple[int, int]] = []
    start: int | None = None
    end = 0
    for index, character in enumerate(text):
        if _is_letter(character):
            start, end = index if start is None else start, index + 1
        elif start is not None and unicodedata.category(character)[0] == "M":
            end = index + 1
        elif start is not None and not (character in _JOINERS and _is_letter(text[index + 1 : index + 2])):
            spans.append((start, end))
            start = None
    if start is not None:
        spans.append((start, end))
    return tuple(spans)


def _is_letter(character: str) -> bool:
    return bool(character) and unicodedata.category(character)[0] in "LN"


def word_key(word: str) -> str:
    """What makes two spellings one word: case, width, ligatures and kinds of apostrophe do not count."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", word).casefold())
    return folded.translate({ord(mark): "'" for mark in APOSTROPHES})


def keys(text: str) -> tuple[str, ...]:
    """The keys of the words in `text`, in order."""
    return tuple(word_key(text[start:end]) for start, end in word_spans(text))


def starts(have: Sequence[str], wanted: Sequence[str]) -> tuple[int, ...]:
    """Where `wanted` stands in `have`, from left to right and never overlapping; nothing stands nowhere."""
    found: list[int] = []
    index = 0
    while wanted and index + len(wanted) <= len(have):
        if tuple(have[index : index + len(wanted)]) == tuple(wanted):
            found.append(index)
            index += len(wanted)
        else:
            index += 1
    return tuple(found)


def word_of(spans: Sequence[tuple[int, int]], start: int, end: int) -> int | None:
    """The span that shares the most characters with `[start, end)`; the first of equals, None where none does."""
    best, shared = None, 0
    for index in range(max(0, bisect.bisect_left(spans, (start, start)) - 1), len(spans)):
        left, right = spans[index]
        if left >= end:
            break
        overlap = min(right, end) - max(left, start)
        if overlap > shared:
            best, shared = index, overlap
    return best
