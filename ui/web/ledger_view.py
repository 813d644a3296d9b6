"""The prompt as chips: words with colours, weights and tokens, where 77 cuts, and what the model never saw."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from pipelines.ledger import word_spans
from ui.web.colors import word_colors
from ui.web.limits import Limits
from ui.web.views import phrases
from xattn.errors import XattnError

if TYPE_CHECKING:
    from pipelines.ledger import Ledger, Token
    from pipelines.pipeline import Pipeline
    from pipelines.vocabulary import Vocabulary

Json = dict[str, Any]
NO_WORDS: Json = {"words": [], "tokens": 0, "room": 75, "chunks": 1, "error": ""}


def chips(pipe: Pipeline | None, prompt: str, limits: Limits) -> Json:
    """What the chips show. Before a model is there the words are told apart by their letters alone.

    {"words": [{"text", "start", "end", "color", "weight", "kind", "tokens": […], "chunk", "unknown": […]|null,
      "hint": sentence|null}, …], and those of no word, as punctuation: {"text", …, "tokens", "chunk", "mark": true}
     "tokens": n|null, "room": n, "chunks": n, "error": sentence|""}
    """
    try:
        limits.check_text("prompt", prompt)
    except XattnError as error:
        return {"words": [], "tokens": None, "room": 75, "chunks": 1, "error": str(error)}
    if pipe is None:
        return _by_letters(prompt)
    if not prompt.strip():
        return NO_WORDS
    try:
        return _by_ledger(pipe.ledger(prompt), pipe.model.vocabulary)
    except XattnError as error:
        return _by_letters(prompt) | {"error": str(error)}


def _by_letters(prompt: str) -> Json:
    spans = word_spans(prompt)
    texts = [prompt[start:end] for start, end in spans]
    words = [
        {"text": text, "start": start, "end": end, "color": color, "weight": 1.0, "tokens": [], "chunk": 0}
        for text, (start, end), color in zip(texts, spans, word_colors(texts), strict=True)
    ]
    return {"words": words, "tokens": None, "room": 75, "chunks": 1, "error": ""}


def _by_ledger(ledger: Ledger, vocabulary: Vocabulary | None) -> Json:
    notices = {} if vocabulary is None else {one.word: one.nearest for one in vocabulary.unknown(ledger)}
    hints = {} if vocabulary is None else {one.word: str(one) for one in vocabulary.miscolored(ledger)}
    made: list[Json] = []
    for place, (word, color) in enumerate(zip(ledger.words, word_colors(phrases(ledger)), strict=True)):
        tokens = [ledger.tokens[column] for column in word.tokens]
        made.append(
            _chip(ledger, tokens, word.text, (word.start, word.end))
            | {
                "color": color,
                "kind": None if vocabulary is None else vocabulary.kind(word.text),
                "unknown": list(notices[word.text]) if word.text in notices else None,
                "hint": hints.get(place),
            }
        )
    # punctuation and signs are tokens too, of no word
    loose = [token for token in ledger.text_tokens if token.word is None]
    for span, group in groupby(loose, key=lambda token: (token.start, token.end)):
        made.append(_chip(ledger, [*group], ledger.prompt[slice(*span)], span) | {"mark": True})
    made.sort(key=lambda one: (one["start"], one["end"]))
    written = len(ledger.text_tokens)
    room = sum(token.role in ("text", "pad") for token in ledger.tokens)
    return {"words": made, "tokens": written, "room": room, "chunks": max(1, ledger.chunks), "error": ""}


def _chip(ledger: Ledger, tokens: Sequence[Token], text: str, span: tuple[int, int]) -> Json:
    return {
        "text": text,
        "start": span[0],
        "end": span[1],
        "weight": round(tokens[0].weight, 3) if tokens else 1.0,
        "tokens": _pieces(ledger.prompt, tokens),
        "ids": [token.id for token in tokens],
        "chunk": tokens[0].chunk if tokens else 0,
    }


def _pieces(prompt: str, tokens: Sequence[Token]) -> list[str]:
    """Tokens as letters; one that goes on with a character, which beyond ASCII may take several, is a dot."""
    made: list[str] = []
    for place, token in enumerate(tokens):
        text = token.text.removesuffix("</w>")
        if not text.isascii():  # the vocabulary's own spelling of bytes
            before = tokens[place - 1] if place else None
            same = before is not None and (before.start, before.end) == (token.start, token.end)
            shown = prompt[token.start : token.end]
            text = shown if shown.isprintable() and not same else "\u00b7"
        made.append(text)
    return made


def vocabulary_view(vocabulary: Vocabulary | None) -> Json:
    """A model's words by kind, without the filler, and what it may colour; nothing where a model knows no bounds."""
    if vocabulary is None:
        return {"kinds": {}, "colorable": [], "tints": []}
    kinds = {kind: list(names) for kind, names in vocabulary.kinds.items() if kind != "filler"}
    return {"kinds": kinds, "colorable": list(vocabulary.colorable), "tints": list(vocabulary.tints)}
