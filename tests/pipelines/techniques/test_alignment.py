"""Which word stands for which: by words, phrases and given pairs, whatever tokens they are cut into."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pipelines.techniques.alignment import Alignment, Pairs, Shares, align
from pipelines.tokenizer import Tokenizer
from tests.models import WORDS
from weights.train import tokenizer as clip
from xattn.errors import BadValue, UnknownWord

LONG = ("vixen", "dachshund")
"""Not in the vocabulary: cut into letters."""
prompts = st.lists(st.sampled_from([*WORDS, *LONG]), min_size=1, max_size=12).map(" ".join)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    folder = tmp_path_factory.mktemp("tokenizer")
    clip.build(folder, WORDS)
    return Tokenizer.from_folder(folder)


def aligned(tokenizer: Tokenizer, source: str, target: str, pairs: Pairs = ()) -> Alignment:
    chunks = max(tokenizer.chunks(source), tokenizer.chunks(target))
    return align(tokenizer.ledger(source, chunks), tokenizer.ledger(target, chunks), pairs)


def links(alignment: Alignment) -> list[tuple[str, str, str]]:
    return [(link.kind, link.source, link.target) for link in alignment.links]


def matrix(shares: Shares, columns: int) -> np.ndarray:
    made = np.zeros((columns, columns))
    for target, sources in shares.items():
        for source, factor in sources:
            made[source, target] += factor
    return made


def test_a_word_that_stands_where_another_stood_replaces_it(tokenizer: Tokenizer) -> None:
    assert links(aligned(tokenizer, "a fox on purple", "a dog on red")) == [
        ("kept", "a", "a"),
        ("replaced", "fox", "dog"),
        ("kept", "on", "on"),
        ("replaced", "purple", "red"),
    ]


def test_words_are_added_and_removed(tokenizer: Tokenizer) -> None:
    assert links(aligned(tokenizer, "a fox", "a red fox and a cat")) == [
        ("kept", "a", "a"),
        ("added", "", "red"),
        ("kept", "fox", "fox"),
        ("added", "", "and"),
        ("added", "", "a"),
        ("added", "", "cat"),
    ]
    assert ("removed", "red", "") in links(aligned(tokenizer, "a red fox", "a fox"))


def test_other_numbers_of_words_replace_each_other_as_phrases(tokenizer: Tokenizer) -> None:
    assert links(aligned(tokenizer, "a fox on purple", "a red cat on purple"))[1] == ("replaced", "fox", "red cat")
    assert links(aligned(tokenizer, "ice cream on red", "a on red"))[0] == ("replaced", "ice cream", "a")


def test_of_two_ways_the_one_that_keeps_neighbours_together(tokenizer: Tokenizer) -> None:
    kept = [link.target_columns for link in aligned(tokenizer, "a fox", "a cat and a fox").links if link.kind == "kept"]
    assert kept == [(4,), (5,)], 'the second "a", before the fox'
    longer = aligned(tokenizer, "a fox on red", "a fox on red and a cat on red")
    assert [link.target_columns for link in longer.links if link.kind == "kept"] == [(1,), (2,), (3,), (4,)]


def test_pairs_come_first_and_may_cross(tokenizer: Tokenizer) -> None:
    crossed = aligned(tokenizer, "a cat and a dog", "a dog and a cat", (("cat", "cat"), ("dog", "dog")))
    assert ("paired", "cat", "cat") in links(crossed)
    assert ("paired", "dog", "dog") in links(crossed)
    assert [link.kind for link in crossed.links].count("kept") == 3
    phrase = aligned(tokenizer, "a fox on red", "a ice cream on red", (("fox", "ice cream"),))
    assert links(phrase)[1] == ("paired", "fox", "ice cream")
    second = aligned(tokenizer, "a cat and a cat", "a dog and a fox", ((("cat", 2), "dog"),))
    paired = next(link for link in second.links if link.kind == "paired")
    assert (paired.source_columns, paired.target_columns) == ((5,), (2,))


@pytest.mark.parametrize(
    ("pairs", "error", "says"),
    [
        ((("foks", "dog"),), UnknownWord, 'The source\'s prompt has no word "foks". Its words are: a, fox'),
        ((("fox", "cat"),), UnknownWord, 'The prompt has no word "cat". Its words are: a, dog'),
        ((("fox", "dog"), ("a", "dog")), BadValue, "one pair only"),
    ],
)
def test_a_pair_that_cannot_be_is_a_sentence(
    tokenizer: Tokenizer, pairs: Pairs, error: type[Exception], says: str
) -> None:
    with pytest.raises(error) as raised:
        aligned(tokenizer, "a fox on red", "a dog on red", pairs)
    assert says in str(raised.value)


@given(source=prompts, target=prompts)
def test_every_written_column_is_in_one_link(tokenizer: Tokenizer, source: str, target: str) -> None:
    made = aligned(tokenizer, source, target)
    for ledger, columns in (
        (made.source, [column for link in made.links for column in link.source_columns]),
        (made.target, [column for link in made.links for column in link.target_columns]),
    ):
        assert sorted(columns) == [token.position for token in ledger.text_tokens]
    targets = [link.target_columns for link in made.links if link.target_columns]
    assert targets == sorted(targets)


@given(source=prompts, target=prompts)
def test_no_mass_is_lost_or_doubled_but_that_of_removed_words(tokenizer: Tokenizer, source: str, target: str) -> None:
    made = aligned(tokenizer, source, target)
    sums = matrix(made.shares("kept", "replaced", "paired"), len(made.target.tokens)).sum(axis=1)
    gone = [column for link in made.links if link.kind == "removed" for column in link.source_columns]
    expected = np.ones(len(made.source.tokens))
    expected[gone] = 0
    np.testing.assert_allclose(sums, expected, atol=1e-12)


@given(prompt=prompts)
def test_a_prompt_and_itself_are_the_identity(tokenizer: Tokenizer, prompt: str) -> None:
    made = aligned(tokenizer, prompt, prompt)
    assert {link.kind for link in made.links} == {"kept"}
    columns = len(made.target.tokens)
    assert (matrix(made.shares("kept"), columns) == np.eye(columns)).all()


@given(source=prompts, target=prompts)
def test_as_many_words_are_kept_as_the_longest_common_subsequence_has(
    tokenizer: Tokenizer, source: str, target: str
) -> None:
    theirs, ours = source.split(), target.split()
    table = np.zeros((len(theirs) + 1, len(ours) + 1), dtype=int)
    for i, one in enumerate(theirs):
        for j, other in enumerate(ours):
            table[i + 1, j + 1] = table[i, j] + 1 if one == other else max(table[i, j + 1], table[i + 1, j])
    kept = [link for link in aligned(tokenizer, source, target).links if link.kind == "kept"]
    assert len(kept) == table[-1, -1]
    assert all(link.source == link.target for link in kept)


@given(source=prompts, target=prompts, data=st.data())
def test_a_given_pair_is_always_linked_and_nothing_else_is_lost(
    tokenizer: Tokenizer, source: str, target: str, data: st.DataObject
) -> None:
    one, other = data.draw(st.sampled_from(source.split())), data.draw(st.sampled_from(target.split()))
    made = aligned(tokenizer, source, target, ((one, other),))
    assert [(link.source, link.target) for link in made.links if link.kind == "paired"] == [(one, other)]
    columns = [column for link in made.links for column in link.target_columns]
    assert sorted(columns) == [token.position for token in made.target.text_tokens]
    columns = [column for link in made.links for column in link.source_columns]
    assert sorted(columns) == [token.position for token in made.source.text_tokens]


@given(count=st.integers(1, 60), data=st.data())
def test_words_are_found_across_chunks(tokenizer: Tokenizer, count: int, data: st.DataObject) -> None:
    before = " ".join(["and a"] * count)
    made = aligned(tokenizer, "a fox", f"{before} fox on red")
    assert ("kept", "fox", "fox") in links(made)
    shares = matrix(made.shares("kept", "replaced", "paired"), len(made.target.tokens))
    np.testing.assert_allclose(shares.sum(axis=1), 1.0, atol=1e-12)


def test_the_preview_shows_both_prompts_one_over_the_other(tokenizer: Tokenizer) -> None:
    assert str(aligned(tokenizer, "a fox on purple", "a red dog on", (("fox", "dog"),))).splitlines() == [
        "source  a  ·    fox  on  purple",
        "        =   +    ↓   =     −",
        "target  a  red  dog  on  ·",
        "",
        "= kept   + its own map   ↓ takes over the map above   − removed",
    ]


@given(source=prompts, target=prompts)
def test_the_preview_fits_a_terminal(tokenizer: Tokenizer, source: str, target: str) -> None:
    assume(len(target) > 20)
    shown = str(aligned(tokenizer, source, target))
    assert max(map(len, shown.splitlines())) <= 96
    for word in target.split():
        assert word in shown


def test_wide_letters_take_two_cells(tokenizer: Tokenizer) -> None:
    source, _, target = str(aligned(tokenizer, "狐 on red", "fox on red")).splitlines()[:3]
    assert source.index("on") + 1 == target.index("on")


def test_the_document_has_every_link_with_its_columns(tokenizer: Tokenizer) -> None:
    document = aligned(tokenizer, "a fox", "a vixen").document()
    link = document["links"][1]  # type: ignore[index]
    assert (link["kind"], link["source"], link["target"]) == ("replaced", "fox", "vixen")
    assert (link["source_columns"], link["target_columns"]) == ([2], [2, 3, 4])
