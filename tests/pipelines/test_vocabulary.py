from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.ledger import Ledger, Word, word_spans
from pipelines.vocabulary import UnknownNotice, Vocabulary
from xattn.errors import BadModel

KNOWN = Vocabulary(
    {
        "object": ("fox", "ice cream", "hot dog", "strawberry", "teddy", "teddy bear"),
        "color": ("red", "purple"),
        "relation": ("to the left of", "above"),
        "filler": ("a", "an", "on", "of"),
    }
)


def ledger_of(prompt: str) -> Ledger:
    words = tuple(Word(prompt[start:end], start, end, ()) for start, end in word_spans(prompt))
    return Ledger(prompt, (), words)


@pytest.mark.parametrize(
    ("prompt", "unknown"),
    [
        ("A fox to the left of an Ice-Cream, RED", []),
        ("a wolf", ["wolf"]),
        ("hot dog hot fox dog", ["hot", "dog"]),
        ("a teddy bear", []),
        ("to the left fox", ["to", "the", "left"]),
        ("wolf, Wolf! WOLF", ["wolf"]),
        ("", []),
        ("🦊 ...", []),
    ],
)
def test_unknown_words_are_named_once_in_order(prompt: str, unknown: list[str]) -> None:
    assert [notice.word for notice in KNOWN.unknown(ledger_of(prompt))] == unknown


@pytest.mark.parametrize(
    ("word", "nearest"),
    [("foks", ("fox",)), ("strawbery", ("strawberry",)), ("creem", ("ice cream",)), ("qqqq", ())],
)
def test_the_nearest_known_names_are_offered(word: str, nearest: tuple[str, ...]) -> None:
    assert KNOWN.unknown(ledger_of(word)) == (UnknownNotice(word, nearest),)


def test_a_notice_is_a_sentence() -> None:
    assert str(UnknownNotice("foks", ("fox",))) == 'This model does not know "foks". Nearest: fox.'
    assert str(UnknownNotice("qq", ())) == 'This model does not know "qq".'


@given(st.lists(st.sampled_from(KNOWN.names), max_size=6))
def test_a_prompt_of_known_names_has_no_unknown_word_while_no_name_runs_into_the_next(names: list[str]) -> None:
    assert KNOWN.unknown(ledger_of(", ".join(names))) == ()


@given(st.text(st.characters()))
def test_any_prompt_gives_notices_of_its_own_words(prompt: str) -> None:
    ledger = ledger_of(prompt)
    assert {notice.word for notice in KNOWN.unknown(ledger)} <= {word.text for word in ledger.words}


def test_kinds_and_names() -> None:
    assert KNOWN.kind("Ice Cream") == "object"
    assert KNOWN.kind("to the left of") == "relation"
    assert KNOWN.kind("left") is None
    assert KNOWN.names[:2] == ("fox", "ice cream")


def test_a_folder_without_the_file_has_no_vocabulary(tmp_path: Path) -> None:
    assert Vocabulary.from_folder(tmp_path) is None


def test_a_file_is_read_in_its_order(tmp_path: Path) -> None:
    raw = {"version": 1, "kinds": {kind: list(names) for kind, names in KNOWN.kinds.items()}}
    (tmp_path / "vocabulary.json").write_text(json.dumps(raw))
    assert Vocabulary.from_folder(tmp_path) == KNOWN


COLORED = Vocabulary(
    {"object": ("fox", "cat", "top hat", "hot dog"), "color": ("red", "blue", "white"), "filler": ("a", "on", "and")},
    colorable=("cat", "top hat"),
    tints=("red", "blue"),
)


@pytest.mark.parametrize(
    ("prompt", "told"),
    [
        ("a red cat and a blue Top-Hat on white", []),
        ("a red fox", [(1, "red", "fox", False)]),
        ("a white cat", [(1, "white", "cat", True)]),
        ("(red:1.3) hot dog and White top hat", [(0, "red", "hot dog", False), (4, "white", "top hat", True)]),
        ("a cat on red, fox", []),
        ("a cat on red. Fox", []),
        ("red", []),
    ],
)
def test_a_colour_before_an_object_that_never_had_it_is_told(prompt: str, told: list[tuple[object, ...]]) -> None:
    spans = [span for span in word_spans(prompt) if not prompt[span[0]].isdigit()]
    ledger = Ledger(prompt, (), tuple(Word(prompt[start:end], start, end, ()) for start, end in spans))
    notices = COLORED.miscolored(ledger)
    assert [(one.word, one.color, one.name, one.colorable) for one in notices] == told


def test_such_a_notice_is_a_sentence_with_what_may_be_said_instead() -> None:
    def told(prompt: str) -> str:
        return str(COLORED.miscolored(ledger_of(prompt))[0])

    assert told("red fox") == (
        'This model knows "fox" in its own colours only. Things it knows in others: cat, top hat.'
    )
    assert told("white cat") == 'This model never saw "cat" in white. It knows it in: red, blue.'


def test_a_model_that_lists_no_coloured_objects_tells_nothing() -> None:
    assert KNOWN.miscolored(ledger_of("a red fox")) == ()


def test_coloured_objects_are_read_beside_the_kinds_and_never_twice(tmp_path: Path) -> None:
    kinds = {kind: list(names) for kind, names in COLORED.kinds.items()}
    raw = {"version": 1, "kinds": {"colorable": ["cat", "top hat"], **kinds, "tint": ["red", "blue"]}}
    (tmp_path / "vocabulary.json").write_text(json.dumps(raw))
    read = Vocabulary.from_folder(tmp_path)
    assert read == COLORED
    assert [*read.kinds] == ["object", "color", "filler"]
    assert (read.kind("cat"), read.kind("red")) == ("object", "color")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ('{"version": 1, "kinds": {"object": ["fox"], "colorable": ["cat"]}}', "lists 'cat' as \"colorable\""),
        ('{"version": 1, "kinds": {"object": ["red"], "tint": ["red"]}}', "lists 'red' as \"tint\""),
    ],
)
def test_coloured_objects_that_are_no_objects_are_named(tmp_path: Path, content: str, says: str) -> None:
    (tmp_path / "vocabulary.json").write_text(content)
    with pytest.raises(BadModel, match=says):
        Vocabulary.from_folder(tmp_path)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("{", "no readable JSON"),
        ("[" * 100_000, "no readable JSON"),
        ("[]", "must look like"),
        ('{"version": 2, "kinds": {}}', "version 2"),
        ('{"version": 1, "kinds": {"object": "fox"}}', "must look like"),
        ('{"version": 1, "kinds": {"object": ["fox", ""]}}', "must look like"),
        ('{"version": 1, "kinds": {"object": [3]}}', "must look like"),
    ],
)
def test_a_file_of_another_form_is_named(tmp_path: Path, content: str, says: str) -> None:
    (tmp_path / "vocabulary.json").write_text(content)
    with pytest.raises(BadModel, match=says):
        Vocabulary.from_folder(tmp_path)
