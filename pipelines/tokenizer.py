"""Prompts to tokens, by the checkpoint's own tokenizer: its files, its padding, its offsets.

open_clip's tokenizer is not used: it differs on curly quotes, ligatures, full-width forms and entities, and pads
with 0 whatever the checkpoint was trained with.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.ledger import Ledger, Role, Token, Word, word_of, word_spans
from pipelines.prompt import Reading, Run
from xattn.errors import BadModel, BadValue

if TYPE_CHECKING:
    from tokenizers import Tokenizer as Backend

MAX_CHUNKS = 32
"""A prompt's bound, 2,400 tokens: each chunk costs every step of the UNet, and a pasted book is a mistake."""


@dataclass(frozen=True, slots=True)
class Special:
    """A token that is put round the prompt, not written in it."""

    text: str
    id: int


@dataclass(frozen=True, slots=True)
class _Piece:
    text: str
    id: int
    word: int | None
    start: int
    end: int
    weight: float


@dataclass(slots=True)
class _Cut:
    """A prompt cut into pieces, block by block; `words` are its words without columns yet."""

    blocks: list[list[_Piece]]
    words: list[Word]


class Tokenizer:
    """A checkpoint's tokenizer. Reading it changes nothing, so threads may share one.

    begin, end, pad: the tokens put round a prompt; length: tokens in a chunk, begin and end among them (77)
    """

    def __init__(self, backend: Backend, begin: Special, end: Special, pad: Special, length: int) -> None:
        # A tokenizer.json may ask for truncation, which would be silent.
        backend.no_truncation()
        backend.no_padding()
        self._backend = backend
        self.begin, self.end, self.pad, self.length = begin, end, pad, length

    @classmethod
    def from_folder(cls, folder: Path, positions: int = 77) -> Tokenizer:
        """Read a `tokenizer/` folder as transformers writes it: tokenizer.json, or vocab.json and merges.txt.

        `positions` is how many tokens the text tower can place; a chunk is never longer. Nothing is fetched.
        Raises BadModel where the files are missing or make no tokenizer.
        """
        _check_files(folder)
        from transformers import CLIPTokenizer

        try:
            loaded = CLIPTokenizer.from_pretrained(str(folder), local_files_only=True)
        except Exception as problem:
            # The Rust library raises the bare class; what went wrong is in its text.
            raise BadModel(f"The tokenizer in {folder} cannot be read: {problem}. Copy that folder again.") from problem
        special = {}
        for name in ("bos_token", "eos_token", "pad_token"):
            spelling = getattr(loaded, name)
            number = None if spelling is None else loaded.backend_tokenizer.token_to_id(str(spelling))
            if number is None:
                raise BadModel(f"The tokenizer in {folder} has no {name} in its vocabulary: it is no CLIP tokenizer.")
            special[name] = Special(str(spelling), number)
        length = min(int(loaded.model_max_length), positions)
        if length < 3:
            raise BadModel(f"The tokenizer in {folder} allows {length} tokens; a prompt needs at least three.")
        return cls(loaded.backend_tokenizer, special["bos_token"], special["eos_token"], special["pad_token"], length)

    @property
    def highest_id(self) -> int:
        """The highest id there is; the tower's embedding must have a row for it."""
        return max(self._backend.get_vocab(with_added_tokens=True).values())

    def cuts_like(self, other: Tokenizer) -> bool:
        """Whether two tokenizers give the same tokens and ids (they may pad differently, as SDXL's two do)."""
        return self._backend.get_vocab() == other._backend.get_vocab() and self.length == other.length

    def chunks(self, prompt: str | Reading) -> int:
        """How many chunks the prompt takes."""
        reading = _reading(prompt)
        return len(self._chunked(reading, self._cut(reading)))

    def ledger(self, prompt: str | Reading, chunks: int | None = None) -> Ledger:
        """The prompt's tokens in chunks, each with begin and end; no word or character is split over two chunks.

        A str is taken letter for letter; a Reading (pipelines.prompt) has weights, and breaks that begin a chunk.
        `chunks` pads the prompt with chunks of the empty prompt up to that number.
        Raises BadValue for what is no text, for more than 32 chunks, and where `chunks` are too few.
        """
        reading = _reading(prompt)
        cut = self._cut(reading)
        chunked = self._chunked(reading, cut)
        if chunks is not None:
            if chunks < len(chunked):
                raise BadValue("chunks", chunks, f"at least {len(chunked)}, which this prompt takes")
            chunked += [[] for _ in range(chunks - len(chunked))]
        tokens = tuple(self._tokens(chunked, len(reading.prompt)))
        return _with_words(reading.prompt, tokens, cut.words)

    def ids(self, ledger: Ledger) -> list[list[int]]:
        """The ids of a ledger's chunks, [chunks, length], with this tokenizer's own begin, end and padding."""
        put: dict[Role, int] = {"begin": self.begin.id, "end": self.end.id, "pad": self.pad.id}
        flat = [put.get(token.role, token.id) for token in ledger.tokens]
        return [flat[start : start + self.length] for start in range(0, len(flat), self.length)]

    def _cut(self, reading: Reading) -> _Cut:
        words: list[Word] = []
        return _Cut([[piece for run in block for piece in self._pieces(run, words)] for block in reading.blocks], words)

    def _pieces(self, run: Run, words: list[Word]) -> Iterator[_Piece]:
        """The pieces of a run, at their places in the prompt; its words are added to `words`."""
        spans, first = word_spans(run.text), len(words)
        words.extend(Word(run.text[start:end], *_written(run, start, end), ()) for start, end in spans)
        encoding = self._backend.encode(run.text, add_special_tokens=False)
        for spelling, number, (start, end) in zip(encoding.tokens, encoding.ids, encoding.offsets, strict=True):
            word = word_of(spans, start, end)
            place = _written(run, start, end)
            yield _Piece(spelling, number, None if word is None else first + word, *place, run.weight)

    def _chunked(self, reading: Reading, cut: _Cut) -> list[list[_Piece]]:
        room = self.length - 2
        chunks: list[list[_Piece]] = []
        for number, block in enumerate(cut.blocks):
            if not block and chunks and number + 1 == len(cut.blocks):
                break  # nothing after the last break
            chunks.append([])
            for unit in _units(block):
                if len(chunks[-1]) + len(unit) > room and len(unit) <= room:
                    chunks.append([])
                for piece in unit:
                    if len(chunks[-1]) == room:
                        chunks.append([])
                    chunks[-1].append(piece)
        if len(chunks) > MAX_CHUNKS:
            bound = f"at most {MAX_CHUNKS} chunks of {room} tokens"
            got = f"{reading.prompt[:40]}… ({sum(map(len, cut.blocks))} tokens, {len(chunks)} chunks)"
            raise BadValue("prompt", got, bound, "Shorten it")
        return chunks

    def _tokens(self, chunked: list[list[_Piece]], characters: int) -> Iterator[Token]:
        at = 0  # where in the prompt the begin and end of a chunk stand: between its neighbours
        for chunk, pieces in enumerate(chunked):
            base = chunk * self.length
            yield Token(self.begin.text, self.begin.id, chunk, base, None, at, at, role="begin")
            for offset, piece in enumerate(pieces, 1):
                place = (piece.start, piece.end)
                yield Token(piece.text, piece.id, chunk, base + offset, piece.word, *place, piece.weight)
            at = pieces[-1].end if pieces and chunk + 1 < len(chunked) else characters
            end = base + len(pieces) + 1
            yield Token(self.end.text, self.end.id, chunk, end, None, at, at, role="end")
            for position in range(end + 1, base + self.length):
                yield Token(self.pad.text, self.pad.id, chunk, position, None, at, at, role="pad")


def _units(pieces: list[_Piece]) -> list[list[_Piece]]:
    """Pieces that stay together: those of one word, and those of one character outside words (an emoji's bytes)."""
    units: list[list[_Piece]] = []
    for piece in pieces:
        last = units[-1][-1] if units else None
        if last and last.word == piece.word and (piece.word is not None or piece.start < last.end):
            units[-1].append(piece)
        else:
            units.append([piece])
    return units


def _reading(prompt: str | Reading) -> Reading:
    return prompt if isinstance(prompt, Reading) else Reading.plain(prompt)


def _written(run: Run, start: int, end: int) -> tuple[int, int]:
    """Where `run.text[start:end]` is written in the prompt."""
    if start == end:  # no characters of its own
        place = run.places[start][0] if start < len(run.places) else run.places[-1][1] if run.places else 0
        return place, place
    return run.places[start][0], run.places[end - 1][1]


def _with_words(prompt: str, tokens: tuple[Token, ...], words: Sequence[Word]) -> Ledger:
    """The ledger, its words counted anew: a word with no token of its own (inside an added token) is none."""
    columns: dict[int, list[int]] = {}
    for token in tokens:
        if token.word is not None:
            columns.setdefault(token.word, []).append(token.position)
    kept = sorted(columns)
    renumbered: dict[int | None, int] = {old: new for new, old in enumerate(kept)}
    if len(kept) != len(words):
        tokens = tuple(replace(token, word=renumbered.get(token.word)) for token in tokens)
    return Ledger(prompt, tokens, tuple(replace(words[old], tokens=tuple(columns[old])) for old in kept))


def _check_files(folder: Path) -> None:
    # transformers makes a tokenizer of three tokens out of a folder that holds none
    names = {"tokenizer.json"} if (folder / "tokenizer.json").is_file() else {"vocab.json", "merges.txt"}
    missing = sorted(name for name in names if not (folder / name).is_file())
    if missing:
        what = "tokenizer.json, or vocab.json and merges.txt"
        raise BadModel(f"{folder} holds no tokenizer: {' and '.join(missing)} missing. Expected {what}.")
    config = folder / "tokenizer_config.json"
    if not config.is_file():
        return
    try:
        raw = json.loads(config.read_text(encoding="utf-8"))
        kind = raw.get("tokenizer_class", "CLIPTokenizer")
    except (ValueError, AttributeError) as problem:
        raise BadModel(f"{config} is no JSON object. Copy that file again.") from problem
    if kind not in ("CLIPTokenizer", "CLIPTokenizerFast"):
        raise BadModel(f"{config} asks for a {kind}, but only CLIP's tokenizer is known here.")
