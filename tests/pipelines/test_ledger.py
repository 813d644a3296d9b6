from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.ledger import Ledger, Phrase, Token, Word, keys, word_of, word_spans
from xattn.errors import BadValue, UnknownWord


def ledger_of(prompt: str) -> Ledger:
    """One token a word after a begin token: enough to ask for words."""
    spans = word_spans(prompt)
    words = tuple(Word(prompt[start:end], start, end, (index + 1,)) for index, (start, end) in enumerate(spans))
    tokens = [Token("<begin>", 0, 0, 0, None, 0, 0, role="begin")]
    tokens += [Token(word.text, 9, 0, i + 1, i, word.start, word.end) for i, word in enumerate(words)]
    return Ledger(prompt, tuple(tokens), words)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a fox, on red.", ["a", "fox", "on", "red"]),
        ("don't don’t rock'n'roll", ["don't", "don’t", "rock'n'roll"]),
        ("'quoted' dogs'", ["quoted", "dogs"]),
        ("red_fox ice-cream 3d", ["red", "fox", "ice", "cream", "3d"]),
        ("cafe\u0301 x\u0302y", ["cafe\u0301", "x\u0302y"]),
        ("नमस्ते می\u200cخواهم", ["नमस्ते", "می\u200cخواهم"]),
        ("🦊 , ... ’ \u0301", []),
        ("", []),
    ],
)
def test_a_word_is_what_a_person_takes_for_one(text: str, words: list[str]) -> None:
    assert [text[start:end] for start, end in word_spans(text)] == words


@given(st.text())
def test_words_are_apart_and_in_order(text: str) -> None:
    spans = word_spans(text)
    edges = [edge for span in spans for edge in span]
    assert edges == sorted(edges)
    assert all(start < end for start, end in spans)
    covered = {index for start, end in spans for index in range(start, end)}
    assert all(index in covered for index, character in enumerate(text) if character.isalpha())


@pytest.mark.parametrize(
    ("phrase", "columns"),
    [
        ("cat", (2,)),
        ("CAT", (2,)),
        (("cat", 1), (2,)),
        (("cat", 2), (7,)),
        ("ice cream", (4, 5)),
        ("Ice-Cream", (4, 5)),
        ("Don't", (8,)),
        ("ﬁsh", (9,)),
        ("a cat", (1, 2)),
        (("a cat", 2), (6, 7)),
    ],
)
def test_columns_are_found_by_word_phrase_and_occurrence(phrase: Phrase, columns: tuple[int, ...]) -> None:
    assert ledger_of("A cat, an-- ice-cream a Cat don’t FISH").columns(phrase) == columns


def test_an_unknown_word_lists_those_there_are_and_the_nearest() -> None:
    with pytest.raises(UnknownWord) as caught:
        ledger_of("a fox on purple").columns("foks")
    expected = 'The prompt has no word "foks". Its words are: a, fox, on, purple. Did you mean "fox"?'
    assert str(caught.value) == expected


def test_an_occurrence_that_is_not_there_says_how_often_the_word_is() -> None:
    with pytest.raises(UnknownWord, match=r'It holds "cat" only 2 times\.'):
        ledger_of("cat cat").columns(("cat", 3))


@pytest.mark.parametrize("phrase", ["", ",", "ca", "cat dog", "🦊", "\ud800"])
def test_what_is_no_word_of_the_prompt_is_unknown(phrase: str) -> None:
    with pytest.raises(UnknownWord):
        ledger_of("a cat and a dog").columns(phrase)


@pytest.mark.parametrize("phrase", [3, None, ("cat", 0), ("cat", True), ("cat", 1.0), ("cat",), ("cat", 1, 2)])
def test_what_is_no_phrase_at_all_is_refused(phrase: Phrase) -> None:
    with pytest.raises(BadValue, match="word is "):
        ledger_of("a cat").columns(phrase)


def test_occurrences_of_a_phrase_do_not_overlap() -> None:
    found = ledger_of("very very very big").find("very very")
    assert [[word.start for word in occurrence] for occurrence in found] == [[0, 5]]


@given(st.text(st.sampled_from("aB '’-,1é")), st.integers(0, 20), st.integers(1, 20))
def test_a_token_is_of_the_word_that_it_shares_most_characters_with(text: str, start: int, length: int) -> None:
    spans = word_spans(text)
    shared = [len(set(range(*span)) & set(range(start, start + length))) for span in spans]
    expected = shared.index(max(shared)) if any(shared) else None
    assert word_of(spans, start, start + length) == expected


@given(st.text(st.characters()))
def test_any_string_has_keys(text: str) -> None:
    assert len(keys(text)) == len(word_spans(text))
