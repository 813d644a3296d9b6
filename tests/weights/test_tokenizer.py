"""The default model's tokenizer: CLIP's, cut down, and still CLIP's for the words that matter."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weights.train import tokenizer as clip
from weights.train.world import world

TEMPLATES = ["an image of a background", "picture", "photo", "a drawing of two", "in front of", "with no"]
WORDS = [*world().objects, *world().colors, *world().relations, *TEMPLATES]
# CLIP itself makes two tokens of these; cutting them otherwise would make it another tokenizer.
CLIP_SPLITS = {"honeybee", "sailboat"}


def load(folder: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(str(folder), local_files_only=True)


@pytest.fixture(scope="module")
def cut(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tokenizer")
    clip.build(folder, WORDS)
    return folder


@pytest.fixture(scope="module")
def loaded(cut: Path) -> Any:
    return load(cut)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("tokenizer")
    clip.write(folder, clip.clip_merges())
    return load(folder)


def test_every_word_of_the_world_is_one_token_unless_clip_itself_splits_it(loaded: Any) -> None:
    words = {word for phrase in WORDS for word in phrase.split()}
    assert {word for word in words if len(loaded.tokenize(word)) != 1} == CLIP_SPLITS
    assert len(loaded.tokenize("ice cream")) == 2


@given(st.lists(st.sampled_from(WORDS), max_size=8))
def test_the_worlds_words_are_cut_exactly_as_clip_cuts_them(loaded: Any, whole: Any, phrases: list[str]) -> None:
    prompt = ", ".join(phrases)
    assert loaded.tokenize(prompt) == whole.tokenize(prompt)


@given(st.text())
def test_any_text_is_spelled_out_of_known_tokens(loaded: Any, whole: Any, prompt: str) -> None:
    ours, theirs = loaded.tokenize(prompt), whole.tokenize(prompt)
    assert "".join(ours) == "".join(theirs)
    assert len(ours) >= len(theirs)


def test_ids_are_contiguous_and_the_files_are_as_diffusers_wants_them(cut: Path, loaded: Any) -> None:
    vocabulary = json.loads((cut / "vocab.json").read_text(encoding="utf-8"))
    assert sorted(vocabulary.values()) == list(range(len(vocabulary)))
    assert 8_514 < len(vocabulary) < 9_000
    assert vocabulary["<|endoftext|>"] == len(vocabulary) - 1
    assert type(loaded).__name__ == "CLIPTokenizer"
    assert loaded.model_max_length == 77
    assert loaded.pad_token == "<|endoftext|>"
    ids = loaded("a fox", padding="max_length").input_ids
    assert len(ids) == 77
    assert ids[0] == vocabulary["<|startoftext|>"]
    assert set(ids[3:]) == {vocabulary["<|endoftext|>"]}


def test_the_prefix_alone_breaks_words_so_the_added_merges_matter(tmp_path: Path) -> None:
    clip.build(tmp_path, [])
    tokenizer = load(tmp_path)
    broken = [name for name in world().objects if len(tokenizer.tokenize(name)) != len(name.split())]
    assert len(broken) > 60
