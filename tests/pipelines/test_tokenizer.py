from __future__ import annotations

import json
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.ledger import word_spans
from pipelines.tokenizer import MAX_CHUNKS, Tokenizer
from xattn.errors import BadModel, BadValue

ODD = [
    "",
    " ",
    "a fox on red",
    "A FOX",
    "don't  don’t ‘curly’ “quotes” — dash…",
    "ﬁsh ﬂower ﬃ ﬀ",
    "ＦＯＸ ｆｏｘ １２３ （word：1.3）",
    "🦊",
    "👨\u200d👩\u200d👧 👍🏽 🇫🇷 1️⃣ ❤️",
    "一只狐狸 きつね 여우 ｷﾂﾈ",
    "cafe\u0301 café cafe\u0301\u0301 x\u0302y \u0301alone",
    "각 \u1100\u1161\u11a8",
    "&amp; &lt;b&gt; &#39; &quot;fox&quot; &nbsp;",
    "\x00 \x01a \x1f \x7f \x85 \x1b[31m",
    "tab\tnew\nline\r\nnbsp\u00a0wide\u3000zero\u200bwidth\ufeff",
    "İstanbul ǅ ß ſ ΑΣ ς Ⅷ ½ ²",
    "नमस्ते दुनिया สวัสดี שָׁלוֹם مرحبا \u202eright to left\u202c",
    "<|endoftext|> <|startoftext|> <|ENDOFTEXT|> <|endoftext|>fox",
    "</w> fox</w> Ġfox ## _ __init__",
    "(word:1.3) [word] {a|b} <lora:x:1> BREAK \\(",
    "1234567890 3d 4k 1.5 1,000 1e-5",
    "it's we're I've I'm he'll she'd 'tis 'S 'T",
    "!!!!!!!! ??? ... --- ===",
    "supercalifragilisticexpialidocious antidisestablishmentarianism",
    "𝕗𝕠𝕩 𝓯𝓸𝔁 ｆ ⓕⓞⓧ",
    "z̷̢̛a̵l̸g̶o̷",
    "\ufffd \ufffe \U0010ffff \ue000",
    "a" * 300,
    "é" * 60,
]
PAIRS = [left.strip(" ") + glue + right for left, right in product(ODD[2:22], repeat=2) for glue in ("", " ")]


@cache
def ours(folder: Path) -> Tokenizer:
    return Tokenizer.from_folder(folder)


@cache
def theirs(folder: Path) -> Any:
    from transformers import CLIPTokenizer

    return CLIPTokenizer.from_pretrained(str(folder), local_files_only=True)


def check_equal(folder: Path, prompt: str) -> None:
    tokenizer = ours(folder)
    ledger = tokenizer.ledger(prompt)
    plain = theirs(folder)(prompt, add_special_tokens=False, verbose=False).input_ids
    assert [token.id for token in ledger.text_tokens] == plain
    if len(plain) <= 75:
        padded = theirs(folder)(prompt, padding="max_length", max_length=77, truncation=True).input_ids
        assert tokenizer.ids(ledger) == [padded]


@pytest.mark.parametrize("pad", ["sd1_tokenizer", "sd2_tokenizer"])
def test_tokens_and_padding_equal_the_checkpoints_own_on_hundreds_of_odd_strings(
    pad: str, request: pytest.FixtureRequest
) -> None:
    assert len(ODD) + len(PAIRS) > 800
    for prompt in ODD + PAIRS:
        check_equal(request.getfixturevalue(pad), prompt)


@given(st.text())
def test_tokens_equal_the_checkpoints_own_on_any_text(sd2_tokenizer: Path, prompt: str) -> None:
    check_equal(sd2_tokenizer, prompt)


def test_the_files_made_for_these_tests_are_clips_own(sd1_tokenizer: Path) -> None:
    import open_clip

    clip = open_clip.tokenizer.SimpleTokenizer()
    for prompt in ("a photo of a doughnut, 3d", "it's we're: purple!? (x)", "zebra " * 10):
        assert [token.id for token in ours(sd1_tokenizer).ledger(prompt).text_tokens] == clip.encode(prompt)


@given(st.text(st.characters()))
def test_any_string_gives_a_ledger_or_a_sentence(sd1_tokenizer: Path, prompt: str) -> None:
    if any("\ud800" <= character <= "\udfff" for character in prompt):
        with pytest.raises(BadValue, match="surrogate"):
            ours(sd1_tokenizer).ledger(prompt)
    else:
        assert ours(sd1_tokenizer).ledger(prompt).prompt == prompt


@given(st.lists(st.sampled_from([*ODD, "fox", "ice cream"]), max_size=12).map(" ".join), st.integers(0, 2))
def test_every_column_is_one_token_and_every_word_has_its_tokens(sd1_tokenizer: Path, prompt: str, more: int) -> None:
    tokenizer = ours(sd1_tokenizer)
    chunks = tokenizer.chunks(prompt) + more
    ledger = tokenizer.ledger(prompt, chunks)
    assert ledger.chunks == chunks
    assert [token.position for token in ledger.tokens] == list(range(77 * chunks))
    assert all(token.chunk == token.position // 77 for token in ledger.tokens)
    for ids in tokenizer.ids(ledger):
        assert ids[0] == 49406
        assert 49407 in ids
    for index, word in enumerate(ledger.words):
        assert word.tokens == tuple(token.position for token in ledger.tokens if token.word == index)
        assert ledger.prompt[word.start : word.end] == word.text
        if len(word.tokens) <= 75:
            assert len({ledger.tokens[position].chunk for position in word.tokens}) == 1
    assert tuple((word.start, word.end) for word in ledger.words) == word_spans(prompt)
    edges = [(token.start, token.end) for token in ledger.tokens]
    assert edges == sorted(edges)


def test_several_tokens_of_one_word_and_punctuation(sd1_tokenizer: Path) -> None:
    ledger = ours(sd1_tokenizer).ledger("honeybee, don’t!")
    assert [(token.text, token.word) for token in ledger.text_tokens][:4] == [
        ("honey", 0),
        ("bee</w>", 0),
        (",</w>", None),
        ("don</w>", 1),
    ]
    assert ledger.columns("honeybee") == (1, 2)
    assert ledger.columns("don't") == (4, 5, 6, 7)


def test_a_word_that_would_not_fit_begins_the_next_chunk(sd1_tokenizer: Path) -> None:
    ledger = ours(sd1_tokenizer).ledger("fox " * 74 + "honeybee")
    assert [token.role for token in ledger.tokens[73:80]] == ["text", "text", "end", "pad", "begin", "text", "text"]
    assert ledger.columns("honeybee") == (78, 79)


def test_seventy_five_tokens_are_one_chunk_and_one_more_makes_two(sd1_tokenizer: Path) -> None:
    tokenizer = ours(sd1_tokenizer)
    assert [tokenizer.chunks("fox " * count) for count in (0, 75, 76, 150, 151)] == [1, 1, 2, 2, 3]


def test_a_book_is_refused_and_not_cut_off(sd1_tokenizer: Path) -> None:
    tokenizer = ours(sd1_tokenizer)
    assert tokenizer.chunks("fox " * 75 * MAX_CHUNKS) == MAX_CHUNKS
    with pytest.raises(BadValue, match=r"2401 tokens, 33 chunks.*at most 32 chunks.*Shorten it"):
        tokenizer.ledger("fox " * (75 * MAX_CHUNKS + 1))
    with pytest.raises(BadValue, match="chunks is 1, but it must be at least 2"):
        tokenizer.ledger("fox " * 76, chunks=1)


@pytest.mark.parametrize("prompt", [None, 3, b"fox", ["fox"]])
def test_what_is_no_text_is_refused(sd1_tokenizer: Path, prompt: str) -> None:
    with pytest.raises(BadValue, match="prompt is "):
        ours(sd1_tokenizer).ledger(prompt)


def test_a_single_tokenizer_json_is_enough_and_its_truncation_is_not_silent(
    sd1_tokenizer: Path, tmp_path: Path
) -> None:
    theirs(sd1_tokenizer).backend_tokenizer.save(str(tmp_path / "tokenizer.json"))
    raw = json.loads((tmp_path / "tokenizer.json").read_text())
    raw["truncation"] = {"direction": "Right", "max_length": 5, "strategy": "LongestFirst", "stride": 0}
    (tmp_path / "tokenizer.json").write_text(json.dumps(raw))
    tokenizer = Tokenizer.from_folder(tmp_path)
    assert tokenizer.cuts_like(ours(sd1_tokenizer))
    assert tokenizer.ledger("a fox " * 40) == ours(sd1_tokenizer).ledger("a fox " * 40)


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({}, "merges.txt and vocab.json missing"),
        ({"vocab.json": "{}"}, "merges.txt missing"),
        ({"vocab.json": "{", "merges.txt": ""}, "cannot be read"),
        ({"vocab.json": "[]", "merges.txt": ""}, "cannot be read"),
        ({"vocab.json": '{"a": 0}', "merges.txt": "x y"}, "cannot be read"),
        ({"tokenizer.json": "{}"}, "cannot be read"),
        ({"tokenizer.json": "\x00\xff"}, "cannot be read"),
        ({"vocab.json": "{}", "merges.txt": "", "tokenizer_config.json": '{"tokenizer_class": "T5Tokenizer"}'}, "T5"),
        ({"vocab.json": "{}", "merges.txt": "", "tokenizer_config.json": "[]"}, "no JSON object"),
    ],
)
def test_a_folder_that_is_no_tokenizer_is_named(tmp_path: Path, files: dict[str, str], says: str) -> None:
    for name, content in files.items():
        (tmp_path / name).write_text(content, encoding="latin-1")
    with pytest.raises(BadModel, match=says):
        Tokenizer.from_folder(tmp_path)
