"""The published code's mappers, worked out by hand from its loops; what they get wrong stays in them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.techniques import published
from pipelines.techniques.alignment import Shares, align
from pipelines.techniques.window import Window
from pipelines.tokenizer import Tokenizer
from tests.models import WORDS
from tests.pipelines.techniques.prompt_to_prompt import cross_table
from weights.train import tokenizer as clip
from xattn.errors import BadValue


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    folder = tmp_path_factory.mktemp("tokenizer")
    clip.build(folder, WORDS)
    return Tokenizer.from_folder(folder)


def matrix(shares: Shares) -> np.ndarray:
    made = np.zeros((77, 77))
    for target, sources in shares.items():
        for source, factor in sources:
            made[source, target] += factor
    return made


def test_replacement_reads_wrong_columns_after_a_word_that_grew(tokenizer: Tokenizer) -> None:
    source, target = tokenizer.ledger("a fox on purple"), tokenizer.ledger("a vixen on purple")
    assert target.columns("vixen") == (2, 3, 4)
    expected = np.eye(77)
    expected[2:5, 2:5] = 0
    expected[2, 2:5] = 1 / 3
    np.testing.assert_allclose(matrix(published.replacement(source, target)), expected)
    sums = matrix(published.replacement(source, target)).sum(axis=1)
    assert sums[source.columns("on")[0]] == 0, "its trap: the source's maps of on and purple are lost"
    ours = matrix(align(source, target).shares("kept", "replaced"))
    np.testing.assert_allclose(ours.sum(axis=1), 1, err_msg="which is not inherited")


def test_replacement_counts_columns_twice_after_a_word_that_shrank(tokenizer: Tokenizer) -> None:
    source, target = tokenizer.ledger("a vixen on purple"), tokenizer.ledger("a fox on purple")
    made = matrix(published.replacement(source, target))
    expected = np.eye(77)
    expected[2:5, 2] = 1
    expected[75:, 75:] = 0  # its loop ends with the source's last column
    np.testing.assert_allclose(made, expected)
    np.testing.assert_allclose(made.sum(axis=1)[3:5], 2)


def test_replacement_keeps_its_distance_between_two_words_that_change(tokenizer: Tokenizer) -> None:
    source, target = tokenizer.ledger("a fox on purple"), tokenizer.ledger("a vixen on red")
    made = matrix(published.replacement(source, target))
    assert made[3, 5] == 1, "on, two columns later"
    assert made[4, 6] == 1, "purple to red"
    assert made[7, 7] == 1


same = st.lists(st.tuples(st.sampled_from(WORDS), st.sampled_from(WORDS)), min_size=1, max_size=10)


@given(words=same)
def test_where_every_word_is_one_token_replacement_is_the_identity(
    tokenizer: Tokenizer, words: list[tuple[str, str]]
) -> None:
    source, target = (tokenizer.ledger(" ".join(some)) for some in zip(*words, strict=True))
    assert (matrix(published.replacement(source, target)) == np.eye(77)).all()


def test_refinement_gathers_tokens_and_all_that_follows_them(tokenizer: Tokenizer) -> None:
    source, target = tokenizer.ledger("a fox on purple"), tokenizer.ledger("a red fox on purple")
    expected = np.zeros((77, 77))
    for theirs, ours in ((0, 0), (1, 1), (2, 3), (3, 4), (4, 5), (5, 6)):
        expected[theirs, ours] = 1
    expected[7:, 7:] = np.eye(70)
    assert (matrix(published.refinement(source, target)) == expected).all()


@given(words=same)
def test_refinement_keeps_a_longest_common_subsequence_of_tokens(
    tokenizer: Tokenizer, words: list[tuple[str, str]]
) -> None:
    theirs, ours = zip(*words, strict=True)
    source, target = tokenizer.ledger(" ".join(theirs)), tokenizer.ledger(" ".join(ours))
    made = published.refinement(source, target)
    table = np.zeros((len(theirs) + 1, len(ours) + 1), dtype=int)
    for i, one in enumerate(theirs):
        for j, other in enumerate(ours):
            table[i + 1, j + 1] = table[i, j] + 1 if one == other else max(table[i, j + 1], table[i + 1, j])
    written = [column for column in made if 1 <= column <= len(ours)]
    assert len(written) == table[-1, -1]
    assert all(theirs[made[column][0][0] - 1] == ours[column - 1] for column in written)


@given(steps=st.integers(1, 200), one=st.integers(0, 1000), other=st.integers(0, 1000))
def test_windows_are_whole_parts_of_fractions(steps: int, one: int, other: int) -> None:
    first, last = sorted((one / 1000, other / 1000))
    window = Window(steps=(first, last))
    cross = [index for index in range(steps) if published.cross_opens(window, index, steps)]
    assert cross == list(cross_table(first, last, steps))
    selves = [index for index in range(steps) if published.others_open(window, index, steps)]
    assert selves == list(range(int(first * steps), int(last * steps)))


def test_windows_by_step_numbers_are_as_everywhere() -> None:
    window = Window(steps=(2, 4))
    for opens in (published.cross_opens, published.others_open):
        assert [index for index in range(10) if opens(window, index, 10)] == [1, 2, 3]


def test_prompts_that_the_code_cannot_align_are_a_sentence(tokenizer: Tokenizer) -> None:
    fox, pair = tokenizer.ledger("a fox"), tokenizer.ledger("a fox and a cat")
    with pytest.raises(BadValue, match="of as many as the source's 2 for replace"):
        published.replacement(fox, pair)
    with pytest.raises(BadValue, match="False for a prompt of over 75 tokens"):
        published.check_short("refine", fox, tokenizer.ledger("fox " * 80))
