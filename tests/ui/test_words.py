from __future__ import annotations

import json
import shutil
from pathlib import Path

from tests.ui.conftest import Xattn


def test_without_a_prompt_the_vocabulary_is_listed_by_kind(xattn: Xattn, model: Path) -> None:
    done = xattn("words", "--model", model)
    assert (done.code, done.err) == (0, "")
    assert done.out.split("\n\n") == [
        "tiny knows 9 words and phrases.",
        "object (4)\nfox, cat, dog, ice cream",
        "color (2)\npurple, red",
        "filler (3)\na, on, and\n",
    ]


def test_with_a_prompt_every_token_has_its_column_and_word(xattn: Xattn, model: Path) -> None:
    done = xattn("words", r"a Fox \[on\] ice-cream", "--model", model)
    rows = [line.split() for line in done.out.splitlines()]
    assert rows[0] == ["column", "token", "word", "characters"]
    assert ["2", "fox</w>", "Fox", "2–5"] in rows
    assert ["3", "[</w>", "6–8"] in rows, "brackets are text, not markup"
    assert ["8", "cream</w>", "cream", "17–22"] in rows
    assert "8 of 75 tokens, 5 words." in done.out


def test_weights_are_shown_where_there_are_any(xattn: Xattn, model: Path) -> None:
    rows = [line.split() for line in xattn("words", "a (fox:1.3)", "--model", model).out.splitlines()]
    assert rows[0] == ["column", "token", "word", "characters", "weight"]
    assert ["2", "fox</w>", "fox", "3–6", "1.3"] in rows


def test_one_word_is_no_words(xattn: Xattn, model: Path) -> None:
    assert "1 of 75 tokens, 1 word." in xattn("words", "fox", "--model", model).out


def test_unknown_words_are_named_with_the_nearest(xattn: Xattn, model: Path) -> None:
    done = xattn("words", "a foks", "--model", model)
    assert done.code == 0
    assert 'does not know "foks". Nearest: fox' in done.out


def test_objects_that_may_be_coloured_are_said_once_more_and_flagged(xattn: Xattn, model: Path, tmp_path: Path) -> None:
    colored = shutil.copytree(model, tmp_path / "colored", ignore=shutil.ignore_patterns("*.safetensors"))
    read = json.loads((colored / "vocabulary.json").read_text())
    read["kinds"] |= {"colorable": ["cat", "ice cream"], "tint": ["red"]}
    (colored / "vocabulary.json").write_text(json.dumps(read))
    listed = xattn("words", "--model", colored).out
    assert listed.startswith("colored knows 9 words and phrases.")
    assert listed.endswith("\nIn other colours than their own\ncat, ice cream: each in red\n")
    assert "tint" not in listed
    told = xattn("words", "a red cat and a red fox and a purple ice cream", "--model", colored).out
    assert [line for line in told.splitlines() if line.startswith("This model")] == [
        'This model knows "fox" in its own colours only. Things it knows in others: cat, ice cream.',
        'This model never saw "ice cream" in purple. It knows it in: red.',
    ]


def test_a_model_without_a_vocabulary_says_so(xattn: Xattn, model: Path, tmp_path: Path) -> None:
    free = shutil.copytree(model, tmp_path / "free", ignore=shutil.ignore_patterns("*.safetensors", "vocabulary.json"))
    assert "try any" in xattn("words", "--model", free).out
    assert "2 words" in xattn("words", "a foks", "--model", free).out, "and its weights are never read"


def test_mistakes_are_sentences(xattn: Xattn, model: Path, tmp_path: Path) -> None:
    assert xattn("words", " ", "--model", model).code == 2
    assert xattn("words", "--model", "no-such").code == 2
    broken = shutil.copytree(model, tmp_path / "broken")
    (broken / "vocabulary.json").write_text(json.dumps({"version": 9}))
    done = xattn("words", "--model", broken)
    assert (done.code, done.out, len(done.err.splitlines())) == (2, "", 1)
