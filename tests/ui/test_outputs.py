from __future__ import annotations

import pytest

from ui.outputs import slug


@pytest.mark.parametrize(
    ("prompt", "name"),
    [
        ("A fox, on (purple:1.3)!", "a-fox-on-purple-1-3"),
        ("don't  panic’s", "dont-panics"),
        ("../../etc/passwd", "etc-passwd"),
        ("лиса हिन्दी ﬁsh", "лиса-हिन्दी-fish"),
        ("🦊 ?!", "picture"),
    ],
)
def test_a_picture_is_named_by_its_prompts_words(prompt: str, name: str) -> None:
    assert slug(prompt) == name


def test_names_stay_short_and_end_with_a_whole_word() -> None:
    assert slug("лисица " * 50) == "-".join(["лисица"] * 6)
    assert slug("x" * 300) == "picture"
