"""Maps' files: named by their words, whatever those are, inside their folder, none over another."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.attention_maps import AttentionMaps, Made
from pipelines.map_names import MOST_BYTES, file_names

AWKWARD = (
    "../x",
    "a/b",
    "é" * 300,
    "x" * 300,
    "x" * 301,
    "🦊",
    "?",
    "..",
    "con",
    "picture",
    "fox-overlay",
    "A b",
    "a-b",
)


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (("fox", "ice cream", "cat (2)"), ("fox", "ice-cream", "cat-2")),
        (("../x", "a/b", "a\\b"), ("x", "a-b", "a-b-word-3")),
        (("🦊", "日本語", "naïve", "nai\u0308ve"), ("🦊", "日本語", "naïve", "naïve-word-4")),
        (("?", "...", "\u202e"), ("word-1", "word-2", "word-3")),
        (("CON", "nul", "sheet", "picture"), ("word-CON", "word-nul", "word-sheet", "word-picture")),
        (("Fox", "fox"), ("Fox", "fox-word-2")),
        (("x-word-3", "x", "x"), ("word-x-word-3", "x", "x-word-3")),
        (("x" * 300,), ("x" * MOST_BYTES,)),
    ],
)
def test_a_name_contains_its_word_as_far_as_it_can(words: tuple[str, ...], names: tuple[str, ...]) -> None:
    assert file_names(words) == names


@given(st.lists(st.text(min_size=1, max_size=200), min_size=1, max_size=8))
def test_names_are_safe_short_and_different_for_any_words(words: list[str]) -> None:
    names = file_names(words)
    assert len({name.casefold() for name in names}) == len(words)
    for name in names:
        assert name
        assert not set(name) & set('/\\:*?"<>|.\0\n ')
        assert len(name.encode()) <= MOST_BYTES + len("word--word-8")


def test_a_folder_of_awkward_words_has_two_files_a_word_and_nothing_lies_outside(tmp_path: Path) -> None:
    values = np.random.default_rng(0).random((len(AWKWARD), 1, 1, 1, 2, 3), dtype=np.float32)
    maps = AttentionMaps(values, AWKWARD, (), (), Made("mass", "mean", "cond", 1))
    files = maps.save(tmp_path / "inside")
    assert len({file.name.casefold() for file in files}) == 2 * len(AWKWARD) + 1
    assert sorted(tmp_path.rglob("*")) == sorted([tmp_path / "inside", *files])
    for place, word in enumerate(AWKWARD):
        saved = np.load(tmp_path / "inside" / f"{maps.file_name(word)}.npy")
        np.testing.assert_array_equal(saved, values[place])
